//! The times of a tree, as the image is to have them.

use std::io;
use std::os::unix::fs::MetadataExt;
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
}
