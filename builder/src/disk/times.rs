//! The times of a tree, as the image is to have them.

use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::AT_FDCWD;
use nix::sys::stat::{UtimensatFlags, utimensat};
use nix::sys::time::TimeSpec;
use walkdir::WalkDir;

/// Sets every modification time below `root` that is later than `released` (seconds since 1970) to it, without fractions
/// of a second, and every time of access to that of modification: mke2fs copies both, and when a file was last read here
/// depends on the host, its mount options and what was in the cache.
///
/// # Errors
/// The system call's, with the file.
pub(super) fn settle(root: &Path, released: i64) -> Result<(), (PathBuf, io::Error)> {
    // A folder comes after its content: listing it is an access.
    for entry in WalkDir::new(root).contents_first(true) {
        let entry = entry.map_err(|error| (error.path().unwrap_or(root).to_owned(), error.into()))?;
        let path = entry.path();
        let failed = |error| (path.to_owned(), error);
        let seconds = entry.metadata().map_err(|error| failed(error.into()))?.mtime().min(released);
        let time = TimeSpec::new(seconds, 0);
        utimensat(AT_FDCWD, path, &time, &time, UtimensatFlags::NoFollowSymlink)
            .map_err(|error| failed(error.into()))?;
    }
    Ok(())
}

/// Reads the file `path` and leaves its time of access as it is: mke2fs may be copying that at the same moment.
///
/// # Errors
/// The system call's, also where the file is neither this user's nor, in a user namespace, one of its ids'.
pub(super) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut file = File::options().read(true).custom_flags(nix::libc::O_NOATIME).open(path)?;
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn only_what_is_newer_is_dated_back_and_links_themselves_and_nothing_was_ever_read() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("folder")).unwrap();
        fs::write(root.path().join("folder/new"), "").unwrap();
        fs::write(root.path().join("old"), "").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.path().join("link")).unwrap();
        let (old, read) = (TimeSpec::new(1_000, 5), TimeSpec::new(1_500, 0));
        utimensat(AT_FDCWD, &root.path().join("old"), &read, &old, UtimensatFlags::NoFollowSymlink).unwrap();
        settle(root.path(), 2_000).unwrap();
        let names = ["folder", "folder/new", "link", "old", ""];
        let stat = |name: &str| fs::symlink_metadata(root.path().join(name)).unwrap();
        assert_eq!(names.map(|name| stat(name).mtime()), [2_000, 2_000, 2_000, 1_000, 2_000]);
        assert_eq!(names.map(|name| stat(name).atime()), [2_000, 2_000, 2_000, 1_000, 2_000]);
        assert_eq!(names.map(|name| stat(name).mtime_nsec() + stat(name).atime_nsec()), [0; 5]);
    }
    #[test]
    fn what_is_read_looks_as_if_it_was_not() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, "content").unwrap();
        settle(root.path(), 1_000).unwrap();
        assert_eq!(read(&path).unwrap(), b"content");
        assert_eq!(fs::metadata(&path).unwrap().atime(), 1_000);
    }
}
