//! What a check is and what it answers, in two levels: outside, whether it could run at all
//! ([`CouldNotRun`]); inside, what it found ([`Finding`]). A check that could not run is never taken for a pass.

use std::path::Path;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::appliance::Appliance;
use crate::facts::Machine;
use crate::site::Site;

/// When a check has its say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Phase {
    /// While the platform is off; opens the gate.
    Admission,
    /// After the platform has started, within a deadline.
    Acceptance,
}

/// What came out of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// What is required holds.
    Pass,
    /// It holds, but not as well as recommended. Does not keep the gate shut.
    Warn,
    /// It does not hold. Keeps the gate shut.
    Fail,
    /// It waits for another check, with the reason. Keeps the gate shut.
    Waiting,
    /// This machine or recipe has no such thing. Does not keep the gate shut.
    NotApplicable,
    /// The check could not run. Keeps the gate shut.
    Unknown,
}

impl State {
    /// Whether a required check in this state lets the gate open.
    #[must_use]
    pub fn lets_open(self) -> bool {
        matches!(self, Self::Pass | Self::Warn | Self::NotApplicable)
    }
}

/// What a check found: one finding, or one for each subject (data folder, port …) that it looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What came out. A check itself never answers [`State::Waiting`] or [`State::Unknown`]; the runner does.
    pub state: State,
    /// What it speaks of, where the check looks at several things: the name of a data folder, of a port.
    pub subject: Option<String>,
    /// What the machine has, in the recipe's units.
    pub observed: String,
    /// What the recipe asks.
    pub required: String,
    /// What this admin does next on this machine; absent for a pass.
    pub remedy: Option<String>,
}

impl Finding {
    /// What is required holds.
    #[must_use]
    pub fn pass(observed: impl Into<String>, required: impl Into<String>) -> Self {
        Self { state: State::Pass, subject: None, observed: observed.into(), required: required.into(), remedy: None }
    }

    /// It holds, but not as well as recommended.
    #[must_use]
    pub fn warn(observed: impl Into<String>, required: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Warn, remedy: Some(remedy.into()), ..Self::pass(observed, required) }
    }

    /// It does not hold.
    #[must_use]
    pub fn fail(observed: impl Into<String>, required: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { state: State::Fail, remedy: Some(remedy.into()), ..Self::pass(observed, required) }
    }

    /// This machine or recipe has no such thing.
    #[must_use]
    pub fn not_applicable(observed: impl Into<String>) -> Self {
        Self { state: State::NotApplicable, ..Self::pass(observed, "nothing") }
    }

    /// The same, about `subject`.
    #[must_use]
    pub fn about(self, subject: impl Into<String>) -> Self {
        Self { subject: Some(subject.into()), ..self }
    }
}

/// A check could not run: what was being done, and what came in the way.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct CouldNotRun {
    /// What was being done and what came in the way, for the report's `observed`.
    pub what: String,
    /// What the admin can do about that.
    pub remedy: String,
}

impl CouldNotRun {
    /// `what` was being done and came to nothing; `remedy` is what the admin can do about it.
    #[must_use]
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

/// Everything that a check may look at. It changes nothing on the machine, save for probes that it removes again.
#[derive(Clone, Copy)]
pub struct Context<'a> {
    /// What the image was built to be.
    pub appliance: &'a Appliance,
    /// What the site gave, once it has been imported and is valid.
    pub site: Option<&'a Site>,
    /// The folder that holds `site.toml`, `tls.crt`, `tls.key` and `ca.crt`.
    pub site_dir: &'a Path,
    /// The machine's facts.
    pub machine: &'a Machine,
    /// The machine's clock.
    pub now: Timestamp,
    /// The phase that is being judged.
    pub phase: Phase,
}

/// A check of the catalogue.
pub struct Check {
    /// Its identifier, which never changes.
    pub id: &'static str,
    /// A few words for a person.
    pub title: &'static str,
    /// The phases in which it has its say.
    pub phases: &'static [Phase],
    /// Identifiers of the checks that must have let open before this one can tell anything.
    pub after: &'static [&'static str],
    /// What it verifies, how, and when it fails: for `firmware-checks list` and the handbook.
    pub documentation: &'static str,
    /// Whether the appliance asks for it at all; one that it does not ask for is not run.
    pub applies: fn(&Appliance) -> bool,
    /// Looks at the machine.
    pub run: fn(&Context<'_>) -> Result<Vec<Finding>, CouldNotRun>,
}
