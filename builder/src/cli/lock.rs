//! `firstlight lock`: fixes what a recipe takes, to the byte.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;
use serde::Serialize;

use super::{Archives, Common};
use crate::artifact;
use crate::lock::{self, Diff, Workshop};
use crate::progress::Progress;
use crate::recipe::{self, Loaded};
use crate::sandbox::userns;

/// Fix the packages and files of a recipe, to the byte, in NAME.BASE.lock beside it; prints the lock's path
///
/// A lock that fits its recipe is left as it is unless --update is given.
#[derive(Debug, Args)]
pub(super) struct Lock {
    /// The recipe
    recipe: PathBuf,
    /// One of the bases that the recipe supports [default: its first]
    #[arg(long)]
    base: Option<String>,
    /// Every base that the recipe supports
    #[arg(long, conflicts_with_all = ["base", "lock_file"])]
    all: bool,
    /// Lock what the archive has now, although the lock fits
    #[arg(long)]
    update: bool,
    /// Say what locking anew would change, and write nothing
    #[arg(long)]
    diff: bool,
    #[command(flatten)]
    archives: Archives,
    /// Print what changes as JSON on standard output, a line for each base, in place of text
    #[arg(long)]
    json: bool,
}

/// What came of one base, for scripts.
#[derive(Serialize)]
struct Outcome<'a> {
    lock: &'a Path,
    base: &'a str,
    written: bool,
    #[serde(flatten)]
    diff: Diff,
}

impl Lock {
    pub(super) fn run(&self, common: &Common) -> anyhow::Result<ExitCode> {
        let recipes = match self.all {
            true => recipe::load_all(&self.recipe, None)?,
            false => vec![recipe::load(&self.recipe, self.base.as_deref())?],
        };
        let cache = common.cache()?;
        userns::enter()?;
        let context = || format!("locking {}", self.recipe.display());
        let (store, mirrors) = (self.archives.store(&cache).with_context(context)?, self.archives.mirrors());
        let progress = Progress::new();
        let workshop = Workshop { mirrors: &mirrors, store: &store, cache: &cache, progress: &progress };
        for recipe in &recipes {
            self.lock(recipe, &workshop).with_context(context)?;
        }
        Ok(ExitCode::SUCCESS)
    }

    fn lock(&self, recipe: &Loaded, workshop: &Workshop<'_>) -> anyhow::Result<()> {
        let path = self.archives.lock_file(recipe);
        let tell = |before: Option<&lock::Lock>, after: &lock::Lock, written: bool| {
            self.tell(&Outcome {
                lock: &path,
                base: &recipe.base.name,
                written,
                diff: lock::diff(recipe.base.family, before, after),
            })
        };
        let before = match lock::read(&path, recipe) {
            Ok(Some(lock)) if !self.update && !self.diff => {
                let text = format!("{} fits its recipe; --update takes what the archive has now", path.display());
                workshop.progress.stage("locked", text);
                return tell(Some(&lock), &lock, false);
            }
            Ok(before) => before,
            Err(error @ (lock::Error::Stale { .. } | lock::Error::Artifact(artifact::Error::Changed { .. }))) => {
                workshop.progress.warn(error);
                lock::peek(&path, recipe)
            }
            Err(error) => return Err(error.into()),
        };
        let after = lock::make(recipe, workshop, Timestamp::now())?;
        if !self.diff {
            lock::write(&path, recipe, &after)?;
            workshop.progress.stage("locked", lock::summary(recipe, &after));
        }
        tell(before.as_ref(), &after, !self.diff)
    }

    /// What changes, and where the lock lies. Of a lock that is the first, every package would be new.
    fn tell(&self, outcome: &Outcome<'_>) -> anyhow::Result<()> {
        if self.json {
            println!("{}", serde_json::to_string(outcome)?);
        } else if self.diff || (outcome.written && outcome.diff.from.is_some()) {
            print!("{}", outcome.diff);
        }
        if !self.diff && !self.json {
            println!("{}", outcome.lock.display());
        }
        Ok(())
    }
}
