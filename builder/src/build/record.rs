//! What was built from which inputs, so that the same need not be built again, and a build that gives other bytes than the last
//! one from the same inputs does not go unnoticed.
//!
//! Below the cache folder, `built/v2/IDENTITY.json`. The image itself stays where the user put it; it counts as unchanged
//! while its device, inode, size and times of change are those that it had when it was finished.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use firmware_checks::files;
use serde::{Deserialize, Serialize};

use super::Built;

/// The most places of one image that are remembered.
const PLACES: usize = 8;

/// The records of a cache folder.
pub struct Records {
    folder: PathBuf,
}

#[derive(Deserialize, Serialize)]
struct Record {
    built: Built,
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
    fn read(&self, identity: &str) -> Option<Record> {
        serde_json::from_slice(&fs::read(self.path(identity)).ok()?).ok()
    }

    /// The build of these inputs whose image still lies at `out`, untouched.
    #[must_use]
    pub fn unchanged(&self, identity: &str, out: &Path) -> Option<Built> {
        let Record { mut built, places } = self.read(identity)?;
        let there = Place::of(out)?;
        if !places.contains(&there) {
            return None;
        }
        built.root_archive = built.root_archive.filter(|archive| archive.exists());
        out.clone_into(&mut built.disk.image.path);
        Some(built)
    }

    /// Keeps what came of a build. Gives the SHA-256 that the same inputs gave before, where it is another one.
    ///
    /// # Errors
    /// The record can't be written.
    pub fn keep(&self, identity: &str, built: &Built) -> anyhow::Result<Option<String>> {
        let before = self.read(identity);
        let other = before.as_ref().map(|record| &record.built.disk.image.sha256);
        let other = other.filter(|sha256| **sha256 != built.disk.image.sha256).cloned();
        let mut places = before.filter(|_| other.is_none()).map(|record| record.places).unwrap_or_default();
        let place = Place::of(&built.disk.image.path);
        places.retain(|old| place.as_ref().is_none_or(|new| new.path != old.path));
        places.extend(place);
        places.drain(..places.len().saturating_sub(PLACES));
        let path = self.path(identity);
        let text = serde_json::to_vec(&Record { built: built.clone(), places })?;
        files::replace(&path, &text, 0o644).with_context(|| format!("writing {}", path.display()))?;
        Ok(other)
    }
}
