//! The decision, as a pure function.

use crate::report::{Gate, Report};

/// What the gate becomes after `report`, being `gate` before. `latched`: this machine with these requirements has
/// been let through before.
///
/// An open gate never shuts: a failure is told, but does not stop a platform that runs.
#[must_use]
pub fn decide(gate: &Gate, report: &Report, latched: bool) -> Gate {
    match gate {
        Gate::Shut if latched || report.admitted() => Gate::Opened,
        Gate::Shut => Gate::Shut,
        Gate::Opened if report.ready => Gate::Accepted,
        Gate::Opened => Gate::Opened,
        Gate::Accepted => Gate::Accepted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Phase, State};
    use crate::report::samples;

    fn report(admission: State, acceptance: State) -> Report {
        let checks = [(Phase::Admission, admission), (Phase::Acceptance, acceptance)];
        samples::report(Gate::Shut, checks.map(|(phase, state)| samples::verdict("a.b", phase, state)).into())
    }

    #[test]
    fn nothing_but_passing_opens_it() {
        for state in [State::Fail, State::Unknown, State::Waiting] {
            assert_eq!(decide(&Gate::Shut, &report(state, State::Waiting), false), Gate::Shut, "{state:?}");
        }
        for state in [State::Pass, State::Warn, State::NotApplicable] {
            assert_eq!(decide(&Gate::Shut, &report(state, State::Waiting), false), Gate::Opened, "{state:?}");
        }
    }

    #[test]
    fn a_waiver_opens_it() {
        let mut waived = report(State::Fail, State::Waiting);
        waived.checks[0].waived = Some("until the new disk comes".to_owned());
        assert_eq!(decide(&Gate::Shut, &waived, false), Gate::Opened);
    }

    #[test]
    fn a_latch_opens_it_whatever_fails() {
        assert_eq!(decide(&Gate::Shut, &report(State::Fail, State::Waiting), true), Gate::Opened);
    }

    #[test]
    fn the_platform_is_accepted_only_when_all_is_well() {
        for state in [State::Fail, State::Unknown, State::Waiting] {
            assert_eq!(decide(&Gate::Opened, &report(State::Pass, state), true), Gate::Opened, "{state:?}");
        }
        assert_eq!(decide(&Gate::Opened, &report(State::Fail, State::Pass), true), Gate::Opened);
        assert_eq!(decide(&Gate::Opened, &report(State::Pass, State::Pass), true), Gate::Accepted);
    }

    #[test]
    fn an_open_gate_never_shuts() {
        assert_eq!(decide(&Gate::Opened, &report(State::Fail, State::Fail), false), Gate::Opened);
        assert_eq!(decide(&Gate::Accepted, &report(State::Fail, State::Fail), false), Gate::Accepted);
    }
}
