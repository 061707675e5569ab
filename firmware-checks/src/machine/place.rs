//! Which disk the machine runs from, and what the kernel knows about its partitions (sysfs, `Documentation/ABI/stable/sysfs-block`).

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use nix::sys::stat::{major, minor};

/// The disk that the machine runs from, or a partition of it, was not found.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel could not be asked.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The root file system lies on no partition.
    #[error("the root file system ({found}) lies on no partition of a disk")]
    NoPartition {
        /// The device, by its numbers.
        found: String,
    },
    /// There is no such partition.
    #[error("{disk} has no partition {wanted}")]
    Unknown {
        /// The disk.
        disk: PathBuf,
        /// Its number or its name.
        wanted: String,
    },
}

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
    /// Its first byte on the disk.
    pub start: u64,
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
        let number = number.to_string();
        self.find(&number, |folder| {
            fs::read_to_string(folder.join("partition")).is_ok_and(|text| text.trim() == number)
        })
    }

    /// The partition with the name `label` in the table (`PARTLABEL`).
    pub(super) fn named(&self, label: &str) -> Result<Known, Error> {
        let line = format!("PARTNAME={label}");
        let found = |folder: &Path| {
            fs::read_to_string(folder.join("uevent")).is_ok_and(|text| text.lines().any(|one| one == line))
        };
        self.find(&format!("`{label}`"), found)
    }

    fn find(&self, wanted: &str, is_wanted: impl Fn(&Path) -> bool) -> Result<Known, Error> {
        let told = |source| Error::Io { doing: "looking for a partition in", path: self.folder.clone(), source };
        for entry in fs::read_dir(&self.folder).map_err(told)? {
            let folder = entry.map_err(told)?.path();
            if folder.join("partition").exists() && is_wanted(&folder) {
                // sysfs counts in 512 bytes, whatever the disk's sectors are.
                let bytes = |file: &str| {
                    let text = fs::read_to_string(folder.join(file)).map_err(told)?;
                    let sectors = text.trim().parse::<u64>().map_err(|error| told(io::Error::other(error)))?;
                    Ok(sectors * 512)
                };
                return Ok(Known { device: node(&folder)?, start: bytes("start")?, size: bytes("size")? });
            }
        }
        Err(Error::Unknown { disk: self.disk.clone(), wanted: wanted.to_owned() })
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

#[cfg(test)]
mod tests {
    use nix::sys::stat::makedev;

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
            fs::write(folder.join("start"), "2048\n").unwrap();
            let event =
                format!("MAJOR=259\nDEVNAME={name}\nDEVTYPE=partition\nPARTN={number}\nPARTNAME=part{number}\n");
            fs::write(folder.join("uevent"), event).unwrap();
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
            assert_eq!(known, Known { device: Path::new("/dev").join(names[1]), start: 1 << 20, size: 64 << 20 });
            assert_eq!(place.named("part5").unwrap(), known);
            assert!(place.partition(6).unwrap_err().to_string().contains("has no partition 6"));
            assert!(place.named("part").unwrap_err().to_string().contains("has no partition `part`"));
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
}
