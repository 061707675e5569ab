//! An error of an archive, taken apart: what was found, what was expected, what to do.

use jiff::Timestamp;

use super::{Line, State};
use crate::archive::Error;
use crate::store;
use crate::tools;

/// What is wrong.
pub(super) struct Wrong {
    state: State,
    found: String,
    expected: Option<String>,
    hint: Option<String>,
}

impl Wrong {
    pub(super) fn of(error: &Error, now: Timestamp) -> Self {
        let fail = |found: String, expected: String, hint: Option<String>| Self {
            state: State::Fail,
            found,
            expected: Some(expected),
            hint,
        };
        match error {
            Error::Signature { url, reason, expected } => fail(
                format!("{url}: {reason}"),
                format!("a good signature by one of {expected}"),
                Some("is it the right certificate? A distribution announces its new ones".to_owned()),
            ),
            Error::Unsigned { package, reason, expected } => fail(
                format!("{package}: {reason}"),
                format!("a good signature by one of {expected}"),
                Some("is `keyring` the right one for this source?".to_owned()),
            ),
            Error::Expired { url, until, .. } => fail(
                format!("{url}: it was valid until {until}"),
                format!("a release that is still valid at {now}"),
                Some("the mirror is no longer updated, or this machine's clock is wrong".to_owned()),
            ),
            Error::NotYetValid { url, date, now } => fail(
                format!("{url}: it was made at {date}"),
                format!("one that was made before {now}"),
                Some("set this machine's clock".to_owned()),
            ),
            Error::Unfit { url, what, found, expected, .. } => fail(
                format!("{url}: {what} `{found}`"),
                format!("{what} `{expected}`"),
                Some("correct `suites`, `components` or `architecture` in the base".to_owned()),
            ),
            Error::NoMirror { attempts, suite, .. } => fail(
                listed(attempts),
                format!("the suite `{suite}`"),
                Some("correct `suites` or `mirrors` in the base, or name another mirror with --mirror".to_owned()),
            ),
            Error::UnknownPackage { name, place, nearest } => fail(
                format!("no package `{name}` in {place}"),
                format!("`{name}`"),
                nearest.as_ref().map(|near| format!("the nearest name is `{near}`")),
            ),
            Error::Virtual { name, providers } => fail(
                format!("no package is called `{name}`; {} provide it", providers.len()),
                format!("a package `{name}`"),
                Some(format!("name one of them: {}", providers.join(", "))),
            ),
            Error::Unmet { package, relation, place } => {
                fail(format!("`{package}` needs `{relation}`"), format!("a package of {place} that satisfies it"), None)
            }
            Error::Unsatisfiable { explanation, .. } => {
                fail(explanation.clone(), "packages that can be installed together".to_owned(), None)
            }
            Error::OtherCertificate { url, found, expected } => fail(
                format!("{url}: {found}"),
                expected.clone(),
                Some(
                    "a publisher announces its new certificates; where this one did, correct `fingerprint`".to_owned(),
                ),
            ),
            Error::Keyring { reason } => fail(reason.clone(), "OpenPGP certificates, ASCII-armored".to_owned(), None),
            Error::Malformed { url, reason } => {
                fail(format!("{url}: {reason}"), "a signed file as it must be".to_owned(), None)
            }
            Error::Store(store::Error::Unavailable { attempts, .. }) => Self {
                state: State::Unknown,
                found: listed(attempts),
                expected: None,
                hint: Some("check the network, or name a mirror that can be reached with --mirror".to_owned()),
            },
            other => Self { state: State::Unknown, found: other.to_string(), expected: None, hint: None },
        }
    }

    /// What came in the way of a tools root, or of another folder with packages' files.
    pub(super) fn of_tools(error: &tools::Error, now: Timestamp) -> Self {
        match error {
            tools::Error::Archive(error) => Self::of(error, now),
            other => {
                let told = std::iter::successors(Some(other as &dyn std::error::Error), |error| error.source());
                let found = told.map(ToString::to_string).collect::<Vec<_>>().join(": ");
                Self { state: State::Unknown, found, expected: None, hint: None }
            }
        }
    }

    pub(super) fn line(self, what: impl Into<String>) -> Line {
        let Self { state, found, expected, hint } = self;
        Line { state, what: what.into(), found, expected, hint }
    }
}

fn listed(attempts: &[(String, String)]) -> String {
    attempts.iter().map(|(url, answer)| format!("{url}: {answer}")).collect::<Vec<_>>().join("\n")
}
