//! What should be open and to whom, and what the loaded rules say about it.
//!
//! Rules can't be tried with every packet there is, and need not be: between two ports that no rule names, no rule
//! tells one from the other, and likewise for source addresses. So one packet for each such stretch stands for all.

use std::collections::BTreeSet;
use std::net::IpAddr;

use nix::net::if_::if_nameindex;

use super::Error;
use super::evaluate::{Answer, Packet};
use super::loaded::Ruleset;
use super::network::{self, Network, Own, named_by, neighbours};
use super::probe::Ends;
use super::ruleset::{container_interfaces, container_networks, link_local};
use crate::appliance::Appliance;
use crate::facts::network::is_inner;
use crate::requirements::{NotASource, Port, Protocol, Source};

/// An ephemeral port, as a client would send from (RFC 6056).
const CLIENT_PORT: u16 = 50_123;
const PROTOCOLS: [Protocol; 3] = [Protocol::Tcp, Protocol::Udp, Protocol::Sctp];

/// What should be open on this machine, and to whom.
#[derive(Clone, Debug)]
pub struct Exposure {
    /// Each port with the networks that may reach it; `None` stands for everybody.
    ports: Vec<(Port, Option<Vec<Network>>)>,
    own: Vec<Own>,
    containers: &'static [&'static str],
    /// The networks of the containers alone.
    inner: Vec<Network>,
    /// The interfaces by which others reach the machine.
    uplinks: Vec<String>,
    /// The addresses between which a probe's packets go.
    pub ends: Vec<Ends>,
}

/// A stretch of ports that is open though the recipe does not name it so.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Opening {
    /// Their protocol.
    pub protocol: Protocol,
    /// The first one.
    pub first: u16,
    /// The last one.
    pub last: u16,
    /// A source for which it is open.
    pub source: IpAddr,
    /// Why that can't be told for sure; absent where it can.
    pub unclear: Option<String>,
}

impl Exposure {
    /// For this machine, in the network namespace of the calling thread.
    ///
    /// # Errors
    /// A port's source is none; the kernel does not tell its interfaces.
    pub fn here(appliance: &Appliance) -> Result<Self, Error> {
        let doing = "reading the machine's interfaces";
        let own = network::addresses().map_err(Error::system(doing))?;
        let names = if_nameindex().map_err(Error::system(doing))?;
        let names = names.iter().map(|interface| interface.name().to_string_lossy().into_owned()).collect();
        Ok(Self::of(appliance, own, names)?)
    }

    /// For a machine that has the addresses `own` and the `interfaces`.
    ///
    /// # Errors
    /// A port's source is none.
    pub fn of(appliance: &Appliance, own: Vec<Own>, interfaces: Vec<String>) -> Result<Self, NotASource> {
        let containers = container_interfaces(&appliance.platform);
        let mut uplinks = interfaces;
        uplinks.retain(|name| !is_inner(name));
        if uplinks.is_empty() {
            uplinks.push("eth0".into());
        }
        let local: Vec<Network> =
            own.iter().filter(|own| !is_inner(&own.interface)).map(Own::network).chain([link_local()]).collect();
        let ports = appliance.requirements.ports.iter().map(|port| Ok((port.clone(), allowed(port, &local)?)));
        let ends = Ends::free(&own);
        let inner = container_networks(&appliance.platform);
        Ok(Self { ports: ports.collect::<Result<_, _>>()?, own, containers, inner, uplinks, ends })
    }

    /// The ports that the recipe names.
    pub fn ports(&self) -> impl Iterator<Item = &Port> {
        self.ports.iter().map(|(port, _)| port)
    }

    /// Whether `source` may reach `port`.
    #[must_use]
    pub fn allows(&self, protocol: Protocol, port: u16, source: IpAddr) -> bool {
        let named = self.ports.iter().filter(|(named, _)| named.protocol == protocol && named.port == port);
        let holds = |networks: &Option<Vec<Network>>| {
            networks.as_ref().is_none_or(|networks| networks.iter().any(|network| network.contains(source)))
        };
        !self.is_spoofed(source) && named.map(|(_, networks)| networks).any(holds)
    }

    /// Whether `source` belongs behind a containers' interface, and so may not come in by any other.
    fn is_spoofed(&self, source: IpAddr) -> bool {
        self.inner.iter().any(|network| network.contains(source))
            || self.route_back(source).is_some_and(|interface| is_containers(self.containers, interface))
    }

    /// The interface of the machine's own whose network `source` is in.
    fn route_back(&self, source: IpAddr) -> Option<&str> {
        let holding = self.own.iter().filter(|own| own.network().contains(source));
        holding.max_by_key(|own| own.prefix).map(|own| own.interface.as_str())
    }

    /// A source for each network that may reach `port`, of each family: where everybody may, the probe's own.
    /// A network in which there is no address but the machine's own has none.
    #[must_use]
    pub fn sources(&self, port: &Port) -> Vec<IpAddr> {
        let networks = self.ports.iter().find(|(named, _)| named == port).and_then(|(_, networks)| networks.as_ref());
        match networks {
            None => self.ends.iter().map(|ends| ends.outside).collect(),
            Some(networks) => networks.iter().filter_map(|network| self.somebody_in(*network)).collect(),
        }
    }

    /// Packets that must not come in from outside: from an address in each of the containers' networks, to one of
    /// the machine's own addresses of the same family.
    #[must_use]
    pub fn spoofs(&self) -> Vec<(IpAddr, IpAddr)> {
        let (inside, outside): (Vec<&Own>, Vec<&Own>) = self
            .own
            .iter()
            .filter(|own| own.interface != "lo")
            .partition(|own| is_containers(self.containers, &own.interface));
        let usable = |own: &&&Own, like: &Own| {
            own.address.is_ipv4() == like.address.is_ipv4() && !link_local().contains(own.address)
        };
        inside
            .iter()
            .filter(|own| !link_local().contains(own.address))
            .filter_map(|own| {
                let other = outside.iter().find(|outside| usable(outside, own))?;
                let claimed =
                    neighbours(own.address).into_iter().flatten().find(|address| own.network().contains(*address))?;
                Some((claimed, other.address))
            })
            .collect()
    }

    /// An address in `network` that is not the machine's own, nor one of its containers', nor a broadcast.
    fn somebody_in(&self, network: Network) -> Option<IpAddr> {
        let candidates = [77, 177, 1, 2, 3, 4, 5, 6, 7, 0].map(|offset| network.nth(offset));
        let is_edge =
            |address| network.first() != network.last() && (address == network.last() || address == network.first());
        let usable = |address: &IpAddr| {
            !is_edge(*address) && !self.own.iter().any(|own| own.address == *address) && !self.is_spoofed(*address)
        };
        candidates.into_iter().find(usable)
    }

    /// What `rules` do with a packet from `source` to `port`, by each interface that others reach the machine by:
    /// the worst answer, a drop before what can't be told.
    #[must_use]
    pub fn answer(&self, rules: &Ruleset, protocol: Protocol, port: u16, source: IpAddr) -> Answer {
        let mut worst = Answer::Accept;
        for uplink in &self.uplinks {
            match rules.answer(&self.packet(uplink, protocol, port, source)) {
                Answer::Drop(by) => return Answer::Drop(by),
                Answer::CannotTell(why) => worst = Answer::CannotTell(why),
                Answer::Accept => {}
            }
        }
        worst
    }

    fn packet(&self, uplink: &str, protocol: Protocol, port: u16, source: IpAddr) -> Packet {
        let same = |address: &IpAddr| address.is_ipv4() == source.is_ipv4();
        let here = self.own.iter().filter(|own| own.interface == uplink).map(|own| own.address).find(same);
        let probe = self.ends.iter().map(|ends| ends.machine).find(same);
        let back = self.route_back(source).filter(|interface| is_containers(self.containers, interface));
        Packet {
            interface: uplink.to_owned(),
            source,
            back: back.unwrap_or(uplink).to_owned(),
            destination: here.or(probe).unwrap_or(source),
            protocol,
            source_port: CLIENT_PORT,
            port,
        }
    }

    /// Every stretch of ports that `rules` let in, or perhaps let in, from somewhere it should not be.
    #[must_use]
    pub fn openings(&self, rules: &Ruleset) -> Vec<Opening> {
        let ports = self.stretches(rules);
        let sources = self.representatives(rules);
        let mut found: Vec<Opening> = Vec::new();
        for protocol in PROTOCOLS {
            for (first, last) in &ports {
                let unwanted = sources.iter().filter(|source| !self.allows(protocol, *first, **source));
                let open = |source: &IpAddr| self.opening(rules, protocol, (*first, *last), *source);
                let mut open: Vec<Opening> = unwanted.filter_map(open).collect();
                // One for certain says more than one that can't be told.
                open.sort_by_key(|opening| opening.unclear.is_some());
                if let Some(opening) = open.into_iter().next() {
                    join(&mut found, opening);
                }
            }
        }
        found
    }

    fn opening(&self, rules: &Ruleset, protocol: Protocol, ports: (u16, u16), source: IpAddr) -> Option<Opening> {
        let mut unclear = None;
        let open = |unclear| Opening { protocol, first: ports.0, last: ports.1, source, unclear };
        for uplink in &self.uplinks {
            match rules.answer(&self.packet(uplink, protocol, ports.0, source)) {
                Answer::Accept => return Some(open(None)),
                Answer::CannotTell(why) => unclear = Some(why),
                Answer::Drop(_) => {}
            }
        }
        unclear.map(|why| open(Some(why)))
    }

    /// Stretches of ports, first and last, within which neither the rules nor the recipe tell ports apart.
    fn stretches(&self, rules: &Ruleset) -> Vec<(u16, u16)> {
        let named = rules.ports().into_iter().chain(self.ports().map(|port| port.port));
        let starts: BTreeSet<u16> =
            named.flat_map(|port| [Some(port), port.checked_add(1)]).flatten().chain([1]).collect();
        let starts: Vec<u16> = starts.into_iter().filter(|start| *start > 0).collect();
        let ends = starts.iter().skip(1).map(|start| start - 1).chain([u16::MAX]);
        starts.iter().copied().zip(ends).collect()
    }

    /// Source addresses that stand for all that the rules or the recipe tell apart.
    fn representatives(&self, rules: &Ruleset) -> Vec<IpAddr> {
        let named = self.ports.iter().filter_map(|(_, networks)| networks.as_ref()).flatten().copied();
        let own = self.own.iter().map(Own::network);
        let networks: BTreeSet<Network> = rules.networks().into_iter().chain(named).chain(own).collect();
        let borders = networks.into_iter().flat_map(|network| {
            let before = neighbours(network.first())[0];
            [before, Some(network.first()), Some(network.last()), neighbours(network.last())[1]]
        });
        let borders: BTreeSet<IpAddr> = borders.flatten().collect();
        let can_send = |address: &IpAddr| {
            !address.is_loopback()
                && !address.is_multicast()
                && !address.is_unspecified()
                && !is_zero_or_broadcast(*address)
        };
        // Somebody from nowhere in particular comes first: that is what an admin understands best.
        let outside = self.ends.iter().map(|ends| ends.outside);
        outside.chain(borders).filter(can_send).collect()
    }
}

/// Addresses that no packet on a wire comes from (RFC 1122 §3.2.1.3).
fn is_zero_or_broadcast(address: IpAddr) -> bool {
    matches!(address, IpAddr::V4(four) if four.octets()[0] == 0 || four.is_broadcast())
}

fn is_containers(containers: &[&str], interface: &str) -> bool {
    containers.iter().any(|pattern| named_by(pattern, interface))
}

/// The networks that `port` is for; `None`: everybody.
fn allowed(port: &Port, local: &[Network]) -> Result<Option<Vec<Network>>, NotASource> {
    let mut networks = Vec::new();
    for source in port.sources()? {
        match source {
            Source::Any => return Ok(None),
            Source::Local => networks.extend(local),
            Source::Network(address, prefix) => networks.push(Network::around(address, prefix)),
        }
    }
    Ok(Some(network::merged(networks)))
}

/// Adds `opening`, as part of the stretch before it where the two belong together.
fn join(found: &mut Vec<Opening>, opening: Opening) {
    match found.last_mut() {
        Some(last)
            if last.protocol == opening.protocol
                && last.last.checked_add(1) == Some(opening.first)
                && last.source == opening.source
                && last.unclear == opening.unclear =>
        {
            last.last = opening.last;
        }
        _ => found.push(opening),
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::{appliance, port};
    use super::*;

    fn own(interface: &str, address: &str, prefix: u8) -> Own {
        Own { interface: interface.into(), address: address.parse().unwrap(), prefix }
    }

    fn exposure(ports: Vec<Port>) -> Exposure {
        let own = vec![own("lo", "127.0.0.1", 8), own("eth0", "10.3.7.12", 24), own("docker0", "172.31.255.1", 24)];
        let interfaces = ["lo", "eth0", "docker0", "veth12"].map(String::from).to_vec();
        Exposure::of(&appliance(ports), own, interfaces).unwrap()
    }

    /// One input chain that drops but for `rules`.
    fn rules(rules: &str) -> Ruleset {
        let text = format!(
            r#"{{"nftables": [{{"chain": {{"family": "inet", "table": "t", "name": "c", "type": "filter",
                 "hook": "input", "prio": 0, "policy": "drop"}}}} {rules}]}}"#
        );
        Ruleset::parse(text.as_bytes()).unwrap()
    }

    fn rule(left: &str, right: &str) -> String {
        format!(
            r#", {{"rule": {{"family": "inet", "table": "t", "chain": "c", "expr": [
                 {{"match": {{"op": "==", "left": {left}, "right": {right}}}}}, {{"accept": null}}]}}}}"#
        )
    }

    const DPORT: &str = r#"{"payload": {"protocol": "tcp", "field": "dport"}}"#;
    const SADDR: &str = r#"{"payload": {"protocol": "ip", "field": "saddr"}}"#;

    #[test]
    fn sources_are_held_to_their_words() {
        let exposure = exposure(vec![port("ssh", 22, &["local", "192.168.0.0/16"]), port("https", 443, &[])]);
        let allows = |port, source: &str| exposure.allows(Protocol::Tcp, port, source.parse().unwrap());
        assert!(allows(22, "10.3.7.200") && allows(22, "192.168.9.9") && allows(22, "fe80::1"));
        assert!(!allows(22, "10.3.8.1") && !allows(22, "2001:db8::1"));
        assert!(allows(443, "10.3.8.1") && allows(443, "2001:db8::1"));
        assert!(!allows(443, "172.31.255.9"), "a container's address came in from outside");
        assert!(!exposure.allows(Protocol::Udp, 443, "10.3.7.200".parse().unwrap()));
    }

    #[test]
    fn a_stretch_is_found_to_its_very_ends() {
        let open = exposure(vec![]).openings(&rules(&rule(DPORT, r#"{"range": [5900, 5910]}"#)));
        let stretches: Vec<_> = open.iter().map(|opening| (opening.first, opening.last)).collect();
        assert_eq!(stretches, [(5900, 5910)]);
        assert_eq!(open[0].unclear, None);
    }

    #[test]
    fn a_source_that_only_the_rules_know_is_tried() {
        let exposure = exposure(vec![port("https", 443, &[])]);
        let open = exposure.openings(&rules(&rule(SADDR, r#""198.18.7.7""#)));
        let mut closed_by_name = open.iter().filter(|opening| (opening.first..=opening.last).contains(&443));
        assert!(
            !open.is_empty() && open.iter().all(|opening| opening.source == "198.18.7.7".parse::<IpAddr>().unwrap())
        );
        assert!(closed_by_name.all(|opening| opening.protocol != Protocol::Tcp), "443/tcp is for everybody");
    }

    #[test]
    fn what_is_not_understood_is_told_as_unclear() {
        let open = exposure(vec![]).openings(&rules(&rule(r#"{"meta": {"key": "cgroup"}}"#, "7")));
        assert!(!open.is_empty() && open.iter().all(|opening| opening.unclear.is_some()));
    }

    #[test]
    fn a_drop_by_one_interface_is_the_answer_for_all() {
        let exposure = exposure(vec![port("https", 443, &[])]);
        let source = "198.51.100.9".parse().unwrap();
        let by_name = |name: &str| rules(&rule(r#"{"meta": {"key": "iifname"}}"#, &format!("\"{name}\"")));
        assert_eq!(exposure.answer(&by_name("eth0"), Protocol::Tcp, 443, source), Answer::Accept);
        assert!(matches!(exposure.answer(&by_name("eth1"), Protocol::Tcp, 443, source), Answer::Drop(_)));
    }

    #[test]
    fn somebody_in_a_network_is_never_the_machine_itself() {
        let exposure = exposure(vec![]);
        let somebody = |text: &str| {
            let (address, prefix) = text.split_once('/').unwrap();
            exposure.somebody_in(Network::around(address.parse().unwrap(), prefix.parse().unwrap()))
        };
        assert_eq!(somebody("10.3.7.12/32"), None);
        assert_eq!(somebody("10.3.7.12/30"), Some("10.3.7.13".parse().unwrap()));
        assert_eq!(somebody("10.9.9.9/32"), Some("10.9.9.9".parse().unwrap()));
        assert_eq!(somebody("172.31.255.0/24"), None, "a container is nobody outside");
    }
}
