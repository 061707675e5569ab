//! What only a system call tells. The running kernel answers on a machine; a recorded one in a test.

use std::fmt::Debug;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use nix::errno::Errno;
use nix::libc;
use nix::sys::socket::SockaddrStorage;
use nix::time::ClockId;

use super::clock::Discipline;
use super::network::Address;

/// What a machine's kernel answers.
pub trait Kernel: Debug + Send + Sync {
    /// Every address of every interface, up or down (getifaddrs (3)).
    ///
    /// # Errors
    /// The failing system call's.
    fn addresses(&self) -> io::Result<Vec<Address>>;

    /// Whether and how well the clock is disciplined (adjtimex (2)).
    ///
    /// # Errors
    /// The failing system call's.
    fn discipline(&self) -> io::Result<Discipline>;

    /// How far the system clock is ahead of the PTP hardware clock with the device `path`; negative where it is behind.
    ///
    /// # Errors
    /// The failing system call's.
    fn ahead_of_ptp(&self, path: &Path) -> io::Result<jiff::SignedDuration>;

    /// The file system that holds `path` (statvfs (3)).
    ///
    /// # Errors
    /// The failing system call's.
    fn file_system(&self, path: &Path) -> io::Result<Space>;

    /// Connects to `address` by TCP and hangs up.
    ///
    /// # Errors
    /// The failing system call's; `TimedOut` after `limit`.
    fn connect(&self, address: SocketAddr, limit: Duration) -> io::Result<()>;

    /// The twelve bytes with which a hypervisor names itself (CPUID leaf 0x40000000); `None` on another architecture
    /// than x86, and on a processor that has no such leaf.
    fn hypervisor_signature(&self) -> Option<[u8; 12]>;
}

/// How much a file system holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that it can hold in all, without what its own structures take.
    pub size: u64,
    /// Bytes that a process without privileges may still write.
    pub available: u64,
    /// Whether it is mounted read-only.
    pub read_only: bool,
}

/// The kernel that this program runs on.
#[derive(Clone, Copy, Debug)]
pub struct Running;

impl Kernel for Running {
    fn addresses(&self) -> io::Result<Vec<Address>> {
        let entries = nix::ifaddrs::getifaddrs()?;
        Ok(entries
            .filter_map(|entry| {
                let address = ip(entry.address?)?;
                let prefix = entry.netmask.and_then(ip).map_or(if address.is_ipv4() { 32 } else { 128 }, ones);
                Some(Address { interface: entry.interface_name, address, prefix })
            })
            .collect())
    }

    fn discipline(&self) -> io::Result<Discipline> {
        adjtimex().map(|(state, status, maximum_error)| {
            let synchronised = state != libc::TIME_ERROR && status & libc::STA_UNSYNC == 0;
            Discipline { synchronised, maximum_error }
        })
    }

    fn ahead_of_ptp(&self, path: &Path) -> io::Result<jiff::SignedDuration> {
        let device = std::fs::File::open(path)?;
        // A dynamic POSIX clock: the complement of the descriptor, shifted by three, and CLOCKFD (clock_gettime (2)).
        let id = (!libc::clockid_t::from(device.as_raw_fd()) << 3) | 3;
        let ptp = Duration::from(ClockId::from_raw(id).now()?);
        let ptp = jiff::SignedDuration::try_from(ptp).map_err(io::Error::other)?;
        let ptp = Timestamp::from_duration(ptp).map_err(io::Error::other)?;
        Ok(Timestamp::now().duration_since(ptp))
    }

    fn file_system(&self, path: &Path) -> io::Result<Space> {
        let told = nix::sys::statvfs::statvfs(path)?;
        let unit = told.fragment_size();
        Ok(Space {
            size: told.blocks().saturating_mul(unit),
            available: told.blocks_available().saturating_mul(unit),
            read_only: told.flags().contains(nix::sys::statvfs::FsFlags::ST_RDONLY),
        })
    }

    fn connect(&self, address: SocketAddr, limit: Duration) -> io::Result<()> {
        TcpStream::connect_timeout(&address, limit).map(drop)
    }

    fn hypervisor_signature(&self) -> Option<[u8; 12]> {
        signature()
    }
}

fn ip(address: SockaddrStorage) -> Option<IpAddr> {
    let v4 = address.as_sockaddr_in().map(|address| IpAddr::from(address.ip()));
    v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::from(address.ip())))
}

/// The number of bits that are set in a network mask.
fn ones(mask: IpAddr) -> u8 {
    let count = match mask {
        IpAddr::V4(mask) => mask.to_bits().count_ones(),
        IpAddr::V6(mask) => mask.to_bits().count_ones(),
    };
    u8::try_from(count).unwrap_or(128)
}

/// The clock's state, its status bits, and the largest error that the kernel thinks possible.
#[allow(unsafe_code)]
fn adjtimex() -> io::Result<(i32, i32, Duration)> {
    // SAFETY: `timex` is made of integers alone, for which all zeros are values; with `modes` zero the call only
    // writes into the structure that it is given for its duration.
    let (state, answer) = unsafe {
        let mut question: libc::timex = std::mem::zeroed();
        (libc::adjtimex(&raw mut question), question)
    };
    let state = Errno::result(state)?;
    Ok((state, answer.status, Duration::from_micros(u64::try_from(answer.maxerror).unwrap_or_default())))
}

#[cfg(target_arch = "x86_64")]
fn signature() -> Option<[u8; 12]> {
    /// The first leaf of those that are kept for hypervisors.
    const LEAF: u32 = 0x4000_0000;
    /// Bit 31 of ECX in leaf 1: a hypervisor is there. Without it the leaf below answers at random.
    const PRESENT: u32 = 1 << 31;
    use std::arch::x86_64::__cpuid;
    if __cpuid(1).ecx & PRESENT == 0 {
        return None;
    }
    let answer = __cpuid(LEAF);
    let mut signature = [0; 12];
    for (bytes, register) in signature.chunks_mut(4).zip([answer.ebx, answer.ecx, answer.edx]) {
        bytes.copy_from_slice(&register.to_le_bytes());
    }
    Some(signature)
}

#[cfg(not(target_arch = "x86_64"))]
fn signature() -> Option<[u8; 12]> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_counts_its_bits() {
        assert_eq!(ones([255, 255, 240, 0].into()), 20);
        assert_eq!(ones([0xffff, 0xffff, 0, 0, 0, 0, 0, 0].into()), 32);
    }

    #[test]
    fn the_running_kernel_answers() {
        assert!(Running.addresses().unwrap().iter().any(|address| address.address.is_loopback()));
        Running.discipline().unwrap();
        let space = Running.file_system(Path::new("/")).unwrap();
        assert!(space.size >= space.available && space.size > 0);
    }
}
