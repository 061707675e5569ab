//! The tools root: the files of the base's own tools (apt, dpkg, mke2fs), so that nothing of the host's decides an image.

use std::path::PathBuf;

use crate::archive::Package;
use crate::progress::Progress;
use crate::rootfs::deb::{self, extract};
use crate::rootfs::item::Owners;
use crate::stage::{self, Key, Stages};
use crate::store::{self, Download, Store};

/// The tools root could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A download failed.
    #[error("fetching the tools")]
    Store(#[from] store::Error),
    /// A package can't be unpacked.
    #[error("making the tools root")]
    Unpack(#[from] deb::PackageError),
    /// It can't be kept.
    #[error("making the tools root")]
    Stage(#[from] stage::Error),
}

/// A folder with the files of `packages`, which are to be had by `downloads`: made once, then taken from the cache. No script
/// of theirs is run. Nothing may change it.
///
/// # Errors
/// [`Error`].
pub fn root(
    packages: &[Package],
    downloads: &[Download],
    store: &Store,
    stages: &Stages,
    progress: &Progress,
) -> Result<PathBuf, Error> {
    let digests: Vec<&str> = packages.iter().map(|package| package.sha256.as_str()).collect();
    let key = Key::new("tools").input("packages", digests).about(format!("{} packages", packages.len()));
    stages.folder(&key, progress, |folder| {
        let fetched = store.fetch(downloads, progress)?;
        if fetched.new > 0 {
            fetched.tell(progress);
        }
        let debs: Vec<PathBuf> = packages.iter().filter_map(|package| store.path(&package.sha256)).collect();
        Ok(extract::extract_all(&debs, folder, Owners::Root)?)
    })
}
