//! What a recipe takes on one base, to the byte: written once beside the recipe, and from then on what every build of it is
//! made of.
//!
//! Making a lock ([`make`]) asks the archive: signatures, `Valid-Until` and the distribution's own choice of packages are
//! judged then, and never again. A build from a lock opens no index; it takes exactly the named packages, from whichever mirror
//! still has those bytes, the distribution's snapshot service among them. A lock that was made for another recipe or base
//! ([`inputs`]) is refused with the keys that changed.

mod diff;
mod error;
mod file;
mod inputs;
mod make;

use std::collections::BTreeSet;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::archive::{Package, Solution};
use crate::artifact::Pin;
use crate::recipe::Loaded;
use crate::snap;
pub use diff::{Diff, diff};
pub use error::{Error, Result};
pub use file::{Index, peek, read, write};
pub use make::{Workshop, make};

/// What a recipe takes on one base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The newest `Date` of the releases that the packages were chosen from.
    pub released: Timestamp,
    /// A digest of each part of the recipe and the base that decides what is locked.
    pub inputs: inputs::Inputs,
    /// The indices that the packages were chosen from.
    pub indices: Vec<Index>,
    /// Files that go into the image whole, in the recipe's order, and after them the snaps that came from a store.
    pub artifacts: Vec<Pin>,
    /// The snaps of a platform that is made of snaps.
    pub snaps: Option<snap::Locked>,
    /// The packages of the tools root, by name.
    pub tools: Vec<Package>,
    /// The packages of the root file system, in the order in which apt would unpack them.
    pub system: Solution,
    /// For each container image that is made of packages, its index in the recipe's list and its packages.
    pub images: Vec<(usize, Solution)>,
}

impl Lock {
    /// Every package of the root file system and of the container images, each once.
    #[must_use]
    pub fn packages(&self) -> Vec<Package> {
        let mut seen = BTreeSet::new();
        let made = self.images.iter().flat_map(|(_, solution)| &solution.packages);
        self.system.packages.iter().chain(made).filter(|package| seen.insert(&package.sha256)).cloned().collect()
    }
}

/// Where the lock of `recipe` lies if nobody says otherwise: `NAME.BASE.lock` beside the recipe, of which `NAME.toml` is the name.
#[must_use]
pub fn path(recipe: &Loaded) -> PathBuf {
    let stem = recipe.path.file_stem().unwrap_or_default().to_string_lossy();
    recipe.path.with_file_name(format!("{stem}.{}.lock", recipe.base.name))
}

/// A lock in one line, for a person.
#[must_use]
pub fn summary(recipe: &Loaded, lock: &Lock) -> String {
    let files = match lock.artifacts.len() {
        0 => String::new(),
        1 => " and 1 file".to_owned(),
        count => format!(" and {count} files"),
    };
    format!("{} packages of {}{files}, as of {}", lock.system.packages.len(), recipe.base.name, lock.released)
}

#[cfg(test)]
mod tests;
