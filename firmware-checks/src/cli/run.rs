//! `firmware-checks run`: run the checks now.

use std::path::Path;

use anyhow::Context;
use clap::Args;

use crate::appliance::Appliance;
use crate::cli::Outcome;
use crate::cli::report::{Format, print};
use crate::facts::Machine;
use crate::gate;

/// Run the checks now, and open the gate if they pass.
#[derive(Args)]
pub struct Run {
    /// The report as JSON.
    #[arg(long)]
    json: bool,
}

impl Run {
    /// Has the service run the checks, or runs them here where no service does; then nothing is opened.
    ///
    /// # Errors
    /// The service could not be reached or did not answer; there is no appliance to judge for.
    pub fn run(self) -> anyhow::Result<Outcome> {
        let asked = gate::ask(Path::new(gate::SOCKET))
            .with_context(|| format!("asking the service behind {} (try: sudo firmware-checks run)", gate::SOCKET))?;
        let report = match asked {
            Some(report) => report,
            None => {
                eprintln!("note: firmware-checks.service does not run: judging here; the gate stays as it is");
                let machine = Machine::here();
                let appliance = Appliance::load(machine.root()).context("judging this machine")?;
                gate::on_board(&appliance, &machine)
            }
        };
        print(&report, if self.json { Format::Json } else { Format::Text })
    }
}
