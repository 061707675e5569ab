//! The programs that make, check, name and grow a data folder's file system, and the system call that mounts it.

use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::mount::{MsFlags, mount};

use super::holds::BEGUN;
use crate::command;
use crate::facts::ext4;

/// A disk of some TB on a slow controller.
const LIMIT: Duration = Duration::from_secs(60 * 60);

/// A step that did not succeed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program failed.
    #[error(transparent)]
    Program(#[from] command::Error),
    /// A system call failed.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// What was written is not what is read.
    #[error(
        "{device}: what was written can't be read back: found the label `{found}`, expected `{expected}`: is the disk failing? sudo dmesg"
    )]
    ReadBack {
        /// The disk.
        device: String,
        /// The label that was read.
        found: String,
        /// The one that was written.
        expected: String,
    },
}

fn io_error(doing: &'static str, path: &Path) -> impl Fn(io::Error) -> Error {
    move |source| Error::Io { doing, path: path.display().to_string(), source }
}

/// Makes a file system on the empty `device`, and gives it `label` only when all of it has reached the disk.
pub(super) fn make(device: &Path, label: &str) -> Result<(), Error> {
    let path = device.display().to_string();
    // Nothing is kept back for root: no system lies on it that must go on when the disk is full.
    command::run("mkfs.ext4", &["-q", "-F", "-m", "0", "-O", "metadata_csum", "-L", BEGUN, &path], LIMIT)?;
    written(device, BEGUN)?;
    command::run("tune2fs", &["-L", label, &path], LIMIT)?;
    written(device, label)
}

/// Waits until what was written has reached the disk, and sees that it is there.
fn written(device: &Path, label: &str) -> Result<(), Error> {
    File::open(device).and_then(|file| file.sync_all()).map_err(io_error("syncing", device))?;
    let found = ext4::superblock(device).map_err(io_error("reading", device))?;
    match found {
        Some(found) if found.whole && found.label == label => Ok(()),
        found => Err(Error::ReadBack {
            device: device.display().to_string(),
            found: found.map(|found| found.label).unwrap_or_default(),
            expected: label.to_owned(),
        }),
    }
}

/// Checks the file system on `device` as a boot does: mends what can be mended without asking.
pub(super) fn check(device: &Path) -> Result<(), Error> {
    match command::run("e2fsck", &["-p", &device.display().to_string()], LIMIT) {
        // e2fsck (8): errors were found and mended.
        Err(command::Error::Failed { status, .. }) if status.code() == Some(1) => Ok(()),
        outcome => Ok(outcome.map(drop)?),
    }
}

/// Mounts the file system on `device` at `point`, which is made where it is not there.
pub(super) fn mount_at(device: &Path, point: &Path) -> Result<(), Error> {
    fs::create_dir_all(point).map_err(io_error("making", point))?;
    let mounted = mount(Some(device), point, Some("ext4"), MsFlags::MS_RELATIME, Some("errors=remount-ro"));
    mounted.map_err(|error| io_error("mounting a data disk at", point)(error.into()))
}

/// Grows the mounted file system to the end of the disk, which a hypervisor may have enlarged.
pub(super) fn grow(device: &Path) -> Result<(), Error> {
    Ok(command::run("resize2fs", &[&device.display().to_string()], LIMIT).map(drop)?)
}
