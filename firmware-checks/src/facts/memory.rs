//! How much memory is built in, and how much of it the kernel has.

use std::io;

use super::{Machine, smbios};

/// Where the kernel shows the firmware's tables; root's alone.
const TABLE: &str = "/sys/firmware/dmi/tables/DMI";

/// The machine's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes that the kernel has to give (`MemTotal`).
    pub usable: u64,
    /// Bytes that are built in, by the firmware's table; `None` where it does not say, or says what can't be.
    pub installed: Option<u64>,
}

impl Memory {
    /// What firmware and kernel keep for themselves at most, on a machine where `usable` bytes are left: 1/32, since
    /// the kernel's own records take 1/64 and firmware about as much again, and 256 MiB.
    #[must_use]
    pub fn allowance(usable: u64) -> u64 {
        usable / 32 + (256 << 20)
    }

    /// Physical memory in bytes: what is built in, else what is usable and the allowance.
    #[must_use]
    pub fn physical(self) -> u64 {
        self.installed.unwrap_or_else(|| self.usable.saturating_add(Self::allowance(self.usable)))
    }
}

/// The machine's memory.
///
/// # Errors
/// `/proc/meminfo` could not be read or understood.
pub fn memory(machine: &Machine) -> io::Result<Memory> {
    let text = machine.read("/proc/meminfo")?;
    let usable =
        usable(&text).ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "no MemTotal in /proc/meminfo"))?;
    let table = std::fs::read(machine.path(TABLE)).ok();
    let installed = table.and_then(|table| smbios::memory(&table)).filter(|installed| plausible(*installed, usable));
    Ok(Memory { usable, installed })
}

fn usable(meminfo: &str) -> Option<u64> {
    let value = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    value.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

/// Whether `installed` bytes can be true of a machine whose kernel has `usable`. It can't have more than there is; and
/// where more than a quarter and 512 MiB are gone, they do not serve this system: mirrored, defective, limited on the kernel's
/// command line, or promised by a hypervisor and not given.
fn plausible(installed: u64, usable: u64) -> bool {
    installed >= usable && installed - usable <= installed / 4 + (512 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_firmware_says_must_fit_what_the_kernel_has() {
        assert!(plausible(64 << 30, (62 << 30) + (700 << 20)));
        assert!(plausible(2 << 30, 1900 << 20));
        assert!(!plausible(32 << 30, 62 << 30), "less than the kernel has");
        assert!(!plausible(128 << 30, 63 << 30), "mirrored");
    }

    #[test]
    fn a_sixty_four_gib_machine_without_a_table_is_one_with_the_allowance() {
        let usable = (62 << 30) + (700 << 20);
        assert!(Memory { usable, installed: None }.physical() >= 64 << 30);
        assert!(Memory { usable: 60 << 30, installed: None }.physical() < 64 << 30);
    }
}
