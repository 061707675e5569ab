//! A recipe becomes an image: the pipeline, one stage after the other.

mod checks;
mod containers;
mod convert;
pub mod overlays;
mod record;
mod root;
mod skeleton;

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Instant;

use anyhow::Context;
use jiff::Timestamp;
use nix::sys::stat::{Mode, umask};
use serde::{Deserialize, Serialize};

pub use self::convert::{Converted, convert};
use self::record::Records;
use self::skeleton::Skeleton;
use crate::archive::{Larder, Package, Past, Trust};
use crate::artifact::{self, Files};
use crate::disk;
use crate::lock::{self, Lock, Workshop};
use crate::plan;
use crate::progress;
use crate::recipe::{self, Fingerprint, Loaded};
use crate::rootfs::overlay::{self, LateFile, Overlay};
use crate::sandbox::emulation;
use crate::stage::Stages;
use crate::store;
use crate::tools;

/// What is to be built, and with what.
#[derive(Clone, Debug)]
pub struct Request {
    /// The recipe's file.
    pub recipe: PathBuf,
    /// The base, where it is not the recipe's first.
    pub base: Option<String>,
    /// The folder that the image goes into.
    pub out: PathBuf,
    /// The lock, where it does not lie beside the recipe.
    pub lock_file: Option<PathBuf>,
    /// Whether there must be a lock.
    pub locked: bool,
    /// The folder for unfinished work, where it is not to be memory or, failing that, the cache.
    pub work: Option<PathBuf>,
}

/// A finished build.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Built {
    /// The disk and its partitions.
    #[serde(flatten)]
    pub disk: disk::Summary,
    /// The root file system as the packages alone make it (tar), in the cache, if it is still there.
    pub root_archive: Option<PathBuf>,
    /// When the newest of the archive's releases was signed; no time in the image is later.
    pub released: Timestamp,
}

/// A recipe with everything that decides its image.
struct Job {
    loaded: Loaded,
    lock: Lock,
    overlays: Vec<Overlay>,
    /// Files of the overlays that are laid last.
    late: Vec<LateFile>,
    checks: Vec<u8>,
    /// A digest over all but the late files, from which every identifier on the disk follows.
    skeleton: String,
    /// A digest over all of it.
    identity: String,
    /// Where the image goes.
    out: PathBuf,
    /// Where it is made.
    work: Option<PathBuf>,
}

/// Builds the image, unless it lies there already. Must run in the user namespace of [`crate::sandbox::userns::enter`]; sets
/// this process's umask.
///
/// # Errors
/// Each stage's own, with what was being done; the output folder is then as before.
pub fn run(request: &Request, workshop: &Workshop<'_>) -> anyhow::Result<Built> {
    // What the caller's new files may be is no property of an image.
    umask(Mode::S_IWGRP | Mode::S_IWOTH);
    let progress = workshop.progress;
    let job = Job::new(request, workshop)?;
    let records = Records::new(workshop.cache);
    if let Some(mut built) = records.unchanged::<Built>(&job.identity, &job.out) {
        built.root_archive = built.root_archive.filter(|archive| archive.exists());
        progress.stage("image", format!("{}  sha256:{} (unchanged)", job.out.display(), built.disk.image.sha256));
        return Ok(built);
    }
    let built = job.build(workshop)?;
    progress.stage("image", format!("{}  sha256:{}", job.out.display(), built.disk.image.sha256));
    if let Some(before) = records.keep(&job.identity, &built)? {
        progress.warn(format!(
            "the same inputs gave sha256:{before} before\n  hint: a stage in the cache may be damaged, or something of this \
             host got into the image; --rebuild-check finds out what differs"
        ));
    }
    Ok(built)
}

impl Job {
    fn new(request: &Request, workshop: &Workshop<'_>) -> anyhow::Result<Self> {
        let loaded = recipe::load(&request.recipe, request.base.as_deref())?;
        let checks = checks::read(loaded.base.architecture.architecture())?;
        let overlays = overlays::load(&loaded)?;
        let lock = obtain_lock(request, &loaded, workshop)?;
        // Where SELinux labels files, each is there when that is done.
        let (overlays, late) = if is_labelled(&lock) { (overlays, Vec::new()) } else { overlay::split(overlays) };
        let skeleton = identity(&loaded, &lock, &overlays, &checks)?.json("room", &disk::room(&late)).finish();
        let identity = late.iter().fold(Fingerprint::new("firstlight image 2").field("skeleton", &skeleton), with_file);
        let out = request.out.join(format!("{}.raw", loaded.stem()));
        let (identity, work) = (identity.finish(), request.work.clone());
        Ok(Self { loaded, lock, overlays, late, checks, skeleton, identity, out, work })
    }

    fn build(&self, workshop: &Workshop<'_>) -> anyhow::Result<Built> {
        let Self { loaded, lock, overlays, checks, .. } = self;
        let Workshop { store, progress, .. } = *workshop;
        emulation::ready(loaded.base.architecture.architecture())?;
        // What can't fit is refused before anything is installed.
        plan::fits(loaded, lock)?;
        let packages: Vec<Package> = lock.tools.iter().cloned().chain(lock.packages()).collect();
        let mut downloads = self.downloads(&packages, workshop);
        downloads.extend(artifact::downloads(&lock.artifacts));
        let fetch = || -> anyhow::Result<()> {
            store.fetch(&downloads, progress).map_err(|error| self.gone(error))?.tell(progress);
            Ok(())
        };
        let files = Files::of(&loaded.folder, &lock.artifacts, store);
        let trust = &self.trust(files, workshop)?;
        let tools = || self.tools(trust, workshop);
        let larder = Larder { base: &loaded.base, trust, store };
        let ingredients =
            root::Ingredients { loaded, lock, overlays, larder, files, checks, fetch: &fetch, tools: &tools };
        let (identity, work) = (self.skeleton.as_str(), self.work.as_deref());
        let order = skeleton::Order { identity, spec: self.spec(), work, cache: workshop.cache, progress };
        thread::scope(|scope| self.assemble(scope, &ingredients, &order))
    }

    /// The skeleton, then the image. In `scope`, finished stages go to the disk beside the rest.
    fn assemble<'scope>(
        &'scope self,
        scope: &'scope thread::Scope<'scope, '_>,
        ingredients: &'scope root::Ingredients<'_>,
        order: &'scope skeleton::Order<'_>,
    ) -> anyhow::Result<Built> {
        let skeleton = Skeleton::make(scope, ingredients, order)?;
        let started = Instant::now();
        let folder = self.out.parent().unwrap_or(Path::new("."));
        fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
        let tools = (ingredients.tools)()?;
        let disk = skeleton.finish(&order.spec, &tools, &self.out)?;
        let root_archive = skeleton.kept()?;
        let labels: Vec<&str> = disk.partitions.iter().map(|partition| partition.label.as_ref()).collect();
        let size = progress::bytes(disk.image.size);
        order.progress.stage_timed("disk", format!("GPT: {}, {size}", labels.join(" ")), started.elapsed());
        Ok(Built { disk, root_archive, released: self.lock.released })
    }

    /// Whom the base's sources are believed. What a publisher has is fetched before anything that it signed.
    fn trust(&self, files: Files<'_>, workshop: &Workshop<'_>) -> anyhow::Result<Trust> {
        let Workshop { store, progress, .. } = *workshop;
        let base = &self.loaded.base;
        let published = artifact::certificates_of(base, &self.lock.artifacts);
        if !published.is_empty() {
            store.fetch(&artifact::downloads(&published), progress).map_err(|error| self.gone(error))?;
        }
        Ok(Trust::read(base, &self.loaded.base_path, &files)?)
    }

    fn tools(&self, trust: &Trust, workshop: &Workshop<'_>) -> anyhow::Result<PathBuf> {
        let Workshop { cache, progress, store, .. } = *workshop;
        let packages = &self.lock.tools;
        let larder = Larder { base: &self.loaded.base, trust, store };
        Ok(tools::root(packages, &self.downloads(packages, workshop), &larder, &Stages::open(cache)?, progress)?)
    }

    fn downloads(&self, packages: &[Package], workshop: &Workshop<'_>) -> Vec<store::Download> {
        let past = Past { released: self.lock.released, system: &self.lock.system.packages };
        workshop.mirrors.downloads(&self.loaded.base.sources, packages, past)
    }

    /// A locked package that nobody has any more is told with what to do about it.
    fn gone(&self, source: store::Error) -> anyhow::Error {
        match source {
            store::Error::Unavailable { .. } => lock::Error::Gone { released: self.lock.released, source }.into(),
            other => other.into(),
        }
    }

    fn spec(&self) -> disk::Spec<'_> {
        let recipe = &self.loaded.recipe;
        disk::Spec {
            identity: &self.skeleton,
            released: self.lock.released,
            title: if recipe.title.is_empty() { &recipe.name } else { &recipe.title },
            disk: &recipe.disk,
            base: &self.loaded.base,
            site: &[],
            late: &self.late,
        }
    }
}

/// The lock of the recipe: the one that is there, or one that is made now and written.
fn obtain_lock(request: &Request, loaded: &Loaded, workshop: &Workshop<'_>) -> Result<Lock, lock::Error> {
    let path = request.lock_file.clone().unwrap_or_else(|| lock::path(loaded));
    if let Some(lock) = lock::read(&path, loaded)? {
        workshop.progress.stage("locked", format!("{} ({})", lock::summary(loaded, &lock), path.display()));
        return Ok(lock);
    }
    if request.locked {
        return Err(lock::Error::Missing { path, recipe: loaded.path.clone() });
    }
    let lock = lock::make(loaded, workshop, Timestamp::now())?;
    lock::write(&path, loaded, &lock)?;
    workshop.progress.stage("locked", format!("{}; written to {}", lock::summary(loaded, &lock), path.display()));
    Ok(lock)
}

/// Whether the files of the root file system get SELinux labels.
fn is_labelled(lock: &Lock) -> bool {
    lock.system.packages.iter().any(|package| package.name.starts_with("selinux-policy"))
}

fn with_file(print: Fingerprint, file: &LateFile) -> Fingerprint {
    let LateFile { path, content, mode } = file;
    print.field("late", path.as_os_str().as_bytes()).field("mode", mode.to_le_bytes()).field("content", content)
}

/// Everything that decides the image but its late files and the room for them: who shares all shares every byte.
fn identity(loaded: &Loaded, lock: &Lock, overlays: &[Overlay], checks: &[u8]) -> anyhow::Result<Fingerprint> {
    let mut print = Fingerprint::new("firstlight skeleton 1")
        .field("builder", env!("CARGO_PKG_VERSION"))
        .field("recipe", loaded.identity()?)
        .field("checks", checks)
        .field("released", lock.released.to_string());
    print = overlays.iter().fold(print, |print, overlay| print.field("overlay", overlay.digest()));
    let packages = lock.packages();
    print = packages.iter().fold(print, |print, package| print.field("package", &package.sha256));
    print = lock
        .artifacts
        .iter()
        .fold(print, |print, pin| print.field("artifact", &pin.name).field("content", &pin.sha256));
    if let Some(snaps) = &lock.snaps {
        print = print.field("assertions", &snaps.assertions);
    }
    Ok(lock.tools.iter().fold(print, |print, package| print.field("tool", &package.sha256)))
}
