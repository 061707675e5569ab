//! Reading all of a cache, and removing what is not what it should be.

use std::path::Path;

use serde::Serialize;

use super::{Error, downloads, stages};
use crate::stage::{self, Judged, Thorough};
use crate::store;

/// Something that was not what it should be, and was removed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Bad {
    /// Its name: a stage's, or the digest that a download should have had.
    pub name: String,
    /// What is wrong with it.
    pub reason: String,
}

/// What a cache was found to be.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verified {
    /// How many downloads and stages were right.
    pub good: usize,
    /// Those that were not.
    pub bad: Vec<Bad>,
}

/// Judges every download and stage of the cache `cache` by all of its bytes, and removes what is bad.
///
/// # Errors
/// Something bad can't be removed.
pub fn verify(cache: &Path) -> Result<Verified, Error> {
    let mut verified = Verified::default();
    for path in downloads(cache) {
        let part =
            |path: Option<&Path>| path.and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        let sha256 = part(path.parent()) + &part(Some(&path));
        match store::check(&path, &sha256).map_err(Error::io("verifying", &path))? {
            Ok(()) => verified.good += 1,
            Err(found) => verified.bad.push(Bad { name: sha256, reason: format!("found sha256 {found}") }),
        }
    }
    for entry in stages(cache) {
        match entry.judge(Thorough::Wholly) {
            Judged::Good(_) => verified.good += 1,
            Judged::Absent => {}
            Judged::Bad(reason) => {
                stage::remove(&entry)?;
                verified.bad.push(Bad { name: entry.name().to_owned(), reason });
            }
        }
    }
    Ok(verified)
}
