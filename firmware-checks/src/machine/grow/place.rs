//! Which disk the machine runs from, and what the kernel knows about its partitions (sysfs, `Documentation/ABI/stable/sysfs-block`).

use std::fs::{self, File};
use std::io::{self, Seek, SeekFrom};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::libc;
use nix::sys::stat::{major, makedev, minor};

use super::Error;
use super::table::Geometry;

/// A disk in sysfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// Its device node.
    pub disk: PathBuf,
    /// Its folder in sysfs.
    folder: PathBuf,
}

/// A partition as the kernel knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Known {
    /// Its device node.
    pub device: PathBuf,
    /// Its length in bytes.
    pub size: u64,
}

impl Place {
    /// The disk that holds the file system of `root`.
    pub(super) fn of_root(root: &Path) -> Result<Self, Error> {
        let metadata = fs::metadata(root);
        let device = metadata.map_err(|source| Error::Io { doing: "looking at", path: root.to_owned(), source })?.dev();
        Self::of(&root.join("sys"), device)
    }

    /// The disk with the partition `device`, where sysfs is at `sys`. Names differ from driver to driver (`sda5`, `nvme0n1p5`,
    /// `mmcblk0p5`); the folders do not: a partition's lies in its disk's.
    pub(super) fn of(sys: &Path, device: u64) -> Result<Self, Error> {
        let numbers = format!("{}:{}", major(device), minor(device));
        let partition = sys.join("dev/block").join(&numbers);
        let found = fs::canonicalize(&partition).ok().filter(|folder| folder.join("partition").exists());
        let folder = found.as_deref().and_then(Path::parent).ok_or(Error::NoPartition { found: numbers })?;
        Ok(Self { disk: node(folder)?, folder: folder.to_owned() })
    }

    /// The partition with the number `number`.
    pub(super) fn partition(&self, number: u32) -> Result<Known, Error> {
        let told = |source| Error::Io { doing: "looking for the last partition in", path: self.folder.clone(), source };
        for entry in fs::read_dir(&self.folder).map_err(told)? {
            let folder = entry.map_err(told)?.path();
            let found = fs::read_to_string(folder.join("partition")).unwrap_or_default();
            if found.trim().parse() == Ok(number) {
                let size = fs::read_to_string(folder.join("size")).map_err(told)?;
                let sectors: u64 = size.trim().parse().map_err(|_| told(io::Error::other("`size` is no number")))?;
                // sysfs counts in 512 bytes, whatever the disk's sectors are.
                return Ok(Known { device: node(&folder)?, size: sectors * 512 });
            }
        }
        Err(told(io::Error::new(io::ErrorKind::NotFound, format!("the kernel knows no partition {number}"))))
    }
}

/// The device node of the disk or partition whose folder in sysfs is `folder`.
fn node(folder: &Path) -> Result<PathBuf, Error> {
    let path = folder.join("uevent");
    let told = |source| Error::Io { doing: "reading", path: path.clone(), source };
    let text = fs::read_to_string(&path).map_err(told)?;
    let name = text.lines().find_map(|line| line.strip_prefix("DEVNAME="));
    name.map(|name| Path::new("/dev").join(name)).ok_or_else(|| told(io::Error::other("it has no DEVNAME")))
}

/// Whether a file system on `device` is mounted, by `proc_pid_mountinfo(5)` below `root`.
pub(super) fn is_mounted(root: &Path, device: &Path) -> io::Result<bool> {
    let number = fs::metadata(device)?.rdev();
    let mounts = fs::read_to_string(root.join("proc/self/mountinfo"))?;
    Ok(mounts.lines().filter_map(|line| line.split(' ').nth(2)).filter_map(numbers).any(|found| found == number))
}

fn numbers(text: &str) -> Option<u64> {
    let (major, minor) = text.split_once(':')?;
    Some(makedev(major.parse().ok()?, minor.parse().ok()?))
}

nix::ioctl_read_bad!(
    /// `BLKSSZGET`: bytes per logical sector.
    logical_sector,
    nix::request_code_none!(0x12, 104),
    libc::c_int
);
nix::ioctl_write_ptr_bad!(
    /// `BLKPG`: changes what the kernel knows about a partition, without writing to the disk.
    blkpg,
    nix::request_code_none!(0x12, 105),
    BlkpgRequest
);

/// `struct blkpg_ioctl_arg` of `linux/blkpg.h`.
#[repr(C)]
pub struct BlkpgRequest {
    op: libc::c_int,
    flags: libc::c_int,
    datalen: libc::c_int,
    data: *const BlkpgPartition,
}

/// `struct blkpg_partition` of `linux/blkpg.h`: bytes, and names that the kernel ignores.
#[repr(C)]
pub struct BlkpgPartition {
    start: libc::c_longlong,
    length: libc::c_longlong,
    number: libc::c_int,
    names: [u8; 128],
}

/// `BLKPG_RESIZE_PARTITION` of `linux/blkpg.h`.
const RESIZE: libc::c_int = 3;

/// The size of the disk `disk`.
#[allow(unsafe_code)]
pub(super) fn geometry(disk: &File) -> io::Result<Geometry> {
    let mut sector: libc::c_int = 0;
    // SAFETY: BLKSSZGET stores one int; `sector` is one, and outlives the call.
    unsafe { logical_sector(disk.as_fd().as_raw_fd(), &raw mut sector) }?;
    let sector = u64::try_from(sector).ok().filter(|sector| *sector >= 512);
    let sector = sector.ok_or_else(|| io::Error::other("its sectors have no valid size"))?;
    let mut end = disk;
    Ok(Geometry { sector, sectors: end.seek(SeekFrom::End(0))? / sector })
}

/// Tells the kernel that the partition `number` of `disk`, which begins at the byte `start`, has `size` bytes. It may be mounted.
#[allow(unsafe_code)]
pub(super) fn tell_kernel(disk: BorrowedFd<'_>, number: u32, start: u64, size: u64) -> io::Result<()> {
    let partition = BlkpgPartition {
        start: i64::try_from(start).map_err(io::Error::other)?,
        length: i64::try_from(size).map_err(io::Error::other)?,
        number: i32::try_from(number).map_err(io::Error::other)?,
        names: [0; 128],
    };
    let datalen = i32::try_from(size_of::<BlkpgPartition>()).map_err(io::Error::other)?;
    let request = BlkpgRequest { op: RESIZE, flags: 0, datalen, data: &raw const partition };
    // SAFETY: the kernel only reads `request` and the `partition` it points to; both outlive the call and are laid out as in
    // linux/blkpg.h.
    unsafe { blkpg(disk.as_raw_fd(), &raw const request) }?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A sysfs with the disk `disk` and its partitions 4 and 5, `names`.
    fn sysfs(disk: &str, names: [&str; 2]) -> tempfile::TempDir {
        let sys = tempfile::tempdir().unwrap();
        let folder = sys.path().join("devices/pci0/block").join(disk.replace('/', "!"));
        for (name, number) in names.into_iter().zip([4, 5]) {
            let folder = folder.join(name.replace('/', "!"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("partition"), format!("{number}\n")).unwrap();
            fs::write(folder.join("size"), "131072\n").unwrap();
            fs::write(folder.join("uevent"), format!("MAJOR=259\nDEVNAME={name}\nDEVTYPE=partition\n")).unwrap();
        }
        fs::write(folder.join("uevent"), format!("MAJOR=259\nDEVNAME={disk}\nDEVTYPE=disk\n")).unwrap();
        fs::create_dir_all(sys.path().join("dev/block")).unwrap();
        let link = |target: &Path, number: &str| {
            std::os::unix::fs::symlink(target, sys.path().join("dev/block").join(number)).unwrap();
        };
        link(&folder.join(names[0].replace('/', "!")), "259:4");
        link(&folder, "259:0");
        sys
    }

    #[test]
    fn finds_the_disk_and_its_partitions_whatever_the_driver_calls_them() {
        for (disk, names) in [
            ("sda", ["sda4", "sda5"]),
            ("nvme0n1", ["nvme0n1p4", "nvme0n1p5"]),
            ("mmcblk0", ["mmcblk0p4", "mmcblk0p5"]),
            ("cciss/c0d0", ["cciss/c0d0p4", "cciss/c0d0p5"]),
        ] {
            let sys = sysfs(disk, names);
            let place = Place::of(sys.path(), makedev(259, 4)).unwrap();
            assert_eq!(place.disk, Path::new("/dev").join(disk));
            let known = place.partition(5).unwrap();
            assert_eq!(known, Known { device: Path::new("/dev").join(names[1]), size: 64 << 20 });
            assert!(place.partition(6).unwrap_err().to_string().contains("knows no partition 6"));
        }
    }

    #[test]
    fn a_root_that_is_no_partition_is_told_by_its_numbers() {
        let sys = sysfs("sda", ["sda4", "sda5"]);
        for device in [makedev(259, 0), makedev(0, 27)] {
            let error = Place::of(sys.path(), device).unwrap_err().to_string();
            let numbers = format!("({}:{})", major(device), minor(device));
            assert!(error.contains(&numbers), "{error}");
        }
    }

    #[test]
    fn the_request_is_laid_out_as_the_kernel_has_it() {
        assert_eq!((size_of::<BlkpgPartition>(), size_of::<BlkpgRequest>()), (152, 24));
    }
}
