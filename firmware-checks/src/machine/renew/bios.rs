//! The BIOS boot partition: the core image in one of its two slots, and the disk's first sector, which says in which.
//!
//! The slot that is not in use is written, made durable and read back; then one sector is written, and the other slot is in use.
//! After a power cut the one or the other boots. Everything is read and written around the kernel's cache, so that what is
//! compared is the disk's, and no neighbour of the first sector is written with it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::libc;

use crate::boot_loader::bios::{CODE, Installed, SECTOR, SLOT, Unknown, core_of};

/// What every disk accepts as the alignment of a buffer in memory, in bytes.
const ALIGNMENT: usize = 4096;
/// In the first sector, the type of the first partition, and the type that a protective MBR has there (UEFI 2.10 §5.2.3).
const TYPE: usize = 0x1be + 4;
const PROTECTIVE: u8 = 0xee;

/// The BIOS boot partition was not renewed, and is as it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk could not be read or written.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The disk.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk boots something else.
    #[error("the first sector of {path} is not this appliance's ({found}): it is left alone")]
    Foreign {
        /// The disk.
        path: PathBuf,
        /// What it is instead.
        found: String,
    },
    /// The core image could not be made.
    #[error("making GRUB's core image: {0}")]
    Make(String),
    /// A file of GRUB is not laid out as it should be.
    #[error(transparent)]
    Unknown(#[from] Unknown),
}

/// Where the partition lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub disk: &'a Path,
    /// First byte, and length.
    pub start: u64,
    pub size: u64,
}

/// Renews the partition at `place` where it or the first sector is not that of `installed`; `make` then gives a core image.
/// Says whether anything was written.
pub(super) fn renew(
    place: Place<'_>,
    installed: &Installed,
    make: impl FnOnce() -> Result<Vec<u8>, String>,
) -> Result<bool, Error> {
    let opened = OpenOptions::new().read(true).write(true).custom_flags(libc::O_DIRECT).open(place.disk);
    let disk = opened.map_err(|source| Error::Io { doing: "opening", path: place.disk.to_owned(), source })?;
    renew_on(&disk, place, installed, make)
}

fn renew_on(
    disk: &File,
    place: Place<'_>,
    installed: &Installed,
    make: impl FnOnce() -> Result<Vec<u8>, String>,
) -> Result<bool, Error> {
    let io = |doing| {
        let path = place.disk.to_owned();
        move |source| Error::Io { doing, path, source }
    };
    let mut first = read(disk, 0, SECTOR as usize).map_err(io("reading the first sector of"))?;
    let slots = [place.start / SECTOR, (place.start + SLOT) / SECTOR];
    let used = core_of(&first);
    if let Some(found) = foreign(&first, slots, place.size) {
        return Err(Error::Foreign { path: place.disk.to_owned(), found });
    }
    let slot = |start: u64| read(disk, start * SECTOR, SLOT as usize).map_err(io("reading the BIOS boot partition of"));
    if first[..CODE] == installed.boot_code(used)? && installed.is_in(&slot(used)?, used) {
        return Ok(false);
    }
    let next = if used == slots[0] { slots[1] } else { slots[0] };
    if !installed.is_in(&slot(next)?, next) {
        let whole = installed.slot(make().map_err(Error::Make)?, next)?;
        write(disk, next * SECTOR, &whole).map_err(io("writing the BIOS boot partition of"))?;
        if slot(next)? != whole {
            return Err(io("reading back the BIOS boot partition of")(io::Error::other("it is not what was written")));
        }
    }
    first[..CODE].copy_from_slice(&installed.boot_code(next)?);
    write(disk, 0, &first).map_err(io("writing the first sector of"))?;
    if read(disk, 0, first.len()).map_err(io("reading the first sector of"))? != first {
        return Err(io("reading back the first sector of")(io::Error::other("it is not what was written")));
    }
    Ok(true)
}

/// What speaks against the first sector's being this appliance's.
fn foreign(first: &[u8], slots: [u64; 2], size: u64) -> Option<String> {
    if size < 2 * SLOT {
        return Some(format!("the BIOS boot partition has {size} bytes, expected {}", 2 * SLOT));
    }
    if first[510..] != [0x55, 0xaa] || first[TYPE] != PROTECTIVE {
        return Some("it is no protective MBR".to_owned());
    }
    let used = core_of(first);
    (!slots.contains(&used)).then(|| format!("it goes on at sector {used}, expected {} or {}", slots[0], slots[1]))
}

fn read(disk: &File, offset: u64, length: usize) -> io::Result<Vec<u8>> {
    let mut buffer = vec![0; length + ALIGNMENT];
    let at = buffer.as_ptr().align_offset(ALIGNMENT);
    disk.read_exact_at(&mut buffer[at..at + length], offset)?;
    Ok(buffer[at..at + length].to_vec())
}

/// Writes `bytes` and waits until they are durable.
fn write(disk: &File, offset: u64, bytes: &[u8]) -> io::Result<()> {
    let mut buffer = vec![0; bytes.len() + ALIGNMENT];
    let at = buffer.as_ptr().align_offset(ALIGNMENT);
    buffer[at..at + bytes.len()].copy_from_slice(bytes);
    disk.write_all_at(&buffer[at..at + bytes.len()], offset)?;
    disk.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot_loader::bios::tests::{core, installed};

    const START: u64 = 1 << 20;

    fn place() -> Place<'static> {
        Place { disk: Path::new("/dev/vda"), start: START, size: 2 * SLOT }
    }

    /// A disk as the builder makes it.
    fn disk(installed: &Installed) -> File {
        let disk = tempfile::tempfile().unwrap();
        disk.set_len(4 << 20).unwrap();
        let mut first = [0xaa; 512];
        first[..CODE].copy_from_slice(&installed.boot_code(START / 512).unwrap());
        (first[TYPE], first[510], first[511]) = (PROTECTIVE, 0x55, 0xaa);
        disk.write_all_at(&first, 0).unwrap();
        disk.write_all_at(&installed.slot(core(70_000), START / 512).unwrap(), START).unwrap();
        disk
    }

    /// Whether the disk boots the image of `installed`, by what the BIOS and diskboot would read.
    fn boots(disk: &File, installed: &Installed) -> bool {
        let mut first = [0; 512];
        disk.read_exact_at(&mut first, 0).unwrap();
        let used = core_of(&first);
        first[..CODE] == installed.boot_code(used).unwrap()
            && installed.is_in(&read(disk, used * 512, SLOT as usize).unwrap(), used)
    }

    fn unasked() -> Result<Vec<u8>, String> {
        Err("nothing was to be made".to_owned())
    }

    #[test]
    fn what_is_current_is_left_alone_and_what_is_not_goes_into_the_other_slot() {
        let versions = [installed("1"), installed("2"), installed("3")];
        let disk = disk(&versions[0]);
        assert!(!renew_on(&disk, place(), &versions[0], unasked).unwrap());
        for (version, slot) in versions[1..].iter().zip([START + SLOT, START]) {
            let old = read(&disk, if slot == START { START + SLOT } else { START }, SLOT as usize).unwrap();
            assert!(renew_on(&disk, place(), version, || Ok(core(90_000))).unwrap());
            assert!(boots(&disk, version));
            assert!(version.is_in(&read(&disk, slot, SLOT as usize).unwrap(), slot / 512));
            let kept = read(&disk, if slot == START { START + SLOT } else { START }, SLOT as usize).unwrap();
            assert!(old == kept, "the slot that was in use is not written");
            assert!(!renew_on(&disk, place(), version, unasked).unwrap());
        }
        let rest = read(&disk, CODE as u64, 70).unwrap();
        assert!(rest.iter().enumerate().all(|(at, byte)| *byte == if at + CODE == TYPE { PROTECTIVE } else { 0xaa }));
    }

    #[test]
    fn a_torn_slot_is_written_again_and_a_whole_one_is_only_taken_into_use() {
        let (old, new) = (installed("1"), installed("2"));
        let slot = new.slot(core(70_000), (START + SLOT) / 512).unwrap();
        for torn in [0, 512, 40_000, slot.len() - 512] {
            let disk = disk(&old);
            disk.write_all_at(&slot[..torn], START + SLOT).unwrap();
            assert!(boots(&disk, &old), "a cut within the other slot");
            assert!(renew_on(&disk, place(), &new, || Ok(core(70_000))).unwrap());
            assert!(boots(&disk, &new));
        }
        let disk = disk(&old);
        disk.write_all_at(&slot, START + SLOT).unwrap();
        assert!(boots(&disk, &old) && renew_on(&disk, place(), &new, unasked).unwrap() && boots(&disk, &new));
    }

    #[test]
    fn damage_in_the_slot_in_use_is_mended_in_the_other() {
        let version = installed("1");
        let disk = disk(&version);
        disk.write_all_at(b"damage", START + 5000).unwrap();
        assert!(!boots(&disk, &version));
        assert!(renew_on(&disk, place(), &version, || Ok(core(70_000))).unwrap());
        assert!(boots(&disk, &version));
    }

    #[test]
    fn what_boots_something_else_is_left_alone() {
        let (old, new) = (installed("1"), installed("2"));
        for (offset, bytes) in [(0x5c, vec![1]), (510, vec![0]), (TYPE as u64, vec![0x83])] {
            let disk = disk(&old);
            disk.write_all_at(&bytes, offset).unwrap();
            let before = read(&disk, 0, 3 << 20).unwrap();
            assert!(matches!(renew_on(&disk, place(), &new, || Ok(core(9000))), Err(Error::Foreign { .. })));
            assert!(before == read(&disk, 0, 3 << 20).unwrap());
        }
        let disk = disk(&old);
        let failed = renew_on(&disk, place(), &new, || Err("no program".to_owned())).unwrap_err();
        assert!(failed.to_string().contains("no program") && boots(&disk, &old));
    }
}
