//! Overlays: file trees of ours, laid over what packages installed.
//!
//! A file is root's, 0644, or 0755 where the source may be executed; a folder 0755; a symbolic link stays one. A name
//! that ends in `.hbs` is a handlebars template. `overlay.toml` at the top says where owner or mode are others.

mod declared;
mod late;
mod template;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use sha2::{Digest, Sha256};
use walkdir::{DirEntry, WalkDir};

use super::accounts::Accounts;
use super::tree::{Owner, Tree, set_mode};
use declared::Declared;
pub use late::{LateFile, split};

/// Where the exceptions are declared.
const DECLARATIONS: &str = "overlay.toml";

/// An overlay that can't be used; whoever wrote it can mend that.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of it could not be read.
    #[error("reading {path} of an overlay: {source}")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Something in a file is wrong.
    #[error("{path}:{line}:{column}: {reason}")]
    Invalid {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// An entry is neither file nor folder nor symbolic link, or there twice.
    #[error("{path}: {reason}")]
    Entry {
        /// The entry.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
    /// A file could not be laid onto the root file system.
    #[error("laying `{inside}` of the overlay {overlay} onto the root file system: {source}")]
    Lay {
        /// Its path below the root.
        inside: PathBuf,
        /// The overlay's folder.
        overlay: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// One overlay, read and with its templates filled in.
#[derive(Clone, Debug)]
pub struct Overlay {
    folder: PathBuf,
    entries: BTreeMap<PathBuf, Entry>,
    declared: BTreeMap<PathBuf, Declared>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Entry {
    Folder,
    File {
        content: Vec<u8>,
        executable: bool,
    },
    Link(PathBuf),
    /// A file that is laid last ([`split`]).
    Later,
}

/// A file that must be there before packages are configured, because one of them builds something from it: `fstab`
/// and the configuration of the initramfs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EarlyFile {
    /// Its path below the root.
    pub path: PathBuf,
    /// What it holds.
    pub content: Vec<u8>,
    /// Permission bits.
    pub mode: u32,
}

impl Overlay {
    /// Reads the overlay in `folder` and fills `values` into its templates.
    ///
    /// # Errors
    /// [`Error`], with file, line and column: a template names a variable that `values` has not, or `overlay.toml` an
    /// unknown key or a path that is not there.
    pub fn load(folder: &Path, values: &impl Serialize) -> Result<Self, Error> {
        let mut overlay = Self { folder: folder.to_owned(), entries: BTreeMap::new(), declared: BTreeMap::new() };
        for found in WalkDir::new(folder).min_depth(1).follow_root_links(true).sort_by_file_name() {
            let found = found.map_err(|error| Error::Read {
                path: error.path().unwrap_or(folder).to_owned(),
                source: error.into(),
            })?;
            let inside = found.path().strip_prefix(folder).unwrap_or(found.path());
            if inside != Path::new(DECLARATIONS) {
                let (inside, entry) = read(&found, inside, values)?;
                if overlay.entries.insert(inside, entry).is_some() {
                    let reason = "this file is there with and without `.hbs`; keep one of them".to_owned();
                    return Err(Error::Entry { path: found.into_path(), reason });
                }
            }
        }
        overlay.declared = declared::load(&folder.join(DECLARATIONS))?;
        for (path, declared) in &overlay.declared {
            match overlay.entries.get(path) {
                None if declared.folder => drop(overlay.entries.insert(path.clone(), Entry::Folder)),
                Some(Entry::File { .. } | Entry::Folder) if !declared.folder => {}
                None => return Err(declared.wrong(&format!("the overlay has no `{}`", path.display()))),
                Some(_) => {
                    return Err(declared.wrong("a symbolic link has no mode, and a folder is made only where none is"));
                }
            }
        }
        Ok(overlay)
    }

    /// The files below `paths`, which must be there before packages are configured.
    #[must_use]
    pub fn early(&self, paths: &[&str]) -> Vec<EarlyFile> {
        let early = self.entries.iter().filter(|(path, _)| paths.iter().any(|start| path.starts_with(start)));
        let file = |(path, entry): (&PathBuf, &Entry)| match entry {
            Entry::File { content, .. } => {
                Some(EarlyFile { path: path.clone(), content: content.clone(), mode: self.mode(path, entry) })
            }
            _ => None,
        };
        early.filter_map(file).collect()
    }

    /// SHA-256, lower-case hexadecimal, over everything that laying this overlay depends on.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        for (path, entry) in &self.entries {
            let declared = self.declared.get(path);
            let owner = declared.map(|declared| (&declared.owner, &declared.group));
            let what = match entry {
                Entry::Folder => "folder".to_owned(),
                Entry::Link(target) => format!("link {target:?}"),
                Entry::Later => "later".to_owned(),
                Entry::File { content, .. } => format!("file {:x?}", Sha256::digest(content)),
            };
            hash.update(format!("{path:?} {what} {:o} {owner:?}\n", self.mode(path, entry)));
        }
        hex::encode(hash.finalize())
    }

    fn mode(&self, path: &Path, entry: &Entry) -> u32 {
        let usual = match entry {
            Entry::File { executable: false, .. } => 0o644,
            _ => 0o755,
        };
        self.declared.get(path).and_then(|declared| declared.mode).unwrap_or(usual)
    }

    /// Lays everything onto `tree` as root's, dated `mtime` (seconds since 1970). A file replaces what is there; a
    /// folder, or link to one, that is there stays as it is.
    ///
    /// # Errors
    /// [`Error::Lay`].
    pub fn lay(&self, tree: &Tree, mtime: i64) -> Result<(), Error> {
        for (inside, entry) in &self.entries {
            let lay = || {
                let place = tree.place(inside)?;
                match entry {
                    Entry::Folder => {
                        if !place.make_folder(tree, inside)? {
                            return Ok(());
                        }
                        let folder = place.open()?;
                        Owner::ROOT.set(&folder)?;
                        set_mode(&folder, 0o755)
                    }
                    // Nothing but a file gives way to one.
                    Entry::Later => place.remove(),
                    Entry::Link(target) => {
                        place.symlink(target.as_os_str(), Owner::ROOT)?;
                        place.set_mtime(mtime)
                    }
                    Entry::File { content, .. } => {
                        tree.write(inside, content, self.mode(inside, entry), Owner::ROOT)?;
                        place.set_mtime(mtime)
                    }
                }
            };
            lay().map_err(|source| self.laying(inside, source))?;
        }
        Ok(())
    }

    /// Gives the declared paths their owners and modes. Names are those of the tree's own `/etc/passwd` and
    /// `/etc/group`, so accounts must have been made before.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a name that the tree does not know, [`Error::Lay`].
    pub fn give(&self, tree: &Tree, accounts: &Accounts) -> Result<(), Error> {
        for (inside, declared) in &self.declared {
            let id = |kind: &str, name: &Option<String>, known: &BTreeMap<String, u32>| match name {
                None => Ok(0),
                Some(name) => known
                    .get(name)
                    .copied()
                    .ok_or_else(|| declared.wrong(&format!("the image has no {kind} `{name}`; add it by sysusers.d"))),
            };
            let uid = id("user", &declared.owner, &accounts.users)?;
            let gid = id("group", &declared.group, &accounts.groups)?;
            let usual = self.entries.get(inside).map_or(0o644, |entry| self.mode(inside, entry));
            let give = || {
                let file = tree.place(inside)?.open()?;
                Owner { uid, gid }.set(&file)?;
                set_mode(&file, declared.mode.unwrap_or(usual))
            };
            give().map_err(|source| self.laying(inside, source))?;
        }
        Ok(())
    }

    fn laying(&self, inside: &Path, source: io::Error) -> Error {
        Error::Lay { inside: inside.to_owned(), overlay: self.folder.clone(), source }
    }
}

fn read(found: &DirEntry, inside: &Path, values: &impl Serialize) -> Result<(PathBuf, Entry), Error> {
    let path = found.path();
    let failed = |source: io::Error| Error::Read { path: path.to_owned(), source };
    let kind = found.file_type();
    if kind.is_dir() {
        return Ok((inside.to_owned(), Entry::Folder));
    }
    if kind.is_symlink() {
        return Ok((inside.to_owned(), Entry::Link(fs::read_link(path).map_err(failed)?)));
    }
    if !kind.is_file() {
        let reason = "an overlay holds files, folders and symbolic links only".to_owned();
        return Err(Error::Entry { path: path.to_owned(), reason });
    }
    let executable = fs::metadata(path).map_err(failed)?.permissions().mode() & 0o111 != 0;
    let content = fs::read(path).map_err(failed)?;
    if inside.extension().is_some_and(|ending| ending == "hbs") {
        let content = template::fill_in(path, &content, values)?;
        return Ok((inside.with_extension(""), Entry::File { content, executable }));
    }
    Ok((inside.to_owned(), Entry::File { content, executable }))
}

#[cfg(test)]
mod tests;
