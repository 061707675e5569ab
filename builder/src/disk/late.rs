//! Lays the last files onto the finished root file system, without making it anew: onto a copy of what that says of itself, a
//! hundredth of it. What then differs goes into the image.

use std::fmt::Write;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use jiff::Timestamp;

use super::change_times;
use super::debugfs::{Debugfs, Error, FILES};
use super::layout::{Content, Partition};
use crate::rootfs::overlay::LateFile;
use crate::sandbox::Sandbox;
use crate::sparse::{self, Change};

/// Where e2image sees the image, and writes what it takes of it.
const IMAGE: &str = "/run/disk.raw";
const METADATA: &str = "/run/metadata.raw";

/// What late files are taken to need at least: as long as they stay below, the file system is not made anew for them.
const STEP: u64 = 16 << 20;
/// The same of inodes.
const STEP_OF_FILES: u64 = 256;

/// The room that is left for `files`, in bytes of whole blocks and in inodes, rounded up: all of them that decides the disk before
/// they are laid.
#[must_use]
pub fn room(files: &[LateFile]) -> Content {
    let blocks = files.iter().map(|file| (file.content.len() as u64).max(1).next_multiple_of(4096));
    Content {
        bytes: blocks.sum::<u64>().next_multiple_of(STEP),
        inodes: (files.len() as u64).next_multiple_of(STEP_OF_FILES),
    }
}

/// Writes what the file system of `partition` in `image` says of itself, and nothing of what its files hold, into the new file
/// `metadata`, where it lies in the image: all that debugfs reads to lay a file.
pub(super) fn take_metadata(tools: &Path, image: &Path, partition: &Partition, metadata: &Path) -> Result<(), Error> {
    File::create_new(metadata).map_err(|source| Error::Io { path: metadata.to_owned(), source })?;
    let start = partition.start.to_string();
    let sandbox = Sandbox::of_tools(tools).bind_ro(image, IMAGE).bind(metadata, METADATA);
    sandbox.run(&["e2image", "-r", "-o", &start, "-O", &start, IMAGE, METADATA])?;
    Ok(())
}

/// What changes in an image when `files`, whose folders are there and whose places are free, are laid onto the file system of
/// `partition`, whose `metadata` [`take_metadata`] took.
pub(super) fn lay(
    files: &[LateFile],
    metadata: &File,
    tools: &Path,
    partition: &Partition,
    time: Timestamp,
) -> Result<Vec<Change>, Error> {
    let folder = tempfile::tempdir().map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
    let told = |path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { path, source }
    };
    for (number, file) in files.iter().enumerate() {
        let path = folder.path().join(number.to_string());
        put(&path, file).map_err(told(&path))?;
    }
    let path = folder.path().join("file-system");
    let copy = copy(metadata, &path).map_err(told(&path))?;
    let debugfs = Debugfs { tools, image: &path, partition, time };
    debugfs.run(&commands(files), Some(folder.path()))?;
    let settled = change_times::settle(&copy, partition.start, time.as_second());
    settled.and_then(|()| sparse::changes(metadata, &copy)).map_err(told(&path))
}

/// A new file `path` with the bytes of `from`.
fn copy(from: &File, path: &Path) -> io::Result<File> {
    let file = File::options().read(true).write(true).create_new(true).open(path)?;
    sparse::copy(from, &[], &file, |_| ())?;
    Ok(file)
}

/// debugfs takes the mode from the file that it copies.
fn put(path: &Path, file: &LateFile) -> io::Result<()> {
    fs::write(path, &file.content)?;
    fs::set_permissions(path, Permissions::from_mode(file.mode))
}

/// debugfs makes a file in the folder in which it is.
fn commands(files: &[LateFile]) -> String {
    let mut commands = String::new();
    for (number, file) in files.iter().enumerate() {
        let folder = file.path.parent().unwrap_or(Path::new("")).display();
        let name = file.path.file_name().unwrap_or_default().display();
        let _ = writeln!(commands, "cd \"/{folder}\"\nwrite {FILES}/{number} \"{name}\"");
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(path: &str, content: &[u8]) -> LateFile {
        LateFile { path: path.into(), content: content.to_vec(), mode: 0o644 }
    }

    #[test]
    fn each_file_is_made_in_its_folder() {
        let files = [file("etc/a b", b""), file("opt/x/y", b"")];
        let expected = "cd \"/etc\"\nwrite /run/files/0 \"a b\"\ncd \"/opt/x\"\nwrite /run/files/1 \"y\"\n";
        assert_eq!(commands(&files), expected);
    }

    #[test]
    fn room_stays_the_same_for_small_changes() {
        let one = room(&[file("etc/a", b"1")]);
        assert_eq!(one, room(&[file("etc/a", &[2; 100_000]), file("etc/b", b"")]));
        assert_eq!((one.bytes, one.inodes), (16 << 20, 256));
        assert_eq!(room(&[]), Content::default());
    }
}
