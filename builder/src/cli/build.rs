//! `firstlight build`: turns a recipe into a disk image.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use serde::Serialize;

use super::rebuild::{Rebuilt, Second};
use super::{Archives, Common};
use crate::build::{self, Built, Converted, Request};
use crate::image::Format;
use crate::image::compare::Comparison;
use crate::lock::Workshop;
use crate::progress::Progress;
use crate::sandbox::userns;

/// Build a disk image from a recipe; the last line on standard output is the image's path (with `--format`, a line for each)
///
/// What the image is made of is what the lock says. Where there is none, it is made first, as `firstlight lock` does.
#[derive(Debug, Args)]
pub(super) struct Build {
    /// The recipe
    pub(super) recipe: PathBuf,
    /// One of the bases that the recipe supports [default: its first]
    #[arg(long)]
    pub(super) base: Option<String>,
    /// The folder for the image
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// Build only from a lock that is there already
    #[arg(long)]
    locked: bool,
    #[command(flatten)]
    pub(super) archives: Archives,
    /// The folder for unfinished work [default: in memory where it fits, else in the cache]
    #[arg(long, value_name = "DIR")]
    pub(super) work: Option<PathBuf>,
    /// Build a second time, of nothing but the lock and the downloads and in other circumstances, and compare: on a
    /// difference both images are kept and the exit status is 2
    #[arg(long)]
    rebuild_check: bool,
    /// Another format, beside the raw image, to convert it to; may be given several times
    #[arg(long = "format", value_enum, value_name = "FORMAT")]
    formats: Vec<Format>,
    /// Describe what was made as JSON on standard output, on one line before the path
    #[arg(long)]
    json: bool,
}

/// What is printed for scripts.
#[derive(Serialize)]
struct Outcome<'a> {
    #[serde(flatten)]
    built: &'a Built,
    /// In the order in which they were asked for.
    #[serde(skip_serializing_if = "<[Converted]>::is_empty")]
    converted: &'a [Converted],
    #[serde(skip_serializing_if = "Option::is_none")]
    rebuilt: Option<&'a Comparison>,
}

impl Build {
    pub(super) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let cache = common.cache()?;
        userns::enter()?;
        let context = || format!("building {}", self.recipe.display());
        let (store, mirrors) = (self.archives.store(&cache).with_context(context)?, self.archives.mirrors());
        let progress = Progress::new();
        let workshop = Workshop { mirrors: &mirrors, store: &store, cache: &cache, progress: &progress };
        let built = build::run(&self.request(), &workshop).with_context(context)?;
        let rebuilt = match self.rebuild_check {
            true => Some(Second { build: &self, cache: &cache, first: &built }.make(&progress).with_context(context)?),
            false => None,
        };
        // What may not be the image is not handed out in other formats.
        let same = rebuilt.as_ref().is_none_or(|rebuilt| rebuilt.comparison.same);
        let formats = if same { self.formats.as_slice() } else { &[] };
        let convert = |format: &Format| build::convert(&built.disk.image, *format, &cache, &progress);
        let converted: Vec<Converted> = formats.iter().map(convert).collect::<Result<_, _>>().with_context(context)?;
        if self.json {
            let rebuilt = rebuilt.as_ref().map(|rebuilt| &rebuilt.comparison);
            println!("{}", serde_json::to_string(&Outcome { built: &built, converted: &converted, rebuilt })?);
        }
        if let Some(different) = rebuilt.and_then(Rebuilt::different) {
            return Err(different).with_context(context);
        }
        println!("{}", built.disk.image.path.display());
        converted.iter().for_each(|one| println!("{}", one.image.path.display()));
        Ok(ExitCode::SUCCESS)
    }

    fn request(&self) -> Request {
        Request {
            recipe: self.recipe.clone(),
            base: self.base.clone(),
            out: self.out.clone(),
            lock_file: self.archives.lock_file.clone(),
            locked: self.locked,
            work: self.work.clone(),
        }
    }
}
