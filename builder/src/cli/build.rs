//! `firstlight build`: turns a recipe into a disk image.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::{Archives, Common};
use crate::build::{self, Request};
use crate::lock::Workshop;
use crate::progress::Progress;
use crate::sandbox::userns;

/// Build a disk image from a recipe; the last line on standard output is the image's path
///
/// What the image is made of is what the lock says. Where there is none, it is made first, as `firstlight lock` does.
#[derive(Debug, Args)]
pub(super) struct Build {
    /// The recipe
    recipe: PathBuf,
    /// One of the bases that the recipe supports [default: its first]
    #[arg(long)]
    base: Option<String>,
    /// The folder for the image
    #[arg(long, value_name = "DIR", default_value = "out")]
    out: PathBuf,
    /// Build only from a lock that is there already
    #[arg(long)]
    locked: bool,
    #[command(flatten)]
    archives: Archives,
    /// Describe the image as JSON on standard output, on one line before the path
    #[arg(long)]
    json: bool,
}

impl Build {
    pub(super) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let cache = common.cache()?;
        userns::enter()?;
        let Self { recipe, base, out, locked, archives, json } = self;
        let context = || format!("building {}", recipe.display());
        let (store, mirrors) = (archives.store(&cache).with_context(context)?, archives.mirrors());
        let workshop = Workshop { mirrors: &mirrors, store: &store, cache: &cache, progress: &Progress::new() };
        let request = Request { recipe: recipe.clone(), base, out, lock_file: archives.lock_file, locked };
        let built = build::run(&request, &workshop).with_context(context)?;
        if json {
            println!("{}", serde_json::to_string(&built)?);
        }
        println!("{}", built.disk.image.path.display());
        Ok(ExitCode::SUCCESS)
    }
}
