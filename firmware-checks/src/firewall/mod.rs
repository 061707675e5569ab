//! The appliance's firewall: one nftables table of its own, written from the recipe's ports, default deny.
//!
//! [`ruleset`] says what the ports stand for and [`apply`] loads it, before the network is up and again whenever the
//! machine's addresses change. Whether it holds is told in three ways: [`compare`] reads the table back and sets it
//! beside the one that should be there; [`loaded`] and [`evaluate`] read every table of the machine and answer what
//! would become of a packet, and [`exposure`] asks that for every packet that could make a difference; and [`probe`]
//! sends packets from a network namespace of its own and sees which of them come through.

pub mod cluster;
pub mod compare;
mod condition;
pub mod evaluate;
pub mod exposure;
mod frame;
pub mod loaded;
pub(crate) mod namespace;
pub mod network;
pub mod probe;
pub mod ruleset;
mod tool;

#[cfg(test)]
pub(crate) mod samples;

use std::io;
use std::process::ExitStatus;

use crate::appliance::Appliance;
use crate::requirements::NotASource;
use tool::Program;

/// The firewall could not be written, read or tried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A program is not there or could not be run.
    #[error("running `{program}`: {source}")]
    Start {
        /// The program.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// A program did not succeed.
    #[error("`{doing}` ended with {status}: {said}")]
    Failed {
        /// The program and its arguments.
        doing: String,
        /// How it ended.
        status: ExitStatus,
        /// The last KiB of its standard error.
        said: String,
    },
    /// What `nft -j` printed could not be read.
    #[error("reading what `nft -j` printed: {0}")]
    Unreadable(#[from] serde_json::Error),
    /// A port of the recipe names a source that is none.
    #[error(transparent)]
    Source(#[from] NotASource),
    /// The kernel refused.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// Why it did not come about.
        source: nix::Error,
    },
    /// The sockets of the machine could not be read.
    #[error("reading which ports are listened on: {source}")]
    Sockets {
        /// Why.
        source: io::Error,
    },
    /// Something that must not take long did.
    #[error("{doing} took longer than {seconds} s")]
    Late {
        /// What was being done.
        doing: &'static str,
        /// How long it was waited for.
        seconds: u64,
    },
}

impl Error {
    fn system(doing: &'static str) -> impl FnOnce(nix::Error) -> Self {
        move |source| Self::System { doing, source }
    }
}

/// The text of the rule set that this machine must have now, its own networks filled in.
///
/// # Errors
/// A source of the recipe's that is none; the machine's addresses could not be read.
pub fn wanted(appliance: &Appliance) -> Result<String, Error> {
    let local = network::local().map_err(Error::system("reading the machine's addresses"))?;
    Ok(ruleset::text(appliance, &local)?)
}

/// Loads the appliance's rule set in one transaction: either all of it is there afterwards or nothing has changed.
/// To be called again when the machine's addresses change, since `local` stands for the networks they are in.
///
/// # Errors
/// Those of [`wanted`]; `nft` is not there or refused the rules.
pub fn apply(appliance: &Appliance) -> Result<(), Error> {
    load(&wanted(appliance)?)
}

/// Fills the networks that `local` stands for in again, where the machine's addresses have changed since; gives
/// whether they had. A table that is not there, or whose rules somebody has changed, stays as it is: that is for
/// `firewall.ingress` to tell.
///
/// # Errors
/// The machine's addresses or the rules could not be read; `nft` refused the change.
pub fn refresh() -> Result<bool, Error> {
    let rules = loaded::Ruleset::read()?;
    let local = network::local().map_err(Error::system("reading the machine's addresses"))?;
    if !rules.has(ruleset::FAMILY, ruleset::TABLE) || ruleset::holds(&rules, &local) {
        return Ok(false);
    }
    load(&ruleset::update(&local)).map(|()| true)
}

/// The appliance's table as it is loaded, in nftables' own notation.
///
/// # Errors
/// `nft` is not there, or there is no such table.
pub fn show() -> Result<String, Error> {
    let printed = Program::Nft.run(&["list", "table", ruleset::FAMILY, ruleset::TABLE], "")?;
    Ok(String::from_utf8_lossy(&printed).into_owned())
}

/// Hands `text` to `nft` as one transaction.
fn load(text: &str) -> Result<(), Error> {
    Program::Nft.run(&["-f", "-"], text).map(drop)
}
