//! The machine's own name.

use super::Machine;

/// The machine's host name: as the kernel has it, else as `/etc/hostname` says, else `localhost`.
#[must_use]
pub fn name(machine: &Machine) -> String {
    let kernel = machine.told("/proc/sys/kernel/hostname").filter(|name| name != "(none)");
    kernel.or_else(|| machine.told("/etc/hostname")).unwrap_or_else(|| "localhost".to_owned())
}
