use super::*;
use crate::check::State;
use crate::facts::recorded::{Recorded, only};
use crate::requirements::Requirements;
use crate::site::{Addressing, Network, Site};

const HEADER: &str =
    "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

fn port(name: &str, number: u16, protocol: Protocol) -> Port {
    Port { name: name.to_owned(), port: number, protocol, from: Vec::new(), promised: true, owner: Owner::Platform }
}

fn asks(ports: &[Port]) -> Requirements {
    Requirements { ports: ports.to_vec(), ..Requirements::default() }
}

/// A line of `/proc/net/tcp` or `udp`: four bytes of address, port, state.
fn line(address: [u8; 4], port: u16, state: &str, inode: u64) -> String {
    let address = u32::from_ne_bytes(address);
    format!(
        "   0: {address:08X}:{port:04X} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 {inode} 1 0 100 0 0 10 0\n"
    )
}

/// nginx listens on 443 everywhere, sshd on 22; an outgoing connection uses 8443.
fn machine() -> Recorded {
    let table =
        [line([0; 4], 443, "0A", 1234), line([0; 4], 22, "0A", 5), line([10, 3, 7, 12], 8443, "01", 6)].concat();
    Recorded::new()
        .file("/proc/net/tcp", format!("{HEADER}{table}"))
        .file("/proc/net/udp", format!("{HEADER}{}", line([0; 4], 5353, "07", 77)))
        .file("/proc/417/comm", "nginx\n")
        .file("/proc/417/cgroup", "0::/system.slice/nginx.service\n")
        .link("/proc/417/fd/6", "socket:[1234]")
        .link("/proc/418/fd/0", "/dev/null")
        .interface("enp1s0", "0x1003\n", "1\n", "up\n")
        .addresses(&[("enp1s0", "10.3.7.12/24")])
}

#[test]
fn a_port_that_nobody_holds_passes_whatever_connections_use_its_number() {
    let finding = only(machine().run("ports.free", &asks(&[port("alt", 8443, Protocol::Tcp)]), None));
    assert_eq!(finding, Finding::pass("8443/tcp is free", "8443/tcp free").about("alt"));
    assert_eq!(only(machine().run("ports.free", &asks(&[port("q", 443, Protocol::Udp)]), None)).state, State::Pass);
}

#[test]
fn a_port_that_is_held_fails_and_names_process_and_unit() {
    let finding = only(machine().run("ports.free", &asks(&[port("https", 443, Protocol::Tcp)]), None));
    assert_eq!(finding.observed, "443/tcp is held by nginx (pid 417, nginx.service)");
    assert_eq!(finding.state, State::Fail);
    assert!(finding.remedy.unwrap().starts_with("sudo systemctl stop nginx.service"));
}

#[test]
fn holders_without_a_unit_are_stopped_otherwise() {
    let of = |pid: &str| {
        let recorded =
            machine().file(&format!("/proc/{pid}/comm"), "x\n").link(&format!("/proc/{pid}/fd/3"), "socket:[77]");
        only(recorded.run("ports.free", &asks(&[port("mdns", 5353, Protocol::Udp)]), None)).remedy.unwrap()
    };
    assert!(of("1").contains("systemctl list-sockets"));
    assert!(of("99").contains("kill 99"));
    let nobody = only(machine().run("ports.free", &asks(&[port("mdns", 5353, Protocol::Udp)]), None));
    assert_eq!(
        (nobody.state, nobody.observed.as_str()),
        (State::Fail, "5353/udp is held by no process of this machine's own")
    );
}

#[test]
fn ports_of_the_system_are_not_asked() {
    let mut ssh = port("ssh", 22, Protocol::Tcp);
    ssh.owner = Owner::System;
    let findings = machine().run("ports.free", &asks(&[ssh, port("alt", 8443, Protocol::Tcp)]), None).unwrap();
    assert_eq!(findings.len(), 1);
}

#[test]
fn a_port_on_ipv6_alone_is_held_too() {
    let any = "0".repeat(32);
    let six = format!(
        "{HEADER}   0: {any}:1F90 {any}:0000 0A 00000000:00000000 00:00000000 00000000     0        0 9 1 0 100 0 0 10 0\n"
    );
    let finding =
        only(machine().file("/proc/net/tcp6", six).run("ports.free", &asks(&[port("web", 8080, Protocol::Tcp)]), None));
    assert_eq!(finding.state, State::Fail);
}

#[test]
fn an_sctp_endpoint_holds_its_port() {
    let table = " ENDPT     SOCK   STY SST HBKT LPORT   UID INODE LADDRS\nffff0 ffff1 2   10  36   36412     0 88 10.3.7.12 127.0.0.1\n";
    let recorded = machine().file("/proc/net/sctp/eps", table);
    assert_eq!(only(recorded.run("ports.free", &asks(&[port("s1", 36412, Protocol::Sctp)]), None)).state, State::Fail);
    assert_eq!(
        only(recorded.run("ports.listening", &asks(&[port("s1", 36412, Protocol::Sctp)]), None)).state,
        State::Pass
    );
    assert_eq!(only(machine().run("ports.free", &asks(&[port("s1", 36412, Protocol::Sctp)]), None)).state, State::Pass);
}

#[test]
fn without_the_kernels_tables_neither_can_run() {
    let none = Recorded::new();
    assert!(none.run("ports.free", &asks(&[port("https", 443, Protocol::Tcp)]), None).is_err());
    assert!(none.run("ports.listening", &asks(&[port("https", 443, Protocol::Tcp)]), None).is_err());
    let odd = machine().file("/proc/net/tcp", format!("{HEADER}nonsense\n"));
    assert!(odd.run("ports.free", &asks(&[port("https", 443, Protocol::Tcp)]), None).is_err());
}

#[test]
fn a_port_that_answers_on_the_machines_address_passes() {
    let finding = only(machine().listening("10.3.7.12:443").run(
        "ports.listening",
        &asks(&[port("https", 443, Protocol::Tcp)]),
        None,
    ));
    assert_eq!(finding.observed, "answers at 10.3.7.12:443");
    assert_eq!(finding.state, State::Pass);
    assert_eq!(
        only(machine().run("ports.listening", &asks(&[port("mdns", 5353, Protocol::Udp)]), None)).state,
        State::Pass
    );
}

#[test]
fn an_address_family_in_which_a_port_does_not_answer_is_told() {
    let both = || machine().addresses(&[("enp1s0", "10.3.7.12/24"), ("enp1s0", "2001:db8::12/64")]);
    let asked = asks(&[port("https", 443, Protocol::Tcp)]);
    let half = only(both().listening("10.3.7.12:443").run("ports.listening", &asked, None));
    let expected = "answers over IPv4 at 10.3.7.12:443, not over IPv6: [2001:db8::12]:443 refuses connections: nothing \
                    listens there";
    assert_eq!((half.state, half.observed.as_str()), (State::Pass, expected));
    let whole = both().listening("10.3.7.12:443").listening("[2001:db8::12]:443");
    assert_eq!(only(whole.run("ports.listening", &asked, None)).observed, "answers at 10.3.7.12:443");
    let none = only(both().run("ports.listening", &asked, None)).observed;
    assert!(none.contains("10.3.7.12:443 refuses") && none.contains("[2001:db8::12]:443 refuses"), "{none}");
}

#[test]
fn a_port_that_does_not_answer_or_on_the_loopback_alone_fails() {
    let silent = only(machine().run("ports.listening", &asks(&[port("alt", 8444, Protocol::Tcp)]), None));
    assert_eq!(silent.state, State::Fail);
    assert!(silent.observed.contains("nothing listens there"), "{}", silent.observed);
    let inside = machine().file("/proc/net/tcp", format!("{HEADER}{}", line([127, 0, 0, 1], 443, "0A", 3)));
    let finding = only(inside.run("ports.listening", &asks(&[port("https", 443, Protocol::Tcp)]), None));
    assert_eq!((finding.state, finding.observed.as_str()), (State::Fail, "443/tcp answers on 127.0.0.1 alone"));
    let unbound = only(machine().run("ports.listening", &asks(&[port("dns", 53, Protocol::Udp)]), None));
    assert_eq!(unbound.state, State::Fail);
}

#[test]
fn where_the_site_has_a_fixed_address_the_port_must_answer_there() {
    let fixed = Addressing { addresses: vec!["10.4.0.2/24".to_owned()], gateway: None, dns: Vec::new() };
    let site = Site { network: Network { fixed: Some(fixed), ..Network::default() }, ..Site::default() };
    let elsewhere = machine().listening("10.3.7.12:443");
    let finding = only(elsewhere.run("ports.listening", &asks(&[port("https", 443, Protocol::Tcp)]), Some(&site)));
    assert_eq!(finding.state, State::Fail);
}
