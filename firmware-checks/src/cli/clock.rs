//! `firmware-checks clock`: an admin's word about the clock.

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::Timestamp;

use crate::cli::Outcome;
use crate::facts::{Machine, clock};

/// Say that the clock is right, where no time server can.
#[derive(Args)]
pub struct Clock {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    /// Trust the clock as it is now; every report shows it.
    Accept,
}

impl Clock {
    /// Does it.
    ///
    /// # Errors
    /// The word could not be kept.
    pub fn run(self) -> anyhow::Result<Outcome> {
        let Verb::Accept = self.verb;
        let accepted = clock::accept(&Machine::here(), Timestamp::now())
            .with_context(|| format!("writing {} (are you root?)", clock::ACCEPTED))?;
        println!("the clock is taken to be right at {}", accepted.at.strftime("%Y-%m-%d %H:%M:%SZ"));
        Ok(Outcome::Done)
    }
}
