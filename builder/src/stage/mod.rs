//! Finished stages, kept under the hash of their inputs, and the folders in which unfinished ones are made.
//!
//! What has its final name is whole: it was made under a temporary one and renamed. Two builds that want the same stage
//! make it once. Whatever a killed build leaves is removed by the next one. Deleting `stages/` is always safe.
//!
//! A stage is judged before it is used: one that is not what was made any more is removed, told of, and made anew. What
//! the kernel says about its files settles that within milliseconds, the digest of its bytes where the kernel's word
//! has changed, and once after each boot: no build waits until its stages are on the disk, so a cut of power may have
//! taken some of their bytes. Bytes that rot on a disk without the kernel's knowledge are found by [`Thorough::Wholly`] alone.
//!
//! Stages of other users are used, never changed, and only where [`crate::neighbours`] says that they are trusted.

mod content;
mod entry;
mod key;
mod lock;
mod temporary;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::neighbours;
use crate::progress::Progress;
pub use content::{Size, size};
pub use entry::{Entry, Judged, Record, Thorough};
pub use key::Key;
pub use temporary::{Temporary, dead, sweep, work_folder};

/// Changes when a stage of the same inputs would be made otherwise.
pub const FORMAT: u32 = 5;

/// A stage could not be kept or found.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {path}: {source}")]
pub struct Error {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Error {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self { doing, path, source }
    }
}

/// The folder of finished stages, shared by all builds of a user.
#[derive(Debug)]
pub struct Stages {
    folder: PathBuf,
    /// Those of users whom this one trusts.
    trusted: Vec<PathBuf>,
}

/// The folder of finished stages below the cache folder `cache`.
#[must_use]
pub fn below(cache: &Path) -> PathBuf {
    cache.join("stages").join(format!("v{FORMAT}"))
}

impl Stages {
    /// Opens `stages/` below the cache folder `cache`, makes it where there is none, and removes what killed builds
    /// left there.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(cache: &Path) -> Result<Self, Error> {
        let folder = below(cache);
        fs::create_dir_all(&folder).map_err(Error::io("making the folder", &folder))?;
        sweep(&folder);
        let trusted = neighbours::of(cache).into_iter().filter(|one| one.trusted).map(|one| below(&one.folder));
        Ok(Self { folder, trusted: trusted.collect() })
    }

    /// The finished file of `key`, which `make` writes to the path that it is given, if it is not there already. Until
    /// this process ends, nobody removes it.
    ///
    /// # Errors
    /// What `make` says, and [`Error`].
    pub fn file<E: From<Error>>(
        &self,
        key: &Key,
        progress: &Progress,
        make: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        self.get(key, progress, make)
    }

    /// The finished folder of `key`, which `make` fills, if it is not there already. All in it must be the caller's to
    /// remove. Others may read all of it, and none of its programs runs as its owner: it may lie where many can reach
    /// it. Until this process ends, nobody removes it.
    ///
    /// # Errors
    /// What `make` says, and [`Error`].
    pub fn folder<E: From<Error>>(
        &self,
        key: &Key,
        progress: &Progress,
        make: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        self.get(key, progress, |content| {
            fs::create_dir(content).map_err(Error::io("making the folder", content))?;
            make(content)?;
            content::open_up(content).map_err(Error::io("setting modes in", content)).map_err(E::from)
        })
    }

    fn get<E: From<Error>>(
        &self,
        key: &Key,
        progress: &Progress,
        make: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let name = key.name();
        let entry = Entry::at(self.folder.join(&name));
        let theirs = self.trusted.iter().map(|folder| Entry::at(folder.join(&name)));
        for one in std::iter::once(entry.clone()).chain(theirs) {
            if let Judged::Good(_) = one.take() {
                return Ok(one.content());
            }
        }
        let _making =
            lock::Making::wait(&self.folder, &name, progress).map_err(Error::io("locking", entry.folder()))?;
        match entry.take() {
            Judged::Good(_) => return Ok(entry.content()),
            Judged::Absent => {}
            Judged::Bad(reason) => {
                progress.warn(format!("{name} in the cache is not what was made: {reason}; it is made anew"));
                remove(&entry)?;
            }
        }
        self.make(key, &entry, make)?;
        Ok(entry.content())
    }

    /// Makes what is not there.
    fn make<E: From<Error>>(
        &self,
        key: &Key,
        entry: &Entry,
        make: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<(), E> {
        let temporary = Temporary::new_in(&self.folder)?;
        let unfinished = Entry::at(temporary.path().join(key.kind));
        fs::create_dir(unfinished.folder()).map_err(Error::io("making the folder", unfinished.folder()))?;
        make(&unfinished.content())?;
        unfinished.complete(key).map_err(Error::io("recording", unfinished.folder()))?;
        fs::rename(unfinished.folder(), entry.folder()).map_err(Error::io("naming", entry.folder()))?;
        match entry.take() {
            Judged::Good(_) => Ok(()),
            Judged::Absent => Err(io::Error::other("it was removed while it was made")),
            Judged::Bad(reason) => Err(io::Error::other(reason)),
        }
        .map_err(|error| Error::io("using", entry.folder())(error).into())
    }
}

/// Removes a stage, whoever uses it. It is gone at once; what it held is, too, unless this process is killed: then the
/// next build removes that.
///
/// # Errors
/// [`Error`].
pub fn remove(entry: &Entry) -> Result<(), Error> {
    let failed = || Error::io("removing", entry.folder());
    let parent = entry.folder().parent().unwrap_or(entry.folder());
    let grave = Temporary::new_in(parent)?;
    fs::rename(entry.folder(), grave.path().join("gone")).map_err(failed())
}

/// As [`remove`], unless somebody uses the stage. Whether it was removed.
///
/// # Errors
/// [`Error`].
pub fn remove_unused(entry: &Entry) -> Result<bool, Error> {
    let Some(_seized) = entry.seize().map_err(Error::io("locking", entry.folder()))? else { return Ok(false) };
    remove(entry).map(|()| true)
}

#[cfg(test)]
mod tests;
