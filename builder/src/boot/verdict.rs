//! When a report is final, and what it means for the exit status.

use std::fmt;

use firmware_checks::check::State;
use firmware_checks::report::{Gate, Report};

/// What came of trying an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every gating check passed and the platform was accepted.
    Ready,
    /// So many gating checks do not let the platform run, or not let it be called ready.
    NotReady(usize),
    /// There was no report, or none that judged the platform, and why.
    CouldNotTell(String),
}

impl Outcome {
    /// 0 ready, 1 not ready, 2 could not tell.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Ready => 0,
            Self::NotReady(_) => 1,
            Self::CouldNotTell(_) => 2,
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ready => write!(f, "ready: the platform runs and was accepted"),
            Self::NotReady(1) => write!(f, "not ready: 1 check must be mended"),
            Self::NotReady(count) => write!(f, "not ready: {count} checks must be mended"),
            Self::CouldNotTell(why) => write!(f, "could not tell: {why}"),
        }
    }
}

/// The outcome of a final report; none while the platform is still being started.
pub(super) fn of(report: &Report) -> Option<Outcome> {
    match report.gate {
        Gate::Accepted if report.ready => Some(Outcome::Ready),
        _ if only_waits(report) => None,
        _ => Some(Outcome::NotReady(to_mend(report))),
    }
}

/// The outcome when no further report will come.
pub(super) fn at_the_end(last: Option<&Report>, why: &str) -> Outcome {
    let Some(report) = last else {
        return Outcome::CouldNotTell(format!("{why}, and the appliance sent no report"));
    };
    of(report).unwrap_or_else(|| {
        let left = in_the_way(report);
        Outcome::CouldNotTell(format!("{why} while the platform came up (checks to go: {left})"))
    })
}

fn in_the_way(report: &Report) -> usize {
    report.checks.iter().filter(|check| check.in_the_way()).count()
}

/// What somebody must see to, as the appliance's own console counts it: what only waits is not counted, unless nothing
/// else is in the way.
fn to_mend(report: &Report) -> usize {
    match report.checks.iter().filter(|check| check.to_mend()).count() {
        0 => in_the_way(report).max(1),
        count => count,
    }
}

/// The acceptance checks have not had their say: everything that is in the way waits.
fn only_waits(report: &Report) -> bool {
    report.gate != Gate::Shut
        && report.checks.iter().filter(|check| check.in_the_way()).all(|check| check.state == State::Waiting)
}

#[cfg(test)]
mod tests {
    use firmware_checks::check::Phase;
    use firmware_checks::report::SCHEMA;
    use serde_json::json;

    use super::*;

    /// As an appliance sends it.
    fn report(gate: Gate, admission: State, acceptance: State) -> Report {
        let verdict = |id: &str, phase: Phase, state: State| {
            json!({
                "id": id, "title": "", "phase": phase, "gates": true, "state": state,
                "observed": "", "required": "", "remedy": null,
            })
        };
        let report = json!({
            "schema": SCHEMA, "ready": false, "appliance": "hello", "version": "1", "base": "debian-13",
            "hostname": "hello", "addresses": [], "time": "2026-11-29T00:00:00Z", "gate": gate,
            "checks": [
                verdict("cpu.cores", Phase::Admission, admission),
                verdict("platform.containers", Phase::Acceptance, acceptance),
            ],
        });
        serde_json::from_value(report).unwrap()
    }

    #[test]
    fn a_platform_that_comes_up_is_neither_ready_nor_to_be_mended() {
        let starting = report(Gate::Opened, State::Pass, State::Waiting);
        assert_eq!(of(&starting), None);
        let outcome = at_the_end(Some(&starting), "it was interrupted");
        assert_eq!(
            outcome.to_string(),
            "could not tell: it was interrupted while the platform came up (checks to go: 1)"
        );
        assert_eq!(outcome.exit_code(), 2);
    }

    #[test]
    fn what_must_be_mended_is_counted_even_at_the_end() {
        for report in [
            report(Gate::Shut, State::Fail, State::Waiting),
            report(Gate::Opened, State::Pass, State::Fail),
            report(Gate::Shut, State::Waiting, State::Pass),
        ] {
            assert_eq!(at_the_end(Some(&report), "it was interrupted"), Outcome::NotReady(1), "{report:?}");
        }
    }

    #[test]
    fn a_machine_that_never_spoke_is_not_called_bad() {
        let outcome = at_the_end(None, "no final verdict within 5 s");
        assert_eq!(
            outcome.to_string(),
            "could not tell: no final verdict within 5 s, and the appliance sent no report"
        );
    }
}
