//! What was built from which inputs, so that the same need not be built again, and a build that gives other bytes than the last
//! one from the same inputs does not go unnoticed.
//!
//! Below the cache folder, `built/v2/IDENTITY.json`, also of what images were converted to. An image itself stays where the user
//! put it; it counts as unchanged while its device, inode, size and times of change are those that it had when it was finished.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use firmware_checks::files;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::Built;
use crate::image::Artifact;

/// The most places of one image that are remembered.
const PLACES: usize = 8;

/// The records of a cache folder.
pub struct Records {
    folder: PathBuf,
}

/// What is remembered of an image.
pub trait Remembered: Clone + DeserializeOwned + Serialize {
    /// The image.
    fn artifact(&self) -> &Artifact;
    /// The same.
    fn artifact_mut(&mut self) -> &mut Artifact;
}

impl Remembered for Built {
    fn artifact(&self) -> &Artifact {
        &self.disk.image
    }

    fn artifact_mut(&mut self) -> &mut Artifact {
        &mut self.disk.image
    }
}

impl Remembered for Artifact {
    fn artifact(&self) -> &Artifact {
        self
    }

    fn artifact_mut(&mut self) -> &mut Artifact {
        self
    }
}

#[derive(Deserialize, Serialize)]
struct Record<T> {
    built: T,
    /// Where it was put, the latest last.
    places: Vec<Place>,
}

/// A file as it was when it was finished.
#[derive(Clone, PartialEq, Eq, Deserialize, Serialize)]
struct Place {
    path: PathBuf,
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Place {
    fn of(path: &Path) -> Option<Self> {
        let path = fs::canonicalize(path).ok()?;
        let found = fs::metadata(&path).ok()?;
        Some(Self {
            path,
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        })
    }
}

impl Records {
    /// The records below the cache folder `cache`.
    #[must_use]
    pub fn new(cache: &Path) -> Self {
        Self { folder: cache.join("built").join("v2") }
    }

    fn path(&self, identity: &str) -> PathBuf {
        self.folder.join(format!("{identity}.json"))
    }

    /// A record that can't be read is as good as none.
    fn read<T: Remembered>(&self, identity: &str) -> Option<Record<T>> {
        serde_json::from_slice(&fs::read(self.path(identity)).ok()?).ok()
    }

    /// The build of these inputs whose image still lies at `out`, untouched.
    #[must_use]
    pub fn unchanged<T: Remembered>(&self, identity: &str, out: &Path) -> Option<T> {
        let Record::<T> { mut built, places } = self.read(identity)?;
        let there = Place::of(out)?;
        if !places.contains(&there) {
            return None;
        }
        out.clone_into(&mut built.artifact_mut().path);
        Some(built)
    }

    /// Keeps what came of a build. Gives the SHA-256 that the same inputs gave before, where it is another one.
    ///
    /// # Errors
    /// The record can't be written.
    pub fn keep<T: Remembered>(&self, identity: &str, built: &T) -> anyhow::Result<Option<String>> {
        let before = self.read::<T>(identity);
        let image = built.artifact();
        let other = before.as_ref().map(|record| &record.built.artifact().sha256);
        let other = other.filter(|sha256| **sha256 != image.sha256).cloned();
        let mut places = before.filter(|_| other.is_none()).map(|record| record.places).unwrap_or_default();
        let place = Place::of(&image.path);
        places.retain(|old| place.as_ref().is_none_or(|new| new.path != old.path));
        places.extend(place);
        places.drain(..places.len().saturating_sub(PLACES));
        let path = self.path(identity);
        let text = serde_json::to_vec(&Record { built: built.clone(), places })?;
        files::replace(&path, &text, 0o644).with_context(|| format!("writing {}", path.display()))?;
        Ok(other)
    }
}
