//! The raw format: the disk's bytes as they are, with holes where they are zero.

use std::fs::{File, Permissions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::{FileExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::thread;

use nix::errno::Errno;
use nix::fcntl::{FallocateFlags, fallocate};
use nix::unistd::{Whence, lseek};
use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use super::Artifact;

/// How much is read at once, in bytes.
const CHUNK: usize = 1 << 20;
/// The smallest run of zeros that becomes a hole, in bytes.
const GRAIN: usize = 1 << 16;

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

/// Copies the bytes of `image` that are in no hole to the empty file `to`, which becomes `out`. Where the file system can, they
/// are shared and not copied.
///
/// # Errors
/// [`Error`].
pub fn copy(image: &File, to: &File, out: &Path) -> Result<(), Error> {
    let copy = || {
        let size = image.metadata()?.len();
        let mut position = 0;
        while let Some(start) = next_data(image, position)?.filter(|start| *start < size) {
            let end = lseek(image, start.cast_signed(), Whence::SeekHole)?.cast_unsigned();
            (&*image).seek(SeekFrom::Start(start))?;
            (&*to).seek(SeekFrom::Start(start))?;
            let copied = io::copy(&mut image.take(end - start), &mut &*to)?;
            if copied != end - start {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            position = end;
        }
        Ok(())
    };
    copy().map_err(|source| Error { doing: "copying the disk to", path: out.to_owned(), source })
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

/// Turns zeros into holes, takes the checksum, makes everything durable and gives the file its name.
///
/// # Errors
/// [`Error`]: reading or writing failed; there is then no file named `out` that was not there before.
pub fn publish(disk: NamedTempFile, out: &Path) -> Result<Artifact, Error> {
    let told = |doing| move |source| Error { doing, path: out.to_owned(), source };
    let sealed = thread::scope(|scope| {
        // The bytes are already on their way to the disk while the checksum is taken; what fails here fails below.
        scope.spawn(|| disk.as_file().sync_data());
        seal(disk.as_file())
    });
    let (size, sha256) = sealed.map_err(told("taking the checksum of"))?;
    disk.as_file().set_permissions(Permissions::from_mode(0o644)).map_err(told("writing"))?;
    disk.as_file().sync_all().map_err(told("writing"))?;
    disk.persist(out).map_err(|error| told("naming the image")(error.error))?;
    File::open(folder(out)).and_then(|folder| folder.sync_all()).map_err(told("writing"))?;
    Ok(Artifact { path: out.to_owned(), size, sha256 })
}

fn folder(out: &Path) -> &Path {
    out.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// Length and SHA-256 of `file`, whose runs of zeros become holes on the way.
fn seal(file: &File) -> io::Result<(u64, String)> {
    let size = file.metadata()?.len();
    let mut hash = Sha256::new();
    let mut buffer = vec![0; CHUNK];
    let zeros = vec![0; CHUNK];
    let mut position = 0;
    while position < size {
        let data = next_data(file, position)?.unwrap_or(size).min(size);
        // Whole grains stay together, wherever the data begins.
        let data = (data - data % GRAIN as u64).max(position);
        while position < data {
            let count = CHUNK.min(usize::try_from(data - position).unwrap_or(CHUNK));
            hash.update(&zeros[..count]);
            position += count as u64;
        }
        let count = CHUNK.min(usize::try_from(size - position).unwrap_or(CHUNK));
        file.read_exact_at(&mut buffer[..count], position)?;
        hash.update(&buffer[..count]);
        for (index, grain) in buffer[..count].chunks(GRAIN).enumerate() {
            if grain == &zeros[..grain.len()] {
                punch(file, position + (index * GRAIN) as u64, grain.len() as u64);
            }
        }
        position += count as u64;
    }
    Ok((size, hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()))
}

/// Where the next byte lies that is not in a hole; `None` when only a hole follows.
pub(super) fn next_data(file: &File, position: u64) -> io::Result<Option<u64>> {
    match lseek(file, position.cast_signed(), Whence::SeekData) {
        Ok(data) => Ok(Some(data.cast_unsigned())),
        Err(Errno::ENXIO) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Frees the blocks behind a run of zeros. A file system that can't do that keeps them: the bytes are the same.
fn punch(file: &File, position: u64, length: u64) {
    let flags = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
    let _ = fallocate(file, flags, position.cast_signed(), length.cast_signed());
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn hex(bytes: &[u8]) -> String {
        Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn the_checksum_is_that_of_the_bytes_and_zeros_become_holes() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("deep/image.raw");
        let size = 5 * (1 << 20) + 77;
        let disk = begin(&out, size, 1).unwrap();
        disk.as_file().write_all_at(&vec![0; 2 << 20], 0).unwrap();
        disk.as_file().write_all_at(b"x", 70_000).unwrap();
        disk.as_file().write_all_at(b"end", size - 3).unwrap();
        let artifact = publish(disk, &out).unwrap();
        let bytes = std::fs::read(&out).unwrap();
        assert_eq!((artifact.size, artifact.sha256), (size, hex(&bytes)));
        assert_eq!((bytes[70_000], &bytes[bytes.len() - 3..]), (b'x', b"end".as_slice()));
        let blocks = std::fs::metadata(&out).unwrap().blocks() * 512;
        assert!(blocks <= 3 * GRAIN as u64, "{blocks} bytes are kept for two small pieces of data");
    }

    #[test]
    fn an_image_that_is_only_a_hole_has_a_checksum_too() {
        let folder = tempfile::tempdir().unwrap();
        let out = folder.path().join("empty.raw");
        let artifact = publish(begin(&out, 3 << 20, 1).unwrap(), &out).unwrap();
        assert_eq!(artifact.sha256, hex(&vec![0; 3 << 20]));
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
