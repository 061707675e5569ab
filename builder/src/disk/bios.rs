//! GRUB for legacy BIOS: a core image in the BIOS boot partition, and its first sector in the MBR.
//!
//! What `grub-bios-setup` writes into the two images is written here. The offsets are from GRUB 2.12,
//! `include/grub/i386/pc/boot.h`, and unchanged since 2.00; the code that reads them is `grub-core/boot/i386/pc/boot.S`
//! and `diskboot.S`.

use std::fs;
use std::path::Path;

use super::layout::Partition;
use super::table::SECTOR;
use super::times;
use crate::sandbox::{self, Sandbox};

/// `GRUB_BOOT_MACHINE_KERNEL_SECTOR`: in boot.img, the sector at which the core image begins (64 bits).
const KERNEL_SECTOR: usize = 0x5c;
/// `GRUB_BOOT_MACHINE_DRIVE_CHECK`: in boot.img, a jump over the lines that mend the drive number of BIOSes which pass a wrong
/// one. `grub-bios-setup` replaces it by two `nop` for a hard disk, so that they are run.
const DRIVE_CHECK: usize = 0x66;
/// What [`DRIVE_CHECK`] holds in a fresh boot.img: the opcode of a short jump.
const SHORT_JUMP: u8 = 0xeb;
/// In the core image's first sector (diskboot.img), the only entry of its block list, `GRUB_BOOT_MACHINE_LIST_SIZE` (12)
/// bytes before the end: the sector at which the rest begins (64 bits), how many sectors it has (16), where it is loaded (16).
const BLOCK_LIST: usize = 0x200 - 12;
/// `GRUB_BOOT_I386_PC_KERNEL_SEG` (0x800) plus one sector in paragraphs: where diskboot loads the rest.
const LOAD_SEGMENT: u16 = 0x820;
/// How much of the first sector is boot code (`GRUB_BOOT_MACHINE_CODE_END`, 0x1b8).
const CODE: usize = 440;

/// What the core image can do without reading modules: find the root file system on a GPT disk, run its configuration, boot Linux.
const MODULES: [&str; 20] = [
    "biosdisk",
    "part_gpt",
    "ext2",
    "search_fs_uuid",
    "normal",
    "configfile",
    "linux",
    "gzio",
    "test",
    "echo",
    "sleep",
    "ls",
    "cat",
    "minicmd",
    "halt",
    "reboot",
    "serial",
    "terminal",
    "terminfo",
    "smbios",
];

/// GRUB for legacy BIOS could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// `grub-mkimage` failed.
    #[error("making GRUB's core image: {0}")]
    Make(#[from] sandbox::Error),
    /// A file of GRUB could not be read or written.
    #[error("making GRUB's core image: {path}: {source}")]
    File {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// A file of GRUB is not laid out as this code knows it.
    #[error("{file} of GRUB is not as expected: {what}")]
    Unknown {
        /// `boot.img` or `core.img`.
        file: &'static str,
        /// What was found and what was expected.
        what: String,
    },
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
    /// Makes GRUB of the modules in the folder `modules` of `root`, by the `grub-mkimage` of `tools`, for a BIOS boot
    /// partition at `partition`. It runs `early` (GRUB's script language) and then the configuration at `$prefix/grub.cfg`.
    ///
    /// # Errors
    /// [`Error`].
    pub fn make(tools: &Path, root: &Path, modules: &str, partition: &Partition, early: &str) -> Result<Self, Error> {
        let wrong = |path: &Path| {
            let path = path.display().to_string();
            move |source| Error::File { path, source }
        };
        let work = tempfile::tempdir().map_err(wrong(&std::env::temp_dir()))?;
        let (config, image) = (work.path().join("early.cfg"), work.path().join("core.img"));
        fs::write(&config, early).map_err(wrong(&config))?;
        let folder = format!("/run/target/{}", modules.trim_start_matches('/'));
        let mut command = vec!["grub-mkimage", "-O", "i386-pc", "-d", &folder, "-p", "/boot/grub"];
        command.extend(["-c", "/run/work/early.cfg", "-o", "/run/work/core.img"]);
        command.extend(MODULES);
        Sandbox::new(tools).bind_ro(root, "/run/target").bind(work.path(), "/run/work").run(&command)?;
        let core = fs::read(&image).map_err(wrong(&image))?;
        let boot = root.join(modules.trim_start_matches('/')).join("boot.img");
        let boot = times::read(&boot).map_err(wrong(&boot))?;
        let start = partition.start / SECTOR;
        Ok(Self { boot_code: patch_boot(&boot, start)?, core: patch_core(core, start, partition.size)? })
    }
}

/// boot.img's code, told that the core image begins at the sector `core`.
fn patch_boot(boot: &[u8], core: u64) -> Result<[u8; CODE], Error> {
    let unknown = |what: String| Error::Unknown { file: "boot.img", what };
    if boot.len() != 512 || boot[510..] != [0x55, 0xaa] {
        return Err(unknown(format!("{} bytes, expected a boot sector of 512", boot.len())));
    }
    if boot[DRIVE_CHECK] != SHORT_JUMP {
        let found = boot[DRIVE_CHECK];
        return Err(unknown(format!("byte {DRIVE_CHECK:#x} is {found:#x}, expected a jump ({SHORT_JUMP:#x})")));
    }
    let mut code = [0; CODE];
    code.copy_from_slice(&boot[..CODE]);
    code[KERNEL_SECTOR..KERNEL_SECTOR + 8].copy_from_slice(&core.to_le_bytes());
    code[DRIVE_CHECK..DRIVE_CHECK + 2].fill(0x90);
    Ok(code)
}

/// core.img, padded to whole sectors, told that it begins at the sector `start`.
fn patch_core(mut core: Vec<u8>, start: u64, space: u64) -> Result<Vec<u8>, Error> {
    let unknown = |what: String| Error::Unknown { file: "core.img", what };
    core.resize(core.len().next_multiple_of(512), 0);
    let rest = u16::try_from(core.len() / 512).ok().and_then(|sectors| sectors.checked_sub(1)).filter(|rest| *rest > 0);
    let Some(rest) = rest.filter(|_| core.len() as u64 <= space) else {
        return Err(unknown(format!("{} bytes, expected at least two sectors and at most {space} bytes", core.len())));
    };
    let segment = u16::from_le_bytes([core[BLOCK_LIST + 10], core[BLOCK_LIST + 11]]);
    if segment != LOAD_SEGMENT {
        return Err(unknown(format!("its block list loads to segment {segment:#x}, expected {LOAD_SEGMENT:#x}")));
    }
    core[BLOCK_LIST..BLOCK_LIST + 8].copy_from_slice(&(start + 1).to_le_bytes());
    core[BLOCK_LIST + 8..BLOCK_LIST + 10].copy_from_slice(&rest.to_le_bytes());
    Ok(core)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn core(length: usize) -> Vec<u8> {
        let mut core = vec![0xcc; length];
        core[BLOCK_LIST + 10..BLOCK_LIST + 12].copy_from_slice(&LOAD_SEGMENT.to_le_bytes());
        core
    }

    #[test]
    fn the_core_image_learns_where_its_rest_is_and_how_long() {
        let patched = patch_core(core(1300), 2048, 1 << 20).unwrap();
        assert_eq!(patched.len(), 1536);
        assert_eq!(patched[0x1f4..0x1fc], 2049_u64.to_le_bytes());
        assert_eq!(patched[0x1fc..0x200], [2, 0, 0x20, 0x08]);
    }

    #[test]
    fn a_core_image_that_does_not_fit_or_is_none_is_refused() {
        assert!(patch_core(core(4096), 2048, 2048).is_err());
        assert!(patch_core(core(512), 2048, 1 << 20).is_err());
        let error = patch_core(vec![0; 2048], 2048, 1 << 20).unwrap_err();
        assert!(error.to_string().contains("segment 0x0, expected 0x820"), "{error}");
    }

    #[test]
    fn the_first_sector_learns_where_the_core_image_is() {
        let mut boot = [0; 512];
        boot[510..].copy_from_slice(&[0x55, 0xaa]);
        assert!(patch_boot(&boot, 2048).is_err(), "no jump at the drive check");
        boot[0x66] = 0xeb;
        let code = patch_boot(&boot, 2048).unwrap();
        assert_eq!(code[0x5c..0x64], 2048_u64.to_le_bytes());
        assert_eq!(code[0x66..0x68], [0x90, 0x90]);
        assert!(patch_boot(&boot[..511], 2048).is_err());
    }
}
