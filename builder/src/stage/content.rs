//! What a finished stage holds, as two digests: one of its bytes, and one of what the kernel says about its files.

use std::fs::{self, File, Metadata, Permissions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use serde::Serialize;
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use crate::sparse;

/// The SHA-256 of the file at `path`; of a folder, that of a list of all in it: path, kind, mode, and the digest of a
/// file or the target of a link. Owners are left out, since they look different in each user namespace.
///
/// # Errors
/// Something can't be read, or is neither file, folder nor link.
pub(super) fn digest(path: &Path) -> io::Result<String> {
    if fs::symlink_metadata(path)?.is_file() {
        return Ok(hex::encode(digest_of_file(path)?));
    }
    let mut list = Sha256::new();
    each(path, |inside, entry, metadata| {
        let content = if metadata.is_dir() {
            Vec::new()
        } else if metadata.is_symlink() {
            fs::read_link(entry)?.into_os_string().into_encoded_bytes()
        } else if metadata.is_file() {
            digest_of_file(entry)?
        } else {
            return Err(io::Error::other(format!("{} is neither file, folder nor link", entry.display())));
        };
        add(&mut list, inside.as_os_str().as_bytes());
        add(&mut list, &metadata.mode().to_be_bytes());
        add(&mut list, &content);
        Ok(())
    })?;
    Ok(hex::encode(list.finalize()))
}

/// A digest of the inode, mode, size and times of each file, folder and link at and below `path`, and of which `boot` of the
/// machine said so. No change of bytes leaves it as it is, since the kernel sets the change time (`ctime`) of its own
/// accord; but what it had not written to the disk when the power was cut is known to no later boot. The device is left
/// out: some file systems get another number at each mount.
///
/// # Errors
/// Something can't be looked at.
pub(super) fn identity(path: &Path, boot: &str) -> io::Result<String> {
    let mut list = Sha256::new();
    add(&mut list, boot.as_bytes());
    each(path, |inside, _, metadata| {
        add(&mut list, inside.as_os_str().as_bytes());
        add(&mut list, &metadata.mode().to_be_bytes());
        let numbers = [
            metadata.ino().cast_signed(),
            metadata.size().cast_signed(),
            metadata.mtime(),
            metadata.mtime_nsec(),
            metadata.ctime(),
            metadata.ctime_nsec(),
        ];
        numbers.iter().for_each(|number| list.update(number.to_be_bytes()));
        Ok(())
    })?;
    Ok(hex::encode(list.finalize()))
}

/// Which boot of the machine this is (random(4)).
///
/// # Errors
/// The kernel does not say.
pub(super) fn boot() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id")
}

/// Lets others read all in the folder `path`, and run what its owner may run, but as nobody else: no program keeps a
/// bit that would let it run as its owner.
///
/// # Errors
/// A mode can't be changed.
pub(super) fn open_up(path: &Path) -> io::Result<()> {
    each(path, |_, entry, metadata| {
        let mode = metadata.mode() & 0o7777;
        let execute = if mode & 0o100 != 0 { 0o111 } else { 0 };
        let open = (mode & 0o1777) | 0o444 | execute;
        if metadata.is_symlink() || open == mode {
            Ok(())
        } else {
            fs::set_permissions(entry, Permissions::from_mode(open))
        }
    })
}

/// Bytes at and below `path`, as far as they can be looked at: as the files say, and as they take on the disk.
#[must_use]
pub fn size(path: &Path) -> Size {
    let found =
        WalkDir::new(path).follow_root_links(false).into_iter().flatten().filter_map(|entry| entry.metadata().ok());
    found.map(|metadata| Size::of(&metadata)).fold(Size::default(), |total, one| total + one)
}

/// How large something is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Size {
    /// Bytes that its files hold.
    pub bytes: u64,
    /// Bytes that it takes on the disk.
    pub on_disk: u64,
}

impl Size {
    /// That of one file, folder or link.
    #[must_use]
    pub fn of(metadata: &Metadata) -> Self {
        Self { bytes: if metadata.is_dir() { 0 } else { metadata.len() }, on_disk: metadata.blocks() * 512 }
    }
}

impl std::ops::Add for Size {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { bytes: self.bytes + other.bytes, on_disk: self.on_disk + other.on_disk }
    }
}

/// Calls `look` with each entry at and below `path`, sorted: its path from there, its path, and what is known of it.
fn each(path: &Path, mut look: impl FnMut(&Path, &Path, &Metadata) -> io::Result<()>) -> io::Result<()> {
    for entry in WalkDir::new(path).follow_root_links(false).sort_by_file_name() {
        let entry = entry?;
        let inside = entry.path().strip_prefix(path).unwrap_or(entry.path());
        look(inside, entry.path(), &entry.metadata()?)?;
    }
    Ok(())
}

/// A length before each value keeps two lists of different values from looking the same.
fn add(list: &mut Sha256, value: &[u8]) {
    list.update((value.len() as u64).to_be_bytes());
    list.update(value);
}

fn digest_of_file(path: &Path) -> io::Result<Vec<u8>> {
    // What should be a file may have become a pipe, which would never end.
    let flags = nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK;
    let file = File::options().read(true).custom_flags(flags).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other(format!("{} is no file any more", path.display())));
    }
    Ok(sparse::sha256(&file)?.1.to_vec())
}
