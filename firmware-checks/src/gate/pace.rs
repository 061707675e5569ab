//! When the checks run again by themselves.

use std::time::Duration;

use crate::report::{Gate, Report};

/// How long the first verdict is put off for what a boot brings up by itself: an address, a route, the time.
pub const SETTLING: Duration = Duration::from_secs(20);
/// How long the platform has to prove itself before what it lacks is a failure.
pub const DEADLINE: Duration = Duration::from_secs(180);

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// The pause after `report`, the `tries`-th (from 0) since something changed: ten seconds, doubled up to five minutes,
/// while something must be mended; three while the platform proves itself; a day once all is well.
#[must_use]
pub fn pause(report: &Report, tries: u32, starting: bool) -> Duration {
    match report.gate {
        _ if report.gate != Gate::Shut && report.ready => DAY,
        Gate::Opened if starting => Duration::from_secs(3),
        _ => Duration::from_secs(10 << tries.min(5)).min(Duration::from_secs(300)),
    }
}

/// Whether `report` may still come right by itself within [`SETTLING`], since what is in the way is of a kind that a
/// boot brings up.
#[must_use]
pub fn settles(report: &Report) -> bool {
    let brought_up = ["network.", "time.", "clock.", "egress.", "disk.", "firewall.", "ports."];
    report
        .checks
        .iter()
        .filter(|verdict| !report.comes_later(verdict) && !verdict.state.lets_open() && verdict.waived.is_none())
        .chain(report.checks.iter().filter(|verdict| verdict.state == crate::check::State::Warn))
        .any(|verdict| brought_up.iter().any(|prefix| verdict.id.starts_with(prefix)))
}
