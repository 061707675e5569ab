//! The network, by systemd.network (5).

use std::fs;

use super::{Error, remove, write};
use crate::facts::Machine;
use crate::site::rules::is_hardware_address;
use crate::site::{Addressing, Site};

/// Takes the place of the image's own file of that name in `/usr/lib/systemd/network`, which is DHCP on every wired interface.
const PATH: &str = "/etc/systemd/network/80-firstlight.network";

/// Every wired interface of the machine itself: `Kind` is empty for all but bridges, veth and other virtual links.
const WIRED: &str = "Type=ether\nKind=!*\n";

pub(super) fn apply(machine: &Machine, site: &Site) -> Result<(), Error> {
    let network = &site.network;
    if network.interface.is_none() && network.fixed.is_none() && site.time.ntp.is_empty() {
        return remove(machine, PATH);
    }
    let matched = match (&network.interface, &network.fixed) {
        (Some(interface), _) if is_hardware_address(interface) => format!("MACAddress={interface}\nKind=!*\n"),
        (Some(interface), _) => format!("Name={interface}\n"),
        (None, None) => WIRED.to_owned(),
        (None, Some(_)) => match wired(machine).as_slice() {
            [] => WIRED.to_owned(),
            [(_, address)] => format!("MACAddress={address}\nKind=!*\n"),
            several => {
                let told = several.iter().map(|(name, address)| format!("{name} ({address})")).collect();
                return Err(Error::Ambiguous(told));
            }
        },
    };
    let addressing = network.fixed.as_ref().map_or_else(|| "DHCP=yes\n".to_owned(), fixed);
    let mut text = format!("# From site.toml; written at every boot.\n[Match]\n{matched}\n[Network]\n{addressing}");
    if !site.time.ntp.is_empty() {
        // The site names its time servers: what DHCP offers would go before them.
        text += "\n[DHCPv4]\nUseNTP=no\n\n[DHCPv6]\nUseNTP=no\n";
    }
    write(machine, PATH, &text)
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
        Site { network: Network { interface: interface.map(str::to_owned), fixed: Some(fixed) }, ..Site::default() }
    }

    #[test]
    fn a_fixed_address_goes_to_the_one_wired_interface() {
        let (_root, machine) = machine(&[("eth0", "device"), ("docker0", ""), ("wlan0", "device wireless")]);
        apply(&machine, &site(None)).unwrap();
        let text = machine.read(PATH).unwrap();
        assert!(text.contains("[Match]\nMACAddress=52:54:00:00:00:00\n"), "{text}");
        assert!(text.ends_with("[Network]\nDHCP=no\nAddress=10.3.7.12/24\nGateway=10.3.7.1\nDNS=10.3.7.2"), "{text}");
    }

    #[test]
    fn of_several_interfaces_the_site_names_one() {
        let (_root, machine) = machine(&[("eth0", "device"), ("eth1", "device")]);
        let told = apply(&machine, &site(None)).unwrap_err().to_string();
        assert!(told.contains("eth0 (52:54:00:00:00:00), eth1 (52:54:00:00:00:01)"), "{told}");
        assert!(!machine.path(PATH).exists());
        apply(&machine, &site(Some("eth1"))).unwrap();
        assert!(machine.read(PATH).unwrap().contains("[Match]\nName=eth1\n"));
    }

    #[test]
    fn without_anything_to_say_the_images_own_file_holds() {
        let (_root, machine) = machine(&[("eth0", "device")]);
        apply(&machine, &site(Some("eth0"))).unwrap();
        apply(&machine, &Site::default()).unwrap();
        assert!(!machine.path(PATH).exists());
    }

    #[test]
    fn the_sites_time_servers_go_before_those_of_dhcp() {
        let (_root, machine) = machine(&[]);
        let mut site = Site::default();
        site.time.ntp = vec!["10.3.7.1".into()];
        apply(&machine, &site).unwrap();
        let text = machine.read(PATH).unwrap();
        assert!(text.contains("DHCP=yes") && text.contains("[DHCPv4]\nUseNTP=no"), "{text}");
    }
}
