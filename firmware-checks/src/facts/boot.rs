//! How the machine was started.

use std::io;

use super::Machine;

/// Where the kernel shows what UEFI firmware keeps.
const EFI: &str = "/sys/firmware/efi";
/// Where its variables are, once they are mounted.
const VARIABLES: &str = "/sys/firmware/efi/efivars";
/// The vendor of the variables that UEFI itself defines (UEFI 2.10 §3.3).
const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
/// The vendor of shim's variables.
const SHIM: &str = "605dab50-e046-4300-abb6-3dd810dd8b23";

/// How the machine was started.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Started {
    /// By a PC's BIOS, or by whatever is not UEFI.
    Bios,
    /// By UEFI.
    Uefi(SecureBoot),
}

/// What came of Secure Boot (UEFI 2.10 §32).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecureBoot {
    /// Enforced down to the kernel.
    On,
    /// Switched off in the firmware's setup, or the firmware has none.
    Off,
    /// No platform key is enrolled: nothing is enforced.
    SetupMode,
    /// Enforced by the firmware, but shim was told (`mokutil --disable-validation`) to verify nothing.
    ShimOff,
}

/// How the machine was started.
///
/// # Errors
/// It was by UEFI, but the variables are not mounted or could not be read.
pub fn started(machine: &Machine) -> io::Result<Started> {
    if !uefi(machine) {
        return Ok(Started::Bios);
    }
    if machine.names(VARIABLES)?.is_empty() {
        return Err(io::Error::new(io::ErrorKind::NotFound, format!("{VARIABLES} is not mounted")));
    }
    let secure = variable(machine, "SecureBoot", GLOBAL)?;
    let setup = variable(machine, "SetupMode", GLOBAL)?;
    let shim = variable(machine, "MokSBStateRT", SHIM)?;
    Ok(Started::Uefi(match (secure, setup, shim) {
        (_, Some(1), _) => SecureBoot::SetupMode,
        (Some(1), _, Some(1)) => SecureBoot::ShimOff,
        (Some(1), ..) => SecureBoot::On,
        _ => SecureBoot::Off,
    }))
}

/// Whether it was by UEFI.
#[must_use]
pub fn uefi(machine: &Machine) -> bool {
    machine.path(EFI).is_dir()
}

/// The value of a variable that is one byte; `None` where the firmware has no such variable.
fn variable(machine: &Machine, name: &str, vendor: &str) -> io::Result<Option<u8>> {
    let path = format!("{VARIABLES}/{name}-{vendor}");
    match std::fs::read(machine.path(&path)).map(|content| value(&content)) {
        Ok(Some(value)) => Ok(Some(value)),
        Ok(None) => Err(io::Error::new(io::ErrorKind::InvalidData, format!("{path} is not four bytes and one"))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// efivarfs puts four bytes of attributes before the value.
fn value(content: &[u8]) -> Option<u8> {
    match content {
        [_, _, _, _, value] => Some(*value),
        _ => None,
    }
}
