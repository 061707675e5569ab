//! The command line: one file per verb.
//!
//! Libraries say what went wrong; a verb adds what it was about. An error is told on standard error as one chain, and
//! its category is the exit status: 1 where the user's input is not right, 2 where it is not theirs to mend.

mod base;
mod boot;
mod build;
mod cache;
mod check;
mod convert;
mod lock;
mod plan;
mod rebuild;
mod schema;
mod site;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::archive::Mirrors;
use crate::disk::layout;
use crate::neighbours;
use crate::recipe::{self, Loaded};
use crate::store::{self, Network, Store};

/// Builds bootable appliance images from one recipe.
///
/// Exit status: 0 done or ready; 1 the input, or the machine that was tried, is not right; 2 it could not be told, or
/// an internal error.
#[derive(Debug, Parser)]
#[command(name = "firstlight", version, propagate_version = true)]
pub struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    verb: Verb,
}

/// What every verb may be told.
#[derive(Clone, Debug, clap::Args)]
pub struct Common {
    /// The folder that keeps downloads (`store/`) and finished stages (`stages/`); deleting either is always safe
    /// [environment: `FIRSTLIGHT_CACHE`] [default: `~/.cache/firstlight`]
    #[arg(long, global = true, value_name = "DIR")]
    cache: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Base(base::Base),
    Boot(boot::Boot),
    Build(build::Build),
    Cache(cache::Cache),
    Check(check::Check),
    Convert(convert::Convert),
    Lock(lock::Lock),
    Plan(plan::Plan),
    Schema(schema::Schema),
    Site(site::Site),
}

/// Which lock a verb works with, and by whom what it names is delivered.
#[derive(Clone, Debug, clap::Args)]
struct Archives {
    /// The lock [default: NAME.BASE.lock beside the recipe NAME.toml]
    #[arg(long, value_name = "FILE")]
    lock_file: Option<PathBuf>,
    /// A mirror to ask before all others; may be given several times
    #[arg(long, value_name = "URL")]
    mirror: Vec<String>,
    /// Use no network: everything must be in the store already
    #[arg(long)]
    offline: bool,
}

impl Archives {
    fn store(&self, cache: &Path) -> Result<Store, store::Error> {
        Store::with_network(cache, Network { offline: self.offline, ..Network::default() })
    }

    fn mirrors(&self) -> Mirrors {
        Mirrors::new(&self.mirror, Path::new("/etc/apt"))
    }

    fn lock_file(&self, recipe: &Loaded) -> PathBuf {
        self.lock_file.clone().unwrap_or_else(|| crate::lock::path(recipe))
    }
}

/// What the user gave can't be used, in words for the user: exit status 1.
///
/// For what a verb finds out by itself; errors of [`crate::recipe`] are of this category of their own accord.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct BadInput(pub String);

/// Runs the command line `arguments` (the program's name first) and tells its errors.
pub fn main(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    let cli = match Cli::try_parse_from(arguments) {
        Ok(cli) => cli,
        Err(answer) => {
            // `--help` and `--version` are answers, too; clap's own status for a wrong word is 2, ours 1.
            let status = if answer.use_stderr() { ExitCode::from(1) } else { ExitCode::SUCCESS };
            return answer.print().map_or(ExitCode::from(2), |()| status);
        }
    };
    cli.run().unwrap_or_else(|error| {
        tell(&error);
        ExitCode::from(status(&error))
    })
}

impl Cli {
    fn run(self) -> anyhow::Result<ExitCode> {
        match self.verb {
            Verb::Base(verb) => verb.run(&self.common),
            Verb::Boot(verb) => verb.run(),
            Verb::Build(verb) => verb.run(&self.common),
            Verb::Cache(verb) => verb.run(&self.common),
            Verb::Check(verb) => verb.run(),
            Verb::Convert(verb) => verb.run(),
            Verb::Lock(verb) => verb.run(&self.common),
            Verb::Plan(verb) => verb.run(&self.common),
            Verb::Schema(verb) => verb.run(),
            Verb::Site(verb) => verb.run(),
        }
    }
}

/// The exit status that stands for `error`: 1 where anything in its chain is the user's input, else 2.
fn status(error: &anyhow::Error) -> u8 {
    let theirs = |cause: &(dyn std::error::Error + 'static)| {
        use crate::archive::Error::{UnknownPackage, Unmet, Unsatisfiable, Virtual};
        cause.is::<BadInput>()
            || cause.is::<recipe::Error>()
            || cause.is::<layout::Error>()
            || cause.is::<neighbours::Error>()
            || cause.downcast_ref().is_some_and(crate::lock::Error::is_input)
            || matches!(
                cause.downcast_ref(),
                Some(UnknownPackage { .. } | Unmet { .. } | Unsatisfiable { .. } | Virtual { .. })
            )
    };
    if error.chain().any(theirs) { 1 } else { 2 }
}

/// Writes `error` to standard error: its chain on one line, or, of what is wrong in a file, each thing at its place.
fn tell(error: &anyhow::Error) {
    match error.chain().find_map(|cause| cause.downcast_ref::<recipe::Error>()) {
        Some(recipe::Error::Invalid(diagnostics)) => {
            let told: Vec<String> = diagnostics.0.iter().map(|one| format!("error: {one}")).collect();
            eprintln!("{}", told.join("\n\n"));
        }
        _ => eprintln!("error: {}", chain(error)),
    }
}

/// The messages of `error` and its causes; what a message already tells of its cause is not told again.
fn chain(error: &anyhow::Error) -> String {
    error.chain().map(ToString::to_string).fold(String::new(), |told, cause| match told.as_str() {
        "" => cause,
        _ if told.contains(&cause) => told,
        _ => format!("{told}: {cause}"),
    })
}

impl Common {
    /// The user's own cache in the cache folder, which is `--cache`, else `FIRSTLIGHT_CACHE`, else in the user's home (XDG
    /// Base Directory Specification). Must be asked before a user namespace is entered.
    ///
    /// # Errors
    /// [`BadInput`] where none of them is set and there is no home folder; [`neighbours::Error`].
    pub fn cache(&self) -> anyhow::Result<PathBuf> {
        let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let folder = self
            .cache
            .clone()
            .or_else(|| set("FIRSTLIGHT_CACHE"))
            .or_else(|| set("XDG_CACHE_HOME").map(|folder| folder.join("firstlight")))
            .or_else(|| set("HOME").map(|folder| folder.join(".cache/firstlight")))
            .ok_or_else(|| {
                BadInput("no folder for the cache: neither --cache nor FIRSTLIGHT_CACHE nor HOME is set".into())
            })?;
        Ok(neighbours::own(&folder)?)
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_well_formed() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_wrong_word_is_the_users_error() {
        let arguments = ["firstlight", "brew"].map(OsString::from);
        assert_eq!(format!("{:?}", main(arguments)), format!("{:?}", ExitCode::from(1)));
    }

    #[test]
    fn an_error_is_the_users_only_where_its_chain_says_so() {
        let theirs = anyhow::Error::from(BadInput("no such base".into())).context("building");
        let ours = anyhow::anyhow!("the disk is on fire").context("building");
        assert_eq!((status(&theirs), status(&ours)), (1, 2));
    }

    #[test]
    fn a_cause_is_told_once() {
        let cause = std::io::Error::other("no room");
        let error = anyhow::Error::from(cause).context("writing x: no room\n  hint: make room").context("building");
        assert_eq!(chain(&error), "building: writing x: no room\n  hint: make room");
        assert_eq!(chain(&anyhow::anyhow!("b").context("a")), "a: b");
    }
}
