//! `firstlight schema`: the JSON Schema of what a user writes and reads, for editors and scripts.

use std::process::ExitCode;

use clap::{Args, ValueEnum};

use crate::recipe::{base::Base, schema::Recipe};

/// Print the JSON Schema of a file that Firstlight reads or writes
#[derive(Debug, Args)]
pub(super) struct Schema {
    /// Which file
    #[arg(value_enum)]
    of: Kind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Kind {
    /// An appliance
    Recipe,
    /// A distribution, in `bases/`
    Base,
    /// `site.toml`
    Site,
    /// What `firmware-checks report --json` prints
    Report,
}

impl Kind {
    /// The schema (JSON Schema 2020-12), generated from the types, with a line feed at its end.
    fn text(self) -> serde_json::Result<String> {
        let schema = match self {
            Self::Recipe => schemars::schema_for!(Recipe),
            Self::Base => schemars::schema_for!(Base),
            Self::Site => schemars::schema_for!(firmware_checks::site::Site),
            Self::Report => schemars::schema_for!(firmware_checks::report::Report),
        };
        Ok(serde_json::to_string_pretty(&schema)? + "\n")
    }
}

impl Schema {
    pub(super) fn run(&self) -> anyhow::Result<ExitCode> {
        print!("{}", self.of.text()?);
        Ok(ExitCode::SUCCESS)
    }
}
