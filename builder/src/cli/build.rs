//! `firstlight build`: turns a recipe into a disk image.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use clap::Args;

use super::Common;
use crate::build::{self, Request};
use crate::progress::Progress;
use crate::sandbox::userns;

/// Build a disk image from a recipe; the last line on standard output is the image's path
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
    /// A mirror to ask before all others; may be given several times
    #[arg(long, value_name = "URL")]
    mirror: Vec<String>,
    /// Describe the image as JSON on standard output, on one line before the path
    #[arg(long)]
    json: bool,
}

impl Build {
    pub(super) fn run(self, common: &Common) -> anyhow::Result<ExitCode> {
        let cache = common.cache()?;
        userns::enter()?;
        let Self { recipe, base, out, mirror, json } = self;
        let context = format!("building {}", recipe.display());
        let request = Request { recipe, base, out, mirrors: mirror, cache };
        let built = build::run(&request, &Progress::new()).context(context)?;
        if json {
            println!("{}", serde_json::to_string(&built)?);
        }
        println!("{}", built.disk.image.path.display());
        Ok(ExitCode::SUCCESS)
    }
}
