//! `firstlight base`: what a base says, tried against the distribution's own servers.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Context;
use clap::{Args, Subcommand};
use firmware_checks::document::{listed, nearest};
use jiff::Timestamp;

use super::{BadInput, Common};
use crate::archive::{Mirrors, Trust};
use crate::artifact::Files;
use crate::base_check::{self, Subject};
use crate::lock::Workshop;
use crate::progress::Progress;
use crate::recipe::{self, share::Share};
use crate::sandbox::userns;
use crate::store::{Network, Store};

/// Try what a base says
#[derive(Debug, Args)]
pub(super) struct Base {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Try a base against its real mirrors: certificates, suites, snapshots, packages, tools and boot files
    ///
    /// Exit status: 0 all is as the base says; 1 something is not; 2 something could not be told.
    Check {
        /// The base, such as `debian-13`, or its file
        base: String,
        /// A mirror to try in place of the base's own; may be given several times
        #[arg(long, value_name = "URL")]
        mirror: Vec<String>,
        /// Print the outcome as JSON on standard output
        #[arg(long)]
        json: bool,
    },
}

impl Base {
    pub(super) fn run(&self, common: &Common) -> anyhow::Result<ExitCode> {
        let Action::Check { base, mirror, json } = &self.action;
        let path = find(base)?;
        let read = recipe::read_base(&path)?;
        let cache = common.cache()?;
        userns::enter()?;
        let context = || format!("trying {}", path.display());
        let store = Store::with_network(&cache, Network::default()).with_context(context)?;
        let (mirrors, progress) = (Mirrors::new(mirror, Path::new("/etc/apt")), Progress::new());
        let workshop = Workshop { mirrors: &mirrors, store: &store, cache: &cache, progress: &progress };
        let (read, published, lines) = base_check::published(read, &workshop, Timestamp::now());
        let files = Files::of(Path::new(""), &published, &store);
        let trust = Trust::read(&read, &path, &files).map_err(|error| BadInput(error.to_string()))?;
        let subject = Subject { base: &read, trust: &trust, workshop: &workshop, now: Timestamp::now() };
        let mut outcome = base_check::run(&subject).with_context(context)?;
        outcome.lines.splice(..0, lines);
        match json {
            true => println!("{}", serde_json::to_string_pretty(&outcome)?),
            false => print!("{outcome}"),
        }
        Ok(ExitCode::from(outcome.status()))
    }
}

/// The file of the base that the user names: itself, or one of those that recipes find.
fn find(name: &str) -> Result<PathBuf, BadInput> {
    if name.contains('/') || Path::new(name).extension().is_some_and(|extension| extension == "toml") {
        return Ok(PathBuf::from(name));
    }
    let share = Share::of(Path::new("."));
    share.base(name).ok_or_else(|| {
        let names = share.base_names();
        let names = || names.iter().map(String::as_str);
        let near = nearest(name, names()).map(|near| format!("\n  hint: did you mean `{near}`?")).unwrap_or_default();
        BadInput(format!("there is no base `{name}`: expected {}{near}", listed(names(), "or")))
    })
}
