//! The second build of `firstlight build --rebuild-check`: by this program started anew, of nothing but the lock and the
//! downloads, in circumstances that are as different as one machine allows.

use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

use anyhow::{Context, bail, ensure};
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, unshare};
use nix::sys::stat::{Mode, umask};
use nix::unistd::{Pid, sethostname};

use super::build::Build;
use crate::build::Built;
use crate::image::compare::{self, Comparison};
use crate::progress::Progress;
use crate::stage::Temporary;

/// What a program sees of its surroundings and an image must not.
const ENVIRONMENT: [(&str, &str); 4] =
    [("TZ", "Pacific/Kiritimati"), ("LC_ALL", "tr_TR.UTF-8"), ("LANG", "tr_TR.UTF-8"), ("LANGUAGE", "tr")];

/// A second build of what `build` has built already.
pub(super) struct Second<'a> {
    pub build: &'a Build,
    pub cache: &'a Path,
    pub first: &'a Built,
}

/// What came of it.
pub(super) struct Rebuilt {
    pub comparison: Comparison,
    first: PathBuf,
    /// The second image, where it differs.
    second: PathBuf,
}

/// The same lock gave two images.
#[derive(Debug, thiserror::Error)]
#[error("built again from the same lock, the image is another one:\n  {}\n  both are kept: {} is the first, {} the second",
    .0.comparison.to_string().replace('\n', "\n  "), .0.first.display(), .0.second.display())]
pub(super) struct Different(Box<Rebuilt>);

impl std::fmt::Debug for Rebuilt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rebuilt").field("comparison", &self.comparison).finish_non_exhaustive()
    }
}

impl Rebuilt {
    /// The error that a difference is.
    pub(super) fn different(self) -> Option<Different> {
        (!self.comparison.same).then(|| Different(Box::new(self)))
    }
}

impl Second<'_> {
    /// Builds and compares. An image that is the same is removed; another is kept beside the first.
    ///
    /// # Errors
    /// The second build failed, or one of the images can't be read.
    pub(super) fn make(&self, progress: &Progress) -> anyhow::Result<Rebuilt> {
        progress
            .stage("rebuild", "of the lock and the downloads alone; one core, other folders, locale, time zone, umask");
        let first = self.first.disk.image.path.clone();
        let parent = first.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let out = Temporary::new_in(parent)?;
        let second = self.run(out.path()).context("building a second time")?;
        let started = Instant::now();
        let comparison = compare::compare(&first, &second)?;
        if comparison.same {
            progress.stage_timed("rebuilt", "the same bytes", started.elapsed());
            return Ok(Rebuilt { comparison, first, second });
        }
        let kept = first.with_extension("rebuilt.raw");
        fs::rename(&second, &kept).with_context(|| format!("keeping the second image as {}", kept.display()))?;
        Ok(Rebuilt { comparison, first, second: kept })
    }

    /// Builds into the folder `out` and answers where the image is.
    fn run(&self, out: &Path) -> anyhow::Result<PathBuf> {
        let work = self.cache.join("work");
        fs::create_dir_all(&work).with_context(|| format!("making the folder {}", work.display()))?;
        let apart = Temporary::new_in(&work)?;
        // No finished stage, but the downloads.
        let cache = apart.path().join("cache");
        let store = self.cache.join("store");
        fs::create_dir(&cache)
            .and_then(|()| symlink(fs::canonicalize(&store)?, cache.join("store")))
            .with_context(|| format!("making the folder {}", cache.display()))?;
        let mut command = self.command(&cache, out);
        if self.build.work.is_none() {
            // The first was made in memory where it fits; a file system on disk lists a folder in an order of its own.
            command.arg("--work").arg(apart.path().join("work"));
        }
        command.envs(ENVIRONMENT).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = spawn_elsewhere(&mut command)?;
        let mut answer = String::new();
        let read = child.stdout.take().map(|mut stdout| stdout.read_to_string(&mut answer));
        let status = child.wait()?;
        read.transpose()?;
        ensure!(status.success(), "firstlight build: {status}; its own words are above");
        let Some(path) = answer.lines().last() else { bail!("firstlight build named no image") };
        Ok(PathBuf::from(path))
    }

    /// This program, told to build the same once more.
    fn command(&self, cache: &Path, out: &Path) -> Command {
        let Build { recipe, base, archives, .. } = self.build;
        let mut command = Command::new("/proc/self/exe");
        command.arg("build").arg(recipe).arg("--locked").arg("--cache").arg(cache).arg("--out").arg(out);
        if let Some(base) = base {
            command.arg("--base").arg(base);
        }
        if let Some(file) = &archives.lock_file {
            command.arg("--lock-file").arg(file);
        }
        command.args(archives.mirror.iter().flat_map(|mirror| ["--mirror", mirror]));
        if archives.offline {
            command.arg("--offline");
        }
        command
    }
}

/// Starts `command` on one processor, with a file mode mask that leaves nothing to others, and on a host of another name.
/// Mask and processors of this process are as before when this returns.
fn spawn_elsewhere(command: &mut Command) -> anyhow::Result<std::process::Child> {
    let this = Pid::from_raw(0);
    let processors = sched_getaffinity(this).context("asking for the processors")?;
    let mut one = CpuSet::new();
    one.set((0..CpuSet::count()).find(|processor| processors.is_set(*processor).unwrap_or(false)).unwrap_or(0))?;
    unshare(CloneFlags::CLONE_NEWUTS).and_then(|()| sethostname("rebuilt")).context("taking another host name")?;
    sched_setaffinity(this, &one).context("taking one processor")?;
    let mask = umask(Mode::S_IRWXG | Mode::S_IRWXO);
    let child = command.spawn();
    umask(mask);
    sched_setaffinity(this, &processors).context("taking all processors again")?;
    child.context("starting firstlight")
}
