//! `firmware-checks watch`: the live view on this terminal.

use anyhow::Context;
use clap::Args;

use crate::cli::Outcome;
use crate::cli::report::ascii;
use crate::console;
use crate::facts::Machine;

/// Show the live view on this terminal until a key is pressed.
#[derive(Args)]
pub struct Watch {}

impl Watch {
    /// Shows the report, anew with each change.
    ///
    /// # Errors
    /// There is no terminal.
    pub fn run(self) -> anyhow::Result<Outcome> {
        console::watch(&Machine::here(), ascii()).context("showing the report on this terminal")?;
        Ok(Outcome::Done)
    }
}
