//! `firstlight plan`: what a build would download, and how big it would get.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;

use super::{Archives, Common};
use crate::lock::{self, Workshop};
use crate::plan;
use crate::progress::Progress;
use crate::recipe;
use crate::sandbox::userns;

/// Say what a build would download and how big it would get
///
/// Takes the lock where there is one; else it asks the archive, downloads its indices, the tools and the recipe's own files, no
/// more, and writes no lock.
#[derive(Debug, Args)]
pub(super) struct Plan {
    /// The recipe
    recipe: PathBuf,
    /// One of the bases that the recipe supports [default: its first]
    #[arg(long)]
    base: Option<String>,
    #[command(flatten)]
    archives: Archives,
    /// Print the plan as JSON on standard output
    #[arg(long)]
    json: bool,
}

impl Plan {
    pub(super) fn run(&self, common: &Common) -> anyhow::Result<ExitCode> {
        let recipe = recipe::load(&self.recipe, self.base.as_deref())?;
        let cache = common.cache()?;
        userns::enter()?;
        let context = || format!("planning {}", self.recipe.display());
        let (store, mirrors) = (self.archives.store(&cache).with_context(context)?, self.archives.mirrors());
        let workshop = Workshop { mirrors: &mirrors, store: &store, cache: &cache, progress: &Progress::new() };
        let lock = match lock::read(&self.archives.lock_file(&recipe), &recipe).with_context(context)? {
            Some(lock) => lock,
            None => lock::make(&recipe, &workshop, Timestamp::now()).with_context(context)?,
        };
        let plan = plan::plan(&recipe, &lock, &store).with_context(context)?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&plan)?);
        } else {
            print!("{plan}");
        }
        Ok(ExitCode::SUCCESS)
    }
}
