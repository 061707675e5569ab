//! Files of images: made where there is room for them, and handed out whole or not at all: written beside their place, made
//! durable, then named.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use tempfile::NamedTempFile;

use super::Artifact;
use crate::{parallel, sparse};

/// How the names of unfinished images begin.
const UNFINISHED: &str = ".new-";

/// An image could not be handed out.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {path}: {source}")]
pub struct Error {
    doing: &'static str,
    path: PathBuf,
    source: io::Error,
}

impl Error {
    /// What failed for `path`, in the words `doing`.
    pub(super) fn at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self { doing, path: path.to_owned(), source }
    }
}

/// A file beside `out` that becomes it in [`publish`], and vanishes when it is dropped before; about `content` bytes will be
/// written. What killed builds left in the folder is removed.
///
/// # Errors
/// [`Error`]: the folder can't be made or written, or has no room for the content.
pub fn begin(out: &Path, content: u64) -> Result<NamedTempFile, Error> {
    let begun = || {
        let folder = folder(out);
        std::fs::create_dir_all(folder)?;
        sweep(folder);
        room(folder, content, "--out")?;
        let file = tempfile::Builder::new().prefix(UNFINISHED).tempfile_in(folder)?;
        file.as_file().lock()?;
        Ok(file)
    };
    begun().map_err(Error::at("making an image beside", out))
}

/// The new file `path` for a disk of `size` bytes, of which about `content` will be written.
///
/// # Errors
/// [`Error`]: it can't be made, or has no room for the content.
pub fn create(path: &Path, size: u64, content: u64) -> Result<File, Error> {
    let made = || {
        room(folder(path), content, "--cache")?;
        let file = File::options().read(true).write(true).create_new(true).open(path)?;
        file.set_len(size)?;
        Ok(file)
    };
    made().map_err(Error::at("making the image", path))
}

/// Has `write` fill `file`, which [`begin`] made for `out`, and say up to where its bytes are final; takes the checksum of them
/// meanwhile, makes everything durable and gives the file its name.
///
/// # Errors
/// [`Error`]: writing failed, and there is then no file named `out` that was not there before; or reading what was written.
pub fn publish(
    file: NamedTempFile,
    out: &Path,
    write: impl FnOnce(&File, &mut dyn FnMut(u64)) -> io::Result<()>,
) -> Result<Artifact, Error> {
    let bytes = file.as_file().try_clone().map_err(Error::at("writing", out))?;
    let (reached, marks) = mpsc::channel();
    let (named, sum) = thread::scope(|scope| {
        let sum = scope.spawn(|| sparse::sha256_behind(&bytes, marks));
        let written = write(&bytes, &mut |mark| {
            // Who no longer listens has failed, and says so himself.
            let _ = reached.send(mark);
        });
        drop(reached);
        (written.and_then(|()| name(file, out)), parallel::joined(sum))
    });
    named.map_err(Error::at("writing", out))?;
    let (size, sha256) = sum.map_err(Error::at("taking the checksum of", out))?;
    Ok(Artifact { path: out.to_owned(), size, sha256: hex::encode(sha256) })
}

/// Makes `file` durable, and then `out`.
fn name(file: NamedTempFile, out: &Path) -> io::Result<()> {
    file.as_file().set_permissions(Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(out).map_err(|error| error.error)?;
    File::open(folder(out))?.sync_all()
}

/// Removes unfinished images that no living build holds the lock of.
fn sweep(folder: &Path) {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    for entry in entries.filter(|entry| entry.file_name().as_encoded_bytes().starts_with(UNFINISHED.as_bytes())) {
        // One that can't be opened or removed is somebody else's; it is in nobody's way.
        let _ = File::open(entry.path()).map(|file| match file.try_lock() {
            Ok(()) => std::fs::remove_file(entry.path()).is_ok(),
            Err(_) => false,
        });
    }
}

/// Fails where `folder`, which `option` names, has less than `needed` bytes free.
fn room(folder: &Path, needed: u64, option: &str) -> io::Result<()> {
    let space = nix::sys::statvfs::statvfs(folder)?;
    let free = space.blocks_available() * space.fragment_size();
    if free >= needed {
        return Ok(());
    }
    let (needed, free) = (needed.div_ceil(1_000_000), free / 1_000_000);
    let text = format!(
        "no space left in {}: about {needed} MB are needed, {free} MB are free\n  hint: free some, or name a folder on another disk with {option}",
        folder.display()
    );
    Err(io::Error::new(io::ErrorKind::StorageFull, text))
}

fn folder(out: &Path) -> &Path {
    out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::FileExt;

    use sha2::{Digest, Sha256};

    use super::*;

    #[test]
    fn what_is_written_is_published_with_its_checksum() {
        let folder = tempfile::tempdir().unwrap();
        let (image, out) = (tempfile::tempfile().unwrap(), folder.path().join("deep/image.raw"));
        image.set_len(3 << 20).unwrap();
        image.write_all_at(b"x", 70_000).unwrap();
        let written = begin(&out, 1).unwrap();
        let artifact = publish(written, &out, |to, reached| sparse::copy(&image, &[], to, reached)).unwrap();
        let bytes = std::fs::read(&out).unwrap();
        let hex = hex::encode(Sha256::digest(&bytes));
        assert_eq!((artifact.size, artifact.sha256, bytes[70_000]), (3 << 20, hex, b'x'));
    }

    #[test]
    fn an_image_that_is_not_published_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("image.raw");
        drop(begin(&out, 1).unwrap());
        let failed = publish(begin(&out, 1).unwrap(), &out, |_, _| Err(io::Error::other("the reason")));
        assert!(failed.unwrap_err().to_string().ends_with("the reason"));
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_build_left_is_removed_and_what_a_living_one_has_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (killed, image) = (folder.path().join(".new-killed"), folder.path().join("image.raw"));
        std::fs::write(&killed, "half").unwrap();
        let living = begin(&image, 1).unwrap();
        let other = begin(&image, 1).unwrap();
        assert!(!killed.exists() && living.path().exists() && other.path().exists());
    }

    #[test]
    fn no_room_is_told_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let error = begin(&folder.path().join("image.raw"), u64::MAX / 2).unwrap_err().to_string();
        assert!(error.contains("no space left in") && error.contains("hint: "), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
