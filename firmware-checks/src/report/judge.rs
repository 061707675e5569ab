//! What a report comes to: counts, and the one line that an admin reads first.

use super::{Gate, Report, Verdict};
use crate::check::{Phase, State};
use crate::checks::admin::LOGIN;

impl Verdict {
    /// Whether it keeps the gate shut, or the appliance from being called ready.
    #[must_use]
    pub fn in_the_way(&self) -> bool {
        self.gates && self.waived.is_none() && !self.state.lets_open()
    }

    /// Whether somebody must do something about it: it failed or could not be checked, and no waiver lets it through.
    #[must_use]
    pub fn to_mend(&self) -> bool {
        self.in_the_way() && self.state != State::Waiting
    }
}

impl Report {
    /// Whether the machine lets the platform start: no admission check is in the way.
    #[must_use]
    pub fn admitted(&self) -> bool {
        !self.checks.iter().any(|verdict| verdict.phase == Phase::Admission && verdict.in_the_way())
    }

    /// Whether nobody can log in, and the first one who comes to a console chooses the admin's password.
    #[must_use]
    pub fn awaits_admin(&self) -> bool {
        self.checks.iter().any(|verdict| verdict.id == LOGIN && verdict.state == State::Warn)
    }

    /// Whether `verdict` is of a check that has its say only once the platform runs, which it does not yet.
    #[must_use]
    pub fn comes_later(&self, verdict: &Verdict) -> bool {
        self.gate == Gate::Shut && verdict.phase == Phase::Acceptance && verdict.state == State::Waiting
    }

    /// The verdict in one line of at most 78 characters, without a full stop at its end.
    #[must_use]
    pub fn headline(&self) -> String {
        let counted = |test: fn(&Verdict) -> bool| {
            self.checks.iter().filter(|verdict| !self.comes_later(verdict) && test(verdict)).count()
        };
        let total = counted(|verdict| verdict.state != State::NotApplicable);
        let mend = counted(Verdict::to_mend);
        let wait = counted(|verdict| verdict.in_the_way() && verdict.state == State::Waiting);
        let next = self.next_run.map(|time| format!(". Next try {}", time.strftime("%H:%M:%SZ"))).unwrap_or_default();
        match (&self.gate, mend, wait) {
            (Gate::Shut, 0, 0) => format!("READY: {}. The platform is being started", self.passed(total)),
            (Gate::Shut, 0, _) => {
                format!("NOT READY: {wait} of {total} checks wait for others. Platform off{next}")
            }
            (Gate::Shut, ..) => {
                format!("NOT READY: {mend} of {total} checks must be mended. Platform off{next}")
            }
            (Gate::Opened, 0, 0) | (Gate::Accepted, 0, 0) => {
                format!("READY: {}. The platform is on", self.passed(total))
            }
            (_, 0, _) => format!("STARTING: the machine is fit, the platform comes up; {wait} of {total} checks to go"),
            (Gate::Opened, ..) => {
                format!("NOT READY: {mend} of {total} checks must be mended. Platform on{next}")
            }
            (Gate::Accepted, ..) => {
                format!("ATTENTION: {mend} of {total} checks must be mended. The platform stays on")
            }
        }
    }

    fn passed(&self, total: usize) -> String {
        let warnings = self.checks.iter().filter(|verdict| verdict.state == State::Warn).count();
        let waived = self.checks.iter().filter(|verdict| verdict.waived.is_some()).count();
        match (warnings, waived) {
            (0, 0) => format!("all {total} checks passed"),
            (_, 0) => format!("all {total} checks passed, {warnings} with a warning"),
            (0, _) => format!("{} of {total} checks passed, {waived} waived", total - waived),
            _ => format!("{} of {total} checks passed, {warnings} warn, {waived} waived", total - waived),
        }
    }
}
