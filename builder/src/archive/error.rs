//! What can be wrong with an archive, or with what was asked of it.

use std::io;
use std::path::PathBuf;

use jiff::Timestamp;

use crate::{sandbox, store};

/// Why an archive could not be read, or no set of packages be chosen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The base's certificates can't be read.
    #[error("reading the archive's certificates: {reason}")]
    Keyring {
        /// What is wrong.
        reason: String,
    },
    /// A publisher has another certificate than the base names.
    #[error(
        "reading the certificate {url}: it is {found}\n  expected {expected}\n  hint: a publisher announces its new certificates; \
         where this one did, correct `fingerprint` in the base"
    )]
    OtherCertificate {
        /// Where it has it.
        url: String,
        /// Fingerprints of what is there.
        found: String,
        /// The base's.
        expected: String,
    },
    /// A Release is not signed as it must be.
    #[error(
        "verifying {url}: {reason}\n  expected a good signature by one of {expected}\n  hint: a proxy that changes \
         downloads, or a mirror of another distribution? Try another one with --mirror"
    )]
    Signature {
        /// The signed file.
        url: String,
        /// What was found: for each signature, what is wrong with it.
        reason: String,
        /// Fingerprints of the base's certificates.
        expected: String,
    },
    /// An RPM is not signed as it must be, or not the package that it is taken for.
    #[error(
        "verifying the package {package}: {reason}\n  expected a good signature by one of {expected}\n  hint: the mirror \
         or its index has other packages than the distribution's; lock anew with another one (--mirror)"
    )]
    Unsigned {
        /// The name of its file.
        package: String,
        /// What was found.
        reason: String,
        /// Fingerprints of the certificates of its source.
        expected: String,
    },
    /// A package that was fetched is no longer in the store.
    #[error("taking the package {package}: it vanished from the store\n  hint: is another program clearing the cache?")]
    Lost {
        /// The name of its file.
        package: String,
    },
    /// A Release is older than its archive allows.
    #[error(
        "verifying {url}: it was valid until {until}, and it is {now} now\n  hint: the mirror is no longer updated, or \
         this machine's clock is wrong; try another mirror with --mirror"
    )]
    Expired {
        /// The signed file.
        url: String,
        /// Its `Valid-Until`.
        until: Timestamp,
        /// This machine's clock.
        now: Timestamp,
    },
    /// A Release from the future.
    #[error("verifying {url}: it was made at {date}, and it is {now} only\n  hint: set this machine's clock")]
    NotYetValid {
        /// The signed file.
        url: String,
        /// Its `Date`.
        date: Timestamp,
        /// This machine's clock.
        now: Timestamp,
    },
    /// The solver's answer can't be kept.
    #[error("keeping the choice of packages: {0}")]
    Stage(#[from] crate::stage::Error),
    /// A well-signed Release of something else.
    #[error("verifying {url}: found {what} `{found}`, expected `{expected}`\n  hint: {hint}")]
    Unfit {
        /// The signed file.
        url: String,
        /// What does not fit, such as `the suite`.
        what: &'static str,
        /// As the Release says.
        found: String,
        /// As the base says.
        expected: String,
        /// What to do about it.
        hint: &'static str,
    },
    /// A signed file that does not say what it must.
    #[error("reading {url}: {reason}")]
    Malformed {
        /// The file.
        url: String,
        /// What is wrong, with its place in it.
        reason: String,
    },
    /// No mirror carries a suite.
    #[error("fetching the index of {suite}: no mirror of {archive} has it{}\n  hint: {hint}", listed(.attempts))]
    NoMirror {
        /// The source's name.
        archive: String,
        /// The suite.
        suite: String,
        /// Each URL with its answer.
        attempts: Vec<(String, String)>,
        /// What to do about it.
        hint: &'static str,
    },
    /// No package has this name.
    #[error("no package `{name}` in {place}{}", nearest.as_ref().map(|name| format!("\n  hint: the nearest name is `{name}`")).unwrap_or_default())]
    UnknownPackage {
        /// As it was asked for.
        name: String,
        /// The suites that were searched.
        place: String,
        /// The most similar name that exists.
        nearest: Option<String>,
    },
    /// No package has this name, and several provide it.
    #[error("no package is called `{name}`, and {} provide it: {}\n  hint: name one of them", .providers.len(), .providers.join(", "))]
    Virtual {
        /// As it was asked for.
        name: String,
        /// Those that provide it, sorted.
        providers: Vec<String>,
    },
    /// Packages depend on something that the archive does not have.
    #[error("`{package}` needs `{relation}`, which no package of {place} satisfies")]
    Unmet {
        /// Who needs it.
        package: String,
        /// What it needs.
        relation: String,
        /// The suites that were searched.
        place: String,
    },
    /// The distribution's own solver finds no way to install what is wanted.
    #[error("choosing packages: {program} finds no way to install them together\n{explanation}")]
    Unsatisfiable {
        /// The solver: apt or dnf.
        program: &'static str,
        /// In its own words, indented.
        explanation: String,
    },
    /// The solver chose a package that the verified indices do not have. This is an error of the program.
    #[error("choosing packages: {program} answered `{answer}`, which fits no package of the verified indices")]
    Unmapped {
        /// The solver: apt or dnf.
        program: &'static str,
        /// The line.
        answer: String,
    },
    /// A download failed.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The solver could not be run.
    #[error("choosing packages: {0}")]
    Sandbox(#[from] sandbox::Error),
    /// A file could not be used.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// In gerunds, such as `reading`.
        doing: &'static str,
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// What the archive's functions return.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

fn listed(attempts: &[(String, String)]) -> String {
    attempts.iter().map(|(url, answer)| format!("\n  {url}: {answer}")).collect()
}
