//! Who vouches for the machine's clock.

use std::io;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::Machine;
use crate::files;

/// Where an admin's word about the clock is kept.
pub const ACCEPTED: &str = "/var/lib/firstlight/clock.json";
/// Made by systemd-timesyncd when it has set the clock from a server, and touched each time it does so again.
pub const TIMESYNCD: &str = "/run/systemd/timesync/synchronized";

/// How long an admin's word holds over a reboot: by then a usual clock chip, at 20 ppm, is off by less than three
/// minutes.
const HOLDS: SignedDuration = SignedDuration::from_hours(24 * 90);
/// How far the clock may move against the time since boot before somebody must have set it: much more than a crystal
/// drifts in months, and less than any mistake that matters to a certificate.
const TOLERANCE: SignedDuration = SignedDuration::from_mins(10);
/// How near to the hypervisor's clock the system clock must be to be called the same.
const NEAR: SignedDuration = SignedDuration::from_secs(2);

/// What the kernel says about its clock's discipline (adjtimex (2)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Discipline {
    /// Whether something (an NTP or PTP service) keeps it in step: `STA_UNSYNC` is clear.
    pub synchronised: bool,
    /// The largest error that the kernel thinks possible.
    pub maximum_error: Duration,
}

/// An admin's word that the clock is right.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Acceptance {
    /// What the clock said.
    pub at: Timestamp,
    /// The kernel's identifier of the boot in which it was given.
    pub boot: String,
    /// Seconds since that boot.
    pub uptime: u64,
}

/// Why an admin's word does not hold any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lapsed {
    /// The clock shows an earlier time than it was accepted at.
    WentBack,
    /// In the boot in which it was accepted, the clock has been set.
    WasSet,
    /// It was given too long ago, before a reboot.
    Old,
}

impl Acceptance {
    /// Whether it still holds at `now`, `uptime` seconds into the boot `boot`. In the boot in which it was given, it
    /// holds until the clock is set; after a reboot the clock chip has carried the time, so it holds unless the clock
    /// went back (an empty battery), for 90 days.
    ///
    /// # Errors
    /// Why it does not.
    pub fn holds(&self, now: Timestamp, boot: &str, uptime: u64) -> Result<(), Lapsed> {
        let passed = now.duration_since(self.at);
        if self.boot == boot {
            let counted = i64::try_from(uptime.saturating_sub(self.uptime)).unwrap_or(i64::MAX);
            let moved = passed.saturating_sub(SignedDuration::from_secs(counted));
            return if moved.abs() <= TOLERANCE { Ok(()) } else { Err(Lapsed::WasSet) };
        }
        match passed {
            _ if passed.is_negative() => Err(Lapsed::WentBack),
            _ if passed > HOLDS => Err(Lapsed::Old),
            _ => Ok(()),
        }
    }
}

/// Takes an admin's word that the clock is right at `now`, and keeps it in [`ACCEPTED`].
///
/// # Errors
/// The boot can't be told from others, or the file could not be written.
pub fn accept(machine: &Machine, now: Timestamp) -> io::Result<Acceptance> {
    let acceptance = Acceptance { at: now, boot: boot(machine)?, uptime: uptime(machine)? };
    let text = serde_json::to_vec_pretty(&acceptance).map_err(io::Error::other)?;
    files::replace(&machine.path(ACCEPTED), &text, 0o644)?;
    Ok(acceptance)
}

/// The admin's word, and whether it holds at `now`; `None` where none was given.
///
/// # Errors
/// The file or the kernel's facts about the boot could not be read; `InvalidData` where the file is damaged.
pub fn accepted(machine: &Machine, now: Timestamp) -> io::Result<Option<(Acceptance, Result<(), Lapsed>)>> {
    let text = match machine.read(ACCEPTED) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        text => text?,
    };
    let acceptance: Acceptance = serde_json::from_str(&text)?;
    let holds = acceptance.holds(now, &boot(machine)?, uptime(machine)?);
    Ok(Some((acceptance, holds)))
}

fn boot(machine: &Machine) -> io::Result<String> {
    machine.read("/proc/sys/kernel/random/boot_id")
}

fn uptime(machine: &Machine) -> io::Result<u64> {
    let text = machine.read("/proc/uptime")?;
    let seconds = text.split(['.', ' ']).next().and_then(|seconds| seconds.parse().ok());
    seconds.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, format!("/proc/uptime says `{text}`")))
}

/// A hypervisor's clock that the machine can see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostClock {
    /// Its name, as its driver gives it.
    pub name: String,
    /// How far the system clock is ahead of it.
    pub ahead: SignedDuration,
}

impl HostClock {
    /// Whether the system clock goes with it.
    #[must_use]
    pub fn agrees(&self) -> bool {
        self.ahead.abs() <= NEAR
    }
}

/// The hypervisor's clock, where a driver (`ptp_kvm`, `hv_utils`, `ptp_vmw`) shows it. A network card's clock is
/// none: it runs freely until a PTP service sets it.
///
/// # Errors
/// There is such a clock, but it could not be read.
pub fn host_clock(machine: &Machine) -> io::Result<Option<HostClock>> {
    /// `clock_name` of the drivers that hand down the host's time.
    const DRIVERS: [&str; 3] = ["KVM virtual PTP", "hyperv", "ptp_vmw"];
    let devices = machine.names("/sys/class/ptp").unwrap_or_default();
    let named = |device: String| {
        let name = machine.told(&format!("/sys/class/ptp/{device}/clock_name"))?;
        DRIVERS.contains(&name.as_str()).then_some((device, name))
    };
    let Some((device, name)) = devices.into_iter().find_map(named) else { return Ok(None) };
    let ahead = machine.kernel().ahead_of_ptp(&machine.path(&format!("/dev/{device}")))?;
    Ok(Some(HostClock { name, ahead }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::recorded::Recorded;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn word() -> Acceptance {
        Acceptance { at: at("2026-11-21T10:00:00Z"), boot: "one".to_owned(), uptime: 60 }
    }

    #[test]
    fn in_its_boot_a_word_holds_until_the_clock_is_set() {
        assert_eq!(word().holds(at("2026-11-21T11:00:00Z"), "one", 3660), Ok(()));
        assert_eq!(word().holds(at("2026-11-21T11:00:00Z"), "one", 120), Err(Lapsed::WasSet));
        assert_eq!(word().holds(at("2026-11-20T10:00:00Z"), "one", 120), Err(Lapsed::WasSet));
    }

    #[test]
    fn over_a_reboot_a_word_holds_unless_the_clock_went_back_or_it_is_old() {
        assert_eq!(word().holds(at("2026-11-22T10:00:00Z"), "two", 5), Ok(()));
        assert_eq!(word().holds(at("2026-11-21T09:59:59Z"), "two", 5), Err(Lapsed::WentBack));
        assert_eq!(word().holds(at("2027-11-21T10:00:00Z"), "two", 5), Err(Lapsed::Old));
    }

    #[test]
    fn a_word_is_kept_and_found_again() {
        let recorded = Recorded::new().boot("one", "60.12 100.00\n");
        let machine = recorded.machine();
        assert_eq!(accepted(&machine, word().at).unwrap(), None);
        assert_eq!(accept(&machine, word().at).unwrap(), word());
        assert_eq!(accepted(&machine, word().at).unwrap(), Some((word(), Ok(()))));
    }

    #[test]
    fn a_damaged_word_is_an_error() {
        let recorded = Recorded::new().boot("one", "60.12 100.00\n").file(ACCEPTED, "{");
        assert!(accepted(&recorded.machine(), word().at).is_err());
    }
}
