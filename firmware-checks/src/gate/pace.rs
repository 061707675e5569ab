//! When the checks run again by themselves.

use std::time::Duration;

use crate::check::State;
use crate::report::{Gate, Report, Verdict};

/// How long the first verdict is put off for what a boot brings up by itself: an address, a route, the time.
pub const SETTLING: Duration = Duration::from_secs(20);
/// How long it is put off for what only warns, such as a clock that nobody has confirmed yet.
pub const SETTLING_WARNINGS: Duration = Duration::from_secs(5);
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

/// How long a boot may go on before `report` is its first verdict: as long as something of the kind that a boot brings
/// up by itself is in the way, or for a moment where it only warns; otherwise not at all.
#[must_use]
pub fn settling(report: &Report) -> Duration {
    let brought_up = |verdict: &&Verdict| {
        ["network.", "time.", "clock.", "egress."].iter().any(|prefix| verdict.id.starts_with(prefix))
    };
    let mut of_a_boot = report.checks.iter().filter(|verdict| !report.comes_later(verdict)).filter(brought_up);
    if of_a_boot.clone().any(Verdict::in_the_way) {
        SETTLING
    } else if of_a_boot.any(|verdict| verdict.state == State::Warn) {
        SETTLING_WARNINGS
    } else {
        Duration::ZERO
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Phase;
    use crate::report::samples;

    fn report(gate: Gate, id: &str, state: State) -> Report {
        samples::report(gate, vec![samples::verdict(id, Phase::Admission, state)])
    }

    #[test]
    fn a_shut_gate_is_tried_ever_more_seldom_and_never_given_up() {
        let shut = report(Gate::Shut, "cpu.cores", State::Fail);
        let pauses: Vec<u64> = [0, 1, 2, 3, 4, 5, 6, u32::MAX].map(|tries| pause(&shut, tries, false).as_secs()).into();
        assert_eq!(pauses, [10, 20, 40, 80, 160, 300, 300, 300]);
    }

    #[test]
    fn a_platform_that_comes_up_is_looked_at_often_and_one_that_runs_daily() {
        assert_eq!(pause(&report(Gate::Opened, "platform.units", State::Waiting), 9, true).as_secs(), 3);
        assert_eq!(pause(&report(Gate::Opened, "platform.units", State::Fail), 0, false).as_secs(), 10);
        assert_eq!(pause(&report(Gate::Accepted, "platform.units", State::Pass), 9, false), DAY);
        assert_eq!(pause(&report(Gate::Accepted, "tls.validity", State::Fail), 9, false).as_secs(), 300);
    }

    #[test]
    fn only_what_a_boot_brings_up_by_itself_is_waited_for() {
        let shut = |id, state| settling(&report(Gate::Shut, id, state));
        assert_eq!(shut("network.address", State::Fail), SETTLING);
        assert_eq!(shut("time.synchronised", State::Unknown), SETTLING);
        assert_eq!(shut("time.synchronised", State::Warn), SETTLING_WARNINGS);
        assert_eq!(shut("cpu.cores", State::Fail), Duration::ZERO);
        assert_eq!(shut("cpu.cores", State::Warn), Duration::ZERO);
        assert_eq!(shut("network.address", State::Pass), Duration::ZERO);
    }
}
