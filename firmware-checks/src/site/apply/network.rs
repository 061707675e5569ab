//! The network, by systemd.network (5) and systemd.netdev (5).

use std::collections::BTreeMap;
use std::fs;

use super::{Error, remove, write};
use crate::facts::Machine;
use crate::site::rules::is_hardware_address;
use crate::site::{Addressing, Bond, BondMode, Network, Site, Vlan};

const FOLDER: &str = "/etc/systemd/network";
/// Takes the place of the image's own file of that name in `/usr/lib/systemd/network`, which is DHCP on every wired interface.
const UPLINK: &str = "80-firstlight.network";
/// How the names of all other files begin: before [`UPLINK`], so that a bond's cards are the bond's.
const OTHERS: &str = "70-firstlight-";
const BOND: &str = "bond0";

/// Every wired interface of the machine itself: `Kind` is empty for all but bridges, veth and other virtual links.
const WIRED: &str = "Type=ether\nKind=!*\n";

pub(super) fn apply(machine: &Machine, site: &Site) -> Result<(), Error> {
    let wanted = files(machine, site)?;
    for (name, text) in &wanted {
        write(machine, &format!("{FOLDER}/{name}"), &format!("# From site.toml; written at every boot.\n{text}"))?;
    }
    let there = machine.names(FOLDER).unwrap_or_default();
    let ours = there.iter().filter(|name| *name == UPLINK || name.starts_with(OTHERS));
    let mut gone = ours.filter(|name| !wanted.contains_key(*name));
    gone.try_for_each(|name| remove(machine, &format!("{FOLDER}/{name}")))
}

/// What systemd-networkd is to read: names and contents.
fn files(machine: &Machine, site: &Site) -> Result<BTreeMap<String, String>, Error> {
    let network = &site.network;
    let mut files = BTreeMap::new();
    if *network == Network::default() && site.time.ntp.is_empty() {
        return Ok(files);
    }
    let mut name = |rest: String, text: String| files.insert(format!("{OTHERS}{rest}"), text);
    if let Some(bond) = &network.bond {
        name(format!("{BOND}.netdev"), bond_device(bond));
        for (index, interface) in bond.interfaces.iter().enumerate() {
            // A bond gives its cards one address: only the permanent one still tells them apart.
            let matched = matching(interface).replace("MACAddress=", "PermanentMACAddress=");
            name(format!("{BOND}-{index}.network"), format!("[Match]\n{matched}\n[Network]\nBond={BOND}\n"));
        }
    }
    for Vlan { id, fixed } in &network.vlans {
        name(format!("vlan{id}.netdev"), format!("[NetDev]\nName=vlan{id}\nKind=vlan\n\n[VLAN]\nId={id}\n"));
        let addressing = addressing(fixed.as_ref());
        name(
            format!("vlan{id}.network"),
            with_time(site, format!("[Match]\nName=vlan{id}\n\n[Network]\n{addressing}")),
        );
    }
    let own = if network.untagged { addressing(network.fixed.as_ref()) } else { NONE.to_owned() };
    let vlans: String = network.vlans.iter().map(|vlan| format!("VLAN=vlan{}\n", vlan.id)).collect();
    let matched = uplink(machine, network)?;
    let text = with_time(site, format!("[Match]\n{matched}\n[Network]\n{own}{vlans}"));
    files.insert(UPLINK.to_owned(), text);
    Ok(files)
}

/// What an interface has that only carries VLANs.
const NONE: &str = "DHCP=no\nIPv6AcceptRA=no\nLinkLocalAddressing=no\n";

/// Where the site names its time servers, those that DHCP offers would go before them.
fn with_time(site: &Site, network: String) -> String {
    if site.time.ntp.is_empty() { network } else { network + "\n[DHCPv4]\nUseNTP=no\n\n[DHCPv6]\nUseNTP=no\n" }
}

/// The interface that has the address, and on which the VLANs lie. What only one can have must not go to several.
fn uplink(machine: &Machine, network: &Network) -> Result<String, Error> {
    match (&network.bond, &network.interface) {
        (Some(_), _) => return Ok(format!("Name={BOND}\n")),
        (None, Some(interface)) => return Ok(matching(interface)),
        (None, None) if network.fixed.is_none() && network.vlans.is_empty() => return Ok(WIRED.to_owned()),
        (None, None) => {}
    }
    match wired(machine).as_slice() {
        [] => Ok(WIRED.to_owned()),
        [(_, address)] => Ok(matching(address)),
        several => Err(Error::Ambiguous(several.iter().map(|(name, address)| format!("{name} ({address})")).collect())),
    }
}

fn matching(interface: &str) -> String {
    // A VLAN has the hardware address of what it lies on, and a kind.
    if is_hardware_address(interface) {
        format!("MACAddress={interface}\nKind=!*\n")
    } else {
        format!("Name={interface}\n")
    }
}

/// The switch is asked for signs of life ten times a second, and with LACP every second: a pulled cable costs no more.
fn bond_device(bond: &Bond) -> String {
    let lacp = if bond.mode == BondMode::Lacp { "LACPTransmitRate=fast\n" } else { "" };
    let mode = bond.mode.name();
    format!("[NetDev]\nName={BOND}\nKind=bond\n\n[Bond]\nMode={mode}\nMIIMonitorSec=100ms\n{lacp}")
}

fn addressing(fixed: Option<&Addressing>) -> String {
    fixed.map_or_else(|| "DHCP=yes\n".to_owned(), self::fixed)
}

fn fixed(fixed: &Addressing) -> String {
    let mut text = String::from("DHCP=no\n");
    if fixed.addresses.iter().any(|address| address.contains(':')) {
        text += "IPv6AcceptRA=no\n";
    }
    let addresses = fixed.addresses.iter().map(|address| format!("Address={address}\n"));
    let gateway = fixed.gateway.iter().map(|gateway| format!("Gateway={gateway}\n"));
    let servers = fixed.dns.iter().map(|server| format!("DNS={server}\n"));
    text.extend(addresses.chain(gateway).chain(servers));
    text
}

/// The machine's own wired interfaces, by name, with their hardware addresses: those of Ethernet (`ARPHRD_ETHER`) with
/// a device behind them that is no radio.
fn wired(machine: &Machine) -> Vec<(String, String)> {
    let entries = fs::read_dir(machine.path("/sys/class/net")).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut found: Vec<(String, String)> = names
        .filter_map(|name| {
            let at = |file: &str| format!("/sys/class/net/{name}/{file}");
            let there = |file: &str| machine.path(&at(file)).exists();
            let ethernet = machine.read(&at("type")).is_ok_and(|kind| kind == "1");
            let wired = ethernet && there("device") && !there("wireless") && !there("phy80211");
            wired.then(|| machine.read(&at("address")).ok().map(|address| (name.clone(), address))).flatten()
        })
        .collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::replace;
    use crate::site::Network;

    fn machine(interfaces: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        for (index, (name, files)) in interfaces.iter().enumerate() {
            let at = |file: &str| machine.path(&format!("/sys/class/net/{name}/{file}"));
            replace(&at("type"), b"1\n", 0o644).unwrap();
            replace(&at("address"), format!("52:54:00:00:00:0{index}\n").as_bytes(), 0o644).unwrap();
            files.split_whitespace().for_each(|file| fs::create_dir_all(at(file)).unwrap());
        }
        (root, machine)
    }

    fn site(interface: Option<&str>) -> Site {
        let fixed = Addressing {
            addresses: vec!["10.3.7.12/24".into()],
            gateway: Some("10.3.7.1".parse().unwrap()),
            dns: vec!["10.3.7.2".parse().unwrap()],
        };
        let interface = interface.map(str::to_owned);
        Site { network: Network { interface, fixed: Some(fixed), ..Network::default() }, ..Site::default() }
    }

    #[test]
    fn a_fixed_address_goes_to_the_one_wired_interface() {
        let (_root, machine) = machine(&[("eth0", "device"), ("docker0", ""), ("wlan0", "device wireless")]);
        apply(&machine, &site(None)).unwrap();
        let text = read(&machine, UPLINK);
        assert!(text.contains("[Match]\nMACAddress=52:54:00:00:00:00\n"), "{text}");
        assert!(text.ends_with("[Network]\nDHCP=no\nAddress=10.3.7.12/24\nGateway=10.3.7.1\nDNS=10.3.7.2"), "{text}");
    }

    #[test]
    fn of_several_interfaces_the_site_names_one() {
        let (_root, machine) = machine(&[("eth0", "device"), ("eth1", "device")]);
        let told = apply(&machine, &site(None)).unwrap_err().to_string();
        assert!(told.contains("eth0 (52:54:00:00:00:00), eth1 (52:54:00:00:00:01)"), "{told}");
        assert!(!machine.path(&format!("{FOLDER}/{UPLINK}")).exists());
        apply(&machine, &site(Some("eth1"))).unwrap();
        assert!(read(&machine, UPLINK).contains("[Match]\nName=eth1\n"));
    }

    #[test]
    fn without_anything_to_say_the_images_own_file_holds() {
        let (_root, machine) = machine(&[("eth0", "device")]);
        apply(&machine, &site(Some("eth0"))).unwrap();
        apply(&machine, &Site::default()).unwrap();
        assert!(!machine.path(&format!("{FOLDER}/{UPLINK}")).exists());
    }

    #[test]
    fn the_sites_time_servers_go_before_those_of_dhcp() {
        let (_root, machine) = machine(&[]);
        let mut site = Site::default();
        site.time.ntp = vec!["10.3.7.1".into()];
        apply(&machine, &site).unwrap();
        let text = read(&machine, UPLINK);
        assert!(text.contains("DHCP=yes") && text.contains("[DHCPv4]\nUseNTP=no"), "{text}");
    }

    fn read(machine: &Machine, name: &str) -> String {
        machine.read(&format!("{FOLDER}/{name}")).unwrap()
    }

    #[test]
    fn a_vlan_on_a_bond_has_the_address_and_the_bond_has_none() {
        let (_root, machine) = machine(&[("eth0", "device"), ("eth1", "device")]);
        let text = r#"
            [network]
            untagged = false
            [network.bond]
            interfaces = ["52:54:00:00:00:00", "eth1"]
            mode = "802.3ad"
            [[network.vlans]]
            id = 42
            static = { addresses = ["10.3.7.12/24"], gateway = "10.3.7.1" }
        "#;
        apply(&machine, &crate::site::parse(std::path::Path::new("s"), text.as_bytes()).unwrap()).unwrap();
        let device = read(&machine, "70-firstlight-bond0.netdev");
        assert!(device.contains("Kind=bond\n") && device.contains("Mode=802.3ad\n"), "{device}");
        let member = read(&machine, "70-firstlight-bond0-0.network");
        assert!(member.contains("[Match]\nPermanentMACAddress=52:54:00:00:00:00\n"), "{member}");
        assert!(member.ends_with("[Network]\nBond=bond0"), "{member}");
        assert!(read(&machine, "70-firstlight-bond0-1.network").contains("[Match]\nName=eth1\n"));
        let uplink = read(&machine, UPLINK);
        assert!(uplink.contains("[Match]\nName=bond0\n") && uplink.ends_with("VLAN=vlan42"), "{uplink}");
        assert!(uplink.contains("DHCP=no\n") && uplink.contains("LinkLocalAddressing=no\n"), "{uplink}");
        assert!(read(&machine, "70-firstlight-vlan42.netdev").ends_with("Kind=vlan\n\n[VLAN]\nId=42"));
        let vlan = read(&machine, "70-firstlight-vlan42.network");
        assert!(vlan.contains("[Match]\nName=vlan42\n") && vlan.contains("Gateway=10.3.7.1"), "{vlan}");
        apply(&machine, &Site::default()).unwrap();
        assert_eq!(machine.names(FOLDER).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn a_vlan_needs_to_know_its_interface() {
        let vlan = |machine: &Machine| {
            let network = Network { vlans: vec![Vlan { id: 7, fixed: None }], ..Network::default() };
            apply(machine, &Site { network, ..Site::default() })
        };
        let (_root, several) = machine(&[("eth0", "device"), ("eth1", "device")]);
        assert!(matches!(vlan(&several), Err(Error::Ambiguous(_))));
        let (_root, one) = machine(&[("eth0", "device")]);
        vlan(&one).unwrap();
        let uplink = read(&one, UPLINK);
        assert!(uplink.contains("MACAddress=52:54:00:00:00:00\nKind=!*\n"), "{uplink}");
        assert!(uplink.ends_with("[Network]\nDHCP=yes\nVLAN=vlan7"), "{uplink}");
    }
}
