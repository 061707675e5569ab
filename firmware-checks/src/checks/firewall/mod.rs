//! `firewall.ingress`: the loaded rules let in what the recipe names, from where it names, and nothing else.

mod judge;
mod others;
mod packets;
#[cfg(test)]
mod tests;

use std::io;

use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::facts::Machine;
use crate::facts::sockets::{Bound, bound};
use crate::firewall::compare::{Difference, difference};
use crate::firewall::exposure::{Exposure, Opening};
use crate::firewall::loaded::Ruleset;
use crate::firewall::{self, Error, probe};
use crate::requirements::Protocol;
use packets::Tried;

/// The checks of this file.
pub const CHECKS: &[Check] = &[Check {
    id: "firewall.ingress",
    title: "The firewall lets in what the recipe names, and nothing else",
    phases: &[Phase::Admission, Phase::Acceptance],
    after: &[],
    documentation: "\
Reads every loaded rule (`nft -j list ruleset`) and answers from them, for each port and source that they or the recipe \
tell apart and for each of the machine's interfaces, whether a packet would be let in; a rule that is not understood \
is never taken for one that drops or lets in. Compares the appliance's own table with the one that the recipe's ports \
stand for. Then sends packets from a network namespace of its own through a veth pair, TCP, UDP and SCTP over IPv4 and \
IPv6: to each port that the recipe names, from each source that it names and from elsewhere, to each port on which \
anything listens, and to each port that any rule mentions, so that ports which Docker publishes are tried too. They are \
counted and taken away behind the last rule, so that no service sees them.

Fails where a named port is closed, where anything else is open, and where the appliance's table is missing or \
changed. It can't be told without nftables, iproute2 or root's rights.

What the packets can't show: rules that are bound to another interface's name, for which the rules themselves are asked, \
and filters outside netfilter (XDP, tc) on another interface.",
    applies: |_| true,
    run,
}];

/// All that is known about the machine's firewall.
struct Evidence {
    exposure: Exposure,
    rules: Ruleset,
    difference: Option<Difference>,
    openings: Vec<Opening>,
    /// Sockets that others could reach if the rules let them.
    listeners: Vec<Bound>,
    /// What was sent and what became of it, or why nothing could be sent.
    tried: Result<Vec<Tried>, Error>,
}

fn run(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    if context.machine.root() != std::path::Path::new("/") {
        return Err(CouldNotRun::new(
            "a machine that is only recorded has no firewall that could be asked",
            "run it on the machine itself",
        ));
    }
    let evidence = Evidence::gather(context).map_err(|error| could_not(&error))?;
    judge::findings(&evidence, context.machine)
}

impl Evidence {
    fn gather(context: &Context<'_>) -> Result<Self, Error> {
        let appliance = &firewall::cluster::extended(context.appliance, context.site);
        let exposure = Exposure::here(appliance)?;
        let rules = Ruleset::read()?;
        let difference = difference(&firewall::wanted(appliance)?)?;
        let openings = exposure.openings(&rules);
        let listeners = listening(context.machine)?;
        let shots = packets::plan(&exposure, &rules, &listeners);
        let tried = probe::shoot(&exposure.ends, &shots).map(|outcomes| packets::tried(&exposure, shots, outcomes));
        Ok(Self { exposure, rules, difference, openings, listeners, tried })
    }
}

/// Sockets on which anything waits, but for those on the loopback.
fn listening(machine: &Machine) -> Result<Vec<Bound>, Error> {
    let mut found = Vec::new();
    for protocol in [Protocol::Tcp, Protocol::Udp, Protocol::Sctp] {
        found.extend(bound(machine, protocol).map_err(|source| Error::Sockets { source })?);
    }
    found.retain(|socket| !socket.address.ip().to_canonical().is_loopback());
    Ok(found)
}

/// The error, with what an admin can do about it.
fn could_not(error: &Error) -> CouldNotRun {
    let remedy = match error {
        Error::Start { program, source } if source.kind() == io::ErrorKind::NotFound => match *program {
            "nft" => "install the package nftables".to_owned(),
            program => format!("install the package that brings `{program}` (iproute2)"),
        },
        Error::System { source: nix::Error::EPERM | nix::Error::EACCES, .. } => {
            "run it as root: sudo firmware-checks run".to_owned()
        }
        Error::Failed { said, .. } if said.contains("Operation not permitted") => {
            "run it as root: sudo firmware-checks run".to_owned()
        }
        Error::Source(_) => "put the recipe right and build the image again".to_owned(),
        _ => "run `sudo firmware-checks run` again; if it stays so, `journalctl -b -k` tells what the kernel lacks"
            .to_owned(),
    };
    CouldNotRun::new(format!("looking at the firewall: {error}"), remedy)
}
