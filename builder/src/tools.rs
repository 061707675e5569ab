//! The tools root: the files of the base's own tools (apt and dpkg, or dnf and rpm; mke2fs), so that nothing of the host's decides an image.

use std::io;
use std::path::PathBuf;

use crate::archive::{self, Larder, Package};
use crate::progress::Progress;
use crate::recipe::base::Family;
use crate::rootfs::item::Owners;
use crate::rootfs::tree::Tree;
use crate::rootfs::{deb, rpm};
use crate::sandbox::{self, emulation};
use crate::stage::{self, Key, Stages};
use crate::store::{self, Download};

/// The tools root could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A download failed.
    #[error("fetching the tools")]
    Store(#[from] store::Error),
    /// A package is not what it must be.
    #[error("making the tools root")]
    Archive(#[from] archive::Error),
    /// A package can't be unpacked.
    #[error("making the tools root")]
    Deb(#[from] deb::PackageError),
    /// A package can't be unpacked.
    #[error("making the tools root")]
    Rpm(#[from] rpm::PackageError),
    /// The folders on which the sandbox mounts can't be made.
    #[error("making the tools root: making the folders to mount on")]
    MountPoints(#[source] io::Error),
    /// This host can't run its programs.
    #[error("making the tools root")]
    Emulation(#[from] emulation::Error),
    /// It can't be kept.
    #[error("making the tools root")]
    Stage(#[from] stage::Error),
}

/// A folder with the files of `packages`, which are to be had by `downloads`: made once, then taken from the cache. No script
/// of theirs is run. Nothing may change it. This host then runs its programs, whatever architecture they are for.
///
/// # Errors
/// [`Error`].
pub fn root(
    packages: &[Package],
    downloads: &[Download],
    larder: &Larder<'_>,
    stages: &Stages,
    progress: &Progress,
) -> Result<PathBuf, Error> {
    emulation::ready(larder.base.architecture.architecture())?;
    let digests: Vec<&str> = packages.iter().map(|package| package.sha256.as_str()).collect();
    let key = Key::new("tools").input("packages", digests).about(format!("{} packages", packages.len()));
    let key = key.perhaps("certificates", larder.judged_by());
    stages.folder(&key, progress, |folder| {
        let fetched = larder.store.fetch(downloads, progress)?;
        if fetched.new > 0 {
            fetched.tell(progress);
        }
        let files = larder.files(packages)?;
        match larder.base.family {
            Family::Deb => deb::extract::extract_all(&files, folder, Owners::Root)?,
            Family::Rpm => rpm::extract::extract_all(&files, folder)?,
        }
        let made = Tree::open(folder)
            .and_then(|tree| sandbox::folders_of_tools().try_for_each(|inside| tree.make_folders(inside).map(drop)));
        made.map_err(Error::MountPoints)
    })
}
