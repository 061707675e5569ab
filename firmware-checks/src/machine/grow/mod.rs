//! Grows the last partition, `data`, and its file system to the end of the disk.
//!
//! Runs at every boot and does what is left to do, so that a power cut at any moment is mended by the next boot:
//!
//! 1. The backup table is written to the end of the disk, entries and header, and synced. Until that is done the primary table is
//!    valid and says what it said before.
//! 2. The primary table is written and synced. While it is torn, the backup at the end is valid, and the kernel takes it (its command
//!    line has `gpt`). Both tables describe the same partitions but for the end of the last.
//! 3. The kernel is told the partition's new size, without a reboot, although the disk is in use.
//! 4. `resize2fs` grows the mounted file system, under its journal.
//!
//! The disk is locked meanwhile (<https://systemd.io/BLOCK_DEVICE_LOCKING>): udev knows a partition by its place in the table. Where
//! it looked between the second step and the third, it would find none, take the partition's names away, and systemd would unmount
//! the file system that was mounted by one of them.
//!
//! The sector with the boot code is never written: the protective MBR covers a disk of any size.

mod kernel;
mod table;
#[cfg(test)]
mod tests;

use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use nix::fcntl::{Flock, FlockArg};

use self::table::{Copy, PRIMARY};
use super::place::{self, Place};
use crate::ordered::{self, Write};

pub use self::table::Geometry;

/// The name of the partition that grows (`PARTLABEL`).
const GROWS: &str = "data";
/// A partition ends at a multiple of this many bytes, where it can.
const ALIGNMENT: u64 = 1 << 20;

/// What could not be done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk could not be read or written, or is not known to the system.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or device.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The disk was not found.
    #[error("{0}: nothing was grown")]
    Place(#[from] place::Error),
    /// Neither table is valid.
    #[error(
        "{disk}: no valid partition table, neither at its beginning nor at its end ({sectors} sectors of {sector} bytes): \
         nothing was changed\n  hint: an image made for sectors of 512 bytes can't be used on a disk that has only larger ones"
    )]
    NoTable {
        /// The disk.
        disk: PathBuf,
        /// Its number of sectors.
        sectors: u64,
        /// Bytes of each.
        sector: u64,
    },
    /// The table describes a larger disk.
    #[error(
        "{disk} is smaller than what was written to it: partition {number} (`{name}`) ends at byte {end}, partitions may \
         use {usable} bytes: nothing was changed\n  hint: write the image to a larger disk"
    )]
    DiskTooSmall {
        /// The disk.
        disk: PathBuf,
        /// The partition that does not fit.
        number: u32,
        /// Its name.
        name: String,
        /// Where it ends.
        end: u64,
        /// How much the disk offers.
        usable: u64,
    },
    /// The last partition is another one.
    #[error("{disk}: the last partition is `{found}`, expected `{GROWS}`: nothing was changed")]
    NotLast {
        /// The disk.
        disk: PathBuf,
        /// The name of the last one.
        found: String,
    },
    /// The file system did not grow.
    #[error("growing the file system on {device}: {reason}")]
    FileSystem {
        /// The partition.
        device: PathBuf,
        /// `resize2fs`'s own words.
        reason: String,
    },
}

/// What was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grown {
    /// The disk.
    pub disk: PathBuf,
    /// Whether the partition table was written.
    pub table_written: bool,
    /// Bytes of the partition now.
    pub size: u64,
}

/// What has to be written, and the partition as it will then be.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    /// Groups of writes; each must have reached the disk before the next begins.
    groups: [Vec<Write>; 2],
    number: u32,
    start: u64,
    size: u64,
}

/// Grows the last partition of the disk that holds the root file system of this machine, and the file system in it where it is mounted.
///
/// # Errors
/// [`Error`]. The partition table is then as it was before, or as it should be.
pub fn grow() -> Result<Grown, Error> {
    let place = Place::of_root(Path::new("/"))?;
    let (partition, grown) = grow_partition(&place)?;
    grow_file_system(&partition)?;
    Ok(grown)
}

/// Grows the last partition of the disk of `place`, and answers its device. udev sees nothing of it until it is done.
fn grow_partition(place: &Place) -> Result<(PathBuf, Grown), Error> {
    let told = |doing| {
        let path = place.disk.clone();
        move |source| Error::Io { doing, path, source }
    };
    let disk = OpenOptions::new().read(true).write(true).open(&place.disk).map_err(told("opening"))?;
    let disk = Flock::lock(disk, FlockArg::LockExclusive).map_err(|(_, error)| told("locking")(error.into()))?;
    let geometry = kernel::geometry(&disk).map_err(told("asking the size of"))?;
    let plan = plan(&disk, geometry, &place.disk)?;
    let table_written = ordered::apply(&disk, &plan.groups).map_err(told("writing the partition table of"))?;
    let partition = place.partition(plan.number)?;
    if partition.size != plan.size {
        let told = told("telling the kernel the new size of the last partition of");
        kernel::tell_kernel(disk.as_fd(), plan.number, plan.start, plan.size).map_err(told)?;
    }
    Ok((partition.device, Grown { disk: place.disk.clone(), table_written, size: plan.size }))
}

/// Reads the table of `disk` and says what has to be written. `path` is for messages.
fn plan(disk: &File, geometry: Geometry, path: &Path) -> Result<Plan, Error> {
    let io = |source| Error::Io { doing: "reading the partition table of", path: path.to_owned(), source };
    let primary = Copy::read(disk, geometry, PRIMARY).map_err(io)?;
    let known = match primary {
        Some(primary) => primary,
        None => Copy::read(disk, geometry, geometry.last()).map_err(io)?.ok_or_else(|| Error::NoTable {
            disk: path.to_owned(),
            sectors: geometry.sectors,
            sector: geometry.sector,
        })?,
    };
    let usable = known.last_usable(geometry);
    let used = known.used();
    let Some(last) = used.iter().max_by_key(|entry| entry.last) else {
        return Err(Error::NotLast { disk: path.to_owned(), found: String::new() });
    };
    if last.last > usable {
        let (number, name, end) = (last.number, last.name.clone(), (last.last + 1) * geometry.sector);
        let usable = (usable + 1) * geometry.sector;
        return Err(Error::DiskTooSmall { disk: path.to_owned(), number, name, end, usable });
    }
    if last.name != GROWS {
        return Err(Error::NotLast { disk: path.to_owned(), found: last.name.clone() });
    }
    let step = (ALIGNMENT / geometry.sector).max(1);
    let end = ((usable + 1) / step * step).max(last.last + 1);
    let (primary, backup) = known.fitted(geometry, last.number, end - 1);
    let groups = [backup, primary].map(|copy| writes(&copy, geometry));
    let [backup, primary] = groups.map(|group| needed(disk, group));
    Ok(Plan {
        groups: [backup.map_err(io)?, primary.map_err(io)?],
        number: last.number,
        start: last.first * geometry.sector,
        size: (end - last.first) * geometry.sector,
    })
}

/// The writes that put `copy` onto the disk: first the entries, then the header that vouches for them.
fn writes(copy: &Copy, geometry: Geometry) -> Vec<Write> {
    let entries = Write { offset: copy.entries_at() * geometry.sector, bytes: copy.entries.clone() };
    let header = Write { offset: copy.at() * geometry.sector, bytes: copy.header.clone() };
    vec![entries, header]
}

/// Those of `writes` that change anything: a valid table is not written again while the other one is torn.
fn needed(disk: &File, writes: Vec<Write>) -> io::Result<Vec<Write>> {
    let mut needed = Vec::new();
    for write in writes {
        let mut found = vec![0; write.bytes.len()];
        disk.read_exact_at(&mut found, write.offset)?;
        if found != write.bytes {
            needed.push(write);
        }
    }
    Ok(needed)
}

/// Grows the mounted ext4 on `device` to the partition's size; one that has that size already stays as it is.
fn grow_file_system(device: &Path) -> Result<(), Error> {
    let told = |reason: String| Error::FileSystem { device: device.to_owned(), reason };
    if !kernel::is_mounted(Path::new("/"), device).map_err(|error| told(error.to_string()))? {
        return Err(told(
            "it is not mounted; the partition has been grown, the file system will be at the next boot".to_owned(),
        ));
    }
    let output = Command::new("resize2fs").arg(device).output().map_err(|error| told(format!("resize2fs: {error}")))?;
    if output.status.success() {
        return Ok(());
    }
    Err(told(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}
