//! From the recipe's ports to the text of the rule set, as `nft -f` reads it.

use std::fmt::Write;

use super::loaded::Ruleset;
use super::network::{self, Network};
use crate::appliance::{Appliance, Platform};
use crate::requirements::{NotASource, Port, Protocol, Source};

/// The table's family: both IPv4 and IPv6.
pub const FAMILY: &str = "inet";
/// The table's name.
pub const TABLE: &str = "firstlight";

/// After connection tracking (-200), so that answers are known as such, and before destination NAT (-100), so that
/// a packet still carries the port that its sender asked for: a port that Docker publishes obeys these rules too.
const PRIORITY: i32 = -150;

/// The interfaces behind which the platform's containers sit, a trailing `*` standing for the rest of a name.
#[must_use]
pub fn container_interfaces(platform: &Platform) -> &'static [&'static str] {
    match platform {
        Platform::Docker { .. } => &["docker0", "br-*"],
        Platform::K3s { .. } => &["cni0", "flannel*"],
        Platform::Microk8s { .. } => &["cali*", "vxlan.calico"],
    }
}

/// The networks whose addresses are the platform's alone, on no other interface than [`container_interfaces`].
#[must_use]
pub fn container_networks(platform: &Platform) -> Vec<Network> {
    match platform {
        Platform::Docker { .. } => Vec::new(),
        Platform::K3s { pods, services, .. } => {
            pods.iter().chain(services).filter_map(|text| network::parse(text)).collect()
        }
        // Of its pods and of its services, as its snap has them (args/cni-network, args/kube-apiserver).
        Platform::Microk8s { .. } => {
            ["10.1.0.0/16", "10.152.183.0/24"].into_iter().filter_map(network::parse).collect()
        }
    }
}

/// The rule set for `appliance` on a machine whose own interfaces are in the networks `local`. Loading it replaces
/// the table that is there in one transaction, and touches no other table.
///
/// # Errors
/// The first source of a port that is neither a word nor a network.
pub fn text(appliance: &Appliance, local: &[Network]) -> Result<String, NotASource> {
    let mut out = String::new();
    let table = format!("{FAMILY} {TABLE}");
    // `add` so that there is something to delete; all of it is one transaction.
    let _ = writeln!(out, "add table {table}\ndelete table {table}\ntable {table} {{");
    for (name, kind, networks) in sets(local) {
        let elements =
            if networks.is_empty() { String::new() } else { format!(" elements = {{ {} }};", list(&networks)) };
        let _ = writeln!(out, "\tset {name} {{ type {kind}; flags interval;{elements} }}");
    }
    let _ = writeln!(out, "\tchain prerouting {{");
    let _ = writeln!(out, "\t\ttype filter hook prerouting priority {PRIORITY}; policy drop;");
    for rule in rules(appliance)? {
        let _ = writeln!(out, "\t\t{rule}");
    }
    out += "\t}\n}\n";
    Ok(out)
}

/// The sets that `local` stands for: name, type, networks.
fn sets(local: &[Network]) -> [(&'static str, &'static str, Vec<Network>); 2] {
    let four = local.iter().copied().filter(|network| network.first().is_ipv4());
    let six = local.iter().copied().filter(|network| network.first().is_ipv6()).chain([link_local()]);
    [("local4", "ipv4_addr", network::merged(four.collect())), ("local6", "ipv6_addr", network::merged(six.collect()))]
}

/// Addresses on the machine's own links, whichever those are (RFC 4291 §2.5.6).
#[must_use]
pub fn link_local() -> Network {
    Network::around([0xfe80, 0, 0, 0, 0, 0, 0, 0].into(), 10)
}

/// Whether the sets in `rules` hold the networks `local` and no others.
pub(super) fn holds(rules: &Ruleset, local: &[Network]) -> bool {
    sets(local).iter().all(|(name, _, networks)| rules.set_networks(FAMILY, TABLE, name).as_ref() == Some(networks))
}

/// A transaction that makes the sets hold the networks `local`.
pub(super) fn update(local: &[Network]) -> String {
    let mut out = String::new();
    for (name, _, networks) in sets(local) {
        let _ = writeln!(out, "flush set {FAMILY} {TABLE} {name}");
        if !networks.is_empty() {
            let _ = writeln!(out, "add element {FAMILY} {TABLE} {name} {{ {} }}", list(&networks));
        }
    }
    out
}

fn list(networks: &[Network]) -> String {
    networks.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn rules(appliance: &Appliance) -> Result<Vec<String>, NotASource> {
    let containers = container_interfaces(&appliance.platform);
    let mut rules: Vec<String> = vec!["iifname \"lo\" accept".into()];
    // Docker lets the loopback's addresses be routed (route_localnet); nobody outside may use that.
    rules.extend(["ip saddr", "ip daddr"].map(|side| format!("{side} 127.0.0.0/8 drop")));
    rules.extend(["ip6 saddr", "ip6 daddr"].map(|side| format!("{side} ::1 drop")));
    // A source that is answered through a containers' interface must have come in by it, whatever networks the
    // platform gave its containers since: the routes say it at the moment of the packet.
    rules.extend(containers.iter().map(|name| format!("iifname != \"{name}\" fib saddr oifname \"{name}\" drop")));
    rules.push("ct state established,related accept".into());
    rules.extend(containers.iter().map(|name| format!("iifname \"{name}\" accept")));
    // Whoever is outside neither has nor reaches an address of theirs.
    for network in container_networks(&appliance.platform) {
        let family = if network.first().is_ipv4() { "ip" } else { "ip6" };
        rules.extend(["saddr", "daddr"].map(|side| format!("{family} {side} {network} drop")));
    }
    rules.push("ct state invalid drop".into());
    rules.extend(CONTROL.iter().map(ToString::to_string));
    for port in &appliance.requirements.ports {
        rules.extend(openings(port)?);
    }
    rules.push("counter comment \"dropped\"".into());
    Ok(rules)
}

/// What a network needs to work at all, whatever the appliance serves.
const CONTROL: &[&str] = &[
    "icmp type { echo-request, destination-unreachable, time-exceeded, parameter-problem } accept",
    // RFC 4890 §4.4.1: errors (packet-too-big is path MTU discovery), echo, multicast listener discovery from the
    // link, and neighbour discovery, which no router may have passed on: its hop limit is 255 (RFC 4861 §7.1).
    "icmpv6 type { destination-unreachable, packet-too-big, time-exceeded, parameter-problem, echo-request } accept",
    "icmpv6 type { nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert } ip6 hoplimit 255 accept",
    "ip6 saddr { ::, fe80::/10 } icmpv6 type { mld-listener-query, mld-listener-report, mld-listener-done, \
     mld2-listener-report } accept",
    // A server's answer to a broadcast or a multicast does not belong to a connection that is tracked.
    "meta nfproto ipv4 udp sport 67 udp dport 68 accept comment \"dhcp\"",
    "ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept comment \"dhcpv6\"",
];

/// The rules that let `port` in from where it may be reached.
fn openings(port: &Port) -> Result<Vec<String>, NotASource> {
    let sources = port.sources()?;
    let accept = format!("{} dport {} accept comment \"{}\"", protocol(port.protocol), port.port, comment(&port.name));
    if sources.contains(&Source::Any) {
        return Ok(vec![accept]);
    }
    let mut rules = Vec::new();
    if sources.contains(&Source::Local) {
        rules.push(format!("ip saddr @local4 {accept}"));
        rules.push(format!("ip6 saddr @local6 {accept}"));
    }
    let networks = sources.iter().filter_map(|source| match source {
        Source::Network(address, prefix) => Some(Network::around(*address, *prefix)),
        Source::Any | Source::Local => None,
    });
    let (four, six): (Vec<_>, Vec<_>) = networks.partition(|network| network.first().is_ipv4());
    for (family, networks) in [("ip", four), ("ip6", six)] {
        if !networks.is_empty() {
            rules.push(format!("{family} saddr {{ {} }} {accept}", list(&network::merged(networks))));
        }
    }
    Ok(rules)
}

/// The protocol's name, as nftables writes it.
#[must_use]
pub fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
        Protocol::Udp => "udp",
        Protocol::Sctp => "sctp",
    }
}

/// `name` as it may stand between quotes in a comment of at most 128 bytes.
fn comment(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric() || "-_. ".contains(*c)).take(100).collect()
}

#[cfg(test)]
mod tests {
    use super::super::samples::{appliance, port};
    use super::*;

    fn lines(text: &str) -> Vec<&str> {
        text.lines().map(str::trim).collect()
    }

    #[test]
    fn a_port_for_all_is_open_to_both_families() {
        let text = text(&appliance(vec![port("https", 443, &[])]), &[]).unwrap();
        assert!(lines(&text).contains(&"tcp dport 443 accept comment \"https\""), "{text}");
    }

    #[test]
    fn sources_bind_a_port_by_family_and_local_by_the_sets() {
        let ssh = port("ssh", 22, &["local", "10.1.2.3/8", "10.5.0.0/16", "2001:db8:1::/48"]);
        let text = text(&appliance(vec![ssh]), &[Network::around([192, 168, 7, 9].into(), 24)]).unwrap();
        for wanted in [
            "set local4 { type ipv4_addr; flags interval; elements = { 192.168.7.0/24 }; }",
            "set local6 { type ipv6_addr; flags interval; elements = { fe80::/10 }; }",
            "ip saddr @local4 tcp dport 22 accept comment \"ssh\"",
            "ip6 saddr @local6 tcp dport 22 accept comment \"ssh\"",
            "ip saddr { 10.0.0.0/8 } tcp dport 22 accept comment \"ssh\"",
            "ip6 saddr { 2001:db8:1::/48 } tcp dport 22 accept comment \"ssh\"",
        ] {
            assert!(lines(&text).contains(&wanted), "{wanted} is missing in {text}");
        }
        assert!(!lines(&text).contains(&"tcp dport 22 accept comment \"ssh\""), "{text}");
    }

    #[test]
    fn spoofed_sources_are_refused_before_anything_established_is_let_in() {
        let text = text(&appliance(vec![]), &[]).unwrap();
        let at = |wanted: &str| lines(&text).iter().position(|line| *line == wanted).unwrap_or(usize::MAX);
        let spoofed = at("iifname != \"br-*\" fib saddr oifname \"br-*\" drop");
        let established = at("ct state established,related accept");
        let containers = at("iifname \"br-*\" accept");
        assert!(spoofed < established && established < containers && containers < usize::MAX, "{text}");
    }

    #[test]
    fn a_source_that_is_none_is_refused_and_a_name_cannot_write_rules() {
        assert!(text(&appliance(vec![port("x", 1, &["everyone"])]), &[]).is_err());
        let text = text(&appliance(vec![port("a\" accept; #", 1, &[])]), &[]).unwrap();
        assert!(lines(&text).contains(&"tcp dport 1 accept comment \"a accept \""), "{text}");
    }
}
