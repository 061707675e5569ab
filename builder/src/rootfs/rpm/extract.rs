//! Lays out the files of packages, as `rpm2cpio` and cpio would, without running anything. For the tools root: everything is the caller's.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use super::cpio::{Cpio, Entry};
use super::package::{self, Error};
use crate::parallel;
use crate::rootfs::item::{Failure, Item, Kind, inside};
use crate::rootfs::tree::{Owner, Tree};

/// The folders of the root that are links into `/usr`, through which packages have paths.
const MERGED: [&str; 4] = ["bin", "lib", "lib64", "sbin"];

/// Extracts several packages into the folder `into`, on all processors: all its own, without setuid. Where two hold the same path,
/// either's file stays.
///
/// # Errors
/// [`Error`]: one can't be read, or holds a device node or a path with `..`, or a file can't be written. Symbolic links
/// never lead out of `into`.
pub fn extract_all(rpms: &[PathBuf], into: &Path) -> Result<(), Error> {
    let Some(first) = rpms.first() else { return Ok(()) };
    let write = |entry: &str, source| Error::Write { rpm: first.clone(), entry: PathBuf::from(entry), source };
    let tree = Tree::open(into).map_err(|source| write("/", source))?;
    for name in MERGED {
        let target = PathBuf::from("usr").join(name);
        let made = tree.make_folders(&target).map(drop);
        made.and_then(|()| tree.place(Path::new(name))?.symlink(target.as_os_str(), Owner::ROOT))
            .map_err(|source| write(name, source))?;
    }
    parallel::each(rpms, |rpm| extract(rpm, &tree))
}

fn extract(rpm: &Path, tree: &Tree) -> Result<(), Error> {
    package::with_payload(rpm, |header, payload| {
        unpack(Cpio::new(payload, header), tree).map_err(|failure| match failure {
            Failure::Archive(error) => Error::Format { rpm: rpm.to_owned(), reason: error.to_string() },
            Failure::Refused(entry, reason) => Error::Refused { rpm: rpm.to_owned(), entry, reason },
            Failure::Write(entry, source) => Error::Write { rpm: rpm.to_owned(), entry, source },
        })
    })
}

fn unpack(mut cpio: Cpio<'_>, tree: &Tree) -> Result<(), Failure> {
    // A folder's time changes with each file that comes into it, so folders are dated last.
    let mut folders = BTreeMap::new();
    // The names that wait for the last one, which has the content.
    let mut linked: BTreeMap<(u64, u64), Vec<Item>> = BTreeMap::new();
    while let Some(entry) = cpio.next().map_err(Failure::Archive)? {
        let links = entry.links;
        let has_content = entry.size > 0;
        let Some(item) = item(entry, &mut cpio)? else { continue };
        if let (Some(key), false) = (links, has_content) {
            linked.entry(key).or_default().push(item);
            continue;
        }
        let made = item.make(tree, |file| io::copy(&mut cpio, file).map(drop));
        made.map_err(|source| Failure::Write(item.inside.clone(), source))?;
        for other in links.and_then(|key| linked.remove(&key)).unwrap_or_default() {
            link(tree, other, item.inside.clone())?;
        }
        if let Kind::Folder = item.kind {
            folders.insert(item.inside.clone(), item);
        }
    }
    // Several names of an empty file.
    for names in linked.into_values() {
        let mut names = names.into_iter();
        let Some(first) = names.next() else { continue };
        first.make(tree, |_| Ok(())).map_err(|source| Failure::Write(first.inside.clone(), source))?;
        names.try_for_each(|other| link(tree, other, first.inside.clone()))?;
    }
    for (inside, item) in folders.into_iter().rev() {
        item.date(tree).map_err(|source| Failure::Write(inside, source))?;
    }
    Ok(())
}

fn link(tree: &Tree, mut name: Item, original: PathBuf) -> Result<(), Failure> {
    name.kind = Kind::Link(original);
    name.make(tree, |_| Ok(())).map_err(|source| Failure::Write(name.inside.clone(), source))
}

/// None for the root folder itself.
fn item(entry: Entry, cpio: &mut Cpio<'_>) -> Result<Option<Item>, Failure> {
    let Entry { path, mode, mtime, .. } = entry;
    let refused = |reason| Failure::Refused(path.clone(), reason);
    let inside = inside(&path).ok_or_else(|| refused("a path that leaves the root"))?;
    if inside.as_os_str().is_empty() {
        return Ok(None);
    }
    let kind = match mode & 0o170_000 {
        0o100_000 => Kind::File,
        0o040_000 => Kind::Folder,
        0o120_000 => {
            let mut target = Vec::new();
            cpio.read_to_end(&mut target).map_err(Failure::Archive)?;
            Kind::Symlink(PathBuf::from(OsString::from_vec(target)))
        }
        _ => return Err(refused("which is neither file nor folder nor link")),
    };
    Ok(Some(Item::new(inside, kind, mode, mtime)))
}

#[cfg(test)]
mod tests;
