//! What is handed out: a finished disk in a format that can be written to a disk or imported.

pub mod compare;
pub mod raw;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

/// A file that was handed out.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Artifact {
    /// Where it is.
    pub path: PathBuf,
    /// Its length in bytes, holes included.
    pub size: u64,
    /// SHA-256 of its bytes in lower-case hexadecimal.
    pub sha256: String,
}
