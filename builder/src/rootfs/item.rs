//! One entry of an archive, whatever its format, and how it is made in a tree.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use tar::EntryType;
use xattr::FileExt;

use super::tree::{Owner, Tree, set_mode, set_mtime};

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

/// Why an archive could not be unpacked.
#[derive(Debug)]
pub(super) enum Failure {
    Archive(io::Error),
    Refused(PathBuf, &'static str),
    Write(PathBuf, io::Error),
}

/// What an archive says of an entry, besides the content of a file.
pub(super) struct Item {
    /// Its path below the root.
    pub(super) inside: PathBuf,
    pub(super) kind: Kind,
    owner: Owner,
    mode: u32,
    mtime: i64,
    attributes: Vec<(OsString, Vec<u8>)>,
}

/// What an entry is.
pub(super) enum Kind {
    File,
    Folder,
    /// With its target.
    Symlink(PathBuf),
    /// Another name of what is at this path below the root.
    Link(PathBuf),
}

impl Item {
    /// One without extended attributes, whose owner no archive says: the caller.
    pub(super) fn new(inside: PathBuf, kind: Kind, mode: u32, mtime: i64) -> Self {
        let mode = for_the_caller(mode, &kind);
        Self { inside, kind, owner: Owner::ROOT, mode, mtime, attributes: Vec::new() }
    }

    /// None for the root folder itself.
    pub(super) fn read<R: Read>(entry: &mut tar::Entry<'_, R>, owners: Owners) -> Result<Option<Self>, Failure> {
        let path = entry.path().map_err(Failure::Archive)?.into_owned();
        let refused = |reason| Failure::Refused(path.clone(), reason);
        let inside = inside(&path).ok_or_else(|| refused("a path that leaves the root"))?;
        if inside.as_os_str().is_empty() {
            return Ok(None);
        }
        let target = |entry: &tar::Entry<'_, R>| {
            let target = entry.link_name().map_err(Failure::Archive)?;
            Ok::<PathBuf, Failure>(target.unwrap_or_default().into_owned())
        };
        let kind = match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => Kind::File,
            EntryType::Directory => Kind::Folder,
            EntryType::Symlink => Kind::Symlink(target(entry)?),
            EntryType::Link => {
                let leaves = || refused("a hard link to a path that leaves the root");
                Kind::Link(self::inside(&target(entry)?).ok_or_else(leaves)?)
            }
            _ => return Err(refused("which is neither file nor folder nor link")),
        };
        let read = |entry: &mut tar::Entry<'_, R>| {
            let header = entry.header();
            let number = |id: io::Result<u64>| id.and_then(|id| u32::try_from(id).map_err(io::Error::other));
            let mtime = i64::try_from(header.mtime()?).unwrap_or(0);
            let (owner, mode) = match owners {
                Owners::Keep => (Owner { uid: number(header.uid())?, gid: number(header.gid())? }, header.mode()?),
                Owners::Root => (Owner::ROOT, for_the_caller(header.mode()?, &kind)),
            };
            let attributes = if owners == Owners::Keep { attributes(entry)? } else { Vec::new() };
            Ok((owner, mode, mtime, attributes))
        };
        let (owner, mode, mtime, attributes) = read(entry).map_err(Failure::Archive)?;
        Ok(Some(Self { inside, kind, owner, mode, mtime, attributes }))
    }

    /// Makes it in `tree`; `fill` writes the content of a file. A folder gets its time by [`Self::date`], later. Several
    /// threads may make items of the same path at once: one of them stays.
    pub(super) fn make(&self, tree: &Tree, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
        let place = tree.place(&self.inside)?;
        match &self.kind {
            Kind::Symlink(target) => {
                place.symlink(target.as_os_str(), self.owner)?;
                match place.set_mtime(self.mtime) {
                    // Somebody is replacing it.
                    Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                    other => other,
                }
            }
            // Its time is that of the original.
            Kind::Link(original) => place.link(&tree.place(original)?),
            Kind::Folder => {
                if place.make_folder(tree, &self.inside)? {
                    self.finish(&place.open()?)?;
                }
                Ok(())
            }
            Kind::File => {
                let mut file = place.create()?;
                fill(&mut file)?;
                self.finish(&file)?;
                set_mtime(&file, self.mtime)
            }
        }
    }

    /// Gives it its modification time.
    pub(super) fn date(&self, tree: &Tree) -> io::Result<()> {
        tree.place(&self.inside)?.set_mtime(self.mtime)
    }

    /// Owner, mode and extended attributes, in the order in which one does not undo the other: a new owner clears setuid
    /// and capabilities.
    fn finish(&self, file: &File) -> io::Result<()> {
        self.owner.set(file)?;
        set_mode(file, self.mode)?;
        self.attributes.iter().try_for_each(|(name, value)| file.set_xattr(name, value))
    }
}

/// The permission bits with which the caller may change and remove everything, and nothing is setuid.
fn for_the_caller(mode: u32, kind: &Kind) -> u32 {
    mode & 0o777 | if matches!(kind, Kind::Folder) { 0o700 } else { 0o600 }
}

/// `path` relative to the root, without `.`; none where it has a `..`.
pub(super) fn inside(path: &Path) -> Option<PathBuf> {
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

/// The extended attributes of an entry.
fn attributes<R: Read>(entry: &mut tar::Entry<'_, R>) -> io::Result<Vec<(OsString, Vec<u8>)>> {
    let mut attributes = Vec::new();
    let Some(extensions) = entry.pax_extensions()? else { return Ok(attributes) };
    for extension in extensions {
        let extension = extension?;
        let (key, value) = (extension.key_bytes(), extension.value_bytes());
        if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
            attributes.push((OsStr::from_bytes(name).to_owned(), value.to_vec()));
        } else if let Some(name) = key.strip_prefix(XATTR_HEX.as_bytes()) {
            let value = hex::decode(value);
            let value = value.map_err(|_| io::Error::other("an extended attribute is not hexadecimal"))?;
            attributes.push((OsStr::from_bytes(name).to_owned(), value));
        }
    }
    Ok(attributes)
}
