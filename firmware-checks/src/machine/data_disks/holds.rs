//! What a disk holds: nothing, a data folder of ours, or something that must not be touched.

use std::io;
use std::path::Path;
use std::time::Duration;

use crate::command;
use crate::facts::block::{self, Disk};
use crate::facts::{Machine, ext4, mounts};
use crate::units::{Size, Unit};

/// The label of a file system of ours that is not finished. No data folder's: names have no full stop.
pub(super) const BEGUN: &str = "fl.begun";
/// How the label of a data folder's file system begins.
const OURS: &str = "fl-";
/// blkid reads a few KiB here and there.
const LIMIT: Duration = Duration::from_secs(60);

/// The label of the file system of the data folder `name`: at most 16 bytes, so that of a longer name only its beginning
/// and its SHA-256's are left.
pub(super) fn label(name: &str) -> String {
    use sha2::{Digest, Sha256};
    let whole = format!("{OURS}{name}");
    if whole.len() <= 16 && name.is_ascii() {
        return whole;
    }
    let digest = Sha256::digest(name.as_bytes());
    let digits = hex::encode(&digest[..4]);
    let start: String = name.chars().filter(char::is_ascii).take(4).collect();
    format!("{OURS}{start}-{digits}")
}

/// What a disk holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Holds {
    /// Neither a partition table nor a file system nor anything else that is known.
    Nothing,
    /// A file system of ours that was never finished, and never mounted.
    Begun,
    /// The finished file system of a data folder.
    Folder {
        /// Its label.
        label: String,
        /// Its UUID.
        uuid: String,
    },
    /// Something else, in words.
    Other(String),
}

/// A disk of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The disk.
    pub disk: Disk,
    /// Its names in `/dev/disk/by-id`.
    pub names: Vec<String>,
    /// Its model, as the kernel says it.
    pub model: Option<String>,
    /// Its numbers `MAJOR:MINOR`.
    pub number: String,
    /// Where it is mounted as a whole.
    pub mounted: Option<String>,
    /// What it holds.
    pub holds: Holds,
}

impl Candidate {
    /// In words, for an admin who has to tell it from others: such as `vdb (virtio-fast, 2 GB): empty`.
    #[must_use]
    pub fn told(&self) -> String {
        let units = [Unit::TB, Unit::GB, Unit::MB];
        let unit = units.into_iter().find(|unit| self.disk.bytes >= unit.bytes()).unwrap_or(Unit::B);
        let size = Size::new(1, unit).like(self.disk.bytes).to_string();
        let id = self.names.first().or(self.disk.identifier.as_ref()).cloned();
        let parts: Vec<String> = id.into_iter().chain(self.model.clone()).chain([size]).collect();
        let holds = match &self.holds {
            Holds::Nothing => "empty".to_owned(),
            Holds::Begun => "begun by this service".to_owned(),
            Holds::Folder { label, .. } => format!("holds {label}"),
            Holds::Other(what) => what.clone(),
        };
        format!("{} ({}): {holds}", self.disk.name, parts.join(", "))
    }
}

/// Every disk of the machine, by the kernel's names.
///
/// # Errors
/// `/sys/block` or the table of mounts could not be read.
pub fn survey(machine: &Machine) -> io::Result<Vec<Candidate>> {
    let mounts = mounts::all(machine)?;
    let disks = block::disks(machine)?.into_iter();
    let candidate = |(disk, folder): (Disk, std::path::PathBuf)| {
        let number = block::number(&folder);
        let mount = mounts.iter().rev().find(|mount| !number.is_empty() && mount.device == number);
        let holds = busy(machine, &disk, &folder).unwrap_or_else(|error| Some(format!("can't be told: {error}")));
        let holds = match holds {
            Some(what) => Holds::Other(what),
            None => content(&machine.path(&format!("/dev/{}", disk.name)))
                .unwrap_or_else(|error| Holds::Other(format!("can't be read: {error}"))),
        };
        Candidate {
            names: block::names(machine, &disk),
            model: machine.told(&format!("/sys/block/{}/device/model", disk.name)),
            mounted: mount.map(|mount| mount.point.display().to_string()),
            number,
            holds,
            disk,
        }
    };
    Ok(disks.map(candidate).collect())
}

/// Why the disk at `folder` in sysfs is out of the question, whatever is on it.
fn busy(machine: &Machine, disk: &Disk, folder: &Path) -> io::Result<Option<String>> {
    let partitions = block::partitions(folder)?;
    let holders = block::holders(folder)?;
    let is = |file: &str| std::fs::read_to_string(folder.join(file)).map(|text| text.trim() == "1");
    Ok(if !partitions.is_empty() {
        Some(format!("has partitions: {}", partitions.join(", ")))
    } else if !holders.is_empty() {
        Some(format!("is part of {}", holders.join(", ")))
    } else if block::swaps(machine, &disk.name) {
        Some("is used as swap".to_owned())
    } else if is("removable")? {
        Some("is a medium that can be taken out".to_owned())
    } else if is("ro")? {
        Some("can't be written".to_owned())
    } else {
        None
    })
}

/// What lies on the disk or file `device`: by its superblock, and else by all signatures that blkid (8) knows.
pub(super) fn content(device: &Path) -> io::Result<Holds> {
    let found = ext4::superblock(device)?;
    if let Some(found) = &found {
        let ours = found.label.starts_with(OURS);
        if !found.used && (found.label == BEGUN || (ours && !found.whole)) {
            return Ok(Holds::Begun);
        }
        if ours && found.whole {
            return Ok(Holds::Folder { label: found.label.clone(), uuid: found.uuid.clone() });
        }
    }
    let path = device.display().to_string();
    match command::run("blkid", &["--probe", "--output", "export", &path], LIMIT) {
        Ok(told) => Ok(Holds::Other(carries(&told))),
        // blkid: nothing was found. It looks at ext4's checksum, and does not see a file system whose superblock is damaged.
        Err(command::Error::Failed { status, .. }) if status.code() == Some(2) => Ok(match found {
            Some(found) => {
                Holds::Other(format!("holds an ext4 file system that is damaged, labelled `{}`", found.label))
            }
            None => Holds::Nothing,
        }),
        // blkid: several signatures that contradict each other.
        Err(command::Error::Failed { status, .. }) if status.code() == Some(8) => {
            Ok(Holds::Other("holds several things at once, by their signatures".to_owned()))
        }
        Err(error) => Err(io::Error::other(error.to_string())),
    }
}

/// What blkid found, in words.
fn carries(told: &str) -> String {
    let value = |key: &str| told.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
    let label = value("LABEL").map(|label| format!(", labelled `{label}`")).unwrap_or_default();
    match (value("TYPE"), value("PTTYPE")) {
        (Some(kind), _) => format!("holds {kind}{label}"),
        (None, Some(table)) => format!("has a partition table ({table})"),
        (None, None) => "holds something that has a signature".to_owned(),
    }
}
