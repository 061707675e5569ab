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
    /// There was no report, and why.
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
            Self::NotReady(count) => write!(f, "not ready: {count} checks must be mended"),
            Self::CouldNotTell(why) => write!(f, "could not tell: {why}"),
        }
    }
}

/// The outcome of a final report; none while the platform is still being started.
pub(super) fn of(report: &Report) -> Option<Outcome> {
    let in_the_way = in_the_way(report);
    match report.gate {
        Gate::Accepted if report.ready => Some(Outcome::Ready),
        Gate::Opened if in_the_way == 0 => None,
        _ if only_waits(report) => None,
        _ => Some(Outcome::NotReady(to_mend(report))),
    }
}

/// The outcome when no further report will come.
pub(super) fn at_the_end(last: Option<&Report>, why: &str) -> Outcome {
    match last {
        None => Outcome::CouldNotTell(format!("{why}, and the appliance sent no report")),
        Some(report) => of(report).unwrap_or_else(|| Outcome::NotReady(to_mend(report))),
    }
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
