//! `firmware-checks report`: what the service found last.

use std::io::{self, IsTerminal, Write};

use anyhow::Context;
use clap::{Args, ValueEnum};

use crate::check::State;
use crate::cli::{Outcome, Wrong};
use crate::facts::Machine;
use crate::gate::REPORT;
use crate::report::{self, View};

/// Show what the checks found last.
#[derive(Args)]
pub struct Report {
    /// As JSON; the same as `--format json`.
    #[arg(long)]
    json: bool,
    /// How to show it.
    #[arg(long, value_enum, default_value_t, conflicts_with = "json")]
    format: Format,
    /// Print the JSON Schema of the report instead.
    #[arg(long, exclusive = true)]
    schema: bool,
}

/// How to show a report.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For a person.
    #[default]
    Text,
    /// For programs; see `--schema`.
    Json,
    /// JUnit XML.
    Junit,
    /// Prometheus text.
    Prometheus,
}

impl Report {
    /// Prints the newest report.
    ///
    /// # Errors
    /// There is none, or it could not be read.
    pub fn run(self) -> anyhow::Result<Outcome> {
        if self.schema {
            let schema = schemars::schema_for!(report::Report);
            writeln!(io::stdout().lock(), "{}", serde_json::to_string_pretty(&schema)?)?;
            return Ok(Outcome::Done);
        }
        let path = Machine::here().path(REPORT);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => anyhow::bail!(
                "there is no report yet ({} is missing)\nhint: firmware-checks watch, or sudo firmware-checks run",
                path.display()
            ),
            Err(error) => return Err(error).with_context(|| format!("reading {}", path.display())),
        };
        let report = serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))?;
        print(&report, if self.json { Format::Json } else { self.format })
    }
}

/// Prints `report`; the outcome is what it says of the machine.
///
/// # Errors
/// Standard output could not be written.
pub fn print(report: &report::Report, format: Format) -> anyhow::Result<Outcome> {
    let text = match format {
        Format::Text => report::text(report, View { ascii: ascii(), rows: None }),
        Format::Json => serde_json::to_string_pretty(report)? + "\n",
        Format::Junit => report::junit(report),
        Format::Prometheus => report::prometheus(report),
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(|error| Wrong(error.to_string()))?;
    Ok(outcome(report))
}

/// Ready, not ready; or, where nothing failed but something could not be checked, that it could not be told.
#[must_use]
pub fn outcome(report: &report::Report) -> Outcome {
    let in_the_way = || report.checks.iter().filter(|verdict| verdict.in_the_way() && verdict.state != State::Waiting);
    match report.ready {
        true => Outcome::Done,
        false if in_the_way().next().is_some() && in_the_way().all(|verdict| verdict.state == State::Unknown) => {
            Outcome::CouldNotTell
        }
        false => Outcome::NotReady,
    }
}

/// Whether to keep to ASCII: on a terminal whose locale (POSIX.1-2017 §8.2) is not UTF-8, and on the Linux console's and
/// serial lines' plain types. A file or pipe gets UTF-8.
#[must_use]
pub fn ascii() -> bool {
    let set = |name| std::env::var(name).ok().filter(|value| !value.is_empty());
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
    io::stdout().is_terminal() && !locale.to_lowercase().replace('-', "").contains("utf8")
}
