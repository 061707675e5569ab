//! What keeps the gate open over reboots.

use std::io;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::appliance::Appliance;
use crate::facts::{Machine, identity};
use crate::files;

/// Where the latch lies on the machine.
const PATH: &str = "/var/lib/firstlight/gate.json";

/// What a latch is bound to: these requirements on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Seal {
    /// [`Appliance::requirements_digest`].
    pub requirements: String,
    /// [`identity::identity`].
    pub machine: String,
}

impl Seal {
    /// The seal of `appliance` on `machine`.
    ///
    /// # Errors
    /// The machine's identity could not be read.
    pub fn of(appliance: &Appliance, machine: &Machine) -> io::Result<Self> {
        Ok(Self { requirements: appliance.requirements_digest(), machine: identity::identity(machine)? })
    }
}

/// The record that the gate has been opened.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Latch {
    /// What it is bound to.
    pub seal: Seal,
    /// When the gate was first opened, by the machine's clock.
    pub opened: Timestamp,
}

impl Latch {
    /// The latch of `machine`. One that can't be read or is damaged is none: the machine is then judged anew, which
    /// is always safe.
    #[must_use]
    pub fn load(machine: &Machine) -> Option<Self> {
        let path = machine.path(PATH);
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
            Err(error) => {
                eprintln!("reading {}: {error}; the machine is judged anew", path.display());
                return None;
            }
        };
        serde_json::from_slice(&text)
            .inspect_err(|error| eprintln!("{} is damaged ({error}); the machine is judged anew", path.display()))
            .ok()
    }

    /// Writes it, whole or not at all, and durably.
    ///
    /// # Errors
    /// The failing system call's.
    pub fn save(&self, machine: &Machine) -> io::Result<()> {
        files::replace(&machine.path(PATH), &serde_json::to_vec(self)?, 0o600)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn latch() -> Latch {
        let seal = Seal { requirements: "aa".to_owned(), machine: "bb".to_owned() };
        Latch { seal, opened: "2026-11-21T14:02:51Z".parse().unwrap() }
    }

    #[test]
    fn what_was_written_is_read_and_is_roots_alone() {
        use std::os::unix::fs::PermissionsExt;
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        latch().save(&machine).unwrap();
        assert_eq!(Latch::load(&machine), Some(latch()));
        let mode = std::fs::metadata(machine.path(PATH)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_damaged_latch_is_none() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        assert_eq!(Latch::load(&machine), None);
        let whole = serde_json::to_vec(&latch()).unwrap();
        for damaged in [&whole[..whole.len() / 2], b"", b"\0\0\0\0", b"{}"] {
            files::replace(&machine.path(PATH), damaged, 0o600).unwrap();
            assert_eq!(Latch::load(&machine), None, "{damaged:?}");
        }
    }

    #[test]
    fn another_machine_or_other_requirements_break_the_seal() {
        let mut other = latch().seal;
        other.machine = "cc".to_owned();
        assert_ne!(latch().seal, other);
        let mut other = latch().seal;
        other.requirements = "cc".to_owned();
        assert_ne!(latch().seal, other);
    }
}
