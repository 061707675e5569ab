//! Packets from a network namespace of the check's own, and which of them come through.
//!
//! A veth pair leads from that namespace to the machine. A packet that the machine's rules let in has passed every
//! chain up to the last one before a service, or before the container that a published port leads to; there a table
//! of the probe's own counts it and takes it away. So what is shown is the way of a real packet through every rule
//! that is loaded, nobody's service sees it, no answer goes anywhere, and a port without a listener can be tried as
//! well as a busy one. What a probe can't show: rules bound to the name of another interface, and filters outside
//! netfilter (XDP, tc) on another interface.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{AddressFamily, MsgFlags, SockFlag, SockType, UnixAddr, bind, send, socket};
use serde_json::Value;

use super::frame::{self, Hardware, Way};
use super::namespace::Namespace;
use super::network::{Network, Own};
use super::tool::Program;
use super::{Error, load};
use crate::requirements::Protocol;

/// The machine's end of the veth pair, which exists while a probe runs. Whoever watches links and addresses must
/// pass over it.
pub const INTERFACE: &str = "fl-probe";
const INSIDE: &str = "fl-inside";
/// The table that counts what came through.
const TABLE: &str = "inet firstlight_probe";
/// Number of the routing table and priority of the routing rules that lead answers to the probe; any that nobody
/// else uses will do.
const ROUTES: u32 = 5_150;
/// Locally administered hardware addresses of the two ends.
const MACHINE_END: Hardware = [0x02, 0x66, 0x6c, 0x00, 0x00, 0x01];
const INSIDE_END: Hardware = [0x02, 0x66, 0x6c, 0x00, 0x00, 0x02];
/// Each packet is known by its source port, which no rule changes on its way in; the well-known ports are left to
/// rules that speak of them.
const FIRST_PORT: u16 = 1_024;
/// Packets pass within microseconds; a machine that is busy with its first boot gets this long.
const PATIENCE: Duration = Duration::from_secs(2);

/// The two ends' addresses: the machine's, and the one that packets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ends {
    /// The machine's.
    pub machine: IpAddr,
    /// The other.
    pub outside: IpAddr,
}

impl Ends {
    /// For each family that the machine has, addresses out of those reserved for documentation (RFC 5737, RFC 3849)
    /// that are in none of its networks.
    #[must_use]
    pub fn free(own: &[Own]) -> Vec<Self> {
        let four =
            [[192, 0, 2, 0], [198, 51, 100, 0], [203, 0, 113, 0]].map(|octets| IpAddr::V4(Ipv4Addr::from(octets)));
        let six = [0xf11e, 0xf11f].map(|part| IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, part, 0, 0, 0, 0, 0)));
        let free = |candidates: &[IpAddr], prefix: u8| {
            let mut networks = candidates.iter().map(|address| Network::around(*address, prefix));
            let network = networks.find(|network| !own.iter().any(|own| own.network().overlaps(*network)))?;
            Some(Self { machine: network.nth(1), outside: network.nth(2) })
        };
        [free(&four, 24), speaks_six(own).then(|| free(&six, 64)).flatten()].into_iter().flatten().collect()
    }
}

/// Whether the machine has IPv6: an address beyond the loopback's, or an interface that comes now would get it.
fn speaks_six(own: &[Own]) -> bool {
    let off = std::fs::read_to_string("/proc/sys/net/ipv6/conf/default/disable_ipv6");
    let beyond = |own: &Own| own.address.is_ipv6() && own.interface != "lo";
    own.iter().any(beyond) || off.is_ok_and(|off| off.trim() == "0")
}

/// A packet to be sent: the first of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Shot {
    /// Its protocol.
    pub protocol: Protocol,
    /// The port that it is for.
    pub port: u16,
    /// The address that it claims to come from.
    pub source: IpAddr,
    /// An address of the machine.
    pub destination: IpAddr,
}

/// What became of a [`Shot`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It came to where a service or a container would have got it.
    LetIn,
    /// It reached the machine, and a rule (or the kernel's own sanity checks) took it.
    Dropped,
    /// It did not even reach the machine's rules: nothing is shown.
    Lost,
}

/// Sends `shots` (at most 64,000) in the network namespace of the calling thread; gives what became of each, in
/// order. Everything made for it is gone afterwards, also what an earlier run that was killed left behind.
///
/// # Errors
/// `nft` or `ip` is not there, the kernel refused, or another probe runs for longer than a few seconds.
pub fn shoot(ends: &[Ends], shots: &[Shot]) -> Result<Vec<Outcome>, Error> {
    let _alone = alone()?;
    sweep();
    let _swept = Swept;
    let outside = Namespace::new()?;
    lay(ends, &outside)?;
    load(&counters())?;
    let numbered: Vec<(u16, Shot)> = (FIRST_PORT..).zip(shots.iter().copied()).collect();
    let deadline = Instant::now() + PATIENCE;
    let mut arrived = HashSet::new();
    // A link that has just come up still loses packets, and an address is not the machine's at once: what has not
    // arrived is sent again.
    while arrived.len() < numbered.len() && Instant::now() < deadline {
        let missing: Vec<&(u16, Shot)> = numbered.iter().filter(|(port, _)| !arrived.contains(port)).collect();
        outside.inside(|| send_all(&missing))?;
        sleep(Duration::from_millis(20));
        arrived = counted("arrived")?;
    }
    let passed = counted("passed")?;
    let outcome = |(port, _): (u16, Shot)| match (passed.contains(&port), arrived.contains(&port)) {
        (true, _) => Outcome::LetIn,
        (false, true) => Outcome::Dropped,
        (false, false) => Outcome::Lost,
    };
    Ok(numbered.into_iter().map(outcome).collect())
}

/// Keeps other probes of this network namespace waiting; a lock that ends with the process, however that ends.
fn alone() -> Result<std::os::fd::OwnedFd, Error> {
    let lock = socket(AddressFamily::Unix, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .map_err(Error::system("making a socket"))?;
    let name = UnixAddr::new_abstract(b"firstlight-firewall-probe").map_err(Error::system("naming a socket"))?;
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match bind(lock.as_raw_fd(), &name) {
            Ok(()) => return Ok(lock),
            Err(nix::Error::EADDRINUSE) if Instant::now() < deadline => sleep(Duration::from_millis(50)),
            Err(nix::Error::EADDRINUSE) => return Err(Error::Late { doing: "another probe", seconds: 5 }),
            Err(error) => return Err(Error::system("locking")(error)),
        }
    }
}

/// Removes everything when it goes out of scope.
struct Swept;

impl Drop for Swept {
    fn drop(&mut self) {
        sweep();
    }
}

/// Removes what a probe makes; what is not there is passed over.
fn sweep() {
    let _ = load(&format!("add table {TABLE}\ndelete table {TABLE}\n"));
    for family in ["-4", "-6"] {
        let _ = Program::Ip.run(&[family, "rule", "del", "priority", &ROUTES.to_string()], "");
    }
    if if_nametoindex(INTERFACE).is_ok() {
        let _ = Program::Ip.run(&["link", "del", INTERFACE], "");
    }
}

/// Lays the veth pair and gives the machine's end its addresses.
///
/// A packet to such an address is answered through the pair whatever address it claims to come from: a routing rule
/// that looks at the machine's address alone sees to that, so no route of the machine is touched, and checks of the
/// reverse path find the packet to have come the right way.
fn lay(ends: &[Ends], outside: &Namespace) -> Result<(), Error> {
    let (machine, inside) = (hexadecimal(MACHINE_END), hexadecimal(INSIDE_END));
    let pair = format!(
        "link add {INTERFACE} address {machine} type veth peer name {INSIDE} address {inside} netns {}\n",
        outside.path()
    );
    Program::Ip.run(&["-batch", "-"], &pair)?;
    outside.inside(|| Program::Ip.run(&["-batch", "-"], &up(INSIDE)).map(drop))?;
    Program::Ip.run(&["-batch", "-"], &up(INTERFACE))?;
    // Interfaces may be told to come without it.
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{INTERFACE}/disable_ipv6"), "0");
    for Ends { machine, outside } in ends {
        let (family, nodad) = if machine.is_ipv4() { ("-4", "") } else { ("-6", " nodad") };
        let commands = format!(
            "addr add {machine} peer {outside} dev {INTERFACE}{nodad}\n\
             route add default dev {INTERFACE} table {ROUTES}\n\
             rule add priority {ROUTES} from {machine} lookup {ROUTES}\n"
        );
        Program::Ip.run(&[family, "-batch", "-"], &commands)?;
    }
    Ok(())
}

/// No addresses of the kernel's own making, where there is IPv6: they would bring packets of their own.
fn up(interface: &str) -> String {
    let quiet = format!("link set {interface} addrgenmode none\n");
    let six = std::path::Path::new("/proc/sys/net/ipv6").exists();
    format!("{}link set {interface} up\n", if six { quiet.as_str() } else { "" })
}

fn hexadecimal(address: Hardware) -> String {
    address.map(|byte| format!("{byte:02x}")).join(":")
}

/// The last chain before a service, and before a container; a rule set can't have any after it but at this very
/// priority, the highest that leaves a packet's connection unconfirmed.
fn counters() -> String {
    let set = |name: &str| format!("\tset {name} {{ type inet_service; flags dynamic; size 65535; }}\n");
    let chain = |name: &str, hook: &str, priority: i32, rule: &str| {
        format!(
            "\tchain {name} {{\n\t\ttype filter hook {hook} priority {priority}; policy accept;\n\
             \t\tiifname \"{INTERFACE}\" {rule}\n\t}}\n"
        )
    };
    format!(
        "table {TABLE} {{\n{}{}{}{}{}}}\n",
        set("arrived"),
        set("passed"),
        chain("arriving", "prerouting", -500, "fib daddr type local add @arrived { th sport }"),
        chain("serving", "input", i32::MAX - 1, "add @passed { th sport } drop"),
        chain("forwarding", "forward", i32::MAX - 1, "add @passed { th sport } drop"),
    )
}

/// The source ports of the packets in the set `name`.
fn counted(name: &str) -> Result<HashSet<u16>, Error> {
    let (family, table) = TABLE.split_once(' ').unwrap_or(("inet", TABLE));
    let document: Value = serde_json::from_slice(&Program::Nft.run(&["-j", "list", "set", family, table, name], "")?)?;
    let sets = document["nftables"].as_array().into_iter().flatten().filter_map(|object| object.pointer("/set/elem"));
    let elements = sets.filter_map(Value::as_array).flatten();
    let port = |element: &Value| element.as_u64().or_else(|| element.pointer("/elem/val")?.as_u64());
    Ok(elements.filter_map(port).filter_map(|port| u16::try_from(port).ok()).collect())
}

/// Sends every shot as a frame of its own, from inside.
fn send_all(shots: &[&(u16, Shot)]) -> Result<(), Error> {
    let sending = "sending packets";
    let mut links = getifaddrs().map_err(Error::system(sending))?.filter(|entry| entry.interface_name == INSIDE);
    let link = links.find_map(|entry| entry.address?.as_link_addr().copied());
    let link = link.ok_or_else(|| Error::system(sending)(nix::Error::ENODEV))?;
    let raw = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None);
    let raw = raw.map_err(Error::system(sending))?;
    bind(raw.as_raw_fd(), &link).map_err(Error::system(sending))?;
    for (from_port, shot) in shots {
        let way = Way { from: shot.source, to: shot.destination, from_port: *from_port, to_port: shot.port };
        let frame = frame::opening(shot.protocol, way, INSIDE_END, MACHINE_END);
        send(raw.as_raw_fd(), &frame, MsgFlags::empty()).map_err(Error::system(sending))?;
    }
    Ok(())
}
