//! Lays out the files of packages, as `dpkg-deb --fsys-tarfile` and tar would, without running anything.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::num::NonZero;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use tar::EntryType;
use xattr::FileExt;

use super::deb::{self, Error, Member};
use super::tree::{Owner, Place, Tree, set_mode};

/// Begins the PAX record of an extended attribute in an archive of ours, in hexadecimal: the tar crate ends a record at
/// the first line feed, which capabilities (binary) may hold.
pub(super) const XATTR_HEX: &str = "FIRSTLIGHT.xattr.";

/// Whose the extracted files are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owners {
    /// The numeric ids of the archive.
    Keep,
    /// The caller's, who may also change and remove everything: folders get `u+rwx`, and nothing is setuid.
    Root,
}

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
    deb::with_member(deb, Member::Data, |tar| {
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
    let next = AtomicUsize::new(0);
    let work = || {
        while let Some(deb) = debs.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = extract(deb, into, owners) {
                next.store(debs.len(), Ordering::Relaxed);
                return Err(error);
            }
        }
        Ok(())
    };
    let workers = thread::available_parallelism().map_or(1, NonZero::get).min(debs.len().max(1));
    thread::scope(|scope| {
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

/// Why an archive could not be unpacked.
#[derive(Debug)]
pub(super) enum Failure {
    Archive(io::Error),
    Refused(PathBuf, &'static str),
    Write(PathBuf, io::Error),
}

/// Extracts a tar archive into `tree`.
pub(super) fn unpack(tar: &mut dyn Read, tree: &Tree, owners: Owners) -> Result<(), Failure> {
    let mut archive = tar::Archive::new(tar);
    // A folder's time changes with each file that comes into it, so folders are dated last.
    let mut folders = BTreeMap::new();
    for entry in archive.entries().map_err(Failure::Archive)? {
        let mut entry = entry.map_err(Failure::Archive)?;
        let path = entry.path().map_err(Failure::Archive)?.into_owned();
        let inside = inside(&path).ok_or_else(|| Failure::Refused(path.clone(), "a path that leaves the root"))?;
        if inside.as_os_str().is_empty() {
            continue;
        }
        let mtime = i64::try_from(entry.header().mtime().map_err(Failure::Archive)?).unwrap_or(0);
        let kind = entry.header().entry_type();
        if !(kind.is_file()
            || kind == EntryType::Continuous
            || kind.is_dir()
            || kind.is_symlink()
            || kind.is_hard_link())
        {
            return Err(Failure::Refused(path, "which is neither file nor folder nor link"));
        }
        let original = match kind {
            EntryType::Link => {
                let name = entry.link_name().map_err(Failure::Archive)?.unwrap_or_default();
                let leaves = || Failure::Refused(path.clone(), "a hard link to a path that leaves the root");
                Some(self::inside(&name).ok_or_else(leaves)?)
            }
            _ => None,
        };
        let made = place_entry(&mut entry, tree, &inside, original.as_deref(), owners)
            .and_then(|place| if kind.is_dir() { Ok(place) } else { place.set_mtime(mtime).map(|()| place) });
        let place = made.map_err(|source| Failure::Write(path, source))?;
        if kind.is_dir() {
            folders.insert(inside, (place, mtime));
        }
    }
    for (inside, (place, mtime)) in folders.into_iter().rev() {
        place.set_mtime(mtime).map_err(|source| Failure::Write(inside, source))?;
    }
    Ok(())
}

/// `path` relative to the root, without `.`; none where it has a `..`.
fn inside(path: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => inside.push(name),
            Component::CurDir | Component::RootDir => {}
            Component::ParentDir | Component::Prefix(_) => return None,
        }
    }
    Some(inside)
}

fn place_entry(
    entry: &mut tar::Entry<'_, &mut dyn Read>,
    tree: &Tree,
    inside: &Path,
    original: Option<&Path>,
    owners: Owners,
) -> io::Result<Place> {
    let place = tree.place(inside)?;
    let header = entry.header();
    let number = |id: io::Result<u64>| id.and_then(|id| u32::try_from(id).map_err(io::Error::other));
    let (owner, mode) = match owners {
        Owners::Keep => (Owner { uid: number(header.uid())?, gid: number(header.gid())? }, header.mode()?),
        Owners::Root => (Owner::ROOT, header.mode()? & 0o777 | 0o600),
    };
    match header.entry_type() {
        EntryType::Symlink => {
            let target = entry.link_name()?.unwrap_or_default().into_owned();
            place.symlink(target.as_os_str(), owner)?;
        }
        EntryType::Link => place.link(&tree.place(original.unwrap_or(inside))?)?,
        EntryType::Directory => {
            if place.make_folder(tree, inside)? {
                let folder = place.open()?;
                let mode = if owners == Owners::Root { mode | 0o700 } else { mode };
                finish(entry, &folder, owner, mode, owners)?;
            }
        }
        _ => {
            let mut file = place.create()?;
            io::copy(entry, &mut file)?;
            finish(entry, &file, owner, mode, owners)?;
        }
    }
    Ok(place)
}

/// Owner, mode and extended attributes, in the order in which one does not undo the other: a new owner clears setuid
/// and capabilities.
fn finish(
    entry: &mut tar::Entry<'_, &mut dyn Read>,
    file: &File,
    owner: Owner,
    mode: u32,
    owners: Owners,
) -> io::Result<()> {
    owner.set(file)?;
    set_mode(file, mode)?;
    if owners == Owners::Root {
        return Ok(());
    }
    let Some(extensions) = entry.pax_extensions()? else { return Ok(()) };
    for extension in extensions {
        let extension = extension?;
        let (key, value) = (extension.key_bytes(), extension.value_bytes());
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            file.set_xattr(OsStr::from_bytes(name), value)?;
        } else if let Some(name) = key.strip_prefix(XATTR_HEX.as_bytes()) {
            file.set_xattr(OsStr::from_bytes(name), &from_hex(value)?)?;
        }
    }
    Ok(())
}

fn from_hex(digits: &[u8]) -> io::Result<Vec<u8>> {
    let byte = |pair: &[u8]| str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
    bytes.ok_or_else(|| io::Error::other("an extended attribute is not hexadecimal"))
}

#[cfg(test)]
mod tests;
