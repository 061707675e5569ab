//! `firmware-checks firewall`: loads and shows the appliance's rules.

use std::path::Path;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::Outcome;
use crate::appliance::Appliance;
use crate::firewall;
use crate::site;

/// Load or show the appliance's firewall rules.
#[derive(Args)]
pub struct Firewall {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Load the rules that the recipe's ports stand for, in place of those that are loaded.
    Apply,
    /// Show the appliance's table as it is loaded.
    Show,
}

impl Firewall {
    /// Does what was asked.
    ///
    /// # Errors
    /// The image's description can't be read, or `nft` can't do it.
    pub fn run(self) -> anyhow::Result<Outcome> {
        match self.action {
            Action::Apply => {
                let appliance = Appliance::load(Path::new("/"))?;
                // What the site says of other machines is in effect before the first of them could call.
                let site = site::status(Path::new("/")).site;
                let appliance = firewall::cluster::extended(&appliance, site.as_ref());
                firewall::apply(&appliance).context("loading the firewall rules")?;
            }
            Action::Show => {
                let table = firewall::show().context(
                    "showing the firewall rules (where there are none yet, `firmware-checks firewall apply` loads them)",
                )?;
                print!("{table}");
            }
        }
        Ok(Outcome::Done)
    }
}
