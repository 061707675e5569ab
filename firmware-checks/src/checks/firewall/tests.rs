//! The check on a real kernel: a machine, a client and a container as network namespaces of this test's own. Needs
//! root, nftables and iproute2; the host's own network is not touched.

use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::appliance::Appliance;
use crate::check::{Context, CouldNotRun, Finding, Phase, State};
use crate::facts::Machine;
use crate::firewall::namespace::Namespace;
use crate::firewall::samples::{appliance, port};
use crate::firewall::{self, Error};

const MACHINE: &str = "10.3.7.12";
const MACHINE_SIX: &str = "2001:db8:77::12";
const CLIENT: &str = "10.3.7.99";
/// Routed to the machine from behind the client.
const FAR: &str = "192.168.50.99";
const CONTAINER: &str = "172.31.255.2";

/// Three machines on wires.
struct World {
    machine: Namespace,
    client: Namespace,
    container: Namespace,
}

fn shell(script: &str) -> Result<(), Error> {
    let output = Command::new("sh").args(["-euc", script]).output().unwrap();
    assert!(output.status.success(), "{script}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

impl World {
    fn new() -> Self {
        let [machine, client, container] = [(); 3].map(|()| Namespace::new().unwrap());
        machine
            .inside(|| {
                shell(&format!(
                    "ip link set lo up
                     ip link add eth0 type veth peer name eth0 netns {client}
                     ip link add docker0 type bridge
                     ip link add vethc type veth peer name eth0 netns {container}
                     ip link set vethc master docker0
                     ip addr add {MACHINE}/24 dev eth0
                     ip addr add {MACHINE_SIX}/64 dev eth0 nodad
                     ip addr add 172.31.255.1/24 dev docker0
                     for link in eth0 vethc docker0; do ip link set $link up; done
                     ip route add 192.168.50.0/24 via {CLIENT}
                     echo 1 > /proc/sys/net/ipv4/ip_forward",
                    client = client.path(),
                    container = container.path(),
                ))
            })
            .unwrap();
        let up = "ip link set lo up; ip link set eth0 up";
        client
            .inside(|| {
                shell(&format!(
                    "{up}; ip addr add {CLIENT}/24 dev eth0; ip addr add {FAR}/32 dev eth0
                     ip addr add 2001:db8:77::99/64 dev eth0 nodad
                     ip route add 172.31.255.0/24 via {MACHINE}"
                ))
            })
            .unwrap();
        container
            .inside(|| {
                shell(&format!("{up}; ip addr add {CONTAINER}/24 dev eth0; ip route add default via 172.31.255.1"))
            })
            .unwrap();
        Self { machine, client, container }
    }

    fn on_machine(&self, script: &str) {
        self.machine.inside(|| shell(script)).unwrap();
    }

    fn apply(&self, appliance: &Appliance) {
        self.machine.inside(|| firewall::apply(appliance)).unwrap();
    }

    /// As Docker does when a container publishes a port.
    fn publish(&self, port: u16) {
        self.on_machine(&format!(
            "nft -f - <<'E'
             table ip nat {{
                 chain DOCKER {{ iifname \"docker0\" return; tcp dport {port} counter dnat to {CONTAINER}:80; }}
                 chain PREROUTING {{ type nat hook prerouting priority dstnat; fib daddr type local counter jump DOCKER; }}
             }}
E"
        ));
    }

    fn listen(&self, address: &str) -> TcpListener {
        let address: SocketAddr = address.parse().unwrap();
        self.machine.inside(|| Ok(TcpListener::bind(address).unwrap())).unwrap()
    }

    fn serve_in_container(&self) -> TcpListener {
        self.container.inside(|| Ok(TcpListener::bind((CONTAINER, 80)).unwrap())).unwrap()
    }

    /// Whether a connection from `source` really comes about; half a second of silence is a no.
    fn connects(&self, source: &str, to: &str, port: u16) -> bool {
        let (source, to): (IpAddr, IpAddr) = (source.parse().unwrap(), to.parse().unwrap());
        self.client.inside(|| Ok(connect(source, SocketAddr::new(to, port)).is_ok())).unwrap()
    }

    fn check(&self, appliance: &Appliance, phase: Phase) -> Result<Vec<Finding>, CouldNotRun> {
        let judged = || {
            let machine = Machine::here();
            let site_dir = Path::new("/nonexistent");
            let now = Timestamp::UNIX_EPOCH;
            let context = Context { appliance, site: None, site_dir, machine: &machine, now, phase };
            Ok((super::CHECKS[0].run)(&context))
        };
        let start = Instant::now();
        let answer = self.machine.inside(judged).unwrap();
        assert!(start.elapsed() < Duration::from_secs(8), "took {:?}", start.elapsed());
        self.on_machine(
            "! ip link show fl-probe 2>/dev/null; ! nft list table inet firstlight_probe 2>/dev/null
             ! ip rule | grep 5150; ! ip -6 rule | grep 5150; ! ip route show table 5150 2>/dev/null | grep .",
        );
        answer
    }

    /// The findings that are no pass, each as `subject: observed -> remedy`.
    fn complaints(&self, appliance: &Appliance) -> Vec<String> {
        let findings = self.check(appliance, Phase::Acceptance).unwrap();
        let wrong = findings.into_iter().filter(|finding| finding.state != State::Pass);
        wrong
            .map(|f| format!("{}: {} -> {}", f.subject.unwrap_or_default(), f.observed, f.remedy.unwrap_or_default()))
            .collect()
    }
}

fn connect(source: IpAddr, to: SocketAddr) -> io::Result<TcpStream> {
    use nix::sys::socket::{AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, socket};
    use std::os::fd::AsRawFd;
    let family = if to.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let wire = socket(family, SockType::Stream, SockFlag::SOCK_NONBLOCK, None)?;
    bind(wire.as_raw_fd(), &SockaddrStorage::from(SocketAddr::new(source, 0)))?;
    let _ = connect(wire.as_raw_fd(), &SockaddrStorage::from(to));
    std::thread::sleep(Duration::from_millis(500));
    let stream = TcpStream::from(wire);
    stream.peer_addr().map(|_| stream)
}

/// An ICMP echo request, and the wait for its answer.
fn echo(to: IpAddr) -> nix::Result<()> {
    use nix::sys::socket::{
        AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrStorage, recv, sendto, setsockopt, socket,
        sockopt,
    };
    use nix::sys::time::{TimeVal, TimeValLike};
    use std::os::fd::AsRawFd;
    // Type, code, checksum (the kernel computes that of ICMPv6 itself), identifier, sequence number.
    let (family, protocol, request, answer, offset) = match to {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp, [8, 0, 0xf7, 0xff - 1, 0, 1, 0, 0], 0, 20),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6, [128, 0, 0, 0, 0, 1, 0, 0], 129, 0),
    };
    let wire = socket(family, SockType::Raw, SockFlag::empty(), protocol)?;
    setsockopt(&wire, sockopt::ReceiveTimeout, &TimeVal::seconds(2))?;
    sendto(wire.as_raw_fd(), &request, &SockaddrStorage::from(SocketAddr::new(to, 0)), MsgFlags::empty())?;
    let mut packet = [0; 128];
    loop {
        let length = recv(wire.as_raw_fd(), &mut packet, MsgFlags::empty())?;
        if packet[..length].get(offset) == Some(&answer) {
            return Ok(());
        }
    }
}

fn ours() -> Appliance {
    appliance(vec![port("ssh", 22, &["local", "192.168.50.0/24"]), port("https", 443, &[])])
}

#[test]
fn the_recipes_rules_pass_and_really_hold() {
    let world = World::new();
    let appliance = ours();
    world.apply(&appliance);
    let _held = ["[::]:22", "[::]:443", "[::]:5901"].map(|address| world.listen(address));
    assert_eq!(world.complaints(&appliance), [""; 0]);
    assert!(world.connects(CLIENT, MACHINE, 22) && world.connects(FAR, MACHINE, 22));
    assert!(world.connects(CLIENT, MACHINE, 443));
    assert!(!world.connects(CLIENT, MACHINE, 5901));
    // Over IPv6 nothing connects without neighbour discovery.
    assert!(world.connects("2001:db8:77::99", MACHINE_SIX, 443));
    assert!(!world.connects("2001:db8:77::99", MACHINE_SIX, 5901));
    for address in [MACHINE, MACHINE_SIX] {
        world.client.inside(|| Ok(echo(address.parse().unwrap()))).unwrap().unwrap();
    }
}

#[test]
fn each_named_port_is_shown_by_packets_from_each_of_its_sources() {
    let world = World::new();
    let appliance = ours();
    world.apply(&appliance);
    let findings = world.check(&appliance, Phase::Admission).unwrap();
    let observed =
        |subject: &str| findings.iter().find(|f| f.subject.as_deref() == Some(subject)).unwrap().observed.clone();
    for source in ["10.3.7.77", "192.168.50.77", "2001:db8:77::4d"] {
        assert!(observed("ssh").contains(source), "{}", observed("ssh"));
    }
    assert_eq!(observed("https"), "packets came through from 192.0.2.2, 2001:db8:f11e::2");
    assert!(!observed("ssh").contains("rules alone"), "{}", observed("ssh"));
}

#[test]
fn a_port_that_a_container_publishes_obeys_the_recipe() {
    let world = World::new();
    let _container = world.serve_in_container();
    world.publish(8080);
    world.apply(&ours());
    assert_eq!(world.complaints(&ours()), [""; 0]);
    assert!(!world.connects(CLIENT, MACHINE, 8080), "a port that is not named was reached");

    let with_web = appliance(vec![port("web", 8080, &[])]);
    world.apply(&with_web);
    assert_eq!(world.complaints(&with_web), [""; 0]);
    assert!(world.connects(CLIENT, MACHINE, 8080), "a port that is named was not reached");

    // Without our table Docker's port is open, and that is seen.
    world.on_machine("nft delete table inet firstlight");
    let complaints = world.complaints(&ours());
    assert!(world.connects(CLIENT, MACHINE, 8080));
    assert!(complaints[0].contains("no such table is loaded -> sudo firmware-checks firewall apply"), "{complaints:?}");
    assert!(complaints.iter().any(|c| c.starts_with("others: open:")), "{complaints:?}");
}

#[test]
fn a_port_opened_by_hand_is_told_with_who_listens_there() {
    let world = World::new();
    world.apply(&ours());
    let _held = world.listen("0.0.0.0:5901");
    world.on_machine("nft insert rule inet firstlight prerouting tcp dport 5901 accept");
    let complaints = world.complaints(&ours());
    assert_eq!(complaints.len(), 2, "{complaints:?}");
    assert!(complaints[0].starts_with("rules: too much: `tcp dport 5901 accept`"), "{complaints:?}");
    assert!(complaints[1].starts_with("others: open: 5901/tcp to"), "{complaints:?}");
    assert!(complaints[1].contains(" (pid ") && complaints[1].contains("firewall apply"), "{complaints:?}");
    assert!(world.connects(CLIENT, MACHINE, 5901));
    world.apply(&ours());
    assert_eq!(world.complaints(&ours()), [""; 0]);
}

#[test]
fn a_port_that_is_opened_to_more_than_its_sources_fails() {
    let world = World::new();
    world.apply(&ours());
    world.on_machine("nft add element inet firstlight local4 '{ 198.51.100.0/24 }'");
    let complaints = world.complaints(&ours());
    assert!(complaints.iter().any(|c| c.starts_with("others: open: 22/tcp to 198.51.100.")), "{complaints:?}");
}

#[test]
fn a_rule_that_was_taken_out_closes_its_port_and_is_named() {
    let world = World::new();
    world.apply(&ours());
    world.on_machine(
        "handle=$(nft -a list table inet firstlight | sed -n 's/.*\"https\" # handle //p')
         nft delete rule inet firstlight prerouting handle $handle",
    );
    let complaints = world.complaints(&ours());
    assert!(complaints[0].starts_with("rules: missing: `tcp dport 443 accept comment \"https\"`"), "{complaints:?}");
    let https =
        complaints.iter().find(|c| c.starts_with("https: a packet from 192.0.2.2 is dropped by table inet firstlight"));
    assert!(https.is_some_and(|c| c.contains("firmware-checks firewall apply")), "{complaints:?}");
}

#[test]
fn another_softwares_table_that_drops_is_named() {
    let world = World::new();
    world.apply(&ours());
    world.on_machine(
        "nft -f - <<'E'
         table ip filter {
             chain INPUT { type filter hook input priority 0; policy drop; tcp dport 22 accept; }
         }
E",
    );
    let complaints = world.complaints(&ours());
    assert_eq!(complaints.len(), 1, "{complaints:?}");
    assert!(
        complaints[0].starts_with("https: a packet from 192.0.2.2 is dropped by table ip filter, chain INPUT"),
        "{complaints:?}"
    );
    assert!(complaints[0].contains("nft list table ip filter"), "{complaints:?}");
}

#[test]
fn a_rule_bound_to_the_uplinks_name_is_found_by_reading() {
    let world = World::new();
    world.apply(&ours());
    world.on_machine(
        "nft -f - <<'E'
         table inet other {
             chain input { type filter hook input priority 5; iifname \"eth0\" tcp dport 443 reject; }
         }
E",
    );
    let complaints = world.complaints(&ours());
    assert!(
        complaints[0].starts_with("https: by the rules, one from 192.0.2.2 is dropped by table inet other"),
        "{complaints:?}"
    );
}

#[test]
fn a_containers_address_is_refused_from_outside() {
    let world = World::new();
    let appliance = appliance(vec![port("https", 443, &[])]);
    world.apply(&appliance);
    world.on_machine(
        "nft -a list table inet firstlight | sed -n 's/.*fib saddr oifname.* drop # handle //p' |
         while read handle; do nft delete rule inet firstlight prerouting handle $handle; done",
    );
    let complaints = world.complaints(&appliance);
    assert!(complaints.iter().any(|c| c.starts_with("others: open: 443/tcp to 172.31.255.")), "{complaints:?}");
}

#[test]
fn what_a_killed_probe_left_behind_is_removed() {
    let world = World::new();
    world.apply(&ours());
    world.on_machine(
        "ip link add fl-probe type veth peer name left; ip link set fl-probe up
         ip addr add 192.0.2.1 peer 192.0.2.2 dev fl-probe
         ip rule add priority 5150 from 192.0.2.1 lookup 5150
         nft add table inet firstlight_probe",
    );
    assert_eq!(world.complaints(&ours()), [""; 0]);
}

#[test]
fn two_probes_at_once_wait_for_each_other() {
    let world = World::new();
    world.apply(&ours());
    std::thread::scope(|scope| {
        let both = [(); 2].map(|()| {
            scope.spawn(|| {
                world.machine.inside(|| {
                    let machine = Machine::here();
                    let appliance = ours();
                    let context = Context {
                        appliance: &appliance,
                        site: None,
                        site_dir: Path::new("/"),
                        machine: &machine,
                        now: Timestamp::UNIX_EPOCH,
                        phase: Phase::Admission,
                    };
                    Ok((super::CHECKS[0].run)(&context))
                })
            })
        });
        for one in both {
            let findings = one.join().unwrap().unwrap().unwrap();
            assert!(findings.iter().all(|finding| finding.state == State::Pass), "{findings:?}");
        }
    });
}

#[test]
fn local_follows_the_machines_addresses() {
    let world = World::new();
    let ssh = appliance(vec![port("ssh", 22, &["local"])]);
    world.apply(&ssh);
    let _held = world.listen("0.0.0.0:22");
    assert!(world.connects(CLIENT, MACHINE, 22) && !world.connects(FAR, MACHINE, 22));
    assert!(!world.machine.inside(firewall::refresh).unwrap());
    world.on_machine("ip addr add 192.168.50.1/24 dev eth0; ip route del 192.168.50.0/24 via 10.3.7.99");
    let complaints = world.complaints(&ssh);
    assert!(complaints[0].starts_with("rules: too much: `set local4: elements = { 10.3.7.0/24 }`"), "{complaints:?}");
    assert!(world.machine.inside(firewall::refresh).unwrap());
    assert!(world.connects(FAR, MACHINE, 22));
    assert_eq!(world.complaints(&ssh), [""; 0]);
}

#[test]
fn a_machine_that_is_only_recorded_can_not_be_judged() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::at(folder.path());
    let appliance = ours();
    let context = Context {
        appliance: &appliance,
        site: None,
        site_dir: folder.path(),
        machine: &machine,
        now: Timestamp::UNIX_EPOCH,
        phase: Phase::Admission,
    };
    assert!((super::CHECKS[0].run)(&context).is_err());
}

#[test]
fn a_missing_program_is_named_with_its_package() {
    let source = io::Error::from(io::ErrorKind::NotFound);
    let answer = super::could_not(&Error::Start { program: "nft", source });
    assert_eq!(answer.remedy, "install the package nftables");
}
