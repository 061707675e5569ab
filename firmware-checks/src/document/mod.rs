//! TOML files that people write: read strictly, and what is wrong told by file, line and column.
//!
//! The way of a file: a [`Document`] is judged by the shape of its type, then by the rules of whoever owns the
//! type, which speak of keys ([`Problem`]); the document knows where those stand and tells a [`Diagnostic`].

mod diagnostic;
mod file;
mod key;
mod problem;
mod shape;

use std::path::PathBuf;

pub use diagnostic::{Diagnostic, Diagnostics, listed, nearest};
pub use file::Document;
pub use key::{KeyPath, Part};
pub use problem::Problem;
pub use shape::problems;

/// A file that a person wrote can't be used; they can mend that.
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
