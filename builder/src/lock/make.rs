//! Asks the archive: what a recipe takes today.

use std::path::Path;

use firmware_checks::document::Problem;
use jiff::Timestamp;

use super::error::{Error, Result};
use super::file::Index;
use super::{Lock, inputs};
use crate::archive::{self, Archive, Larder, Mirrors, Opening, Trust, Wanted};
use crate::artifact::{self, Files};
use crate::progress::Progress;
use crate::recipe::Loaded;
use crate::snap;
use crate::stage::Stages;
use crate::store::Store;
use crate::tools;

/// Where downloads come from and where they are kept.
#[derive(Clone, Copy, Debug)]
pub struct Workshop<'a> {
    /// Whom to ask.
    pub mirrors: &'a Mirrors,
    /// Every download.
    pub store: &'a Store,
    /// The cache folder.
    pub cache: &'a Path,
    /// Where to tell of it.
    pub progress: &'a Progress,
}

/// Chooses what `recipe` takes, with the archive as it is `now`. Downloads indices, the packages of the tools root and the
/// recipe's artifacts, and nothing else. Needs the user namespace of [`crate::sandbox::userns::enter`].
///
/// # Errors
/// [`Error`].
pub fn make(recipe: &Loaded, workshop: &Workshop<'_>, now: Timestamp) -> Result<Lock> {
    let Workshop { mirrors, store, cache, progress } = *workshop;
    // First: whoever must bring another file should not wait for the archive.
    let mut artifacts = artifact::pin(recipe, store, progress)?;
    let locking = snap::Locking { recipe, pins: &artifacts, store, progress, now };
    let (snaps, pins) = locking.lock()?.unzip();
    artifacts.extend(pins.into_iter().flatten());
    for published in recipe.base.published() {
        artifacts.push(artifact::pin_certificate(published, store, progress)?);
    }
    let trust = Trust::read(&recipe.base, &recipe.base_path, &Files::of(&recipe.folder, &artifacts, store))?;
    let archive = Archive::open(&Opening { base: &recipe.base, trust: &trust, mirrors, store, progress, now })?;
    for stale in archive::stale(&archive, &recipe.base, now) {
        progress.warn(stale);
    }
    let stages = Stages::open(cache)?;
    let tools = archive.closure(&recipe.base.tools)?;
    let larder = Larder { base: &recipe.base, trust: &trust, store };
    let root = tools::root(&tools, &archive.downloads(&tools), &larder, &stages, progress)?;
    let solve = |wanted: &Wanted<'_>| {
        let solution = archive::solve_once(&archive, &root, wanted, &stages, progress);
        solution.map_err(|error| unknown(recipe, &error).unwrap_or_else(|| error.into()))
    };
    let wanted = Wanted { packages: &recipe.packages(), recommends: false, essential: true };
    let system = solve(&wanted)?;
    let mut images = Vec::new();
    for (index, image) in recipe.recipe.images.iter().enumerate().filter(|(_, image)| !image.packages.is_empty()) {
        let wanted = Wanted { packages: &image.packages, recommends: false, essential: false };
        images.push((index, solve(&wanted)?));
    }
    Ok(Lock {
        released: archive.released(),
        inputs: inputs::of(recipe)?,
        indices: indices(recipe, &archive),
        artifacts,
        snaps,
        tools,
        system,
        images,
    })
}

/// A package that is unknown, or only provided by others, is told at the line of the recipe that names it.
fn unknown(recipe: &Loaded, error: &archive::Error) -> Option<Error> {
    let problem = match error {
        archive::Error::UnknownPackage { name, place, nearest } => {
            Problem::value(recipe.names_package(name)?, format!("there is no package `{name}`"))
                .label(format!("not in {place}"))
                .perhaps(nearest.as_ref().map(|near| format!("did you mean `{near}`?")))
        }
        archive::Error::Virtual { name, providers } => {
            Problem::value(recipe.names_package(name)?, format!("no package is called `{name}`"))
                .label(format!("{} packages provide it", providers.len()))
                .hint(format!("name one of them: {}", providers.join(", ")))
        }
        _ => return None,
    };
    Some(recipe.refuse(problem).into())
}

fn indices(recipe: &Loaded, archive: &Archive) -> Vec<Index> {
    let index = |read: archive::IndexRead<'_>| Index {
        archive: recipe.base.sources[read.source].archive.clone(),
        suite: read.suite.to_owned(),
        path: read.path.to_owned(),
        released: read.released,
        sha256: read.sha256.to_owned(),
    };
    let mut indices: Vec<Index> = archive.indices().into_iter().map(index).collect();
    indices.sort();
    indices
}
