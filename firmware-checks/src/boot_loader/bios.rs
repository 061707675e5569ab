//! GRUB for legacy BIOS: a core image in the BIOS boot partition, and its first sector in the MBR.
//!
//! What `grub-bios-setup` writes into the two images is written here. The offsets are from GRUB 2.12,
//! `include/grub/i386/pc/boot.h`, and unchanged since 2.00; the code that reads them is `grub-core/boot/i386/pc/boot.S`
//! and `diskboot.S`.
//!
//! The partition has room for two core images ([`SLOT`]). The disk's first sector says which of them is run, so that the other
//! can be written, verified, and taken into use by the write of that one sector. The end of a slot says what its image was
//! made of.

use std::collections::BTreeMap;
use std::io;

use sha2::{Digest, Sha256};

use super::BootLoader;

/// Bytes of a sector, of a disk that a PC's BIOS boots.
pub const SECTOR: u64 = 512;
/// Bytes for a core image and its stamp; the BIOS boot partition has two of these.
pub const SLOT: u64 = 512 << 10;
/// The image may take all of a slot but the last sector.
const SPACE: usize = (SLOT - SECTOR) as usize;
/// What the last sector of a slot begins with.
const STAMP: &str = "Firstlight: GRUB's core image";

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
pub const CODE: usize = 440;

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

/// A file of GRUB is not laid out as this code knows it.
#[derive(Debug, thiserror::Error)]
#[error("{file} of GRUB is not as expected: {what}")]
pub struct Unknown {
    file: &'static str,
    what: String,
}

/// The command that makes a core image of the modules in the folder `modules`, with what the file `early` says as its first
/// steps, and gives it on standard output. After those steps it runs the configuration at `$prefix/grub.cfg`.
#[must_use]
pub fn command<'a>(boot: &'a BootLoader, modules: &'a str, early: &'a str) -> Vec<&'a str> {
    let mut command = vec![boot.mkimage.as_str(), "-O", "i386-pc", "-d", modules, "-p", "/boot/grub", "-c", early];
    command.extend(MODULES);
    command
}

/// GRUB's files as they are installed.
#[derive(Clone, Debug)]
pub struct Installed {
    /// boot.img.
    boot: Vec<u8>,
    /// SHA-256 over everything that a core image is made of, in lower-case hexadecimal.
    digest: String,
}

impl Installed {
    /// Of the names of the modules' folder and what `read` gives by name; `early` is what the core image begins with.
    ///
    /// # Errors
    /// Reading failed; there is no boot.img.
    pub fn read(
        names: impl IntoIterator<Item = String>,
        early: &str,
        read: &dyn Fn(&str) -> io::Result<Vec<u8>>,
    ) -> io::Result<Self> {
        let mut files = BTreeMap::new();
        for name in names.into_iter().filter(|name| [".mod", ".img", ".lst"].iter().any(|end| name.ends_with(end))) {
            files.insert(name.clone(), read(&name)?);
        }
        let mut hash = Sha256::new();
        for text in [early.as_bytes(), MODULES.join(" ").as_bytes()]
            .into_iter()
            .chain(files.iter().flat_map(|(name, content)| [name.as_bytes(), content]))
        {
            hash.update((text.len() as u64).to_le_bytes());
            hash.update(text);
        }
        let digest = hex::encode(hash.finalize());
        let boot = files.remove("boot.img").ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no boot.img"))?;
        Ok(Self { boot, digest })
    }

    /// What a core image made of them was made of: SHA-256 in lower-case hexadecimal.
    #[must_use]
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// The boot code that goes on to the core image at the sector `core`.
    ///
    /// # Errors
    /// [`Unknown`].
    pub fn boot_code(&self, core: u64) -> Result<[u8; CODE], Unknown> {
        boot_code(&self.boot, core)
    }

    /// The slot that begins at the sector `start`, with the image `core`, which was made of these files.
    ///
    /// # Errors
    /// [`Unknown`]: it is none, or too large.
    pub fn slot(&self, core: Vec<u8>, start: u64) -> Result<Vec<u8>, Unknown> {
        let mut slot = patch_core(core, start)?;
        slot.resize(SPACE, 0);
        let stamp = format!("{STAMP}, made of {}, is {}\n", self.digest, hex::encode(Sha256::digest(&slot)));
        slot.extend(stamp.as_bytes());
        slot.resize(SPACE + SECTOR as usize, 0);
        Ok(slot)
    }

    /// Whether `slot`, which begins at the sector `start`, holds a whole image made of these files.
    #[must_use]
    pub fn is_in(&self, slot: &[u8], start: u64) -> bool {
        let whole = slot.len() == SPACE + SECTOR as usize;
        whole && {
            let (image, stamp) = slot.split_at(SPACE);
            let begins = image[BLOCK_LIST..BLOCK_LIST + 8] == (start + 1).to_le_bytes();
            let is = hex::encode(Sha256::digest(image));
            begins && stamp.starts_with(format!("{STAMP}, made of {}, is {is}\n", self.digest).as_bytes())
        }
    }
}

/// The sector at which the boot code in `first`, the disk's first sector (or at least its [`CODE`]), expects the core image.
#[must_use]
pub fn core_of(first: &[u8]) -> u64 {
    let mut sector = [0; 8];
    sector.copy_from_slice(&first[KERNEL_SECTOR..KERNEL_SECTOR + 8]);
    u64::from_le_bytes(sector)
}

/// boot.img's code, told that the core image begins at the sector `core`.
fn boot_code(boot: &[u8], core: u64) -> Result<[u8; CODE], Unknown> {
    let unknown = |what: String| Unknown { file: "boot.img", what };
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
fn patch_core(mut core: Vec<u8>, start: u64) -> Result<Vec<u8>, Unknown> {
    let unknown = |what: String| Unknown { file: "core.img", what };
    core.resize(core.len().next_multiple_of(512), 0);
    let rest = u16::try_from(core.len() / 512).ok().and_then(|sectors| sectors.checked_sub(1)).filter(|rest| *rest > 0);
    let Some(rest) = rest.filter(|_| core.len() <= SPACE) else {
        return Err(unknown(format!("{} bytes, expected at least two sectors and at most {SPACE} bytes", core.len())));
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
pub(crate) mod tests {
    use super::*;

    /// A core image as `grub-mkimage` lays it out.
    pub(crate) fn core(length: usize) -> Vec<u8> {
        let mut core = vec![0xcc; length];
        core[BLOCK_LIST + 10..BLOCK_LIST + 12].copy_from_slice(&LOAD_SEGMENT.to_le_bytes());
        core
    }

    /// A modules' folder whose normal.mod says `version`.
    pub(crate) fn installed(version: &str) -> Installed {
        let read = |name: &str| {
            Ok(if name == "boot.img" {
                let mut boot = vec![0; 512];
                boot[DRIVE_CHECK] = SHORT_JUMP;
                boot[510..].copy_from_slice(&[0x55, 0xaa]);
                boot
            } else {
                version.as_bytes().to_vec()
            })
        };
        Installed::read(["boot.img", "normal.mod", "README"].map(str::to_owned), "early\n", &read).unwrap()
    }

    #[test]
    fn the_core_image_learns_where_its_rest_is_and_how_long() {
        let patched = patch_core(core(1300), 2048).unwrap();
        assert_eq!(patched.len(), 1536);
        assert_eq!(patched[0x1f4..0x1fc], 2049_u64.to_le_bytes());
        assert_eq!(patched[0x1fc..0x200], [2, 0, 0x20, 0x08]);
    }

    #[test]
    fn a_core_image_that_does_not_fit_or_is_none_is_refused() {
        assert!(patch_core(core(SPACE + 1), 2048).is_err());
        assert!(patch_core(core(512), 2048).is_err());
        let error = patch_core(vec![0; 2048], 2048).unwrap_err();
        assert!(error.to_string().contains("segment 0x0, expected 0x820"), "{error}");
    }

    #[test]
    fn the_first_sector_learns_where_the_core_image_is() {
        let mut boot = [0; 512];
        boot[510..].copy_from_slice(&[0x55, 0xaa]);
        assert!(boot_code(&boot, 2048).is_err(), "no jump at the drive check");
        boot[0x66] = 0xeb;
        let code = boot_code(&boot, 2048).unwrap();
        assert_eq!(code[0x5c..0x64], 2048_u64.to_le_bytes());
        assert_eq!(code[0x66..0x68], [0x90, 0x90]);
        boot[..CODE].copy_from_slice(&code);
        assert_eq!(core_of(&boot), 2048);
        assert!(boot_code(&boot[..511], 2048).is_err());
    }

    #[test]
    fn a_slot_is_known_by_its_content_its_place_and_what_it_was_made_of() {
        let (old, new) = (installed("1"), installed("2"));
        let slot = old.slot(core(70_000), 2048).unwrap();
        assert_eq!(slot.len() as u64, SLOT);
        assert!(old.is_in(&slot, 2048));
        assert!(!old.is_in(&slot, 3072) && !new.is_in(&slot, 2048) && !old.is_in(&slot[..512], 2048));
        for at in [0, 69_999, SPACE - 1, SPACE + 40] {
            let mut damaged = slot.clone();
            damaged[at] ^= 1;
            assert!(!old.is_in(&damaged, 2048), "byte {at}");
        }
    }
}
