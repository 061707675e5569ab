//! The addresses that containers have among themselves.

use std::net::{IpAddr, Ipv4Addr};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Network, interface_address, network};
use crate::document::{KeyPath, Problem};

/// The addresses that containers have among themselves.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Containers {
    /// A network of IPv4, /12 to /20, that the site uses for nothing else, out of which Docker cuts its own; absent: what the
    /// image says. It counts for networks that are made later: best set before the first start.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
}

impl Containers {
    /// The network, as address and prefix length.
    #[must_use]
    pub fn network(&self) -> Option<(Ipv4Addr, u8)> {
        self.network.as_deref().and_then(read)
    }

    pub(super) fn problems(&self, site: &Network, at: &KeyPath) -> Option<Problem> {
        let text = self.network.as_ref()?;
        let at = at.key("network");
        let Some((own, bits)) = read(text) else {
            let problem = Problem::value(at, format!("`{text}` is no network for containers"));
            return Some(
                problem.label("expected a private network of IPv4 with a length of 12 to 20, such as `10.213.0.0/16`"),
            );
        };
        let addresses = site.addresses().filter_map(|text| interface_address(text).ok());
        let servers = site.addressings().flat_map(|fixed| &fixed.dns).map(|server| (*server, 32));
        let taken = addresses.chain(servers).find(|other| overlap((own.into(), bits), *other));
        taken.map(|(other, _)| {
            let problem =
                Problem::value(at, format!("the containers' network `{text}` has {other} in it, which is the site's"));
            problem.hint("containers could not reach what lies there: choose another private network")
        })
    }
}

fn read(text: &str) -> Option<(Ipv4Addr, u8)> {
    let (address, bits) = text.split_once('/')?;
    let (address, bits): (Ipv4Addr, u8) = (address.parse().ok()?, bits.parse().ok()?);
    let whole = network(address.into(), bits) == IpAddr::V4(address);
    // Shared address space (RFC 6598) is no more anybody's than the private one (RFC 1918).
    let shared = network(address.into(), 10) == IpAddr::V4(Ipv4Addr::new(100, 64, 0, 0));
    ((12..=20).contains(&bits) && whole && (address.is_private() || shared)).then_some((address, bits))
}

/// Whether two networks, each an address in it with its prefix length in bits, have an address in common.
#[must_use]
pub fn overlap(one: (IpAddr, u8), other: (IpAddr, u8)) -> bool {
    let bits = one.1.min(other.1);
    one.0.is_ipv4() == other.0.is_ipv4() && network(one.0, bits) == network(other.0, bits)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::site::parse;

    fn told(network: &str, rest: &str) -> String {
        parse(Path::new("s"), format!("[containers]\nnetwork = \"{network}\"\n{rest}").as_bytes())
            .map_or_else(|error| error.to_string(), |_| "fine".into())
    }

    #[test]
    fn a_network_of_the_containers_is_nobody_elses() {
        let fixed = "[network.static]\naddresses = [\"10.213.7.12/24\"]\ndns = [\"10.3.0.53\"]\n";
        assert_eq!(told("10.214.0.0/16", fixed), "fine");
        assert_eq!(told("100.64.0.0/12", fixed), "fine");
        assert!(
            told("10.213.0.0/16", fixed).contains("s:2:11: the containers' network `10.213.0.0/16` has 10.213.7.12")
        );
        assert!(told("10.3.0.0/16", fixed).contains("has 10.3.0.53"));
        for bad in ["10.213.0.0", "10.213.0.0/24", "10.213.1.0/16", "8.8.0.0/16", "10.0.0.0/8", "fd00::/16"] {
            assert!(told(bad, "").contains("no network for containers"), "{bad}");
        }
    }

    #[test]
    fn networks_overlap_when_one_holds_the_other() {
        let net = |text: &str| interface_address(text).unwrap();
        assert!(overlap(net("10.1.2.3/24"), net("10.1.0.1/16")));
        assert!(!overlap(net("10.1.2.3/24"), net("10.1.3.3/24")));
        assert!(!overlap(net("10.1.2.3/24"), net("fd00::1/64")));
    }
}
