//! Tries a base against its real mirrors: whether what the base says is there, and can be used.
//!
//! What can't be proved without the internet is proved by this on the machine of whoever has it. Every line says what was looked
//! at and what was found; of what is wrong also what was expected, and what to do.

mod files;
mod keys;
mod mirrors;
mod packages;
mod signatures;
mod vaults;
mod wrong;

use std::fmt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde::Serialize;

pub use self::keys::published;
use self::wrong::Wrong;
use crate::archive::{Archive, Error, Larder, Opening, Trust};
use crate::lock::Workshop;
use crate::recipe::base::Base;
use crate::stage::{self, Stages};

/// What became of one thing that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It is not as the base says.
    Fail,
    /// It could not be told.
    Unknown,
    /// It is as the base says, but not for long.
    Warn,
    /// It is as the base says.
    Ok,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What became of it.
    pub state: State,
    /// The thing, such as `suite trixie`.
    pub what: String,
    /// What was found.
    pub found: String,
    /// What should have been, where something else was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expected: Option<String>,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
}

/// What came of trying a base. Its JSON form is for scripts.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// The base's name.
    pub base: String,
    /// When it was tried.
    pub time: Timestamp,
    /// In the order in which things were looked at.
    pub lines: Vec<Line>,
}

/// A base to try.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// What it says.
    pub base: &'a Base,
    /// Whom its sources are believed.
    pub trust: &'a Trust,
    /// By whom its archive is delivered.
    pub workshop: &'a Workshop<'a>,
    /// As of when it is judged.
    pub now: Timestamp,
}

impl Subject<'_> {
    /// Where packages are taken from, once they were fetched.
    fn larder(&self) -> Larder<'_> {
        Larder { base: self.base, trust: self.trust, store: self.workshop.store }
    }
}

/// Tries a base. Downloads indices, the packages of the tools root and those that bring the boot loader, and no others. Needs the
/// user namespace of [`crate::sandbox::userns::enter`].
///
/// # Errors
/// The cache can't be used. What is wrong with the base is in the outcome.
pub fn run(subject: &Subject<'_>) -> Result<Outcome, stage::Error> {
    let Subject { base, now, .. } = *subject;
    let stages = Stages::open(subject.workshop.cache)?;
    let mut lines = keys::lines(subject.trust, now);
    lines.extend(mirrors::lines(subject));
    lines.extend(contents(subject, &stages));
    Ok(Outcome { base: base.name.clone(), time: now, lines })
}

/// What is in the archive, if it can be read at all.
fn contents(subject: &Subject<'_>, stages: &Stages) -> Vec<Line> {
    let Subject { base, trust, workshop, now } = *subject;
    let Workshop { mirrors, store, progress, .. } = *workshop;
    let archive = match Archive::open(&Opening { base, trust, mirrors, store, progress, now }) {
        Ok(archive) => archive,
        Err(error) => {
            let line = Wrong::of(&error, now).line("packages");
            // What is wrong with a suite was told of each mirror; here it only keeps the rest from being looked at.
            let state = if is_of_a_suite(&error) { State::Unknown } else { line.state };
            let hint = Some("packages and boot files are looked at once the archive can be read".to_owned());
            let not_tried = Line { state, hint, ..line };
            return vec![not_tried];
        }
    };
    let mut found = packages::lines(subject, &archive, stages);
    found.lines.extend(vaults::lines(subject, &archive));
    found.lines.extend(signatures::lines(subject, &archive, &found.samples));
    let system = found.system.take();
    found.lines.extend(system.map(|system| files::lines(subject, &archive, &system, stages)).unwrap_or_default());
    found.lines
}

/// Whether each suite's own line has told this.
fn is_of_a_suite(error: &Error) -> bool {
    use Error::{Expired, NoMirror, NotYetValid, Signature, Unfit};
    matches!(error, NoMirror { .. } | Signature { .. } | Expired { .. } | NotYetValid { .. } | Unfit { .. })
}

impl Line {
    fn ok(what: impl Into<String>, found: impl Into<String>) -> Self {
        Self { state: State::Ok, what: what.into(), found: found.into(), expected: None, hint: None }
    }
}

impl Outcome {
    /// How many lines have this state.
    #[must_use]
    pub fn count(&self, state: State) -> usize {
        self.lines.iter().filter(|line| line.state == state).count()
    }

    /// 0 where all is as the base says, 1 where something is not, 2 where something could not be told.
    #[must_use]
    pub fn status(&self) -> u8 {
        match (self.count(State::Fail), self.count(State::Unknown)) {
            (0, 0) => 0,
            (0, _) => 2,
            _ => 1,
        }
    }
}

impl fmt::Display for Outcome {
    /// What is wrong first, then what could not be told.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: Vec<&Line> = self.lines.iter().collect();
        lines.sort_by_key(|line| line.state);
        lines.iter().try_for_each(|line| write!(f, "{line}"))?;
        let [fail, unknown] = [State::Fail, State::Unknown].map(|state| self.count(state));
        let all = self.lines.len();
        match (fail, unknown) {
            (0, 0) => writeln!(f, "{}: all {all} are as the base says", self.base),
            (0, _) => writeln!(f, "{}: {unknown} of {all} could not be told", self.base),
            (_, 0) => writeln!(f, "{}: {fail} of {all} are wrong", self.base),
            _ => writeln!(f, "{}: {fail} of {all} are wrong, {unknown} could not be told", self.base),
        }
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match self.state {
            State::Fail => "FAIL",
            State::Unknown => "????",
            State::Warn => "WARN",
            State::Ok => "ok",
        };
        if self.state == State::Ok {
            return writeln!(f, " {state:<5} {:<28} {}", self.what, self.found);
        }
        writeln!(f, " {state:<5} {}", self.what)?;
        let rest = [("found", Some(&self.found)), ("expected", self.expected.as_ref()), ("hint", self.hint.as_ref())];
        for (name, text) in rest.into_iter().filter_map(|(name, text)| Some((name, text?))) {
            let mut name = name;
            for part in text.lines() {
                writeln!(f, "       {name:<10} {}", part.trim())?;
                name = "";
            }
        }
        Ok(())
    }
}

/// A path of a base below the folder that a root file system lies in.
fn below(root: &Path, path: &str) -> PathBuf {
    root.join(path.trim_start_matches('/'))
}

#[cfg(test)]
mod tests;
