//! Lays out the files of packages, as `dpkg-deb --fsys-tarfile` and tar would, without running anything.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use super::package::{self, Error, Member};
use crate::parallel;
use crate::rootfs::item::{Failure, Item, Kind, Owners};
use crate::rootfs::tree::{Owner, Tree};

/// Extracts the files of the package `deb` into the folder `into`, which may hold those of others: a file replaces
/// one of the same name, a folder, or link to one, is kept. Modes, modification times, hard links and extended
/// attributes are as in the archive.
///
/// # Errors
/// [`Error`]: `deb` can't be read, or holds a device node or a path with `..`, or a file can't be written. Symbolic
/// links never lead out of `into`.
pub fn extract(deb: &Path, into: &Path, owners: Owners) -> Result<(), Error> {
    let write = |source| Error::Write { deb: deb.to_owned(), entry: into.to_owned(), source };
    let tree = Tree::open(into).map_err(write)?;
    package::with_member(deb, Member::Data, |tar| {
        unpack(tar, &tree, owners).map_err(|failure| match failure {
            Failure::Archive(error) => Error::Format { deb: deb.to_owned(), reason: error.to_string() },
            Failure::Refused(entry, reason) => Error::Refused { deb: deb.to_owned(), entry, reason },
            Failure::Write(entry, source) => Error::Write { deb: deb.to_owned(), entry, source },
        })
    })
}

/// [`extract`]s several packages, on all processors. Where two hold the same path, either's file stays.
///
/// # Errors
/// The first of those that [`extract`] gives.
pub fn extract_all(debs: &[PathBuf], into: &Path, owners: Owners) -> Result<(), Error> {
    merge_usr(into)?;
    parallel::each(debs, |deb| extract(deb, into, owners))
}

/// Makes the links of merged `/usr` (file-hierarchy(7)) where there is nothing yet. Packages of older releases have paths
/// through them, and no package that brings them: an installer makes them first, as debootstrap does.
///
/// # Errors
/// [`Error::Merge`].
pub fn merge_usr(into: &Path) -> Result<(), Error> {
    let merge = || {
        let tree = Tree::open(into)?;
        for name in ["bin", "sbin", "lib", "lib64"] {
            let target = Path::new("usr").join(name);
            let place = tree.place(Path::new(name))?;
            if place.stat()?.is_none() {
                tree.make_folders(&target)?;
                place.symlink(target.as_os_str(), Owner::ROOT)?;
            }
        }
        Ok(())
    };
    merge().map_err(|source| Error::Merge { into: into.to_owned(), source })
}

/// Extracts a tar archive into `tree`.
fn unpack(tar: &mut dyn Read, tree: &Tree, owners: Owners) -> Result<(), Failure> {
    let mut archive = tar::Archive::new(tar);
    // A folder's time changes with each file that comes into it, so folders are dated last.
    let mut folders = BTreeMap::new();
    for entry in archive.entries().map_err(Failure::Archive)? {
        let mut entry = entry.map_err(Failure::Archive)?;
        let Some(item) = Item::read(&mut entry, owners)? else { continue };
        let made = item.make(tree, |file| io::copy(&mut entry, file).map(drop));
        made.map_err(|source| Failure::Write(item.inside.clone(), source))?;
        if let Kind::Folder = item.kind {
            folders.insert(item.inside.clone(), item);
        }
    }
    for (inside, item) in folders.into_iter().rev() {
        item.date(tree).map_err(|source| Failure::Write(inside, source))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
