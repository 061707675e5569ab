//! Files that go into an image whole, from a URL or from beside the recipe, each pinned by its size and SHA-256 in the lock.
//!
//! When locking, a file from a URL is fetched and checked against what its publisher's file of checksums and the recipe say; a
//! build takes exactly the bytes that were locked, from the store, or from beside the recipe.

mod certificates;
mod checksums;
mod error;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

pub use self::certificates::{certificates_of, pin_certificate};
use self::checksums::Said;
pub use self::error::Error;
use crate::progress::Progress;
use crate::recipe::Loaded;
use crate::recipe::artifact::{Named, is_url};
use crate::store::{self, Answer, Download, Store};

/// The greatest size of a file of checksums, in bytes.
const CHECKSUMS_LIMIT: u64 = 1 << 20;

/// A file as a lock holds it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Pin {
    /// What it is, as [`Named::name`].
    pub name: String,
    /// Its URL, or its path beside the recipe.
    pub from: String,
    /// Bytes.
    pub size: u64,
    /// SHA-256 of its content.
    pub sha256: String,
}

/// Pins every artifact of `recipe`, in its order: reads those beside it, and fetches the others into the store, where they are
/// not there already by a digest that the recipe or the publisher says.
///
/// # Errors
/// [`Error`], with the artifact.
pub fn pin(recipe: &Loaded, store: &Store, progress: &Progress) -> Result<Vec<Pin>, Error> {
    let mut sums = Sums { recipe, store, read: BTreeMap::new() };
    recipe.recipe.artifacts().iter().map(|named| pin_one(named, &mut sums, progress)).collect()
}

fn pin_one(named: &Named<'_>, sums: &mut Sums<'_>, progress: &Progress) -> Result<Pin, Error> {
    let Named { name, artifact, .. } = named;
    let expected = sums.expected(named)?;
    let wanted = expected.as_ref().map(|(digest, _)| digest.as_str());
    let (sha256, size) = match artifact.path() {
        Some(path) => measure(name, &sums.recipe.folder.join(path))?,
        None => sums.store.learn(name, &artifact.from, wanted, progress)?,
    };
    if let Some((expected, by)) = expected.filter(|(digest, _)| *digest != sha256) {
        let (name, from) = (name.clone(), artifact.from.clone());
        return Err(Error::Differs { name, from, by, expected, found: sha256, size });
    }
    Ok(Pin { name: name.clone(), from: artifact.from.clone(), size, sha256 })
}

/// The files of checksums, each read once.
struct Sums<'a> {
    recipe: &'a Loaded,
    store: &'a Store,
    read: BTreeMap<String, String>,
}

impl Sums<'_> {
    /// The digest that the artifact must have, and who says so; none where nobody does.
    fn expected(&mut self, named: &Named<'_>) -> Result<Option<(String, String)>, Error> {
        let own = named.artifact.sha256.clone();
        let Some(checksums) = &named.artifact.checksums else {
            return Ok(own.map(|digest| (digest, "the recipe".to_owned())));
        };
        let file = named.artifact.file_name().into_owned();
        let (name, text) = (named.name.clone(), self.text(&named.name, checksums)?);
        let checksums = checksums.clone();
        let found = match checksums::look_up(text, &file) {
            Said::Digest(publisher) => match own.filter(|recipe| *recipe != publisher) {
                Some(recipe) => return Err(Error::Contradicts { name, checksums, file, recipe, publisher }),
                None => return Ok(Some((publisher, checksums))),
            },
            Said::Ambiguous => "two of them".to_owned(),
            Said::Unnamed(others) => format!("{others} lines for other files"),
        };
        Err(Error::Unnamed { name, checksums, file, found })
    }

    fn text(&mut self, name: &str, from: &str) -> Result<&str, Error> {
        if !self.read.contains_key(from) {
            let bytes = if is_url(from) { self.fetch(name, from)? } else { self.open(name, from)? };
            self.read.insert(from.to_owned(), String::from_utf8_lossy(&bytes).into_owned());
        }
        Ok(&self.read[from])
    }

    fn fetch(&self, name: &str, url: &str) -> Result<Vec<u8>, Error> {
        let label = format!("the checksums of {name}");
        match self.store.get(&label, url, CHECKSUMS_LIMIT)? {
            Answer::Found(bytes) => Ok(bytes),
            Answer::Absent(answer) => {
                Err(store::Error::Unavailable { label, attempts: vec![(url.to_owned(), answer)] }.into())
            }
        }
    }

    fn open(&self, name: &str, path: &str) -> Result<Vec<u8>, Error> {
        let path = self.recipe.folder.join(path);
        fs::read(&path).map_err(|source| Error::Io { path, name: format!("the checksums of {name}"), source })
    }
}

/// Digest and size of the file `path`.
fn measure(name: &str, path: &Path) -> Result<(String, u64), Error> {
    let read = || {
        let mut reader = fs::File::open(path)?;
        Ok((store::digest_of(&mut reader)?, reader.metadata()?.len()))
    };
    read().map_err(|source| Error::Io { path: path.to_owned(), name: name.to_owned(), source })
}

/// Whether each artifact of `recipe` that lies beside it is still the one in `pins`, which name each of them.
///
/// # Errors
/// [`Error::Changed`] or [`Error::Io`].
pub fn compare(recipe: &Loaded, pins: &[Pin]) -> Result<(), Error> {
    for pin in pins.iter().filter(|pin| !is_url(&pin.from)) {
        let path = recipe.folder.join(&pin.from);
        let (found, _) = measure(&pin.name, &path)?;
        if found != pin.sha256 {
            return Err(Error::Changed { path, name: pin.name.clone(), expected: pin.sha256.clone(), found });
        }
    }
    Ok(())
}

/// What is to be fetched of `pins`.
#[must_use]
pub fn downloads(pins: &[Pin]) -> Vec<Download> {
    let download = |pin: &Pin| Download {
        label: pin.name.clone(),
        urls: vec![pin.from.clone()],
        sha256: pin.sha256.clone(),
        size: pin.size,
    };
    pins.iter().filter(|pin| is_url(&pin.from)).map(download).collect()
}

/// Where the files of pins lie on this host.
#[derive(Clone, Copy, Debug)]
pub struct Files<'a> {
    folder: &'a Path,
    pins: &'a [Pin],
    store: &'a Store,
}

impl<'a> Files<'a> {
    /// Those of `pins`, of which `store` has or will have the downloads, and the recipe's `folder` the others.
    #[must_use]
    pub fn of(folder: &'a Path, pins: &'a [Pin], store: &'a Store) -> Self {
        Self { folder, pins, store }
    }

    /// The file `name`, which the lock pins.
    ///
    /// # Errors
    /// It is not in the store, or was removed from there since it was fetched.
    pub fn path(&self, name: &str) -> Result<PathBuf, Error> {
        let gone = || Error::Io {
            path: PathBuf::from(name),
            name: "a locked file".to_owned(),
            source: std::io::ErrorKind::NotFound.into(),
        };
        let pin = self.pins.iter().find(|pin| pin.name == name).ok_or_else(gone)?;
        match is_url(&pin.from) {
            true => self.store.path(&pin.sha256).ok_or_else(gone),
            false => Ok(self.folder.join(&pin.from)),
        }
    }
}

impl Error {
    /// Whether it is the user's to mend.
    #[must_use]
    pub fn is_input(&self) -> bool {
        !matches!(self, Self::Store(_))
    }
}
