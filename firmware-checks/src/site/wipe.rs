//! Taking an imported configuration, with its secrets, off the image's own SITE partition.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use super::FILES;
use super::bundle::Bundle;

/// Whether everything of a configuration in `folder` was imported as `kept`: each file is the same, or what an
/// interrupted [`wipe`] left of it. So a cut between import and wiping, or within it, needs no record of its own.
///
/// # Errors
/// A file can't be opened.
pub fn imported(folder: &Path, kept: &Bundle) -> io::Result<bool> {
    for name in FILES {
        match File::open(folder.join(name)) {
            Ok(file) if !remnant(&readable(&file), kept.content(name)) => return Ok(false),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(true)
}

/// What `file` gives before its end or its first error. FAT has no journal: a cut within the removal may leave a name whose
/// clusters are already free, and reading it fails after the first of them.
fn readable(mut file: impl Read) -> Vec<u8> {
    let mut found = Vec::new();
    // The error is the end of what there is.
    let _ = file.read_to_end(&mut found);
    found
}

/// Whether `found` is `kept` with any of its bytes overwritten by zeros, and perhaps cut off.
fn remnant(found: &[u8], kept: &[u8]) -> bool {
    found.len() <= kept.len() && found.iter().zip(kept).all(|(found, kept)| found == kept || *found == 0)
}

/// Overwrites the files of a configuration in `folder` with zeros, secrets first, and removes them; each step is synced
/// before the next. On flash the old content may live on in cells that the device no longer shows.
///
/// # Errors
/// The failing system call's.
pub fn wipe(folder: &Path) -> io::Result<()> {
    for name in FILES {
        let path = folder.join(name);
        let mut file = match OpenOptions::new().write(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let zeros = vec![0; usize::try_from(file.metadata()?.len()).unwrap_or_default()];
        file.write_all(&zeros)?;
        file.sync_all()?;
        drop(file);
        fs::remove_file(&path)?;
        File::open(folder)?.sync_all()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn medium() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("site.toml"), "hostname = \"a\"").unwrap();
        fs::write(folder.path().join("tls.key"), "secret").unwrap();
        fs::write(folder.path().join("notes.txt"), "mine").unwrap();
        folder
    }

    #[test]
    fn only_the_configuration_goes() {
        let folder = medium();
        wipe(folder.path()).unwrap();
        let left: Vec<_> = fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left, ["notes.txt"]);
    }

    #[test]
    fn a_file_that_lost_its_clusters_counts_as_cut_off() {
        struct Lost;
        impl Read for Lost {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::from_raw_os_error(nix::errno::Errno::EIO as i32))
            }
        }
        assert_eq!(readable((&b"\0\0cret"[..]).chain(Lost)), b"\0\0cret");
    }

    #[test]
    fn what_a_cut_in_the_wiping_left_is_known_as_imported() {
        let folder = medium();
        let kept = Bundle::read(folder.path()).unwrap();
        for left in ["secret", "\0\0\0\0\0\0", "\0\0\0ret", "\0\0", ""] {
            fs::write(folder.path().join("tls.key"), left).unwrap();
            assert!(imported(folder.path(), &kept).unwrap(), "{left:?}");
        }
        fs::remove_file(folder.path().join("tls.key")).unwrap();
        assert!(imported(folder.path(), &kept).unwrap());
        for other in ["Secret", "secret!", "\0\0\0\0\0\0\0"] {
            fs::write(folder.path().join("tls.key"), other).unwrap();
            assert!(!imported(folder.path(), &kept).unwrap(), "{other:?}");
        }
    }
}
