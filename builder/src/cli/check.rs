//! `firstlight check`: whether a recipe can be built, as far as can be told without root, network or building.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Args;
use serde::Serialize;

use crate::build::overlays;
use crate::recipe::{self, Error, Loaded};
use firmware_checks::document::{Diagnostics, listed};

/// Validate a recipe without building it: needs neither root nor network
#[derive(Debug, Args)]
pub(super) struct Check {
    /// The recipe
    recipe: PathBuf,
    /// Only for this base, not for each that the recipe supports
    #[arg(long)]
    base: Option<String>,
    /// Print the outcome as JSON on standard output
    #[arg(long)]
    json: bool,
}

/// The outcome for scripts.
#[derive(Serialize)]
struct Outcome<'a> {
    valid: bool,
    bases: Vec<&'a str>,
    errors: &'a Diagnostics,
}

impl Check {
    /// The recipe on its bases, with every template filled in.
    fn load(&self) -> Result<Vec<Loaded>, Error> {
        let loaded = recipe::load_all(&self.recipe, self.base.as_deref())?;
        loaded.iter().try_for_each(|one| overlays::load(one).map(drop))?;
        Ok(loaded)
    }

    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        match self.load() {
            Ok(loaded) => {
                let bases: Vec<&str> = loaded.iter().map(|one| one.base.name.as_str()).collect();
                if self.json {
                    print(&Outcome { valid: true, bases, errors: &Diagnostics(Vec::new()) })?;
                } else {
                    println!("{}: valid for {}", self.recipe.display(), listed(bases, "and"));
                }
                Ok(ExitCode::SUCCESS)
            }
            Err(Error::Invalid(errors)) if self.json => {
                print(&Outcome { valid: false, bases: Vec::new(), errors: &errors })?;
                Ok(ExitCode::from(1))
            }
            Err(error) => Err(error.into()),
        }
    }
}

fn print(outcome: &Outcome<'_>) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(outcome)?);
    Ok(())
}
