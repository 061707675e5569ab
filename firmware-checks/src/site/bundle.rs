//! A whole configuration in memory: `site.toml` and the files beside it.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::fcntl::{AT_FDCWD, RenameFlags, renameat2};

use super::load::{self, MOST};
use super::{CONFIGURATION, Error, FILES, KEY, Site};
use crate::document;
use crate::files;

/// A configuration with its files, read whole and valid.
#[derive(Clone, Debug, PartialEq)]
pub struct Bundle {
    /// What `site.toml` says.
    pub site: Site,
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Bundle {
    /// Reads the configuration in `folder` and judges it.
    ///
    /// # Errors
    /// As [`super::load`]; or a file beside it can't be read or is far too large.
    pub fn read(folder: &Path) -> Result<Self, Error> {
        let site = load::load(folder)?;
        let mut files = Vec::new();
        for name in FILES {
            if let Some(content) = content(&folder.join(name))? {
                files.push((name, content));
            }
        }
        Ok(Self { site, files })
    }

    /// Each file's name and content, those with secrets first.
    pub fn files(&self) -> impl Iterator<Item = (&'static str, &[u8])> {
        self.files.iter().map(|(name, content)| (*name, content.as_slice()))
    }

    /// The content of the file `name`; empty where it is not there.
    #[must_use]
    pub fn content(&self, name: &str) -> &[u8] {
        self.files().find(|(known, _)| *known == name).map_or(&[], |(_, content)| content)
    }

    /// Makes `folder` hold this configuration and nothing else, the folder with mode 0700 and the key with 0600.
    ///
    /// It is written whole to a folder beside and synced, then changes places with `folder` in one step
    /// (`renameat2` (2), `RENAME_EXCHANGE`): a power cut at any moment leaves the old one or the new one. What a cut
    /// leaves beside is removed by the next call.
    ///
    /// # Errors
    /// The failing system call's; `folder` is then as it was.
    pub fn write(&self, folder: &Path) -> io::Result<()> {
        let parent = folder.parent().unwrap_or_else(|| Path::new("/"));
        fs::create_dir_all(parent)?;
        let beside = beside(folder);
        remove_tree(&beside)?;
        std::os::unix::fs::DirBuilderExt::mode(&mut fs::DirBuilder::new(), 0o700).create(&beside)?;
        for (name, content) in self.files() {
            files::replace(&beside.join(name), content, if name == KEY { 0o600 } else { 0o644 })?;
        }
        sync(&beside)?;
        sync(parent)?;
        if folder.exists() {
            renameat2(AT_FDCWD, &beside, AT_FDCWD, folder, RenameFlags::RENAME_EXCHANGE)?;
        } else {
            fs::rename(&beside, folder)?;
        }
        sync(parent)?;
        remove_tree(&beside)
    }
}

/// Removes what a power cut left beside `folder`.
///
/// # Errors
/// The failing system call's.
pub fn tidy(folder: &Path) -> io::Result<()> {
    remove_tree(&beside(folder))
}

fn beside(folder: &Path) -> PathBuf {
    folder.with_extension("new")
}

fn remove_tree(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    fs::File::open(folder)?.sync_all()
}

fn content(path: &Path) -> Result<Option<Vec<u8>>, Error> {
    let read = |source| document::Error::Read { path: path.to_path_buf(), source };
    match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(read(error).into()),
        Ok(found) if found.len() > MOST => Err(Error::TooLarge { path: path.to_path_buf(), bytes: found.len() }),
        Ok(_) => Ok(Some(fs::read(path).map_err(read)?)),
    }
}

/// Whether anything in `folder` is a file of a configuration.
#[must_use]
pub fn offered(folder: &Path) -> bool {
    folder.join(CONFIGURATION).exists() || FILES.iter().any(|name| folder.join(name).exists())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn medium(files: &[(&str, &str)]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            fs::write(folder.path().join(name), text).unwrap();
        }
        folder
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_written_is_what_was_read_with_the_key_for_root_alone() {
        let source = medium(&[("site.toml", "hostname = \"a\""), (KEY, "secret"), ("photo.jpg", "x")]);
        let root = tempfile::tempdir().unwrap();
        let kept = root.path().join("firstlight/site");
        let bundle = Bundle::read(source.path()).unwrap();
        bundle.write(&kept).unwrap();
        assert_eq!(Bundle::read(&kept).unwrap(), bundle);
        assert!(!kept.join("photo.jpg").exists());
        assert_eq!((mode(&kept), mode(&kept.join(KEY))), (0o700, 0o600));
    }

    #[test]
    fn a_new_configuration_takes_the_place_of_the_whole_old_one() {
        let root = tempfile::tempdir().unwrap();
        let kept = root.path().join("site");
        Bundle::read(medium(&[("site.toml", ""), (KEY, "old")]).path()).unwrap().write(&kept).unwrap();
        // A cut left half of another attempt.
        fs::create_dir(root.path().join("site.new")).unwrap();
        fs::write(root.path().join("site.new/ca.crt"), "half").unwrap();
        let new = Bundle::read(medium(&[("site.toml", "hostname = \"b\"")]).path()).unwrap();
        new.write(&kept).unwrap();
        assert_eq!(Bundle::read(&kept).unwrap(), new);
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
