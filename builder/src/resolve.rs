//! From a recipe to exactly the packages that it takes: asked from the distribution's own apt, which runs in a small root of its
//! own programs, the tools root.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use firmware_checks::document::{Diagnostic, Diagnostics, KeyPath, Problem};
use jiff::Timestamp;

use crate::archive::deb::{self, Archive, Keyring, Mirrors, Package, Solution, Wanted};
use crate::progress::Progress;
use crate::recipe::{self, Loaded};
use crate::rootfs::overlay::{self, Overlay};
use crate::rootfs::{self, extract};
use crate::stage::{self, Key, Stages};
use crate::store::{self, Store};

/// What a recipe takes, and what it takes to make it.
#[derive(Debug)]
pub struct Resolved {
    /// The base's packages, from verified indices.
    pub archive: Archive,
    /// A folder with the base's own tools (apt, dpkg, mke2fs), for [`crate::sandbox::Sandbox`]. Nothing may change it.
    pub tools: PathBuf,
    /// The packages of the root file system.
    pub system: Solution,
    /// For each container image that is made of packages, its index in the recipe's list and its packages.
    pub images: Vec<(usize, Solution)>,
}

impl Resolved {
    /// Every package of the root file system and of the container images, each once.
    #[must_use]
    pub fn packages(&self) -> Vec<Package> {
        let mut seen = BTreeSet::new();
        let made = self.images.iter().flat_map(|(_, solution)| &solution.packages);
        self.system.packages.iter().chain(made).filter(|package| seen.insert(&package.sha256)).cloned().collect()
    }
}

/// A recipe could not be resolved.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The archive can't be used, or no set of packages fits.
    #[error("resolving the recipe")]
    Archive(#[from] deb::Error),
    /// The recipe names a package that the base does not have.
    #[error("resolving the recipe")]
    Recipe(#[from] recipe::Error),
    /// A download failed.
    #[error("fetching the tools")]
    Store(#[from] store::Error),
    /// A package of the tools root can't be unpacked.
    #[error("making the tools root")]
    Tools(#[from] rootfs::DebError),
    /// The tools root can't be kept.
    #[error("making the tools root")]
    Stage(#[from] stage::Error),
    /// A file or folder of this host failed.
    #[error("{doing} {}", path.display())]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { doing, path, source }
    }
}

/// Chooses the packages of `recipe`, with the archive as it is `now`. Downloads indices and the packages of the tools root, and no
/// others. Needs the user namespace of [`crate::sandbox::userns::enter`].
///
/// # Errors
/// [`Error`].
pub fn resolve(
    recipe: &Loaded,
    mirrors: &Mirrors,
    store: &Store,
    cache: &Path,
    progress: &Progress,
    now: Timestamp,
) -> Result<Resolved, Error> {
    let keyring = recipe.keyring();
    let armored = fs::read_to_string(&keyring).map_err(Error::io("reading", &keyring))?;
    let archive = Archive::open(&recipe.base, &Keyring::parse(&armored)?, mirrors, store, progress, now)?;
    let stages = Stages::open(cache)?;
    let tools = tools_root(&archive, &recipe.base.tools, store, &stages, progress)?;
    let solve = |wanted: &Wanted<'_>| {
        let solution = deb::solve_once(&archive, &tools, wanted, &stages, progress);
        solution.map_err(|error| unknown(recipe, &error).unwrap_or_else(|| error.into()))
    };
    let wanted = Wanted { packages: &recipe.packages(), recommends: false, essential: true };
    let system = solve(&wanted)?;
    let mut images = Vec::new();
    for (index, image) in recipe.recipe.images.iter().enumerate().filter(|(_, image)| !image.packages.is_empty()) {
        let wanted = Wanted { packages: &image.packages, recommends: false, essential: false };
        images.push((index, solve(&wanted)?));
    }
    Ok(Resolved { archive, tools, system, images })
}

/// An unknown package is told at the line of the recipe that names it.
fn unknown(recipe: &Loaded, error: &deb::Error) -> Option<Error> {
    let deb::Error::UnknownPackage { name, place, nearest } = error else { return None };
    let problem = Problem::value(recipe.names_package(name)?, format!("there is no package `{name}`"))
        .label(format!("not in {place}"))
        .perhaps(nearest.as_ref().map(|near| format!("did you mean `{near}`?")));
    Some(recipe.refuse(problem).into())
}

/// The overlays of `recipe` in the order in which they are laid, with their templates filled in.
///
/// # Errors
/// [`recipe::Error`], with the place in the template or declaration that is wrong, or in the recipe that names the overlay.
pub fn overlays(recipe: &Loaded) -> Result<Vec<Overlay>, recipe::Error> {
    let load = |(name, folder): (String, PathBuf)| {
        Overlay::load(&folder, &recipe.values()).map_err(|error| wrong(recipe, &name, error))
    };
    recipe.overlays().into_iter().map(load).collect()
}

fn wrong(recipe: &Loaded, name: &str, error: overlay::Error) -> recipe::Error {
    match error {
        overlay::Error::Invalid { path, line, column, reason } => {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let at = offset(&text, line, column);
            recipe::Error::Invalid(Diagnostics(vec![Diagnostic::new(&path, &text, at..at + 1, reason)]))
        }
        other => {
            let index = recipe.recipe.overlays.iter().position(|one| one == name);
            let at = KeyPath::root().key("overlays");
            recipe.refuse(Problem::value(
                index.map_or(at.clone(), |index| at.item(index)),
                format!("overlay `{name}`: {other}"),
            ))
        }
    }
}

/// The byte at which the character `column` of `line` begins, both counted from 1.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let within = text[before..].char_indices().nth(column.saturating_sub(1)).map_or(0, |(at, _)| at);
    before + within
}

/// A folder with the files of the packages `names` and what they depend on: made once, then taken from the cache. No
/// script of theirs is run.
///
/// # Errors
/// [`Error`].
pub fn tools_root(
    archive: &Archive,
    names: &[String],
    store: &Store,
    stages: &Stages,
    progress: &Progress,
) -> Result<PathBuf, Error> {
    let packages = archive.closure(names)?;
    let digests: Vec<&str> = packages.iter().map(|package| package.sha256.as_str()).collect();
    let key = Key::new("tools").input("packages", digests);
    stages.folder(&key, progress, |folder| {
        store.fetch(&archive.downloads(&packages), progress)?.tell(progress);
        let debs: Vec<PathBuf> = packages.iter().filter_map(|package| store.path(&package.sha256)).collect();
        Ok(extract::extract_all(&debs, folder, extract::Owners::Root)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_by_line_and_column_is_a_byte() {
        let text = "ä\nbü c\n";
        assert_eq!([offset(text, 1, 1), offset(text, 2, 1), offset(text, 2, 4)], [0, 3, 7]);
        assert_eq!(offset(text, 9, 9), text.len(), "beyond the text is its end");
    }
}
