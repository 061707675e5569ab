//! Why a file can't go into an image.

use std::io;
use std::path::PathBuf;

use crate::store;

/// Why an artifact is not to be had, or is not the right one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Its bytes are not those that its publisher or the recipe says.
    #[error(
        "{name} ({from}): its digest is not the one that {by} gives\n  expected sha256 {expected}, found {found} ({size} \
         bytes)\n  nothing was locked\n  hint: a proxy that changes downloads, or a version whose checksums lie elsewhere?"
    )]
    Differs {
        /// What it is.
        name: String,
        /// URL or path.
        from: String,
        /// Who says otherwise.
        by: String,
        /// As it should be.
        expected: String,
        /// As it is.
        found: String,
        /// Its size in bytes.
        size: u64,
    },
    /// The recipe's digest and the publisher's are two.
    #[error(
        "{name}: {checksums} gives `{file}` another digest than the recipe\n  expected sha256 {recipe}, found {publisher}\n  \
         hint: take the recipe's `sha256` away, or correct it, once it is known which of them is right"
    )]
    Contradicts {
        /// What it is.
        name: String,
        /// The publisher's file.
        checksums: String,
        /// The name looked up.
        file: String,
        /// The recipe's digest.
        recipe: String,
        /// The publisher's.
        publisher: String,
    },
    /// The publisher's file does not say.
    #[error(
        "{name}: {checksums} gives no one digest for `{file}`\n  expected a line `SHA-256  {file}`, found {found}\n  hint: is it \
         the file of checksums for this version and this architecture?"
    )]
    Unnamed {
        /// What it is.
        name: String,
        /// The publisher's file.
        checksums: String,
        /// The name looked up.
        file: String,
        /// What is there.
        found: String,
    },
    /// The file beside the recipe is no longer what the lock says.
    #[error(
        "{}: {name} differs from the lock\n  expected sha256 {expected}, found {found}\n  hint: bring the right file, or lock \
         anew with `firstlight lock`", path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
        /// What it is.
        name: String,
        /// As the lock says.
        expected: String,
        /// As it is.
        found: String,
    },
    /// A file beside the recipe can't be read.
    #[error("reading {} ({name}): {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What it is.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// It can't be fetched.
    #[error(transparent)]
    Store(#[from] store::Error),
}
