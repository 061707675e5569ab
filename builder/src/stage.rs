//! Finished stages, kept under the hash of their inputs, and the folders in which unfinished ones are made.
//!
//! What has its final name is whole: it was made under a temporary one, synced and renamed. Two builds that want the
//! same stage make it once. Whatever a killed build leaves is removed by the next one. Deleting `stages/` is always
//! safe.

mod temporary;

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::progress::Progress;
pub use temporary::{Temporary, work_folder};

/// Changes when a stage of the same inputs would be made otherwise.
const FORMAT: &str = "v2";

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

/// What a stage is made from, in words: each input has a name and a value.
#[derive(Clone, Debug)]
pub struct Key {
    kind: &'static str,
    inputs: String,
}

impl Key {
    /// The key of a stage that begins with nothing; `kind` becomes the start of its name, such as `root`.
    #[must_use]
    pub fn new(kind: &'static str) -> Self {
        Self { kind, inputs: String::new() }
    }

    /// Adds an input. The order counts.
    #[must_use]
    pub fn input(mut self, name: &str, value: impl std::fmt::Debug) -> Self {
        // Debug quotes strings, so no value can look like another input. Writing to a string does not fail.
        let _ = writeln!(self.inputs, "{name} {value:?}");
        self
    }

    /// `KIND-` and the SHA-256 of the inputs, lower-case hexadecimal.
    #[must_use]
    pub fn name(&self) -> String {
        let digest = Sha256::digest(self.inputs.as_bytes());
        digest.iter().fold(format!("{}-", self.kind), |mut name, byte| {
            let _ = write!(name, "{byte:02x}");
            name
        })
    }
}

/// The folder of finished stages, shared by all builds of a user.
#[derive(Debug)]
pub struct Stages {
    folder: PathBuf,
}

impl Stages {
    /// Opens `stages/` below the cache folder `cache`, makes it where there is none, and removes what killed builds
    /// left there.
    ///
    /// # Errors
    /// [`Error`].
    pub fn open(cache: &Path) -> Result<Self, Error> {
        let folder = cache.join("stages").join(FORMAT);
        fs::create_dir_all(&folder).map_err(Error::io("making the folder", &folder))?;
        temporary::sweep(&folder);
        Ok(Self { folder })
    }

    /// The finished file of `key`, which `make` writes to the path that it is given, if it is not there already.
    ///
    /// # Errors
    /// What `make` says, and [`Error`].
    pub fn file<E: From<Error>>(
        &self,
        key: &Key,
        progress: &Progress,
        make: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        self.get(key, progress, |temporary| {
            make(temporary)?;
            let synced = File::open(temporary).and_then(|file| file.sync_all());
            synced.map_err(Error::io("syncing", temporary)).map_err(E::from)
        })
    }

    /// The finished folder of `key`, which `make` fills, if it is not there already. All in it must be the caller's to
    /// remove.
    ///
    /// # Errors
    /// What `make` says, and [`Error`].
    pub fn folder<E: From<Error>>(
        &self,
        key: &Key,
        progress: &Progress,
        make: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        self.get(key, progress, |temporary| {
            fs::create_dir(temporary).map_err(Error::io("making the folder", temporary))?;
            make(temporary)?;
            // A cut of power must not leave the name without the content; one sync costs less than one for each file.
            let synced = File::open(temporary).and_then(|folder| Ok(nix::unistd::syncfs(folder)?));
            synced.map_err(Error::io("syncing", temporary)).map_err(E::from)
        })
    }

    fn get<E: From<Error>>(
        &self,
        key: &Key,
        progress: &Progress,
        make: impl FnOnce(&Path) -> Result<(), E>,
    ) -> Result<PathBuf, E> {
        let (name, finished) = (key.name(), self.folder.join(key.name()));
        if finished.exists() {
            return Ok(finished);
        }
        let _making = self.lock(&name, progress)?;
        if finished.exists() {
            return Ok(finished);
        }
        let temporary = Temporary::new_in(&self.folder)?;
        let unfinished = temporary.path().join(key.kind);
        make(&unfinished)?;
        let inputs = self.folder.join(format!("{name}.inputs"));
        fs::write(&inputs, &key.inputs).map_err(Error::io("writing", &inputs))?;
        match fs::rename(&unfinished, &finished) {
            // Only where someone removed the lock file meanwhile: the other build's is as good.
            Err(_) if finished.exists() => {}
            other => other.map_err(Error::io("naming the finished stage", &finished))?,
        }
        let synced = File::open(&self.folder).and_then(|folder| folder.sync_all());
        synced.map_err(Error::io("syncing", &self.folder))?;
        Ok(finished)
    }

    /// Held by the one build that makes the stage `name`.
    fn lock(&self, name: &str, progress: &Progress) -> Result<File, Error> {
        let path = self.folder.join(format!("{name}.lock"));
        let file = File::create(&path).map_err(Error::io("making the lock", &path))?;
        if let Err(fs::TryLockError::WouldBlock) = file.try_lock() {
            progress.warn(format!("another build makes the same stage, {name}; waiting for it"));
        } else {
            return Ok(file);
        }
        file.lock().map_err(Error::io("locking", &path))?;
        Ok(file)
    }
}

#[cfg(test)]
mod tests;
