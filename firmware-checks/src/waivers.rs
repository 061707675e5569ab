//! Waivers: an admin's word that one check may fail for a while, with the reason and an end.
//!
//! A waiver lets exactly one check through, never those that wait for it, and it shows in every report.

use std::io;
use std::path::Path;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use serde::{Deserialize, Serialize};

use crate::check::State;
use crate::files;
use crate::report::Verdict;

/// Where the waivers lie on the machine.
pub const PATH: &str = "/etc/firstlight/waivers.toml";

/// One check that may fail for a while.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Waiver {
    /// The check's identifier.
    pub id: String,
    /// Why the admin lets it pass.
    pub reason: String,
    /// The last day on which it counts (UTC), such as `2027-03-31`.
    pub until: Date,
}

impl Waiver {
    /// Whether it still counts at `now`.
    #[must_use]
    pub fn counts(&self, now: Timestamp) -> bool {
        self.until
            .checked_add(1.day())
            .and_then(|next| next.to_zoned(TimeZone::UTC))
            .is_ok_and(|end| now < end.timestamp())
    }
}

/// The waivers of a machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Waivers {
    /// In the order of the file.
    #[serde(default, rename = "waiver", skip_serializing_if = "Vec::is_empty")]
    pub list: Vec<Waiver>,
}

/// The waivers could not be had; then none counts.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file could not be read or written.
    #[error("{doing} {path}: {source}")]
    File {
        /// `reading` or `writing`.
        doing: &'static str,
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// The file does not hold waivers.
    #[error("{path} does not hold waivers: {reason}")]
    Parse {
        /// The file.
        path: String,
        /// Where and why, in one line.
        reason: String,
    },
}

impl Waivers {
    /// Reads the waivers from `path`; a file that is not there holds none.
    ///
    /// # Errors
    /// [`Error`], with the file's path.
    pub fn load(path: &Path) -> Result<Self, Error> {
        let name = path.display().to_string();
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(Error::File { doing: "reading", path: name, source }),
        };
        toml::from_str(&text).map_err(|error| {
            let line = error.span().map(|span| text[..span.start.min(text.len())].lines().count().max(1));
            let at = line.map(|line| format!("line {line}: ")).unwrap_or_default();
            Error::Parse { path: name, reason: format!("{at}{}", error.message()) }
        })
    }

    /// Writes them to `path`, whole or not at all.
    ///
    /// # Errors
    /// [`Error::File`].
    pub fn save(&self, path: &Path) -> Result<(), Error> {
        let name = path.display().to_string();
        let text =
            toml::to_string(self).map_err(|error| Error::Parse { path: name.clone(), reason: error.to_string() })?;
        files::replace(path, text.as_bytes(), 0o644).map_err(|source| Error::File {
            doing: "writing",
            path: name,
            source,
        })
    }

    /// Notes in `verdict` the waiver that lets it through at `now`, or that the one it had has ended.
    pub fn apply(&self, verdict: &mut Verdict, now: Timestamp) {
        if !verdict.gates || verdict.state.lets_open() {
            return;
        }
        let mut mine = self.list.iter().filter(|waiver| waiver.id == verdict.id).peekable();
        if mine.peek().is_none() {
            return;
        }
        if let Some(waiver) = mine.clone().find(|waiver| waiver.counts(now)) {
            verdict.waived = Some(format!("{} (until {})", waiver.reason, waiver.until));
        } else if let (Some(waiver), State::Fail | State::Unknown) = (mine.next_back(), verdict.state) {
            verdict.observed.push_str(&format!(" (its waiver ended on {})", waiver.until));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::Phase;

    fn verdict(state: State) -> Verdict {
        Verdict {
            id: "memory.total".to_owned(),
            subject: None,
            title: String::new(),
            phase: Phase::Admission,
            gates: true,
            state,
            observed: "32 GB".to_owned(),
            required: "64 GB".to_owned(),
            remedy: None,
            waived: None,
        }
    }

    fn waivers() -> Waivers {
        toml::from_str("[[waiver]]\nid = 'memory.total'\nreason = 'more is on its way'\nuntil = '2027-03-31'\n")
            .unwrap()
    }

    #[test]
    fn a_waiver_counts_until_the_end_of_its_last_day() {
        let waiver = &waivers().list[0];
        assert!(waiver.counts("2027-03-31T23:59:59Z".parse().unwrap()));
        assert!(!waiver.counts("2027-04-01T00:00:00Z".parse().unwrap()));
    }

    #[test]
    fn a_waiver_that_counts_is_told_with_its_reason() {
        let mut failed = verdict(State::Fail);
        waivers().apply(&mut failed, "2027-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(failed.waived.as_deref(), Some("more is on its way (until 2027-03-31)"));
        assert_eq!(failed.state, State::Fail);
    }

    #[test]
    fn a_waiver_that_ended_does_not_count_and_is_told() {
        let mut failed = verdict(State::Fail);
        waivers().apply(&mut failed, "2027-05-01T00:00:00Z".parse().unwrap());
        assert_eq!(failed.waived, None);
        assert_eq!(failed.observed, "32 GB (its waiver ended on 2027-03-31)");
    }

    #[test]
    fn what_passes_needs_no_waiver() {
        let mut passed = verdict(State::Pass);
        waivers().apply(&mut passed, "2027-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(passed, verdict(State::Pass));
    }

    #[test]
    fn a_file_that_cannot_be_read_as_waivers_names_the_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waivers.toml");
        std::fs::write(&path, "[[waiver]]\nid = 'a'\nreason = 'b'\nuntil = 'soon'\n").unwrap();
        let message = Waivers::load(&path).unwrap_err().to_string();
        assert!(message.contains("line 4"), "{message}");
        assert!(Waivers::load(&folder.path().join("none.toml")).unwrap().list.is_empty());
    }

    #[test]
    fn what_was_saved_is_loaded() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("waivers.toml");
        waivers().save(&path).unwrap();
        assert_eq!(Waivers::load(&path).unwrap(), waivers());
    }
}
