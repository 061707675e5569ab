use super::*;
use crate::check::State;
use crate::facts::recorded::{Recorded, only};
use crate::requirements::Requirements;
use crate::site::{Addressing, Network, Site};

const EMPTY_ROUTES: &str = "Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT\n";

fn default_by(interface: &str) -> String {
    let gateway = u32::from_ne_bytes([10, 3, 7, 1]);
    format!("{EMPTY_ROUTES}{interface} 00000000 {gateway:08X} 0003 0 0 0 00000000 0 0 0\n")
}

/// enp1s0 is up; enp65s0f0 has no cable.
fn machine(addresses: &[(&str, &str)]) -> Recorded {
    Recorded::new()
        .interface("lo", "0x9\n", "1\n", "unknown\n")
        .interface("docker0", "0x1003\n", "1\n", "up\n")
        .interface("enp1s0", "0x1003\n", "1\n", "up\n")
        .interface("enp65s0f0", "0x1003\n", "0\n", "down\n")
        .addresses(addresses)
}

fn site(addresses: &[&str], gateway: Option<&str>) -> Site {
    let fixed = Addressing {
        addresses: addresses.iter().map(|text| (*text).to_owned()).collect(),
        gateway: gateway.map(|text| text.parse().unwrap()),
        dns: Vec::new(),
    };
    Site { network: Network { fixed: Some(fixed), ..Network::default() }, ..Site::default() }
}

fn run(recorded: &Recorded, site: Option<&Site>) -> Finding {
    only(recorded.run("network.address", &Requirements::default(), site))
}

#[test]
fn the_sites_addresses_of_both_families_pass_on_an_interface_that_is_up() {
    let recorded = machine(&[("enp1s0", "10.3.7.12/24"), ("enp1s0", "2001:db8::12/64"), ("enp1s0", "fe80::1/64")]);
    let finding = run(&recorded, Some(&site(&["10.3.7.12/24", "2001:db8:0::12/64"], None)));
    assert_eq!(finding.state, State::Pass, "{finding:?}");
    assert_eq!(finding.observed, "10.3.7.12/24 on enp1s0, 2001:db8::12/64 on enp1s0");
}

#[test]
fn another_address_than_the_sites_fails_and_is_told() {
    let finding = run(&machine(&[("enp1s0", "10.9.9.9/24")]), Some(&site(&["10.3.7.12/24"], None)));
    assert_eq!((finding.state, finding.observed.as_str()), (State::Fail, "10.9.9.9/24 on enp1s0"));
    assert_eq!(finding.required, "10.3.7.12 on an interface that is up");
}

#[test]
fn an_address_behind_an_unplugged_cable_fails_and_names_the_interface() {
    let finding = run(&machine(&[("enp65s0f0", "10.3.7.12/24")]), Some(&site(&["10.3.7.12/24"], None)));
    assert_eq!(finding.state, State::Fail);
    assert_eq!(finding.remedy.as_deref(), Some("check the cable of enp65s0f0 (no carrier)"));
}

#[test]
fn without_a_site_any_address_to_the_outside_will_do_and_no_other() {
    assert_eq!(run(&machine(&[("enp1s0", "10.9.9.9/24")]), None).state, State::Pass);
    let inner = [
        ("lo", "127.0.0.1/8"),
        ("docker0", "172.17.0.1/16"),
        ("enp1s0", "169.254.3.4/16"),
        ("enp65s0f0", "10.3.7.12/24"),
    ];
    let finding = run(&machine(&inner), None);
    assert_eq!((finding.state, finding.observed.as_str()), (State::Fail, "no address on an interface that is up"));
    let remedy = finding.remedy.unwrap();
    assert!(remedy.contains("nobody on enp1s0 gives") && remedy.contains("cable of enp65s0f0"), "{remedy}");
}

#[test]
fn an_address_that_another_machine_has_fails_and_says_so() {
    let table = "20010db8000000000000000000000012 02 40 00 c8   enp1s0\n";
    let recorded = machine(&[("enp1s0", "2001:db8::12/64")]).file("/proc/net/if_inet6", table);
    let finding = run(&recorded, Some(&site(&["2001:db8::12/64"], None)));
    assert_eq!(finding.state, State::Fail);
    assert!(finding.remedy.unwrap().contains("another machine answers for 2001:db8::12"));
}

#[test]
fn an_interface_that_the_site_names_and_the_machine_lacks_is_told_with_those_there_are() {
    let mut site = site(&["10.3.7.12/24"], None);
    site.network.interface = Some("eth0".to_owned());
    let remedy = run(&machine(&[]), Some(&site)).remedy.unwrap();
    assert!(remedy.contains("there is no eth0") && remedy.contains("enp1s0 (52:54:00:12:34:56)"), "{remedy}");
}

#[test]
fn a_card_that_is_switched_off_is_named_and_an_idle_interface_is_not() {
    let recorded = Recorded::new()
        .interface("ifb0", "0x82\n", "0\n", "down\n")
        .interface("enp2s0", "0x1002\n", "0\n", "down\n")
        .folder("/sys/class/net/enp2s0/device")
        .addresses(&[]);
    assert_eq!(run(&recorded, None).remedy.as_deref(), Some("sudo ip link set enp2s0 up"));
}

#[test]
fn a_default_route_by_an_interface_that_is_up_passes_and_one_without_a_cable_does_not() {
    let requirements = Requirements { default_route: Need::Required, ..Requirements::default() };
    let judged =
        |table: String| only(machine(&[]).file("/proc/net/route", table).run("network.route", &requirements, None));
    assert_eq!(judged(default_by("enp1s0")).observed, "10.3.7.1 by enp1s0");
    assert_eq!(judged(default_by("enp1s0")).state, State::Pass);
    let finding = judged(default_by("enp65s0f0"));
    assert_eq!(
        (finding.state, finding.observed.as_str()),
        (State::Fail, "only 10.3.7.1 by enp65s0f0, which is not up")
    );
    assert_eq!(judged(EMPTY_ROUTES.to_owned()).state, State::Fail);
    assert_eq!(judged(default_by("docker0")).state, State::Fail);
}

#[test]
fn no_default_route_only_warns_unless_it_is_required() {
    let recorded = machine(&[]).file("/proc/net/route", EMPTY_ROUTES);
    let site = site(&["10.3.7.12/24"], None);
    let finding = only(recorded.run("network.route", &Requirements::default(), Some(&site)));
    assert_eq!(finding.state, State::Warn);
    assert!(finding.remedy.unwrap().contains("set network.static.gateway"));
}

#[test]
fn an_ipv6_route_alone_passes() {
    let zero = "0".repeat(32);
    let table = format!("{zero} 00 {zero} 00 fd000000000000000000000000000001 00000400 1 0 00000003 enp1s0\n");
    let recorded = machine(&[]).file("/proc/net/route", EMPTY_ROUTES).file("/proc/net/ipv6_route", table);
    assert_eq!(only(recorded.run("network.route", &Requirements::default(), None)).observed, "fd00::1 by enp1s0");
}

#[test]
fn without_the_kernels_word_neither_can_run() {
    let silent = Recorded::new().interface("enp1s0", "0x1003\n", "1\n", "up\n");
    for id in ["network.address", "network.route"] {
        assert!(silent.run(id, &Requirements::default(), None).is_err(), "{id}");
        assert!(Recorded::new().run(id, &Requirements::default(), None).is_err(), "{id}");
    }
}

#[test]
fn networks_of_containers_are_nobody_elses() {
    let daemon = |pool: &str| {
        format!("{{\"bip\": \"172.31.255.1/24\", \"default-address-pools\": [{{\"base\": \"{pool}\", \"size\": 24}}]}}")
    };
    let run = |addresses: &[(&str, &str)], resolver: &str, daemon: &str| {
        let recorded = machine(addresses)
            .file("/proc/net/route", default_by("enp1s0"))
            .file("/proc/net/ipv6_route", "")
            .file("/run/systemd/resolve/resolv.conf", resolver)
            .file("/etc/docker/daemon.json", daemon);
        recorded.run("network.cidr", &Requirements::default(), None)
    };
    let own = [("enp1s0", "10.3.7.12/24")];
    let good = only(run(&own, "nameserver 10.3.7.1\nnameserver 127.0.0.53\n", &daemon("172.30.0.0/16")));
    assert_eq!((good.state, good.observed.as_str()), (State::Pass, "172.31.255.0/24, 172.30.0.0/16"));
    let inside = only(run(&[("enp1s0", "172.30.4.2/22")], "", &daemon("172.30.0.0/16")));
    assert_eq!(inside.state, State::Fail);
    assert_eq!(inside.observed, "Docker's 172.30.0.0/16 holds enp1s0's 172.30.4.2/22");
    let server = only(run(&own, "nameserver 172.31.255.53\n", &daemon("172.30.0.0/16")));
    assert_eq!(server.observed, "Docker's 172.31.255.0/24 holds the name server 172.31.255.53");
    let gateway = only(run(&[], "", &daemon("10.3.0.0/16")));
    assert_eq!(gateway.observed, "Docker's 10.3.0.0/16 holds the gateway 10.3.7.1");
    assert!(run(&own, "", "{").is_err() && run(&own, "", &daemon("10.3")).is_err());
    assert_eq!(only(run(&own, "", "{}")).state, State::NotApplicable);
}
