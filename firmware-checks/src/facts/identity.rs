//! Which machine this is, so that a cloned disk is judged anew.

use std::io;

use sha2::{Digest, Sha256};

use super::{Machine, block, mounts};

/// The firmware's identifier of the machine (SMBIOS 3.7 §7.2.1); readable by root alone.
const UUID: &str = "/sys/class/dmi/id/product_uuid";
/// Its stand-in on a machine that is described by a device tree.
const SERIAL: &str = "/proc/device-tree/serial-number";

/// SHA-256 in lower-case hexadecimal over the machine's identifier and that of the disk that holds `/`: the same over
/// reboots and updates of this machine, another where the disk was cloned or moved.
///
/// # Errors
/// What the firmware or the kernel says could not be read; `NotFound` where they say nothing at all.
pub fn identity(machine: &Machine) -> io::Result<String> {
    let firmware = firmware(machine)?;
    let disk = root_disk(machine)?;
    if firmware.is_none() && disk.is_none() {
        return Err(io::Error::new(
            io::ErrorKind::NotFound,
            "neither the firmware nor a disk under / has an identifier",
        ));
    }
    let mut hash = Sha256::new();
    for part in [firmware, disk] {
        let part = part.unwrap_or_default();
        // The length first, so that no two pairs are written alike.
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    Ok(hex::encode(hash.finalize()))
}

fn firmware(machine: &Machine) -> io::Result<Option<String>> {
    for path in [UUID, SERIAL] {
        match machine.read(path) {
            Ok(text) if !text.is_empty() => return Ok(Some(text.to_lowercase())),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(None)
}

/// The identifier that the disk under `/` has from its maker, else its size; `None` where `/` is on no disk, as
/// with a network file system.
fn root_disk(machine: &Machine) -> io::Result<Option<String>> {
    let Some(device) = mounts::of(machine, "/")?.map(|mount| mount.device) else { return Ok(None) };
    let Some(disk) = block::disk_under(machine, &device)? else { return Ok(None) };
    Ok(Some(match disk.identifier {
        Some(identifier) => identifier,
        None => format!("{} bytes", disk.bytes),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::recorded::Recorded;

    fn machine(uuid: &str, serial: Option<&str>, sectors: &str) -> Recorded {
        let recorded = Recorded::new().file("/sys/class/dmi/id/product_uuid", uuid).disk("vda", sectors);
        let recorded = recorded.partition("vda", "vda4", "254:4").mount("254:4", "/", "ext4", "/dev/vda4");
        match serial {
            Some(serial) => recorded.file("/sys/devices/vda/serial", serial),
            None => recorded,
        }
    }

    fn of(recorded: &Recorded) -> String {
        identity(&recorded.machine()).unwrap()
    }

    #[test]
    fn it_stays_and_tells_another_machine_and_another_disk_apart() {
        let here = of(&machine("uuid-1\n", Some("disk-1"), "1000"));
        assert_eq!(here, of(&machine("UUID-1", Some("disk-1"), "2000")), "a disk with a name may grow");
        assert_ne!(here, of(&machine("uuid-2", Some("disk-1"), "1000")));
        assert_ne!(here, of(&machine("uuid-1", Some("disk-2"), "1000")));
        assert_ne!(of(&machine("uuid-1", None, "1000")), of(&machine("uuid-1", None, "2000")));
    }

    #[test]
    fn a_machine_that_says_nothing_has_none() {
        let recorded = Recorded::new().mount("0:40", "/", "overlay", "overlay");
        assert_eq!(identity(&recorded.machine()).unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
