//! What this admin does about a missing address or route.

use std::net::IpAddr;

use crate::check::Context;
use crate::facts::network::{Address, Link, duplicates};
use crate::site::Network;

/// What to do where no interface has an address.
pub(super) fn no_address(context: &Context<'_>, links: &[Link]) -> String {
    if let Some(told) = no_interface(context, links) {
        return told;
    }
    let up: Vec<&str> = ours(context, links).filter(|link| link.up).map(|link| link.name.as_str()).collect();
    let cables = cables(context, links);
    if up.is_empty() {
        return cables;
    }
    let rest = if cables.is_empty() { cables } else { format!("; or {cables}") };
    format!(
        "nobody on {} gives an address by DHCP (networkctl status {}): see to the DHCP server, or set \
         network.static.addresses in site.toml{rest}",
        up.join(", "),
        up[0]
    )
}

/// What to do where the site's addresses `missing` are not on an interface that is up, but perhaps among `everywhere`.
pub(super) fn not_there(context: &Context<'_>, links: &[Link], missing: &[IpAddr], everywhere: &[Address]) -> String {
    let taken = duplicates(context.machine);
    if let Some(address) = missing.iter().find(|address| taken.contains(address)) {
        return format!("another machine answers for {address}: give one of the two another address");
    }
    if let Some(told) = no_interface(context, links) {
        return told;
    }
    let held = everywhere.iter().find(|address| missing.contains(&address.address));
    let holder = held.and_then(|address| links.iter().find(|link| link.name == address.interface && !link.up));
    if let Some(link) = holder {
        return trouble(link);
    }
    let cables = cables(context, links);
    let rest = if cables.is_empty() { cables } else { format!("; or {cables}") };
    format!(
        "see why systemd-networkd did not set it: networkctl status --all; journalctl -b -u systemd-networkd; or put the \
         address that was found into network.static.addresses of site.toml{rest}"
    )
}

/// What to do where there is no default route.
pub(super) fn no_route(context: &Context<'_>, links: &[Link]) -> String {
    let network = context.site.map(|site| &site.network);
    let fixed: Vec<_> = network.into_iter().flat_map(Network::addressings).collect();
    let begins = match fixed.iter().find_map(|fixed| fixed.gateway) {
        Some(gateway) => format!("see why {gateway} of site.toml is not in use: networkctl status --all"),
        None if !fixed.is_empty() => "set network.static.gateway in site.toml".to_owned(),
        None => "see to it that the DHCP server names a router, or set network.static with a gateway in site.toml"
            .to_owned(),
    };
    let cables = cables(context, links);
    if cables.is_empty() { begins } else { format!("{cables}; or {begins}") }
}

/// What to do where there is no interface at all, or not the one that the site names.
fn no_interface(context: &Context<'_>, links: &[Link]) -> Option<String> {
    if links.is_empty() {
        return Some(
            "no network card was found: see whether the kernel has a driver for it: sudo dmesg; ls /sys/class/net"
                .to_owned(),
        );
    }
    let named = named(&context.site?.network);
    let missing = named.iter().find(|name| !links.iter().any(|link| is(link, name)))?;
    let there: Vec<String> = links.iter().map(|link| format!("{} ({})", link.name, link.hardware_address)).collect();
    let key = if context.site?.network.bond.is_some() { "network.bond.interfaces" } else { "network.interface" };
    Some(format!("set {key} in site.toml: there is no {missing} on this machine, but {}", there.join(", ")))
}

/// The interfaces that the site's configuration is about.
fn ours<'a>(context: &Context<'a>, links: &'a [Link]) -> impl Iterator<Item = &'a Link> {
    let named = context.site.map_or_else(Vec::new, |site| named(&site.network));
    links.iter().filter(move |link| named.is_empty() || named.iter().any(|name| is(link, name)))
}

/// The cards that the site's configuration names, by name or hardware address.
fn named(network: &Network) -> Vec<&str> {
    let bonded = network.bond.iter().flat_map(|bond| &bond.interfaces);
    network.interface.iter().chain(bonded).map(String::as_str).collect()
}

fn is(link: &Link, named: &str) -> bool {
    link.name == named || link.hardware_address.eq_ignore_ascii_case(named)
}

/// What to do about interfaces that are not up; empty where all are.
fn cables(context: &Context<'_>, links: &[Link]) -> String {
    let troubles: Vec<String> = ours(context, links).filter(|link| !link.up).map(trouble).collect();
    troubles.join("; ")
}

fn trouble(link: &Link) -> String {
    match (link.enabled, link.trouble()) {
        (false, _) => format!("sudo ip link set {} up", link.name),
        (true, Some("no carrier")) => format!("check the cable of {} (no carrier)", link.name),
        _ => format!("see why {} is down: networkctl status {}", link.name, link.name),
    }
}
