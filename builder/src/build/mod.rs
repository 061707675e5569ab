//! A recipe becomes an image: the pipeline, one stage after the other.

mod checks;
mod containers;
mod root;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::Context;
use jiff::Timestamp;
use serde::Serialize;

use crate::archive::deb::Mirrors;
use crate::disk;
use crate::plan;
use crate::progress::Progress;
use crate::recipe::{self, Loaded};
use crate::resolve;
use crate::store::Store;

/// What is to be built, and with what.
#[derive(Clone, Debug)]
pub struct Request {
    /// The recipe's file.
    pub recipe: PathBuf,
    /// The base, where it is not the recipe's first.
    pub base: Option<String>,
    /// The folder that the image goes into.
    pub out: PathBuf,
    /// Mirrors that the user names; asked before all others.
    pub mirrors: Vec<String>,
    /// The cache folder.
    pub cache: PathBuf,
}

/// A finished build.
#[derive(Debug, Serialize)]
pub struct Built {
    /// The disk and its partitions.
    #[serde(flatten)]
    pub disk: disk::Summary,
    /// The root file system as the packages alone make it (tar), in the cache.
    pub root_archive: PathBuf,
    /// When the newest of the archive's releases was signed; no time in the image is later.
    pub released: Timestamp,
}

/// Builds the image. Must run in the user namespace of [`crate::sandbox::userns::enter`].
///
/// # Errors
/// Each stage's own, with what was being done; the output folder is then as before.
pub fn run(request: &Request, progress: &Progress) -> anyhow::Result<Built> {
    let loaded = recipe::load(&request.recipe, request.base.as_deref())?;
    let checks = checks::read()?;
    let store = Store::open(&request.cache)?;
    let mirrors = Mirrors::new(&request.mirrors, Path::new("/etc/apt"));
    let resolved = resolve::resolve(&loaded, &mirrors, &store, &request.cache, progress, Timestamp::now())?;
    let count = resolved.system.packages.len();
    progress.stage("locked", format!("{count} packages of {}, as of {}", loaded.base.name, resolved.system.released));
    // What can't fit is refused before anything is installed.
    plan::plan(&loaded, &resolved, &store)?;
    store.fetch(&resolved.archive.downloads(&resolved.packages()), progress)?.tell(progress);

    let started = Instant::now();
    let ingredients = root::Ingredients { loaded: &loaded, resolved: &resolved, store: &store, checks: &checks };
    let root = root::make(&ingredients, &request.cache, progress).context("making the root file system")?;
    progress.stage_timed("root", format!("configured {count} packages"), started.elapsed());

    let started = Instant::now();
    fs::create_dir_all(&request.out).with_context(|| format!("making the folder {}", request.out.display()))?;
    let out = request.out.join(format!("{}.raw", loaded.stem()));
    let spec = spec(&loaded, resolved.system.released, &root.identity);
    let disk = disk::assemble(&spec, root.folder(), &resolved.tools, &out)?;
    let labels: Vec<&str> = disk.partitions.iter().map(|partition| partition.label).collect();
    let size = tenths_of_gb(disk.image.size);
    progress.stage_timed("disk", format!("GPT: {}, {size} GB", labels.join(" ")), started.elapsed());
    progress.stage("image", format!("{}  sha256:{}", out.display(), disk.image.sha256));
    Ok(Built { disk, root_archive: root.packages, released: resolved.system.released })
}

fn spec<'a>(loaded: &'a Loaded, released: Timestamp, identity: &'a str) -> disk::Spec<'a> {
    let recipe = &loaded.recipe;
    disk::Spec {
        identity,
        released,
        title: if recipe.title.is_empty() { &recipe.name } else { &recipe.title },
        disk: &recipe.disk,
        base: &loaded.base,
        site: &[],
    }
}

fn tenths_of_gb(bytes: u64) -> String {
    let tenths = bytes / 100_000_000;
    format!("{}.{}", tenths / 10, tenths % 10)
}
