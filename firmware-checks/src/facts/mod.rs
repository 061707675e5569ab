//! What the kernel and the firmware say about the machine, read from procfs and sysfs and never guessed.
//!
//! Everything is read below [`Machine::root`], so that a recorded machine can be judged in a test. What only a system
//! call tells goes through the machine's [`Kernel`].

pub mod block;
pub mod boot;
pub mod clock;
pub mod ext4;
pub mod host;
pub mod hypervisor;
pub mod identity;
pub mod kernel;
pub mod memory;
pub mod mounts;
pub mod network;
#[cfg(test)]
pub(crate) mod recorded;
pub mod smbios;
pub mod sockets;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub use kernel::Kernel;

/// A machine, as its file system and its kernel show it.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
    kernel: Arc<dyn Kernel>,
}

impl Machine {
    /// The machine that this program runs on.
    #[must_use]
    pub fn here() -> Self {
        Self::at("/")
    }

    /// A machine whose `/proc`, `/sys`, `/etc` … lie below `root`, and whose kernel is the one that runs.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into(), kernel: Arc::new(kernel::Running) }
    }

    /// The same files with the answers of another `kernel`.
    #[must_use]
    pub fn with_kernel(self, kernel: Arc<dyn Kernel>) -> Self {
        Self { kernel, ..self }
    }

    /// The folder that stands for `/`.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// What answers the machine's system calls.
    #[must_use]
    pub fn kernel(&self) -> &dyn Kernel {
        self.kernel.as_ref()
    }

    /// `path` (absolute) below the machine's root.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The content of `path` without white space around it.
    ///
    /// # Errors
    /// The failing system call's; `InvalidData` where it is not UTF-8.
    pub fn read(&self, path: &str) -> io::Result<String> {
        std::fs::read_to_string(self.path(path)).map(|text| text.trim().to_owned())
    }

    /// The content of `path` without white space around it, where it can be read and is not empty.
    #[must_use]
    pub fn told(&self, path: &str) -> Option<String> {
        self.read(path).ok().filter(|text| !text.is_empty())
    }

    /// The names in the folder `path`, in order; those that are not UTF-8 are left out.
    ///
    /// # Errors
    /// The failing system call's.
    pub fn names(&self, path: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(self.path(path))? {
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }
}
