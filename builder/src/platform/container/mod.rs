//! Container images that lie in an appliance, by the OCI image specification 1.1 (image layout, image
//! configuration, layer media types), with the `manifest.json` that `docker load` reads beside it.

mod archive;
mod layer;
mod writer;

use crate::rootfs;

pub use archive::{Contents, decompressed, inspect};
pub use layer::Layer;
pub use writer::{Config, write};

/// A container image could not be made or read.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// A layer could not be packed.
    #[error(transparent)]
    Layer(#[from] rootfs::Error),
    /// An archive is not what it should be.
    #[error("{archive}: {what}\n  hint: {hint}")]
    Archive {
        /// The archive.
        archive: String,
        /// What is wrong with it.
        what: String,
        /// What to do.
        hint: String,
    },
}

impl Error {
    fn io(doing: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}
