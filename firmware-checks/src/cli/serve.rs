//! `firmware-checks serve`: the service.

use clap::Args;

use crate::cli::Outcome;
use crate::gate::Service;

/// Run as the service that keeps the gate (started at boot).
#[derive(Args)]
pub struct Serve {}

impl Serve {
    /// Keeps the gate until the process is ended.
    ///
    /// # Errors
    /// The service could not start, or not wait.
    pub fn run(self) -> anyhow::Result<Outcome> {
        Service::start()?.run()?;
        Ok(Outcome::Done)
    }
}
