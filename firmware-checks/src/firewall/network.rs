//! Networks, and those that the machine's own interfaces are in.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use nix::ifaddrs::getifaddrs;
use nix::sys::socket::SockaddrStorage;

use super::probe;
use crate::facts::network::is_inner;

/// A network: an address whose host bits are zero, and the number of bits that are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network {
    address: IpAddr,
    prefix: u8,
}

impl Network {
    /// The network of `prefix` bits (at most 32 or 128) that `address` lies in.
    #[must_use]
    pub fn around(address: IpAddr, prefix: u8) -> Self {
        let prefix = prefix.min(width(address));
        Self { address: from_bits(address, bits(address) & mask(address, prefix)), prefix }
    }

    /// Its first address.
    #[must_use]
    pub fn first(self) -> IpAddr {
        self.address
    }

    /// Its last address.
    #[must_use]
    pub fn last(self) -> IpAddr {
        let all = mask(self.address, width(self.address));
        from_bits(self.address, bits(self.address) | (all & !mask(self.address, self.prefix)))
    }

    /// Whether `address` lies in it.
    #[must_use]
    pub fn contains(self, address: IpAddr) -> bool {
        address.is_ipv4() == self.address.is_ipv4() && Self::around(address, self.prefix) == self
    }

    /// Whether every address of `other` lies in it.
    #[must_use]
    pub fn covers(self, other: Self) -> bool {
        self.prefix <= other.prefix && self.contains(other.address)
    }

    /// Whether some address lies in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.covers(other) || other.covers(self)
    }

    /// The address `offset` places after its first, cut off at its last.
    #[must_use]
    pub fn nth(self, offset: u128) -> IpAddr {
        from_bits(self.address, bits(self.address).saturating_add(offset).min(bits(self.last())))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// The network `text`, such as `10.42.0.0/16`; none where it is no network, or its host bits are not zero.
#[must_use]
pub fn parse(text: &str) -> Option<Network> {
    let (address, prefix) = text.split_once('/')?;
    let (address, prefix) = (address.parse().ok()?, prefix.parse().ok()?);
    let network = Network::around(address, prefix);
    (network.address == address && network.prefix == prefix).then_some(network)
}

/// `networks` in order, without those that another covers.
#[must_use]
pub fn merged(mut networks: Vec<Network>) -> Vec<Network> {
    networks.sort_by_key(|network| (network.prefix, *network));
    let mut kept: Vec<Network> = Vec::new();
    for network in networks {
        if !kept.iter().any(|wider| wider.covers(network)) {
            kept.push(network);
        }
    }
    kept.sort();
    kept
}

/// The address before `address`, and the one after it, where there are such.
#[must_use]
pub fn neighbours(address: IpAddr) -> [Option<IpAddr>; 2] {
    let number = bits(address);
    let highest = mask(address, width(address));
    [
        number.checked_sub(1).map(|before| from_bits(address, before)),
        (number < highest).then(|| from_bits(address, number + 1)),
    ]
}

/// The networks that the machine's own interfaces to the outside are in, in the network namespace of the calling
/// thread.
///
/// # Errors
/// The failing system call's.
pub fn local() -> nix::Result<Vec<Network>> {
    let found = addresses()?.into_iter().filter(|own| !is_inner(&own.interface)).map(|own| own.network()).collect();
    Ok(merged(found))
}

/// An address of one of the machine's interfaces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Own {
    /// The interface.
    pub interface: String,
    /// Its address.
    pub address: IpAddr,
    /// Bits of the network part.
    pub prefix: u8,
}

impl Own {
    /// The network that it lies in.
    #[must_use]
    pub fn network(&self) -> Network {
        Network::around(self.address, self.prefix)
    }
}

/// Every address of every interface, in the network namespace of the calling thread, save for the check's own
/// probe.
///
/// # Errors
/// The failing system call's.
pub fn addresses() -> nix::Result<Vec<Own>> {
    let mut found = Vec::new();
    for entry in getifaddrs()? {
        let (Some(address), Some(mask)) = (ip(entry.address), ip(entry.netmask)) else { continue };
        if entry.interface_name != probe::INTERFACE {
            let prefix = u8::try_from(bits(mask).count_ones()).unwrap_or(128);
            found.push(Own { interface: entry.interface_name, address, prefix });
        }
    }
    Ok(found)
}

/// Whether `pattern` (a name, or the beginning of one followed by `*`, as nftables writes it) names `interface`.
#[must_use]
pub fn named_by(pattern: &str, interface: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => interface.starts_with(beginning),
        None => interface == pattern,
    }
}

fn ip(address: Option<SockaddrStorage>) -> Option<IpAddr> {
    let address = address?;
    let four = address.as_sockaddr_in().map(|four| IpAddr::V4(four.ip()));
    four.or_else(|| address.as_sockaddr_in6().map(|six| IpAddr::V6(six.ip())))
}

fn width(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => u128::from(four.to_bits()),
        IpAddr::V6(six) => six.to_bits(),
    }
}

fn from_bits(like: IpAddr, bits: u128) -> IpAddr {
    match like {
        IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from_bits(u32::try_from(bits).unwrap_or(u32::MAX))),
        IpAddr::V6(_) => IpAddr::V6(Ipv6Addr::from_bits(bits)),
    }
}

/// The network part of `like`'s family, `prefix` bits long.
fn mask(like: IpAddr, prefix: u8) -> u128 {
    let width = u32::from(width(like));
    let all = u128::MAX >> (128 - width);
    all & !all.checked_shr(u32::from(prefix)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(text: &str) -> Network {
        let (address, prefix) = text.split_once('/').unwrap();
        Network::around(address.parse().unwrap(), prefix.parse().unwrap())
    }

    #[test]
    fn a_network_is_read_only_where_it_is_one() {
        assert_eq!(parse("10.42.0.0/16"), Some(network("10.42.0.0/16")));
        for none in ["10.42.0.1/16", "10.42.0.0", "10.42.0.0/33", "10.42/16", "fd00::1/64"] {
            assert_eq!(parse(none), None, "{none}");
        }
    }

    #[test]
    fn host_bits_are_cut_off() {
        assert_eq!(network("10.3.7.12/24").to_string(), "10.3.7.0/24");
        assert_eq!(network("2001:db8::17/64").to_string(), "2001:db8::/64");
        assert_eq!(network("10.3.7.12/0").to_string(), "0.0.0.0/0");
        assert_eq!(network("10.3.7.12/32").to_string(), "10.3.7.12/32");
        assert_eq!(network("::1/128").to_string(), "::1/128");
    }

    #[test]
    fn a_network_holds_its_first_and_its_last_address_and_no_other_family() {
        let net = network("10.3.6.0/23");
        assert_eq!(net.last(), "10.3.7.255".parse::<IpAddr>().unwrap());
        assert!(net.contains(net.first()) && net.contains(net.last()));
        assert!(!net.contains("10.3.8.0".parse().unwrap()));
        assert!(!network("0.0.0.0/0").contains("::1".parse().unwrap()));
        assert_eq!(network("fe80::/10").last(), "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff".parse::<IpAddr>().unwrap());
    }

    #[test]
    fn networks_that_another_covers_are_left_out() {
        let all = ["10.3.0.0/16", "10.0.0.0/8", "2001:db8::/32", "10.0.0.0/8", "192.168.1.0/24"].map(network);
        let shown: Vec<String> = merged(all.to_vec()).iter().map(ToString::to_string).collect();
        assert_eq!(shown, ["10.0.0.0/8", "192.168.1.0/24", "2001:db8::/32"]);
    }

    #[test]
    fn a_star_stands_for_the_rest_of_a_name() {
        assert!(named_by("br-*", "br-0123456789ab"));
        assert!(!named_by("br-*", "br0"));
        assert!(named_by("docker0", "docker0") && !named_by("docker0", "docker01"));
    }
}
