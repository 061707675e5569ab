//! Interfaces, their addresses, and the ways out of the machine.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv6Addr};

use super::Machine;

/// An address of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Address {
    /// The interface's name.
    pub interface: String,
    /// The address.
    pub address: IpAddr,
    /// Length of the network's prefix in bits.
    pub prefix: u8,
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// An interface to the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Its own hardware address in lower case, also while a bond gives it another; empty where it has none.
    pub hardware_address: String,
    /// Whether it has been switched on (`IFF_UP`).
    pub enabled: bool,
    /// Whether there is something at the other end of the cable.
    pub carrier: bool,
    /// Whether packets can pass (RFC 2863: up, or a kind of interface that does not say).
    pub up: bool,
}

impl Link {
    /// Why no packet passes, for a person; `None` while it is up.
    #[must_use]
    pub fn trouble(&self) -> Option<&'static str> {
        match self {
            Self { up: true, .. } => None,
            Self { enabled: false, .. } => Some("switched off"),
            Self { carrier: false, .. } => Some("no carrier"),
            _ => Some("down"),
        }
    }
}

/// Names, or beginnings that end in `*`, of interfaces that lead to containers, to the machine itself, or to the
/// firewall's own probe.
const INNER: &[&str] = &["lo", "docker0", "br-*", "veth*", "cni*", "cali*", "flannel*", "vxlan.calico", "fl-probe*"];

/// Whether the interface leads to containers or to the machine itself, and not to the outside.
#[must_use]
pub fn is_inner(interface: &str) -> bool {
    INNER.iter().any(|name| match name.strip_suffix('*') {
        Some(beginning) => interface.starts_with(beginning),
        None => interface == *name,
    })
}

/// Whether `address` is good on its own link alone: 169.254.0.0/16 (RFC 3927) and fe80::/10 (RFC 4291).
#[must_use]
pub fn is_link_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

/// The interfaces to the outside, by name: cards, and what was made by somebody and switched on (bonds, VLANs …).
///
/// # Errors
/// `/sys/class/net` could not be read.
pub fn links(machine: &Machine) -> io::Result<Vec<Link>> {
    let names = machine.names("/sys/class/net")?;
    // A file such as bonding_masters stands among the folders.
    let real = |name: &String| !is_inner(name) && machine.path(&format!("/sys/class/net/{name}/flags")).exists();
    let card = |link: &Link| machine.path(&format!("/sys/class/net/{}/device", link.name)).exists();
    let links = names.into_iter().filter(real).map(|name| link(machine, name));
    // Idle ones such as ifb0 come with a kernel module and lead nowhere.
    Ok(links.filter(|link| link.enabled || card(link)).collect())
}

fn link(machine: &Machine, name: String) -> Link {
    let told = |file: &str| machine.told(&format!("/sys/class/net/{name}/{file}")).unwrap_or_default();
    let flags = u32::from_str_radix(told("flags").trim_start_matches("0x"), 16).unwrap_or_default();
    let enabled = flags & 1 != 0;
    // Reading `carrier` of an interface that is switched off fails.
    let carrier = told("carrier") == "1";
    let up = enabled && carrier && matches!(told("operstate").as_str(), "up" | "unknown");
    let own = told("bonding_slave/perm_hwaddr");
    let hardware_address = if own.is_empty() { told("address") } else { own }.to_lowercase();
    Link { hardware_address, enabled, carrier, up, name }
}

/// Every address of the interfaces to the outside that are up, by interface, IPv4 first; those of the link alone and
/// those that another machine turned out to have (RFC 4862 §5.4) are left out.
///
/// # Errors
/// The failing system call's.
pub fn addresses(machine: &Machine) -> io::Result<Vec<Address>> {
    let links = links(machine)?;
    let refused = duplicates(machine);
    let up = |address: &Address| links.iter().any(|link| link.up && link.name == address.interface);
    let mut found = machine.kernel().addresses()?;
    found.retain(|address| up(address) && !is_link_local(address.address) && !refused.contains(&address.address));
    found.sort_by_key(|address| (address.interface.clone(), address.address));
    found.dedup();
    Ok(found)
}

/// IPv6 addresses that the kernel does not use since another machine answered for them.
#[must_use]
pub fn duplicates(machine: &Machine) -> Vec<IpAddr> {
    /// `IFA_F_DADFAILED` of linux/if_addr.h.
    const FAILED: u32 = 0x08;
    let table = machine.told("/proc/net/if_inet6").unwrap_or_default();
    let failed = |line: &str| {
        let mut fields = line.split_ascii_whitespace();
        let address = u128::from_str_radix(fields.next()?, 16).ok()?;
        let flags = u32::from_str_radix(fields.nth(3)?, 16).ok()?;
        (flags & FAILED != 0).then(|| IpAddr::from(Ipv6Addr::from_bits(address)))
    };
    table.lines().filter_map(failed).collect()
}

/// A default route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// The interface that it leaves by.
    pub interface: String,
    /// The gateway; absent where the interface itself is the way, as with a point-to-point link.
    pub gateway: Option<IpAddr>,
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.gateway {
            Some(gateway) => write!(f, "{gateway} by {}", self.interface),
            None => write!(f, "{}", self.interface),
        }
    }
}

/// `RTF_UP` and `RTF_REJECT` of linux/route.h.
const USABLE: u32 = 0x0001;
const REFUSES: u32 = 0x0200;

/// The default routes to the outside, IPv4 first.
///
/// # Errors
/// The kernel's table for IPv4 could not be read. A kernel without IPv6 has no table for that.
pub fn default_routes(machine: &Machine) -> io::Result<Vec<Route>> {
    let mut routes: Vec<Route> = machine.read("/proc/net/route")?.lines().filter_map(default_v4).collect();
    match machine.read("/proc/net/ipv6_route") {
        Ok(table) => routes.extend(table.lines().filter_map(default_v6)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    routes.retain(|route| !is_inner(&route.interface));
    routes.dedup();
    Ok(routes)
}

/// A line of `/proc/net/route`: interface, destination, gateway, flags, …, mask as the eighth. Addresses are numbers in
/// the machine's byte order.
fn default_v4(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let &[interface, destination, gateway, flags, _, _, _, mask, ..] = fields.as_slice() else { return None };
    let number = |text: &str| u32::from_str_radix(text, 16).ok();
    let flags = number(flags)?;
    if number(destination)? != 0 || number(mask)? != 0 || flags & USABLE == 0 || flags & REFUSES != 0 {
        return None;
    }
    let gateway = Some(IpAddr::from(number(gateway)?.to_ne_bytes())).filter(|address| !address.is_unspecified());
    Some(Route { interface: interface.to_owned(), gateway })
}

/// A line of `/proc/net/ipv6_route`: destination and its prefix, source and its prefix, next hop, metric, reference
/// and use counters, flags, interface; all in hexadecimal.
fn default_v6(line: &str) -> Option<Route> {
    let fields: Vec<&str> = line.split_ascii_whitespace().collect();
    let &[destination, prefix, _, _, gateway, _, _, _, flags, interface] = fields.as_slice() else { return None };
    let address = |text: &str| u128::from_str_radix(text, 16).ok();
    let flags = u32::from_str_radix(flags, 16).ok()?;
    if address(destination)? != 0 || prefix != "00" || flags & USABLE == 0 || flags & REFUSES != 0 {
        return None;
    }
    let gateway = Some(Ipv6Addr::from_bits(address(gateway)?)).filter(|address| !address.is_unspecified());
    Some(Route { interface: interface.to_owned(), gateway: gateway.map(IpAddr::from) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inner_interfaces_are_told_from_bridges_of_the_admin() {
        for inner in ["lo", "docker0", "br-0a1b2c", "veth12", "cni0", "cali123", "flannel.1"] {
            assert!(is_inner(inner), "{inner}");
        }
        for outer in ["eth0", "br0", "enp65s0f0", "bond0", "loop"] {
            assert!(!is_inner(outer), "{outer}");
        }
    }

    #[test]
    fn reads_default_routes_and_only_those() {
        let line =
            format!("eth0\t00000000\t{:08X}\t0003\t0\t0\t0\t00000000\t0\t0\t0", u32::from_ne_bytes([10, 3, 7, 1]));
        let route = default_v4(&line).unwrap();
        assert_eq!(route.to_string(), "10.3.7.1 by eth0");
        assert_eq!(default_v4("eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0"), None);
        assert_eq!(default_v4("Iface\tDestination\tGateway"), None);
        let zero = "00000000000000000000000000000000";
        let line = format!("{zero} 00 {zero} 00 fd000000000000000000000000000001 00000400 2 0 00000003     eth0");
        assert_eq!(default_v6(&line).unwrap().to_string(), "fd00::1 by eth0");
        let refusal = format!("{zero} 00 {zero} 00 {zero} ffffffff 00000001 00000000 00200200       lo");
        assert_eq!(default_v6(&refusal), None);
    }
}
