//! `firmware-checks console`: the live view at boot.

use std::time::Duration;

use anyhow::Context;
use clap::Args;

use crate::cli::Outcome;
use crate::console;
use crate::facts::Machine;

/// Show the live view on every console until the first verdict (started at boot, before the logins).
#[derive(Args)]
pub struct Console {
    /// Seconds after which the consoles are given to the logins in any case.
    #[arg(long, default_value_t = 90)]
    limit: u64,
}

impl Console {
    /// Owns the consoles for a while.
    ///
    /// # Errors
    /// The marks in `/run` could not be written.
    pub fn run(self) -> anyhow::Result<Outcome> {
        console::show(&Machine::here(), Duration::from_secs(self.limit))
            .context("showing the checks on the consoles")?;
        Ok(Outcome::Done)
    }
}
