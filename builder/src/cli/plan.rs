//! `firstlight plan`: what a build would download, and how big it would get.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;

use super::Common;
use crate::archive::deb::Mirrors;
use crate::progress::Progress;
use crate::recipe;
use crate::resolve::resolve;
use crate::sandbox::userns;
use crate::store::Store;

/// Say what a build would download and how big it would get; downloads the archive's indices and the tools, no more
#[derive(Debug, Args)]
pub(super) struct Plan {
    /// The recipe
    recipe: PathBuf,
    /// One of the bases that the recipe supports [default: its first]
    #[arg(long)]
    base: Option<String>,
    /// A mirror to ask before all others; may be given several times
    #[arg(long, value_name = "URL")]
    mirror: Vec<String>,
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
        let store = Store::open(&cache).with_context(context)?;
        let mirrors = Mirrors::new(&self.mirror, Path::new("/etc/apt"));
        let resolved = resolve(&recipe, &mirrors, &store, &cache, &Progress::new(), Timestamp::now());
        let plan = crate::plan::plan(&recipe, &resolved.with_context(context)?, &store).with_context(context)?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&plan)?);
        } else {
            print!("{plan}");
        }
        Ok(ExitCode::SUCCESS)
    }
}
