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

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_copies_for_editors_are_those_of_the_types() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../recipes/schema");
        for kind in Kind::value_variants() {
            let name = kind.to_possible_value().unwrap().get_name().to_owned();
            let copy = std::fs::read_to_string(folder.join(format!("{name}.json"))).unwrap_or_default();
            let current = kind.text().unwrap();
            let make = format!("firstlight schema {name} > recipes/schema/{name}.json");
            assert!(copy == current, "recipes/schema/{name}.json is not current: {make}");
        }
    }

    #[test]
    fn an_editor_is_told_what_a_key_is_for_and_that_others_are_wrong() {
        let schema: serde_json::Value = serde_json::from_str(&Kind::Recipe.text().unwrap()).unwrap();
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        assert_eq!(schema["additionalProperties"], false);
        assert!(schema["properties"]["bases"]["description"].as_str().is_some_and(|text| text.contains("--base")));
    }
}
