//! What is mounted where.

use std::io::{self, BufReader};
use std::path::{Path, PathBuf};

use procfs::FromRead as _;
use procfs::process::MountInfos;

use super::Machine;

/// A mounted file system.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub point: PathBuf,
    /// The device's numbers, `MAJOR:MINOR`; major 0 where no device is under it.
    pub device: String,
    /// The file system's type, such as `ext4`.
    pub kind: String,
    /// What was mounted, such as `/dev/vda4`.
    pub source: String,
}

/// Every mount, in the order in which they were made.
///
/// # Errors
/// `/proc/self/mountinfo` could not be read or understood.
pub fn all(machine: &Machine) -> io::Result<Vec<Mount>> {
    let file = std::fs::File::open(machine.path("/proc/self/mountinfo"))?;
    let table = MountInfos::from_read(BufReader::new(file)).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(table
        .into_iter()
        .map(|mount| Mount {
            point: mount.mount_point,
            device: mount.majmin,
            kind: mount.fs_type,
            source: mount.mount_source.unwrap_or_default(),
        })
        .collect())
}

/// The mount that holds `path` (absolute, without symbolic links): the deepest, and of several at one point the last,
/// which hides the others.
///
/// # Errors
/// As [`all`].
pub fn of(machine: &Machine, path: impl AsRef<Path>) -> io::Result<Option<Mount>> {
    let holds = |mount: &Mount| path.as_ref().starts_with(&mount.point);
    Ok(all(machine)?.into_iter().filter(holds).max_by_key(|mount| mount.point.components().count()))
}

/// The mount point above `path` that `/etc/fstab` names and where nothing is mounted.
///
/// # Errors
/// As [`all`].
pub fn missing(machine: &Machine, path: &Path) -> io::Result<Option<PathBuf>> {
    let mounted = all(machine)?;
    let table = machine.told("/etc/fstab").unwrap_or_default();
    let points = table.lines().filter(|line| !line.trim_start().starts_with('#')).filter_map(|line| {
        let point = PathBuf::from(line.split_ascii_whitespace().nth(1)?);
        (point.is_absolute() && path.starts_with(&point)).then_some(point)
    });
    Ok(points.into_iter().find(|point| !mounted.iter().any(|mount| mount.point == *point)))
}
