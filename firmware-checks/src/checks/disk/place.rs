//! Where a data folder lies.

use std::io;
use std::path::{Path, PathBuf};

use crate::check::CouldNotRun;
use crate::facts::kernel::Space;
use crate::facts::{Machine, mounts};

/// Where a data folder lies.
pub(super) struct Place {
    /// The same for two folders on one file system, and for no others.
    pub file_system: String,
    /// What is mounted where.
    pub mount: mounts::Mount,
    /// How much it holds.
    pub space: Space,
    /// The mount point above the folder where nothing is mounted, though `/etc/fstab` says so.
    pub missing: Option<String>,
}

impl Place {
    /// Where the folder `path` lies, or will, where it has not been made yet.
    pub(super) fn of(machine: &Machine, path: &str) -> Result<Self, CouldNotRun> {
        let failed = |what: &str, error: io::Error| {
            CouldNotRun::new(
                format!("{what} {path}: {error}"),
                format!("see what answers to: findmnt --target {path}; sudo dmesg"),
            )
        };
        let existing = existing(machine, Path::new(path)).map_err(|error| failed("looking for", error))?;
        let missing =
            mounts::missing(machine, Path::new(path)).map_err(|error| failed("finding the mount of", error))?;
        let mount = mounts::of(machine, &existing).map_err(|error| failed("finding the mount of", error))?;
        let nowhere =
            || failed("finding the mount of", io::Error::new(io::ErrorKind::NotFound, "nothing is mounted there"));
        let mount = mount.ok_or_else(nowhere)?;
        let below = machine.path(&existing.to_string_lossy());
        let space =
            machine.kernel().file_system(&below).map_err(|error| failed("measuring the file system of", error))?;
        // Each subvolume of btrfs has device numbers of its own; what was mounted is the same.
        let device = mount.source.starts_with("/dev/");
        let file_system = if device { mount.source.clone() } else { mount.device.clone() };
        Ok(Self { file_system, mount, space, missing: missing.map(|point| point.display().to_string()) })
    }

    /// The mount point.
    pub(super) fn point(&self) -> String {
        self.mount.point.display().to_string()
    }
}

/// The deepest part of `path` that is there, without symbolic links.
fn existing(machine: &Machine, path: &Path) -> io::Result<PathBuf> {
    for part in path.ancestors() {
        match std::fs::canonicalize(machine.path(&part.to_string_lossy())) {
            Ok(found) => {
                let root = std::fs::canonicalize(machine.root())?;
                let inside = found.strip_prefix(&root).map_err(io::Error::other)?;
                return Ok(Path::new("/").join(inside));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Err(io::ErrorKind::NotFound.into())
}
