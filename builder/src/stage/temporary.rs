//! Folders for unfinished work, which vanish with the build that works in them, even if it is killed.
//!
//! Beside the folder `NAME` lies the file `NAME.owner`, locked for as long as its build lives. What is not locked has
//! no owner any more and is removed by the next build that comes by.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::sys::statfs::{TMPFS_MAGIC, statfs};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::geteuid;

use super::Error;

const START: &str = "firstlight-work-";
const OWNER: &str = ".owner";

/// A folder of this process alone. Removed with everything in it when dropped.
#[derive(Debug)]
pub struct Temporary {
    folder: PathBuf,
    owner: PathBuf,
    _lock: File,
}

impl Temporary {
    /// Makes an empty folder in `parent`, and removes what killed builds left there.
    ///
    /// # Errors
    /// [`Error`].
    pub fn new_in(parent: &Path) -> Result<Self, Error> {
        sweep(parent);
        let failed = Error::io("making a folder for unfinished work in", parent);
        let make = || {
            for _ in 0..1000 {
                // The name only has to be free; it gets into nothing that is kept.
                let name = tempfile::Builder::new().prefix(START).suffix(OWNER).tempfile_in(parent)?;
                let (lock, owner) = name.keep().map_err(|error| error.error)?;
                // A build that sweeps may have come between making and locking.
                if lock.try_lock().is_err() || lock.metadata()?.nlink() == 0 {
                    continue;
                }
                let folder = owner.with_extension("");
                fs::create_dir(&folder)?;
                return Ok(Self { folder, owner, _lock: lock });
            }
            Err(io::Error::from(io::ErrorKind::AlreadyExists))
        };
        make().map_err(failed)
    }

    /// The folder.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // What can't be removed now is removed by the next build.
        if fs::remove_dir_all(&self.folder).is_ok() {
            let _ = fs::remove_file(&self.owner);
        }
    }
}

/// Removes the folders in `parent` whose builds are gone. What can't be removed is left to a later build, and never
/// keeps this one from working.
pub fn sweep(parent: &Path) {
    for (owner, _lock) in graves(parent) {
        let gone = match fs::remove_dir_all(owner.with_extension("")) {
            Err(error) => error.kind() == io::ErrorKind::NotFound,
            Ok(()) => true,
        };
        if gone {
            let _ = fs::remove_file(owner);
        }
    }
}

/// The folders in `parent` that [`sweep`] would remove.
#[must_use]
pub fn dead(parent: &Path) -> Vec<PathBuf> {
    graves(parent).map(|(owner, _lock)| owner.with_extension("")).collect()
}

/// The owners' files in `parent` whose builds are gone, each with a lock on it.
fn graves(parent: &Path) -> impl Iterator<Item = (PathBuf, File)> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let ours = |name: &str| name.starts_with(START) && name.ends_with(OWNER);
    let ours = entries.filter(move |entry| entry.file_name().to_str().is_some_and(ours));
    ours.filter_map(|entry| Some((entry.path(), lock_of_dead(&entry.path()).ok()??)))
}

fn lock_of_dead(owner: &Path) -> io::Result<Option<File>> {
    // In /dev/shm others may have files of such names, too, and links to mislead us.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let lock = OpenOptions::new().read(true).custom_flags(flags).open(owner)?;
    if lock.metadata()?.uid() != geteuid().as_raw() {
        return Ok(None);
    }
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// A folder for `needed` bytes of unfinished work: in `chosen` where the user chose, else in memory where they surely fit,
/// below the cache folder `cache` where not.
///
/// # Errors
/// [`Error`].
pub fn work_folder(chosen: Option<&Path>, cache: &Path, needed: u64) -> Result<Temporary, Error> {
    let made_in = |parent: &Path| {
        fs::create_dir_all(parent).map_err(Error::io("making the folder", parent))?;
        Temporary::new_in(parent)
    };
    if let Some(chosen) = chosen {
        return made_in(chosen);
    }
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
    for parent in runtime.into_iter().chain([PathBuf::from("/dev/shm")]) {
        if in_memory(&parent, needed).unwrap_or(false)
            && let Ok(folder) = Temporary::new_in(&parent)
        {
            return Ok(folder);
        }
    }
    made_in(&cache.join("work"))
}

/// Whether `folder` is in memory, may hold programs, and has room for `needed` bytes with half the free memory left.
fn in_memory(folder: &Path, needed: u64) -> io::Result<bool> {
    let space = statvfs(folder)?;
    let free = space.blocks_available() * space.fragment_size();
    let memory = available_memory(&fs::read_to_string("/proc/meminfo")?).unwrap_or(0);
    let kind = statfs(folder)?.filesystem_type();
    Ok(kind == TMPFS_MAGIC && !space.flags().contains(FsFlags::ST_NOEXEC) && free >= needed && memory / 2 >= needed)
}

/// `MemAvailable` of `/proc/meminfo`, in bytes.
fn available_memory(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_the_memory_that_is_available() {
        assert_eq!(available_memory("MemTotal: 9 kB\nMemAvailable:   2048 kB\nBuffers: 1 kB\n"), Some(2 << 20));
        assert_eq!(available_memory("MemTotal: 9 kB\n"), None);
    }

    #[test]
    fn more_than_there_is_goes_below_the_cache() {
        let cache = tempfile::tempdir().unwrap();
        let folder = work_folder(None, cache.path(), 1 << 60).unwrap();
        assert!(folder.path().starts_with(cache.path()));
    }

    #[test]
    fn a_chosen_folder_is_made_and_taken_and_cleared() {
        let chosen = tempfile::tempdir().unwrap();
        let chosen = chosen.path().join("new");
        let folder = work_folder(Some(&chosen), Path::new("/nowhere"), 1).unwrap();
        assert!(folder.path().starts_with(&chosen));
        drop(folder);
        assert_eq!(fs::read_dir(&chosen).unwrap().count(), 0);
    }
}
