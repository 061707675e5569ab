//! Which packets are worth sending.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::facts::network::is_link_local;
use crate::facts::sockets::Bound;
use crate::firewall::exposure::Exposure;
use crate::firewall::loaded::Ruleset;
use crate::firewall::probe::{Outcome, Shot};
use crate::requirements::Protocol;

/// Ports that are tried though no rule mentions them and nothing listens there: the lowest, the highest, and some
/// whose being open would be remarkable.
const SAMPLES: [u16; 8] = [1, 23, 111, 2375, 3306, 6443, 8080, 65535];

/// A packet that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tried {
    /// The packet.
    pub shot: Shot,
    /// Whether the recipe lets it in.
    pub allowed: bool,
    /// What became of it.
    pub outcome: Outcome,
}

/// The packets to send on this machine, none twice.
pub fn plan(exposure: &Exposure, rules: &Ruleset, listeners: &[Bound]) -> Vec<Shot> {
    let mut shots: BTreeSet<Shot> = BTreeSet::new();
    let mentioned = rules.ports().into_iter().chain(SAMPLES).filter(|port| *port > 0);
    let mut ports: BTreeSet<(Protocol, u16)> =
        mentioned.flat_map(|port| [(Protocol::Tcp, port), (Protocol::Udp, port)]).collect();
    ports.extend(listeners.iter().map(|listener| (listener.protocol, listener.address.port())));
    ports.extend(exposure.ports().map(|port| (port.protocol, port.port)));
    ports.extend(SAMPLES.map(|port| (Protocol::Sctp, port)));
    for ends in &exposure.ends {
        let (source, destination) = (ends.outside, ends.machine);
        shots.extend(ports.iter().map(|(protocol, port)| Shot {
            protocol: *protocol,
            port: *port,
            source,
            destination,
        }));
        // A socket, and a published port, may be bound to one of the machine's addresses.
        let bound = listeners.iter().map(|listener| (listener.protocol, listener.address)).filter(|(_, address)| {
            let ip = address.ip();
            // An address of one link means nothing on another.
            !ip.is_unspecified() && ip.is_ipv4() == source.is_ipv4() && !is_link_local(ip)
        });
        shots.extend(bound.map(|(protocol, address)| Shot {
            protocol,
            port: address.port(),
            source,
            destination: address.ip(),
        }));
        for port in exposure.ports() {
            let same = |address: &IpAddr| address.is_ipv4() == source.is_ipv4();
            let sources = exposure.sources(port).into_iter().filter(same);
            shots.extend(sources.map(|source| Shot { protocol: port.protocol, port: port.port, source, destination }));
        }
    }
    shots.extend(spoofed(exposure));
    shots.into_iter().collect()
}

/// To each named port, from each of the containers' networks: such a source must not come in from outside. Sent to
/// an address of another of the machine's interfaces, since to the probe's own all sources are answered through it.
fn spoofed(exposure: &Exposure) -> Vec<Shot> {
    let mut shots = Vec::new();
    for (source, destination) in exposure.spoofs() {
        let to =
            |port: &crate::requirements::Port| Shot { protocol: port.protocol, port: port.port, source, destination };
        shots.extend(exposure.ports().map(to));
    }
    shots
}

/// `shots` with what became of them.
pub fn tried(exposure: &Exposure, shots: Vec<Shot>, outcomes: Vec<Outcome>) -> Vec<Tried> {
    let allowed = |shot: &Shot| exposure.allows(shot.protocol, shot.port, shot.source);
    shots.into_iter().zip(outcomes).map(|(shot, outcome)| Tried { allowed: allowed(&shot), shot, outcome }).collect()
}
