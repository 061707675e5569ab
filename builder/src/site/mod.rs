//! Site configurations on the admin's own computer: begun, judged, and put into an image.

mod judge;
mod parts;
mod put;
mod template;

pub use judge::{judge, outcome};
pub use put::put;
pub use template::template;

use std::path::PathBuf;

use firmware_checks::fat;

/// A site configuration could not be put into an image. The image is as it was, unless writing to it failed midway.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration is not valid.
    #[error(transparent)]
    Site(#[from] firmware_checks::site::Error),
    /// The image can't be opened, read or written.
    #[error("{doing} {}: {source}", path.display())]
    File {
        /// What was being done.
        doing: &'static str,
        /// The image.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no raw disk image of ours.
    #[error("{} is not a raw disk image with a SITE partition: {found}\nhint: {hint}", path.display())]
    NotAnImage {
        /// The file.
        path: PathBuf,
        /// What was found.
        found: String,
        /// What to try.
        hint: &'static str,
    },
    /// The configuration does not fit, or the SITE partition is broken.
    #[error("the SITE partition of {}: {source}", path.display())]
    Fat {
        /// The image.
        path: PathBuf,
        /// Why.
        source: fat::Error,
    },
}
