//! What is handed out: a finished disk in a format that can be written to a disk or imported.

pub mod compare;
mod convert;
pub mod file;
mod format;
mod qcow2;
mod vhd;
mod zst;

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

pub use self::convert::{ConvertError, convert};
pub use self::format::{Format, Kind};

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
