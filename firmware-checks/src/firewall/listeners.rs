//! Sockets that wait for others: who could be reached if the rules let it.

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::facts::Machine;
use crate::requirements::Protocol;

/// A socket that listens on an address which is not the loopback's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// TCP or UDP.
    pub protocol: Protocol,
    /// The address that it is bound to; unspecified where it is bound to all.
    pub address: IpAddr,
    /// Its port.
    pub port: u16,
    inode: u64,
}

/// The files of proc (5) that list sockets, and the state in which they wait: TCP's LISTEN; of UDP, not connected.
const LISTS: [(&str, Protocol, &str); 4] = [
    ("/proc/thread-self/net/tcp", Protocol::Tcp, "0A"),
    ("/proc/thread-self/net/tcp6", Protocol::Tcp, "0A"),
    ("/proc/thread-self/net/udp", Protocol::Udp, "07"),
    ("/proc/thread-self/net/udp6", Protocol::Udp, "07"),
];

/// Every such socket in the network namespace of the calling thread.
///
/// # Errors
/// The kernel's lists can't be read or are of another form. A kernel without IPv6 has no lists for that.
pub fn listeners(machine: &Machine) -> io::Result<Vec<Listener>> {
    let mut found = Vec::new();
    for (path, protocol, waiting) in LISTS {
        let text = match machine.read(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && path.ends_with('6') => continue,
            text => text?,
        };
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let entry = parse(&fields, protocol).ok_or_else(|| {
                io::Error::new(io::ErrorKind::InvalidData, format!("{path}: `{line}` is not an entry of proc (5)"))
            })?;
            if fields.get(3) == Some(&waiting) && !entry.address.to_canonical().is_loopback() {
                found.push(entry);
            }
        }
    }
    Ok(found)
}

impl Listener {
    /// The program that holds it, such as `sshd, process 612`; `None` where that can't be found out.
    #[must_use]
    pub fn owner(&self, machine: &Machine) -> Option<String> {
        let wanted = format!("socket:[{}]", self.inode);
        let holds = |process: &fs::DirEntry| {
            let open = fs::read_dir(process.path().join("fd")).into_iter().flatten().flatten();
            open.filter_map(|file| fs::read_link(file.path()).ok()).any(|target| target.as_os_str() == wanted.as_str())
        };
        let is_process = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().bytes().all(|b| b.is_ascii_digit());
        let mut processes = fs::read_dir(machine.path("/proc")).ok()?.flatten().filter(is_process);
        let process = processes.find(holds)?;
        let name = fs::read_to_string(process.path().join("comm")).ok()?;
        Some(format!("{}, process {}", name.trim(), process.file_name().to_string_lossy()))
    }
}

fn parse(fields: &[&str], protocol: Protocol) -> Option<Listener> {
    let (address, port) = fields.get(1)?.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    Some(Listener { protocol, address: address_of(address)?, port, inode: fields.get(9)?.parse().ok()? })
}

/// Words of 32 bits as the machine's memory holds them, printed as numbers.
fn address_of(text: &str) -> Option<IpAddr> {
    let word = |at: usize| u32::from_str_radix(text.get(at..at + 8)?, 16).ok().map(u32::to_ne_bytes);
    match text.len() {
        8 => word(0).map(|octets| Ipv4Addr::from(octets).into()),
        32 => {
            let words = [word(0)?, word(8)?, word(16)?, word(24)?];
            let octets: [u8; 16] = words.concat().try_into().ok()?;
            Some(Ipv6Addr::from(octets).into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn machine(files: &[(&str, &str)]) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("proc/thread-self/net");
        fs::create_dir_all(&folder).unwrap();
        for (name, lines) in files {
            fs::write(folder.join(name), format!("{HEAD}{lines}")).unwrap();
        }
        let machine = Machine::at(root.path());
        (root, machine)
    }

    fn line(address: &str, state: &str) -> String {
        format!("   0: {address} 00000000:0000 {state} 00000000:00000000 00:00000000 00000000     0        0 4711 1\n")
    }

    #[test]
    fn only_waiting_sockets_that_others_could_reach_are_found() {
        let tcp = [line("00000000:0016", "0A"), line("0100007F:0277", "0A"), line("0C07030A:01BB", "01")].concat();
        let tcp6 = [
            line("00000000000000000000000000000000:01BB", "0A"),
            line("00000000000000000000000001000000:0050", "0A"),
            line("0000000000000000FFFF00000100007F:0051", "0A"),
        ]
        .concat();
        let (_root, machine) = machine(&[("tcp", &tcp), ("tcp6", &tcp6), ("udp", &line("0C07030A:0044", "07"))]);
        let found: Vec<_> =
            listeners(&machine).unwrap().iter().map(|l| format!("{:?} {} {}", l.protocol, l.address, l.port)).collect();
        assert_eq!(found, ["Tcp 0.0.0.0 22", "Tcp :: 443", "Udp 10.3.7.12 68"]);
    }

    #[test]
    fn a_list_that_is_none_is_an_error_and_not_an_empty_one() {
        let (_root, machine) = machine(&[("tcp", "nonsense\n"), ("udp", "")]);
        assert!(listeners(&machine).is_err());
        assert!(listeners(&Machine::at("/nonexistent")).is_err());
    }
}
