//! What the types of `site.toml` alone can't say.

use std::net::IpAddr;

use super::{Addressing, Admin, Bond, Network, Site, Vlan, data_disk, host_name, password, registry, ssh_key, values};
use crate::document::{KeyPath, Problem};

/// Everything that is wrong with `site`, by keys.
#[must_use]
pub fn problems(site: &Site) -> Vec<Problem> {
    let root = KeyPath::root();
    let mut found = Vec::new();
    if let Some(name) = &site.hostname {
        found.extend(host(name, &root.key("hostname"), host_name::LONGEST));
        if name.split('.').next() == Some("localhost") {
            let problem = Problem::value(root.key("hostname"), "`localhost` is every machine's name for itself");
            found.push(problem.label("expected a name of its own"));
        }
    }
    for (index, name) in site.names.iter().enumerate() {
        found.extend(host(name, &root.key("names").item(index), 253));
    }
    for (index, server) in site.time.ntp.iter().enumerate() {
        if server.parse::<IpAddr>().is_err() {
            found.extend(host(server, &root.key("time").key("ntp").item(index), 253));
        }
    }
    found.extend(network_problems(&site.network, &root.key("network")));
    found.extend(admin(&site.admin, &root.key("admin")));
    found.extend(services(site, &root));
    found
}

/// What the appliance is given besides its place in the network.
fn services(site: &Site, root: &KeyPath) -> Vec<Problem> {
    let mut found: Vec<Problem> = Vec::new();
    found.extend(site.database.iter().filter_map(|database| database.problems(&root.key("database"))));
    found.extend(site.object_storage.iter().flat_map(|storage| storage.problems(&root.key("object_storage"))));
    found.extend(data_disk::problems(&site.disks, &root.key("disks")));
    found.extend(site.proxy.iter().flat_map(|proxy| proxy.problems(&root.key("proxy"))));
    found.extend(registry::problems(&site.registries, &root.key("registries")));
    found.extend(site.cluster.iter().flat_map(|cluster| cluster.problems(&root.key("cluster"))));
    found.extend(site.containers.problems(&site.network, &root.key("containers")));
    found.extend(site.alert.iter().flat_map(|alert| alert.problems(&root.key("alert"))));
    found.extend(site.backup.iter().flat_map(|backup| backup.problems(&root.key("backup"))));
    found.extend(values::problems(&site.values, &root.key("values")));
    found
}

fn host(name: &str, at: &KeyPath, longest: usize) -> Option<Problem> {
    if name.parse::<IpAddr>().is_ok() {
        return Some(
            Problem::value(at.clone(), format!("`{name}` is an address, not a name")).label("expected a name"),
        );
    }
    let why = host_name::wrong(name, longest)?;
    let problem = Problem::value(at.clone(), format!("`{name}` is not a host name: it {why}"));
    Some(problem.label(host_name::EXPECTED).perhaps(host_name::mended(name).map(|name| format!("write `{name}`"))))
}

fn network_problems(network: &Network, at: &KeyPath) -> Vec<Problem> {
    let interface = network.interface.iter().filter_map(|name| interface_problem(name, at.key("interface")));
    let mut found: Vec<Problem> = interface.collect();
    if let Some(bond) = &network.bond {
        found.extend(bond_problems(bond, network, &at.key("bond")));
    }
    found.extend(network.fixed.iter().flat_map(|fixed| addressing(fixed, &at.key("static"))));
    found.extend(vlans(&network.vlans, &at.key("vlans")));
    if !network.untagged && network.vlans.is_empty() {
        let problem = Problem::value(at.key("untagged"), "the machine would have no address at all");
        found.push(problem.label("expected `true`, or a VLAN in network.vlans"));
    }
    if !network.untagged && network.fixed.is_some() {
        let problem = Problem::value(at.key("static"), "an address outside the VLANs, where `untagged` is false");
        found.push(problem.hint("put it into the VLAN's own table, network.vlans.static"));
    }
    if network.addressings().filter(|fixed| fixed.gateway.is_some()).count() > 1 {
        let problem = Problem::key(at.clone(), "several tables `static` name a default gateway");
        found.push(problem.hint("a machine has one way out: leave the gateway where it is"));
    }
    found
}

fn interface_problem(name: &str, at: KeyPath) -> Option<Problem> {
    let told = || Problem::value(at, format!("`{name}` is neither an interface's name nor a hardware address"));
    (!is_interface(name)).then(|| told().label("expected such as `enp1s0` or `52:54:00:12:34:56`"))
}

fn bond_problems(bond: &Bond, network: &Network, at: &KeyPath) -> Vec<Problem> {
    let list = at.key("interfaces");
    let mut found = Vec::new();
    if network.interface.is_some() {
        let problem = Problem::key(at.clone(), "a bond beside network.interface");
        found.push(problem.hint("the bond takes its place: name the card in network.bond.interfaces alone"));
    }
    if bond.interfaces.len() < 2 {
        let problem = Problem::value(list.clone(), format!("a bond of {} interfaces", bond.interfaces.len()));
        found.push(problem.label("expected two or more"));
    }
    for (index, name) in bond.interfaces.iter().enumerate() {
        if bond.interfaces[..index].iter().any(|earlier| earlier.eq_ignore_ascii_case(name)) {
            found.push(Problem::value(list.item(index), format!("`{name}` is given twice")));
        }
        found.extend(interface_problem(name, list.item(index)));
    }
    found
}

fn vlans(vlans: &[Vlan], at: &KeyPath) -> Vec<Problem> {
    let judge = |(index, vlan): (usize, &Vlan)| {
        let at = at.item(index);
        let twice = vlans[..index].iter().any(|earlier| earlier.id == vlan.id).then(|| {
            let problem = Problem::value(at.key("id"), format!("VLAN {} is given twice", vlan.id));
            problem.hint("several addresses of one VLAN go into one network.vlans.static.addresses")
        });
        let fixed = vlan.fixed.iter().flat_map(|fixed| addressing(fixed, &at.key("static")));
        twice.into_iter().chain(fixed.collect::<Vec<_>>())
    };
    vlans.iter().enumerate().flat_map(judge).collect()
}

/// Whether `text` is a hardware address of Ethernet, six bytes in hexadecimal parted by colons.
pub(super) fn is_hardware_address(text: &str) -> bool {
    let byte = |part: &str| part.len() == 2 && part.bytes().all(|c| c.is_ascii_hexdigit());
    text.split(':').count() == 6 && text.split(':').all(byte)
}

/// Whether `text` can name an interface: at most 15 bytes, as the kernel keeps them (`IFNAMSIZ`), without what would
/// mean something else in a file of systemd.network (5).
fn is_interface(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let name = (1..=15).contains(&text.len()) && text.chars().all(fits) && text != "." && text != ".." && text != "lo";
    name || is_hardware_address(text)
}

fn addressing(fixed: &Addressing, at: &KeyPath) -> Vec<Problem> {
    let list = at.key("addresses");
    let mut found = Vec::new();
    if fixed.addresses.is_empty() {
        found.push(Problem::value(list.clone(), "no address is given").label("expected such as [\"10.3.7.12/24\"]"));
    }
    let mut known: Vec<(IpAddr, u8)> = Vec::new();
    for (index, text) in fixed.addresses.iter().enumerate() {
        match interface_address(text) {
            Err(why) => found.push(Problem::value(list.item(index), why).label("expected such as `10.3.7.12/24`")),
            Ok((address, _)) if known.iter().any(|(earlier, _)| *earlier == address) => {
                found.push(Problem::value(list.item(index), format!("`{address}` is given twice")));
            }
            Ok(read) => known.push(read),
        }
    }
    // What does not read is told above; a gateway can only be compared with addresses that all read.
    if let Some(gateway) = fixed.gateway.filter(|_| found.is_empty()) {
        found.extend(gateway_problem(gateway, &known, at));
    }
    for (index, server) in fixed.dns.iter().enumerate() {
        if server.is_unspecified() || server.is_multicast() {
            let at = at.key("dns").item(index);
            found.push(Problem::value(at, format!("`{server}` can't be a name server's address")));
        }
    }
    found
}

fn gateway_problem(gateway: IpAddr, known: &[(IpAddr, u8)], at: &KeyPath) -> Option<Problem> {
    let told = |message: String| Some(Problem::value(at.key("gateway"), message));
    if known.iter().any(|(own, _)| *own == gateway) {
        return told(format!("`{gateway}` is this machine's own address"))
            .map(|p| p.label("expected the router's address"));
    }
    // A router's link-local address is the usual next hop of IPv6 (RFC 4861 §4.2).
    let link_local = matches!(gateway, IpAddr::V6(address) if address.is_unicast_link_local());
    let inside = known
        .iter()
        .any(|(own, bits)| own.is_ipv4() == gateway.is_ipv4() && network(*own, *bits) == network(gateway, *bits));
    if link_local || inside {
        return None;
    }
    let networks: Vec<String> = known.iter().map(|(own, bits)| format!("{}/{bits}", network(*own, *bits))).collect();
    told(format!("`{gateway}` is outside the machine's networks")).map(|problem| {
        problem.label(format!("expected an address in {}", networks.join(" or "))).hint("is the prefix length right?")
    })
}

/// The network of `address`: all bits after the first `bits` cleared. More bits than there are stand for all.
#[must_use]
pub fn network(address: IpAddr, bits: u8) -> IpAddr {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(bits.into())).unwrap_or(0);
            IpAddr::V4((address.to_bits() & mask).into())
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(bits.into())).unwrap_or(0);
            IpAddr::V6((address.to_bits() & mask).into())
        }
    }
}

/// The address and prefix length in bits that `text` gives an interface, such as `10.3.7.12/24`.
///
/// # Errors
/// Why it can't be an interface's, in words for the admin.
pub fn interface_address(text: &str) -> Result<(IpAddr, u8), String> {
    let (address, bits) = text.split_once('/').ok_or_else(|| format!("`{text}` lacks its prefix length"))?;
    let address: IpAddr = address.parse().map_err(|_| format!("`{address}` is not an IP address"))?;
    let most = if address.is_ipv4() { 32 } else { 128 };
    let bits: u8 = match bits.parse() {
        Ok(bits) if (1..=most).contains(&bits) => bits,
        _ => return Err(format!("`{bits}` is not a prefix length of 1 to {most} bits")),
    };
    if address.is_unspecified() || address.is_loopback() || address.is_multicast() {
        return Err(format!("`{address}` can't be the address of a machine in a network"));
    }
    // Point-to-point links (RFC 3021, RFC 6164) and single addresses have no address for the network itself.
    if bits < most - 1 && network(address, bits) == address {
        return Err(format!("`{text}` is the network itself, not an address in it"));
    }
    if let IpAddr::V4(v4) = address
        && bits < 31
        && v4.to_bits() | (u32::MAX >> bits) == v4.to_bits()
    {
        return Err(format!("`{text}` is the broadcast address of its network"));
    }
    Ok((address, bits))
}

fn admin(admin: &Admin, at: &KeyPath) -> Vec<Problem> {
    let keys = admin.ssh_keys.iter().enumerate().filter_map(|(index, line)| {
        let problem = Problem::value(at.key("ssh_keys").item(index), ssh_key::wrong(line)?);
        Some(problem.label("expected such as `ssh-ed25519 AAAA… name`"))
    });
    let hash = admin.password_hash.as_ref().and_then(|hash| password::wrong(hash.expose())).map(|why| {
        Problem::value(at.key("password_hash"), why).label("expected such as `$y$…` or `$6$…`").hint(password::HINT)
    });
    keys.chain(hash).collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::site::parse;

    fn told(text: &str) -> String {
        parse(Path::new("s"), text.as_bytes()).map_or_else(|error| error.to_string(), |_| "fine".into())
    }

    fn fixed(addresses: &str, rest: &str) -> String {
        told(&format!("[network.static]\naddresses = [{addresses}]\n{rest}\n"))
    }

    #[test]
    fn a_whole_configuration_is_fine() {
        let text = r#"
            hostname = "rack7-u12.clinic.example"
            names = ["imaging.clinic.example"]
            [network]
            interface = "52:54:00:12:34:56"
            [network.static]
            addresses = ["10.3.7.12/24", "2001:db8::12/64"]
            gateway = "10.3.7.1"
            dns = ["10.3.7.1", "2001:db8::1"]
            [time]
            ntp = ["ntp.clinic.example", "10.3.7.1"]
        "#;
        assert_eq!(told(text), "fine");
        assert_eq!(told(""), "fine");
    }

    #[test]
    fn names_that_are_none_are_refused_where_they_stand() {
        let upper = told("hostname = \"Rack7\"");
        assert!(upper.contains("s:1:12: `Rack7` is not a host name") && upper.contains("write `rack7`"), "{upper}");
        assert!(told("hostname = \"localhost\"").contains("every machine's name"));
        assert!(told("hostname = \"10.0.0.1\"").contains("is an address"));
        assert!(told("names = [\"a.example\", \"*.example\"]").contains("s:1:23"));
        assert!(told("[time]\nntp = [\"a b\"]").contains("s:2:8"));
    }

    #[test]
    fn addresses_that_no_interface_can_have_are_refused() {
        for (address, reason) in [
            ("10.3.7.12", "lacks its prefix"),
            ("10.3.7.12/33", "not a prefix length of 1 to 32"),
            ("10.3.7.0/24", "the network itself"),
            ("10.3.7.255/24", "broadcast"),
            ("127.0.0.1/8", "can't be"),
            ("10.3.7/24", "not an IP address"),
            ("2001:db8::/64", "the network itself"),
        ] {
            let text = fixed(&format!("\"{address}\""), "");
            assert!(text.contains(reason), "{address}: {text}");
        }
        for address in ["10.0.0.0/31", "10.0.0.1/32", "2001:db8::1/128"] {
            assert_eq!(fixed(&format!("\"{address}\""), ""), "fine", "{address}");
        }
        assert!(fixed("", "").contains("no address is given"));
        assert!(fixed("\"10.0.0.1/8\", \"10.0.0.1/24\"", "").contains("given twice"));
    }

    #[test]
    fn a_gateway_lies_in_a_network_of_the_machine() {
        let outside = fixed("\"10.3.7.12/24\"", "gateway = \"10.3.8.1\"");
        assert!(outside.contains("outside the machine's networks") && outside.contains("10.3.7.0/24"), "{outside}");
        assert!(fixed("\"10.3.7.12/24\"", "gateway = \"10.3.7.12\"").contains("own address"));
        assert!(fixed("\"10.3.7.12/24\"", "gateway = \"2001:db8::1\"").contains("outside"));
        assert_eq!(fixed("\"2001:db8::12/64\"", "gateway = \"fe80::1\""), "fine");
        assert_eq!(fixed("\"10.3.7.12/16\"", "gateway = \"10.3.8.1\""), "fine");
    }

    #[test]
    fn an_interface_is_a_name_or_a_hardware_address() {
        for bad in ["", "a name", "lo", "eth0;reboot", "52:54:00:12:34", "52:54:00:12:34:5g", "averyverylongname"] {
            assert!(told(&format!("[network]\ninterface = \"{bad}\"")).contains("neither"), "{bad}");
        }
        for good in ["eth0", "enp1s0f0np0", "52:54:00:AB:cd:ef"] {
            assert_eq!(told(&format!("[network]\ninterface = \"{good}\"")), "fine", "{good}");
        }
    }

    #[test]
    fn bonds_and_vlans_are_judged_where_they_stand() {
        let bond = "[network.bond]\ninterfaces = [\"52:54:00:00:00:01\", \"eth1\"]\nmode = \"802.3ad\"\n";
        assert_eq!(told(bond), "fine");
        assert!(told("[network.bond]\ninterfaces = [\"eth0\"]").contains("s:2:14: a bond of 1 interfaces"));
        assert!(told("[network.bond]\ninterfaces = [\"eth0\", \"eth0\"]").contains("s:2:23: `eth0` is given twice"));
        assert!(told(&bond.replace("802.3ad", "lacp")).contains("s:3:8"));
        assert!(told(&format!("[network]\ninterface = \"eth0\"\n{bond}")).contains("beside network.interface"));
        let vlan = |id: &str, rest: &str| format!("[[network.vlans]]\nid = {id}\n{rest}\n");
        let fixed = |address: &str| format!("static = {{ addresses = [\"{address}\"], gateway = \"10.0.0.1\" }}");
        assert_eq!(told(&format!("[network]\nuntagged = false\n{}", vlan("42", &fixed("10.0.0.2/24")))), "fine");
        assert!(told(&vlan("4095", "")).contains("s:2:6"));
        assert!(told(&(vlan("7", "") + &vlan("7", ""))).contains("VLAN 7 is given twice"));
        assert!(told(&vlan("7", &fixed("10.1.0.2/24"))).contains("outside the machine's networks"));
        let two = vlan("7", &fixed("10.0.0.2/24")) + &vlan("8", &fixed("10.0.0.3/24"));
        assert!(told(&two).contains("several tables `static` name a default gateway"));
        assert!(told("[network]\nuntagged = false").contains("no address at all"));
    }

    #[test]
    fn keys_and_hashes_are_judged_where_they_stand() {
        let text = told("[admin]\nssh_keys = [\"ssh-ed25519 AAAA\"]\npassword_hash = \"secret\"\n");
        assert!(text.contains("s:2:13") && text.contains("s:3:"), "{text}");
    }
}
