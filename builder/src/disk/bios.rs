//! GRUB for legacy BIOS, made by the tools root.

use std::io;
use std::path::Path;

pub(super) use firmware_checks::boot_loader::bios::CODE;
use firmware_checks::boot_loader::bios::{Installed, SECTOR, Unknown, command};
use firmware_checks::boot_loader::{BootLoader, EARLY};

use super::layout::Partition;
use crate::rootfs::tree::Tree;
use crate::sandbox::{self, Sandbox};

/// Where the root file system is seen by the tools root.
const TARGET: &str = "/run/target";

/// GRUB for legacy BIOS could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The program that makes core images failed.
    #[error("making GRUB's core image: {0}")]
    Make(#[from] sandbox::Error),
    /// GRUB's modules could not be read.
    #[error(
        "reading GRUB's modules in {path} of the root file system: {source}\n  hint: does the base install the package that \
         has them, and is `boot.bios_modules` right?"
    )]
    Modules {
        /// The folder.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A file of GRUB is not laid out as it should be.
    #[error(transparent)]
    Unknown(#[from] Unknown),
}

/// The two pieces that make a disk boot by BIOS.
#[derive(Debug)]
pub struct Grub {
    /// The first 440 bytes of the disk.
    pub boot_code: [u8; CODE],
    /// The BIOS boot partition, from its start.
    pub core: Vec<u8>,
}

impl Grub {
    /// Makes GRUB of the modules in the folder `modules` of `root`, by the program of `tools`, for a BIOS boot partition at `partition`. It runs `early`,
    /// which is also at [`EARLY`] in `root`, and then the configuration at `$prefix/grub.cfg`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn make(
        tools: &Path,
        root: &Path,
        boot: &BootLoader,
        modules: &str,
        partition: &Partition,
        early: &str,
    ) -> Result<Self, Error> {
        let (inside, config) = (format!("{TARGET}{modules}"), format!("{TARGET}{EARLY}"));
        let core = Sandbox::of_tools(tools).bind_ro(root, TARGET).run(&command(boot, &inside, &config))?;
        let path = modules;
        let wrong = |source| Error::Modules { path: path.to_owned(), source };
        let tree = Tree::open(root).map_err(wrong)?;
        let names = tree.list(Path::new(path)).map_err(wrong)?;
        let names = names.into_iter().filter_map(|name| name.into_string().ok());
        let read = |name: &str| super::read(&tree, &format!("{path}/{name}"));
        let installed = Installed::read(names, early, &read).map_err(wrong)?;
        let start = partition.start / SECTOR;
        Ok(Self { boot_code: installed.boot_code(start)?, core: installed.slot(core, start)? })
    }
}
