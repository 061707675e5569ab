//! Files that survive a power cut: written to a temporary name in the same folder, synced, renamed, and the
//! folder synced.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{PermissionsExt, fchown};
use std::path::Path;

use xattr::FileExt;

/// Where the kernel keeps a file's SELinux label.
const LABEL: &str = "security.selinux";

/// Replaces `path` by `content` with the permission bits `mode`, so that whoever reads it, after a power cut too,
/// finds either the old file or the whole new one, with the old one's SELinux label. Parent folders are made where they are missing
/// (mode 0755).
///
/// # Errors
/// The failing system call's; the old file is then untouched.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    write(path, content, mode, None)
}

/// As [`replace`], with `owner`: the numbers of a user and a group.
///
/// # Errors
/// As there.
pub fn replace_owned(path: &Path, content: &[u8], mode: u32, owner: (u32, u32)) -> io::Result<()> {
    write(path, content, mode, Some(owner))
}

fn write(path: &Path, content: &[u8], mode: u32, owner: Option<(u32, u32)>) -> io::Result<()> {
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."));
    fs::create_dir_all(folder)?;
    let mut temporary = tempfile::Builder::new().prefix(".new-").tempfile_in(folder)?;
    temporary.write_all(content)?;
    if let Some((user, group)) = owner {
        fchown(temporary.as_file(), Some(user), Some(group))?;
    }
    temporary.as_file().set_permissions(Permissions::from_mode(mode))?;
    if let Some(label) = label(path)? {
        temporary.as_file().set_xattr(LABEL, &label)?;
    }
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|error| error.error)?;
    File::open(folder)?.sync_all()
}

/// The SELinux label of `path`; none where there is no such file, or its file system has none.
fn label(path: &Path) -> io::Result<Option<Vec<u8>>> {
    match xattr::get(path, LABEL) {
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::Unsupported) => Ok(None),
        found => found,
    }
}

/// Removes `path` and makes that durable; a file that is not there is no error.
///
/// # Errors
/// The failing system call's.
pub fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    match path.parent() {
        Some(folder) if folder.exists() => File::open(folder)?.sync_all(),
        _ => Ok(()),
    }
}
