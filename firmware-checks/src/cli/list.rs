//! `firmware-checks list`: the catalogue.

use std::io::{self, Write};

use clap::Args;
use serde::Serialize;

use crate::check::{Check, Phase};
use crate::checks;
use crate::cli::Outcome;

/// Every check with its title and what it verifies.
#[derive(Args)]
pub struct List {
    /// As JSON.
    #[arg(long)]
    json: bool,
}

/// One check of the catalogue, as `list --json` gives it.
#[derive(Serialize)]
struct Entry {
    id: &'static str,
    title: &'static str,
    phases: &'static [Phase],
    after: &'static [&'static str],
    documentation: &'static str,
}

impl From<&'static Check> for Entry {
    fn from(check: &'static Check) -> Self {
        let Check { id, title, phases, after, documentation, .. } = check;
        Self { id, title, phases, after, documentation }
    }
}

impl List {
    /// Prints the catalogue.
    ///
    /// # Errors
    /// Standard output could not be written.
    pub fn run(self) -> anyhow::Result<Outcome> {
        let entries: Vec<Entry> = checks::all().map(Entry::from).collect();
        let mut out = io::stdout().lock();
        if self.json {
            serde_json::to_writer_pretty(&mut out, &entries)?;
            writeln!(out)?;
            return Ok(Outcome::Done);
        }
        for entry in entries {
            writeln!(out, "{}  {}", entry.id, entry.title)?;
            for line in crate::report::wrap(entry.documentation, 76) {
                writeln!(out, "    {line}")?;
            }
        }
        Ok(Outcome::Done)
    }
}
