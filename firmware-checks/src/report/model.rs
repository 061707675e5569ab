//! The report as data. Its JSON form is an interface that others script against.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::check::{Phase, State};

/// Version of the JSON form; grows by one with every change that an old reader would misread.
pub const SCHEMA: u32 = 1;

/// What was found on one machine at one time.
#[derive(Clone, Debug, PartialEq, Deserialize, Serialize, JsonSchema)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: u32,
    /// Whether every gating check of every phase so far lets the platform run.
    pub ready: bool,
    /// The appliance's name.
    pub appliance: String,
    /// Its version.
    pub version: String,
    /// The base it was built on.
    pub base: String,
    /// The machine's host name.
    pub hostname: String,
    /// Addresses of interfaces that are up, with prefix length, loopback and containers' bridges left out.
    pub addresses: Vec<String>,
    /// When the last check ended, by the machine's clock.
    #[schemars(with = "String")]
    pub time: Timestamp,
    /// The gate and the platform behind it.
    pub gate: Gate,
    /// When the checks run again by themselves; absent when they only run on a change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub next_run: Option<Timestamp>,
    /// Every check that the appliance asks for, in the catalogue's order.
    pub checks: Vec<Verdict>,
}

/// The state of the gate.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Gate {
    /// The platform is off.
    Shut,
    /// The platform has been started; the acceptance checks are not all done.
    Opened,
    /// The platform runs and was accepted.
    Accepted,
}

/// One check's outcome, or one subject's where a check looks at several things.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub struct Verdict {
    /// The check's identifier.
    pub id: String,
    /// What it speaks of, where the check looks at several things.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// A few words for a person.
    pub title: String,
    /// The phase in which this came out.
    pub phase: Phase,
    /// Whether it can keep the gate shut (admission), or the appliance from being called ready (acceptance).
    pub gates: bool,
    /// What came out.
    pub state: State,
    /// What the machine has.
    pub observed: String,
    /// What the recipe asks.
    pub required: String,
    /// What this admin does next on this machine; null for a pass.
    pub remedy: Option<String>,
    /// The admin's reason, where a waiver lets it pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waived: Option<String>,
}
