//! What a user writes: recipes (appliances) and bases (distributions).
//!
//! The way of a file: a [`document::Document`] is judged by the [`shape`] of its type, then by the rules, which speak of
//! keys ([`problem::Problem`]); the document knows where those stand and tells a [`diagnostic::Diagnostic`].

pub mod base;
pub mod diagnostic;
pub mod document;
pub mod identity;
pub mod key;
mod load;
pub mod problem;
pub mod rules;
pub mod schema;
pub mod shape;
pub mod share;

use std::path::PathBuf;

use diagnostic::Diagnostics;

pub use identity::Fingerprint;
pub use load::{Loaded, load, load_all, read_base};

/// A recipe, a base or something that they name can't be used; whoever wrote it can mend that.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read.
    #[error("reading {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// What stands in a file is wrong.
    #[error("{0}")]
    Invalid(Diagnostics),
}

#[cfg(test)]
mod tests;
