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
    let brought_up = ["network.", "time.", "clock.", "egress."];
    report
        .checks
        .iter()
        .filter(|verdict| !report.comes_later(verdict) && !verdict.state.lets_open() && verdict.waived.is_none())
        .chain(report.checks.iter().filter(|verdict| verdict.state == crate::check::State::Warn))
        .any(|verdict| brought_up.iter().any(|prefix| verdict.id.starts_with(prefix)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Phase, State};
    use crate::report::{SCHEMA, Verdict};

    fn report(gate: Gate, id: &str, state: State) -> Report {
        let verdict = Verdict {
            id: id.to_owned(),
            subject: None,
            title: String::new(),
            phase: Phase::Admission,
            gates: true,
            state,
            observed: String::new(),
            required: String::new(),
            remedy: None,
            waived: None,
        };
        Report {
            schema: SCHEMA,
            ready: !verdict.in_the_way(),
            appliance: String::new(),
            version: String::new(),
            base: String::new(),
            hostname: String::new(),
            addresses: Vec::new(),
            time: jiff::Timestamp::UNIX_EPOCH,
            gate,
            next_run: None,
            checks: vec![verdict],
        }
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
        assert!(settles(&report(Gate::Shut, "network.address", State::Fail)));
        assert!(settles(&report(Gate::Shut, "time.synchronised", State::Warn)));
        assert!(!settles(&report(Gate::Shut, "cpu.cores", State::Fail)));
        assert!(!settles(&report(Gate::Shut, "network.address", State::Pass)));
    }
}
