//! `firstlight site`: site configurations, begun, judged and put into an image.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use firmware_checks::check::State;
use firmware_checks::document::Error;
use firmware_checks::report::Verdict;
use firmware_checks::site::CONFIGURATION;
use serde::Serialize;

use super::BadInput;
use crate::recipe::{self, Loaded};
use crate::site::{judge, outcome, put, template};

/// Begin, judge or hand over the configuration of one site
#[derive(Debug, Args)]
pub(super) struct Site {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Write a commented site.toml for an appliance
    New {
        /// The recipe
        recipe: PathBuf,
        /// The folder for it; made where it is missing
        folder: PathBuf,
    },
    /// Judge a site configuration as the machine will, by the same checks
    Check {
        /// The folder with site.toml and the certificates
        folder: PathBuf,
        /// The recipe of the appliance that it is for
        recipe: Option<PathBuf>,
        /// Print the outcome as JSON on standard output
        #[arg(long)]
        json: bool,
    },
    /// Put a site configuration into the SITE partition of a raw image
    Put {
        /// The image
        image: PathBuf,
        /// The folder with site.toml and the certificates
        folder: PathBuf,
    },
}

/// The outcome of `check` for scripts.
#[derive(Serialize)]
struct Outcome<'a> {
    valid: bool,
    errors: Vec<String>,
    checks: &'a [Verdict],
}

impl Site {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        match &self.action {
            Action::New { recipe, folder } => new(recipe, folder),
            Action::Check { folder, recipe, json } => check(folder, recipe.as_deref(), *json),
            Action::Put { image, folder } => put_into(image, folder),
        }
    }
}

fn new(recipe: &Path, folder: &Path) -> anyhow::Result<ExitCode> {
    let loaded = recipe::load(recipe, None)?;
    std::fs::create_dir_all(folder).with_context(|| format!("making the folder {}", folder.display()))?;
    let path = folder.join(CONFIGURATION);
    let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
            return Err(BadInput(format!("{} is there already; it was left as it is", path.display())).into());
        }
        opened => opened.with_context(|| format!("making {}", path.display()))?,
    };
    file.write_all(template(&loaded.recipe).as_bytes()).with_context(|| format!("writing {}", path.display()))?;
    println!("{}", path.display());
    Ok(ExitCode::SUCCESS)
}

fn check(folder: &Path, recipe: Option<&Path>, json: bool) -> anyhow::Result<ExitCode> {
    let loaded: Option<Loaded> = recipe.map(|recipe| recipe::load(recipe, None)).transpose()?;
    let verdicts = match judge(folder, loaded.as_ref().map(|loaded| &loaded.recipe)) {
        Err(error) if json => {
            let errors = match error {
                firmware_checks::site::Error::Document(Error::Invalid(all)) => {
                    all.0.iter().map(ToString::to_string).collect()
                }
                other => vec![format!("{:#}", wrong(other))],
            };
            print_json(&Outcome { valid: false, errors, checks: &[] })?;
            return Ok(ExitCode::from(1));
        }
        judged => judged.map_err(wrong)?,
    };
    let status = outcome(&verdicts);
    if json {
        print_json(&Outcome { valid: status == 0, errors: Vec::new(), checks: &verdicts })?;
    } else {
        println!("{}: valid", folder.join(CONFIGURATION).display());
        verdicts.iter().for_each(|verdict| println!("{}", shown(verdict)));
    }
    Ok(ExitCode::from(status))
}

fn print_json(outcome: &Outcome<'_>) -> anyhow::Result<()> {
    println!("{}", serde_json::to_string_pretty(outcome)?);
    Ok(())
}

/// One verdict in the manner of the machine's console.
fn shown(verdict: &Verdict) -> String {
    let state = match verdict.state {
        State::Pass => "ok",
        State::Warn => "WARN",
        State::Fail => "FAIL",
        State::Waiting => "WAIT",
        State::NotApplicable => "-",
        State::Unknown => "????",
    };
    let subject = verdict.subject.as_ref().map(|subject| format!(" {subject}:")).unwrap_or_default();
    let mut text = format!("{state:<5} {:<16}{subject} {}", verdict.id, verdict.observed);
    if let Some(remedy) = &verdict.remedy {
        text += &format!("\n      required        {}\n      do              {remedy}", verdict.required);
    }
    text
}

/// What stands in `site.toml` is the user's to mend, and told at its place.
fn wrong(error: firmware_checks::site::Error) -> anyhow::Error {
    match error {
        firmware_checks::site::Error::Document(error) => error.into(),
        other => BadInput(other.to_string()).into(),
    }
}

fn put_into(image: &Path, folder: &Path) -> anyhow::Result<ExitCode> {
    // Which appliance the image is, and so how strict it is with certificates, is not known here: that only warns.
    for verdict in judge(folder, None).map_err(wrong)?.iter().filter(|verdict| !verdict.state.lets_open()) {
        eprintln!("warning: {}", shown(verdict));
    }
    put(image, folder).map_err(|error| match error {
        crate::site::Error::Site(error) => wrong(error),
        error @ (crate::site::Error::NotAnImage { .. } | crate::site::Error::Fat { .. }) => {
            BadInput(error.to_string()).into()
        }
        error => error.into(),
    })?;
    println!("{}", image.display());
    Ok(ExitCode::SUCCESS)
}
