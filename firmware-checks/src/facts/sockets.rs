//! Who holds which port.

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::net::{IpAddr, SocketAddr};

use procfs::net::{TcpNetEntries, TcpState, UdpNetEntries};
use procfs::{FromBufReadSI, current_system_info};

use super::Machine;
use crate::requirements::Protocol;

/// A socket that listens (TCP) or is bound and connected to nobody (UDP, SCTP).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Its protocol.
    pub protocol: Protocol,
    /// The address that it is bound to; unspecified for all of the machine's.
    pub address: SocketAddr,
    /// The kernel's number of it, by which its process is found.
    pub inode: u64,
}

/// A process that holds a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holder {
    /// Its name, as the kernel keeps it.
    pub name: String,
    /// Its number.
    pub pid: u32,
    /// The systemd unit that it belongs to.
    pub unit: Option<String>,
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (pid {}", self.name, self.pid)?;
        match &self.unit {
            Some(unit) => write!(f, ", {unit})"),
            None => f.write_str(")"),
        }
    }
}

/// Every socket of `protocol` that is bound for anybody to send to.
///
/// # Errors
/// The kernel's tables could not be read or understood.
pub fn bound(machine: &Machine, protocol: Protocol) -> io::Result<Vec<Bound>> {
    match protocol {
        Protocol::Tcp => both(machine, "tcp", tcp),
        Protocol::Udp => both(machine, "udp", udp),
        Protocol::Sctp => sctp(machine),
    }
}

type Parser = fn(BufReader<File>) -> io::Result<Vec<Bound>>;

/// The IPv4 and the IPv6 table; a kernel without IPv6 has one.
fn both(machine: &Machine, name: &str, parse: Parser) -> io::Result<Vec<Bound>> {
    let mut found = parse(BufReader::new(table(machine, name)?))?;
    match table(machine, &format!("{name}6")) {
        Ok(file) => found.extend(parse(BufReader::new(file))?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    Ok(found)
}

/// The table of the calling thread's own network namespace; where there are no threads, as on a recorded machine,
/// the one of the process.
fn table(machine: &Machine, name: &str) -> io::Result<File> {
    let own = File::open(machine.path(&format!("/proc/thread-self/net/{name}")));
    own.or_else(|_| File::open(machine.path(&format!("/proc/net/{name}"))))
}

fn tcp(file: BufReader<File>) -> io::Result<Vec<Bound>> {
    let table = TcpNetEntries::from_buf_read(file, current_system_info()).map_err(damaged)?;
    let listening = table.0.into_iter().filter(|entry| entry.state == TcpState::Listen);
    Ok(listening
        .map(|entry| Bound { protocol: Protocol::Tcp, address: entry.local_address, inode: entry.inode })
        .collect())
}

fn udp(file: BufReader<File>) -> io::Result<Vec<Bound>> {
    let table = UdpNetEntries::from_buf_read(file, current_system_info()).map_err(damaged)?;
    let open = table.0.into_iter().filter(|entry| entry.remote_address.port() == 0);
    Ok(open.map(|entry| Bound { protocol: Protocol::Udp, address: entry.local_address, inode: entry.inode }).collect())
}

/// `/proc/net/sctp/eps`, which is not there before the first socket loads the module: endpoint, socket, style, state,
/// hash bucket, local port, user, inode, and the local addresses.
fn sctp(machine: &Machine) -> io::Result<Vec<Bound>> {
    let table = match machine.read("/proc/net/sctp/eps") {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        table => table?,
    };
    let entry = |line: &str| {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let (port, inode) = (fields.get(5)?.parse().ok()?, fields.get(7)?.parse().ok()?);
        let addresses: Vec<IpAddr> = fields.get(8..)?.iter().filter_map(|text| text.parse().ok()).collect();
        let bound = |address| Bound { protocol: Protocol::Sctp, address: SocketAddr::new(address, port), inode };
        Some(addresses.into_iter().map(bound).collect::<Vec<_>>())
    };
    let entries: Option<Vec<_>> = table.lines().skip(1).map(entry).collect();
    let entries =
        entries.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/net/sctp/eps is not as expected"))?;
    Ok(entries.into_iter().flatten().collect())
}

fn damaged(error: procfs::ProcError) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, error.to_string())
}

/// The processes that hold one of the sockets `inodes`, by number. Those of the kernel itself have none.
///
/// # Errors
/// `/proc` could not be read. A process that ends while it is looked at is passed over.
pub fn holders(machine: &Machine, inodes: &BTreeSet<u64>) -> io::Result<Vec<Holder>> {
    let targets: Vec<String> = inodes.iter().map(|inode| format!("socket:[{inode}]")).collect();
    let mut pids: Vec<u32> = machine.names("/proc")?.iter().filter_map(|name| name.parse().ok()).collect();
    pids.sort_unstable();
    Ok(pids.into_iter().filter(|pid| holds(machine, *pid, &targets)).map(|pid| holder(machine, pid)).collect())
}

fn holds(machine: &Machine, pid: u32, targets: &[String]) -> bool {
    let Ok(descriptors) = fs::read_dir(machine.path(&format!("/proc/{pid}/fd"))) else { return false };
    descriptors.flatten().any(|descriptor| {
        fs::read_link(descriptor.path())
            .is_ok_and(|link| targets.iter().any(|target| link.as_os_str() == target.as_str()))
    })
}

fn holder(machine: &Machine, pid: u32) -> Holder {
    let name = machine.told(&format!("/proc/{pid}/comm")).unwrap_or_else(|| "a process that has just ended".to_owned());
    let unit = machine.told(&format!("/proc/{pid}/cgroup")).and_then(|text| unit(&text));
    Holder { name, pid, unit }
}

/// The innermost systemd service or scope in the text of `/proc/PID/cgroup`; a login session is none that one stops.
fn unit(cgroup: &str) -> Option<String> {
    let path = cgroup.lines().find_map(|line| line.strip_prefix("0::"))?;
    // systemd escapes what would be read as something else, in names such as `\x2d`; systemctl takes them so.
    let named = |part: &&str| part.ends_with(".service") || (part.ends_with(".scope") && !part.starts_with("session-"));
    path.split('/').rev().find(named).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_is_told_by_its_cgroup_and_a_login_is_none() {
        assert_eq!(unit("0::/system.slice/nginx.service\n").as_deref(), Some("nginx.service"));
        assert_eq!(unit("0::/system.slice/docker-4f.scope\n").as_deref(), Some("docker-4f.scope"));
        assert_eq!(unit("0::/user.slice/user-0.slice/session-1.scope\n"), None);
        assert_eq!(unit("1:cpu:/x\n"), None);
    }
}
