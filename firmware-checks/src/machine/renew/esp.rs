//! The ESP: everything below `EFI/` is replaced at once, by the write of one sector.
//!
//! So shim and GRUB are always of one moment: a new shim may refuse an old GRUB (its SBAT revocations), an old shim a GRUB
//! signed by a newer key.

use std::fs::OpenOptions;
use std::io::{self, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use nix::libc;

use crate::boot_loader::esp::Files;
use crate::fat::{self, Volume, switch_folder};

/// The folder that is replaced.
const FOLDER: &str = "EFI";

/// The ESP was not renewed, and is as it was.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It could not be opened.
    #[error("opening {path}: {source}")]
    Open {
        /// Its device.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody else has it.
    #[error("{path} is mounted or otherwise in use: sudo umount {path}")]
    Busy {
        /// Its device.
        path: PathBuf,
    },
    /// What is installed is no whole.
    #[error("{0}")]
    NotWhole(String),
    /// Its file system could not be read or written.
    #[error("{path}: {source}")]
    Fat {
        /// Its device.
        path: PathBuf,
        /// Why.
        source: fat::Error,
    },
}

/// Renews the ESP on `device` where `wanted` is not what lies below `EFI/`, unless `whole` says that it must not be written; other
/// files there are kept. Says whether anything was written.
pub(super) fn renew(device: &Path, wanted: &Files, whole: impl FnOnce() -> Result<(), String>) -> Result<bool, Error> {
    let path = device.to_owned();
    // A block device opened so can't be mounted by anybody else, and one that is mounted can't be opened so.
    let opened = OpenOptions::new().read(true).write(true).custom_flags(libc::O_EXCL).open(device);
    let mut file = opened.map_err(|source| match source.raw_os_error() {
        Some(libc::EBUSY) => Error::Busy { path: path.clone() },
        _ => Error::Open { path: path.clone(), source },
    })?;
    let size = file.seek(SeekFrom::End(0)).map_err(|source| Error::Open { path: path.clone(), source })?;
    let wrong = |source| Error::Fat { path: path.clone(), source };
    let now = Timestamp::now();
    let found = Volume::open(&file, 0..size, now).and_then(|mut volume| volume.folder(FOLDER)).map_err(wrong)?;
    if wanted.iter().all(|(path, content)| found.get(path) == Some(content)) {
        return Ok(false);
    }
    whole().map_err(Error::NotWhole)?;
    let ours = |path: &String| wanted.keys().any(|wanted| wanted.eq_ignore_ascii_case(path));
    let mut files: Files = found.into_iter().filter(|(path, _)| !ours(path)).collect();
    files.extend(wanted.clone());
    switch_folder(&file, 0..size, now, FOLDER, &files).map_err(wrong)?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(version: &str) -> Files {
        let content = version.repeat(20_000).into_bytes();
        Files::from([("BOOT/BOOTX64.EFI".to_owned(), content.clone()), ("debian/grubx64.efi".to_owned(), content)])
    }

    #[test]
    fn the_loader_is_replaced_whole_and_what_others_put_there_is_kept() {
        let esp = tempfile::NamedTempFile::new().unwrap();
        esp.as_file().set_len(64 << 20).unwrap();
        let open = |format: bool| {
            let (file, range, time) = (esp.as_file(), 0..64 << 20, Timestamp::UNIX_EPOCH);
            if format { Volume::format(file, range, "ESP", 7, time) } else { Volume::open(file, range, time) }.unwrap()
        };
        let mut volume = open(true);
        volume.write_file("EFI/BOOT/bootx64.efi", b"by another tool").unwrap();
        volume.write_file("EFI/tools/memtest.efi", b"mine").unwrap();
        volume.finish().unwrap();
        for version in ["1", "2"] {
            let torn = renew(esp.path(), &wanted(version), || Err("half".to_owned())).unwrap_err();
            assert!(matches!(torn, Error::NotWhole(_)) && open(false).folder("EFI").unwrap() != wanted(version));
            assert!(renew(esp.path(), &wanted(version), || Ok(())).unwrap());
            assert!(!renew(esp.path(), &wanted(version), || Err(String::new())).unwrap(), "it is current");
            let mut expected = wanted(version);
            expected.insert("tools/memtest.efi".to_owned(), b"mine".to_vec());
            assert_eq!(open(false).folder("EFI").unwrap(), expected);
        }
    }

    #[test]
    fn what_is_no_esp_is_told_with_its_device() {
        let other = tempfile::NamedTempFile::new().unwrap();
        other.as_file().set_len(64 << 20).unwrap();
        let error = renew(other.path(), &wanted("1"), || Ok(())).unwrap_err().to_string();
        assert!(error.contains(&other.path().display().to_string()) && error.contains("FAT"), "{error}");
        assert!(matches!(renew(Path::new("/nonexistent"), &wanted("1"), || Ok(())), Err(Error::Open { .. })));
    }
}
