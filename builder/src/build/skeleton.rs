//! The disk without its late files, kept in the cache: who changes one of these waits for neither packages nor mke2fs.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{Scope, ScopedJoinHandle};
use std::time::Instant;

use anyhow::Context;
use serde::{Deserialize, Serialize};

use super::root::{self, Ingredients};
use crate::disk::{self, SkeletonFiles};
use crate::parallel;
use crate::progress::Progress;
use crate::stage::{Key, Stages};

/// Of what files a stage consists: another number where they become others.
const FORM: u32 = 2;
/// What is known of the disk ([`Made`]), beside its files.
const MADE: &str = "disk.json";

/// What came of making the disk.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Made {
    skeleton: disk::Skeleton,
    /// The tree as the packages alone make it (tar), in a cache.
    root_archive: PathBuf,
}

/// A disk that lacks only its late files.
pub struct Skeleton<'scope> {
    made: Made,
    files: SkeletonFiles,
    /// Where it was made just now: keeping it in the cache.
    keeping: Option<ScopedJoinHandle<'scope, anyhow::Result<PathBuf>>>,
}

/// Where and of what it is made.
pub struct Order<'a> {
    /// What decides the disk, but for its late files.
    pub identity: &'a str,
    /// The sizes, identifiers and times of the disk.
    pub spec: disk::Spec<'a>,
    /// Where unfinished work goes.
    pub work: Option<&'a Path>,
    /// The cache.
    pub cache: &'a Path,
    /// What is told meanwhile.
    pub progress: &'a Progress,
}

impl<'scope> Skeleton<'scope> {
    /// That of the cache, or a new one. What goes on in `scope` after that is waited for by [`Self::kept`].
    ///
    /// # Errors
    /// Each step's own, with what was being done.
    pub fn make(
        scope: &'scope Scope<'scope, '_>,
        ingredients: &'scope Ingredients<'_>,
        order: &'scope Order<'_>,
    ) -> anyhow::Result<Self> {
        let about = format!("the disk of {}", ingredients.loaded.stem());
        let key = Key::new("disk").input("form", FORM).input("identity", order.identity).about(about);
        let (made, is_made) = mpsc::channel();
        let keep = move || -> anyhow::Result<PathBuf> {
            Stages::open(order.cache)?.folder(&key, order.progress, |folder| {
                let one = lay(scope, ingredients, order, folder)?;
                fs::write(folder.join(MADE), serde_json::to_vec(&one)?).context("describing the disk")?;
                // Nobody waits until it is judged and named.
                let _ = made.send((one, open(folder)?));
                Ok(())
            })
        };
        let keeping = scope.spawn(keep);
        if let Ok((made, files)) = is_made.recv() {
            return Ok(Self { made, files, keeping: Some(keeping) });
        }
        let folder = parallel::joined(keeping)?;
        let reading = || format!("reading {}", folder.display());
        let made = serde_json::from_slice(&fs::read(folder.join(MADE)).with_context(reading)?).with_context(reading)?;
        Ok(Self { made, files: open(&folder)?, keeping: None })
    }

    /// The disk with its late files, as `out`.
    ///
    /// # Errors
    /// [`disk::Error`].
    pub fn finish(&self, spec: &disk::Spec<'_>, tools: &Path, out: &Path) -> Result<disk::Summary, disk::Error> {
        disk::finish(&self.made.skeleton, &self.files, spec, tools, out)
    }

    /// Waits until it is safe in the cache. Gives the archive of the packages' tree, if that is still there.
    ///
    /// # Errors
    /// It could not be kept.
    pub fn kept(self) -> anyhow::Result<Option<PathBuf>> {
        self.keeping.map_or(Ok(()), |keeping| parallel::joined(keeping).map(drop))?;
        Ok(Some(self.made.root_archive).filter(|archive| archive.exists()))
    }
}

fn open(folder: &Path) -> anyhow::Result<SkeletonFiles> {
    SkeletonFiles::open(folder)
        .map_err(|(path, error)| anyhow::Error::new(error).context(format!("opening {}", path.display())))
}

/// Makes the root file system, in `scope` beside the tools root, and lays it onto a disk, in the empty folder `folder`.
fn lay<'scope>(
    scope: &'scope Scope<'scope, '_>,
    ingredients: &'scope Ingredients<'_>,
    order: &'scope Order<'_>,
    folder: &Path,
) -> anyhow::Result<Made> {
    (ingredients.fetch)()?;
    let tools = scope.spawn(|| {
        parallel::unhurried();
        (ingredients.tools)()
    });
    let started = Instant::now();
    let root = root::make(scope, ingredients, order.work, order.cache, order.progress);
    let root = root.context("making the root file system")?;
    let packages = ingredients.lock.system.packages.len();
    order.progress.stage_timed("root", format!("configured {packages} packages"), started.elapsed());
    let tools = parallel::joined(tools)?;
    let skeleton = disk::assemble(&order.spec, root.folder(), &tools, folder)?;
    Ok(Made { skeleton, root_archive: root.discard(scope).kept()? })
}
