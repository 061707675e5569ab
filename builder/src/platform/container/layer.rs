//! One layer: a folder as a tar archive whose bytes depend on the folder's content alone.

use std::fs::File;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::Error;
use crate::rootfs::archive;
use crate::store;

/// A layer as an uncompressed tar archive in a file.
#[derive(Debug)]
pub struct Layer {
    /// The archive.
    pub path: PathBuf,
    /// SHA-256 of the archive, lower-case hexadecimal: both its digest and its `diff_id`.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
}

impl Layer {
    /// Packs `folder` into the new file `path`, with no time later than `latest`.
    ///
    /// # Errors
    /// [`Error`] with the file that failed; sockets and device nodes are refused.
    pub fn pack(folder: &Path, path: &Path, latest: Timestamp) -> Result<Self, Error> {
        archive::save(folder, path, latest.as_second())?;
        let doing = || format!("reading {}", path.display());
        let mut file = File::open(path).map_err(Error::io(doing()))?;
        let size = file.metadata().map_err(Error::io(doing()))?.len();
        let digest = store::digest_of(&mut file).map_err(Error::io(doing()))?;
        Ok(Self { path: path.to_owned(), digest, size })
    }
}
