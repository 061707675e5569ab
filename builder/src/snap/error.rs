//! What can be wrong with snaps and with what is said of them.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::{artifact, store};

/// What this room's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a snap can't be seeded.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A text is not an assertion, or not a whole one.
    #[error(
        "reading {origin}: {reason}\n  hint: assertions come as they were signed, from the store or by `snap download`"
    )]
    Malformed {
        /// Where it is from.
        origin: String,
        /// What is wrong.
        reason: String,
    },
    /// An assertion is not by whom it says, or may not say what it says.
    #[error(
        "verifying the assertion {assertion}: {reason}\n  hint: the chain must end at {}; another store's root of trust is named by \
         the recipe's `trusted`", roots.join(", ")
    )]
    Untrusted {
        /// Type and primary key.
        assertion: String,
        /// Why it is refused.
        reason: String,
        /// Identifiers of the keys that are trusted.
        roots: Vec<String>,
    },
    /// A link of the chain is not there.
    #[error("verifying the snap {snap}: there is no {missing}\n  hint: {hint}")]
    Missing {
        /// The snap.
        snap: String,
        /// What is not there.
        missing: String,
        /// What to do.
        hint: &'static str,
    },
    /// A snap is not the one that the assertions are about, or not of use here.
    #[error("verifying the snap {snap}: found {what} {found}, expected {expected}\n  hint: {hint}")]
    Unfit {
        /// The snap.
        snap: String,
        /// What differs.
        what: &'static str,
        /// As it is.
        found: String,
        /// As it must be.
        expected: String,
        /// What to do.
        hint: &'static str,
    },
    /// The seed as a whole would not be taken by snapd.
    #[error("the snaps of the seed do not fit together: {reason}\n  hint: {hint}")]
    Seed {
        /// What is wrong.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// A `.snap` is not a snap, or can't be read.
    #[error("reading the snap {}: {reason}", path.display())]
    Container {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// The store does not have what was asked for.
    #[error("asking {url}: {reason}\n  hint: {hint}")]
    Store {
        /// What was asked.
        url: String,
        /// What was found, and expected.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// The store can't be reached.
    #[error(transparent)]
    Network(#[from] store::Error),
    /// The file of a snap is not there.
    #[error(transparent)]
    Artifact(#[from] artifact::Error),
    /// A file could not be read or written.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// In gerunds, such as `reading`.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Error {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// Whether it is the user's to mend.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Network(_) | Self::Io { .. } => false,
            Self::Artifact(error) => error.is_input(),
            _ => true,
        }
    }

    pub(super) fn malformed(origin: &str, reason: impl Into<String>) -> Self {
        Self::Malformed { origin: origin.to_owned(), reason: reason.into() }
    }
}

/// A time as assertions write it (RFC 3339).
pub(super) fn time(text: &str) -> std::result::Result<Timestamp, String> {
    text.parse().map_err(|_| format!("`{text}` is not a time (RFC 3339)"))
}
