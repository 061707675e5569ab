//! What can go wrong between a mirror and the store.

use std::fmt::Write as _;
use std::io;
use std::path::PathBuf;

use crate::progress::grouped;

/// Why something is not in the store.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A mirror delivered other bytes than the signed index promises. They were thrown away.
    #[error(
        "fetching {label} from {url}: digest differs\n  expected sha256 {expected} ({} bytes), found {found}\n  \
         nothing was kept\n  hint: a proxy that changes downloads, or a mirror in the middle of an update? Try another \
         one with --mirror",
        grouped(*size)
    )]
    Digest {
        /// What was fetched, for a person.
        label: String,
        /// From where.
        url: String,
        /// The digest promised.
        expected: String,
        /// The size promised, in bytes.
        size: u64,
        /// What came instead.
        found: String,
    },
    /// No mirror delivered it.
    #[error("fetching {label}: no mirror delivered it{}\n  hint: check the network, or name another mirror with --mirror", listed(.attempts))]
    Unavailable {
        /// What was fetched, for a person.
        label: String,
        /// For each URL asked, its last answer.
        attempts: Vec<(String, String)>,
    },
    /// It is not in the store, and the network must not be used.
    #[error(
        "{label} is not in the store ({}), and --offline was given\n  hint: build once without --offline, or bring the store \
         from a machine that has it", folder.display()
    )]
    Offline {
        /// What was to be fetched, for a person.
        label: String,
        /// The store's folder.
        folder: PathBuf,
    },
    /// The file system of the cache is full. The piece that did not fit was removed.
    #[error(
        "storing {label} ({} bytes) in {}: no space left on the device\n  what did not fit was removed; what is whole \
         stays\n  hint: free some space, or choose another folder with --cache or FIRSTLIGHT_CACHE",
        grouped(*size), folder.display()
    )]
    NoSpace {
        /// What was stored, for a person.
        label: String,
        /// Its size in bytes, where it is known.
        size: u64,
        /// The store's folder.
        folder: PathBuf,
    },
    /// A digest that is none.
    #[error("{label}: `{digest}` is not a SHA-256 digest (64 lower-case hexadecimal digits)")]
    BadDigest {
        /// What it should name, for a person.
        label: String,
        /// As it was given.
        digest: String,
    },
    /// A file or folder of the store could not be used.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// In gerunds, such as `writing`.
        doing: &'static str,
        /// Which one.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Another download failed first, and this one was given up.
    #[error("fetching {label}: given up, because another download failed")]
    GivenUp {
        /// What was fetched, for a person.
        label: String,
    },
}

impl Error {
    pub(super) fn io(doing: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { doing, path, source }
    }
}

fn listed(attempts: &[(String, String)]) -> String {
    let mut text = String::new();
    for (url, answer) in attempts {
        let _ = write!(text, "\n  {url}: {answer}");
    }
    text
}
