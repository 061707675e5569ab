//! The raw format: the disk's bytes as they are, with holes where they are zero.

use std::fs::{File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread;

use tempfile::NamedTempFile;

use super::Artifact;
use crate::parallel;
use crate::sparse::{self, Change};

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

/// A file beside `out` that becomes it in [`publish`], and vanishes when it is dropped before: `size` bytes long, of which
/// about `content` will be written. What killed builds left in the folder is removed.
///
/// # Errors
/// [`Error`]: the folder can't be made or written, or has no room for the content.
pub fn begin(out: &Path, size: u64, content: u64) -> Result<NamedTempFile, Error> {
    let told = |source| Error { doing: "making an image beside", path: out.to_owned(), source };
    let folder = folder(out);
    std::fs::create_dir_all(folder).map_err(told)?;
    sweep(folder);
    room(folder, content, "--out").map_err(told)?;
    let file = tempfile::Builder::new().prefix(UNFINISHED).suffix(".raw").tempfile_in(folder).map_err(told)?;
    file.as_file().lock().map_err(told)?;
    file.as_file().set_len(size).map_err(told)?;
    Ok(file)
}

/// The new file `path` for a disk of `size` bytes, of which about `content` will be written.
///
/// # Errors
/// [`Error`]: it can't be made, or has no room for the content.
pub fn create(path: &Path, size: u64, content: u64) -> Result<File, Error> {
    let told = |source| Error { doing: "making the image", path: path.to_owned(), source };
    room(folder(path), content, "--cache").map_err(told)?;
    let file = File::options().read(true).write(true).create_new(true).open(path).map_err(told)?;
    file.set_len(size).map_err(told)?;
    Ok(file)
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

/// Gives `disk`, which [`begin`] made for `out`, the bytes of `image` with `changes`; takes the checksum of what is written
/// meanwhile, makes everything durable and gives the file its name.
///
/// # Errors
/// [`Error`]: writing failed, and there is then no file named `out` that was not there before; or reading what was written.
pub fn publish(image: &File, changes: &[Change], disk: NamedTempFile, out: &Path) -> Result<Artifact, Error> {
    let told = |doing| move |source| Error { doing, path: out.to_owned(), source };
    let bytes = disk.as_file().try_clone().map_err(told("writing"))?;
    let (reached, marks) = mpsc::channel();
    let (named, sum) = thread::scope(|scope| {
        let sum = scope.spawn(|| sparse::sha256_behind(&bytes, marks));
        let copied = sparse::copy(image, changes, &bytes, move |mark| {
            // Who no longer listens has failed, and says so himself.
            let _ = reached.send(mark);
        });
        (copied.map_err(told("copying the disk to")).and_then(|()| name(disk, out)), parallel::joined(sum))
    });
    named?;
    let (size, sha256) = sum.map_err(told("taking the checksum of"))?;
    Ok(Artifact { path: out.to_owned(), size, sha256: hex::encode(sha256) })
}

/// Makes `disk` durable, and then `out`.
fn name(disk: NamedTempFile, out: &Path) -> Result<(), Error> {
    let told = |doing| move |source| Error { doing, path: out.to_owned(), source };
    disk.as_file().set_permissions(Permissions::from_mode(0o644)).map_err(told("writing"))?;
    disk.as_file().sync_all().map_err(told("writing"))?;
    disk.persist(out).map_err(|error| told("naming the image")(error.error))?;
    File::open(folder(out)).and_then(|folder| folder.sync_all()).map_err(told("writing"))
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
    fn a_copied_disk_is_published_with_its_checksum() {
        let folder = tempfile::tempdir().unwrap();
        let (image, out) = (tempfile::tempfile().unwrap(), folder.path().join("deep/image.raw"));
        image.set_len(3 << 20).unwrap();
        image.write_all_at(b"x", 70_000).unwrap();
        let artifact = publish(&image, &[], begin(&out, 3 << 20, 1).unwrap(), &out).unwrap();
        let bytes = std::fs::read(&out).unwrap();
        let hex = hex::encode(Sha256::digest(&bytes));
        assert_eq!((artifact.size, artifact.sha256, bytes[70_000]), (3 << 20, hex, b'x'));
    }

    #[test]
    fn an_image_that_is_not_published_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        drop(begin(&folder.path().join("image.raw"), 1 << 20, 1).unwrap());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_build_left_is_removed_and_what_a_living_one_has_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (killed, image) = (folder.path().join(".new-killed.raw"), folder.path().join("image.raw"));
        std::fs::write(&killed, "half").unwrap();
        let living = begin(&image, 1 << 20, 1).unwrap();
        let other = begin(&image, 1 << 20, 1).unwrap();
        assert!(!killed.exists() && living.path().exists() && other.path().exists());
    }

    #[test]
    fn no_room_is_told_before_anything_is_written() {
        let folder = tempfile::tempdir().unwrap();
        let error = begin(&folder.path().join("image.raw"), 1 << 20, u64::MAX / 2).unwrap_err().to_string();
        assert!(error.contains("no space left in") && error.contains("hint: "), "{error}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
