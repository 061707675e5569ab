//! A root folder that no path leaves: every path is resolved by the kernel as if the folder were `/`
//! (`openat2(2)`, `RESOLVE_IN_ROOT`), symbolic links, absolute ones too, and `..` included.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{AtFlags, OFlag, OpenHow, ResolveFlag, open, openat, openat2, readlinkat};
use nix::sys::stat::{FileStat, Mode, UtimensatFlags, fchmod, fstatat, futimens, mkdirat, utimensat};
use nix::sys::time::TimeSpec;
use nix::unistd::{Gid, LinkatFlags, Uid, UnlinkatFlags, fchown, fchownat, linkat, symlinkat, unlinkat};

/// An open root folder.
#[derive(Debug)]
pub struct Tree {
    folder: OwnedFd,
}

/// A folder of a tree and a name in it: what the system calls that make, change and remove entries take.
#[derive(Debug)]
pub struct Place {
    folder: OwnedFd,
    name: OsString,
}

impl Tree {
    /// Opens the folder `root`.
    ///
    /// # Errors
    /// The system call's.
    pub fn open(root: &Path) -> io::Result<Self> {
        Ok(Self { folder: open(root, OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())? })
    }

    fn resolve(&self, inside: &Path, flags: OFlag) -> nix::Result<OwnedFd> {
        let how = OpenHow::new().flags(flags | OFlag::O_CLOEXEC).resolve(ResolveFlag::RESOLVE_IN_ROOT);
        let inside = if inside.as_os_str().is_empty() { Path::new(".") } else { inside };
        loop {
            match openat2(&self.folder, inside, how) {
                // A rename elsewhere in the tree may disturb the kernel's check of `..`; it asks to try again.
                Err(Errno::EAGAIN) => {}
                other => return other,
            }
        }
    }

    /// The folder `inside`, through symbolic links.
    ///
    /// # Errors
    /// The system call's.
    pub fn folder(&self, inside: &Path) -> io::Result<OwnedFd> {
        Ok(self.resolve(inside, OFlag::O_DIRECTORY)?)
    }

    /// The folder `inside`, which is made with all above it (0755, the caller's) where it is missing.
    ///
    /// # Errors
    /// The system call's.
    pub fn make_folders(&self, inside: &Path) -> io::Result<OwnedFd> {
        match self.resolve(inside, OFlag::O_DIRECTORY) {
            Err(Errno::ENOENT) => {}
            other => return Ok(other?),
        }
        if let (Some(above), Some(name)) = (inside.parent(), inside.file_name()) {
            let above = self.make_folders(above)?;
            match mkdirat(&above, name, Mode::from_bits_truncate(0o755)) {
                Ok(()) => fchmod(self.resolve(inside, OFlag::O_DIRECTORY)?, Mode::from_bits_truncate(0o755))?,
                Err(Errno::EEXIST) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.folder(inside)
    }

    /// Where the entry `inside` is or would be; the folders above it are made.
    ///
    /// # Errors
    /// The system call's, and `InvalidInput` where `inside` has no last name.
    pub fn place(&self, inside: &Path) -> io::Result<Place> {
        let name = inside.file_name().ok_or_else(|| io::Error::from(Errno::EINVAL))?.to_owned();
        let folder = self.make_folders(inside.parent().unwrap_or_else(|| Path::new("")))?;
        Ok(Place { folder, name })
    }

    /// Where the entry `inside` is, if the folder that would hold it exists.
    ///
    /// # Errors
    /// The system call's, and `InvalidInput` where `inside` has no last name.
    pub fn find(&self, inside: &Path) -> io::Result<Option<Place>> {
        let name = inside.file_name().ok_or_else(|| io::Error::from(Errno::EINVAL))?.to_owned();
        match self.resolve(inside.parent().unwrap_or_else(|| Path::new("")), OFlag::O_DIRECTORY) {
            Ok(folder) => Ok(Some(Place { folder, name })),
            Err(Errno::ENOENT | Errno::ENOTDIR) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// The content of the file `inside`, through symbolic links; none where there is no such file. Its time of access stays:
    /// mke2fs may be copying that at the same moment.
    ///
    /// # Errors
    /// The system call's, also where the file is neither this user's nor, in a user namespace, one of its ids'.
    pub fn read(&self, inside: &Path) -> io::Result<Option<Vec<u8>>> {
        let file = match self.resolve(inside, OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOATIME) {
            Ok(file) => file,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        let mut content = Vec::new();
        File::from(file).read_to_end(&mut content)?;
        Ok(Some(content))
    }

    /// Replaces whatever is at `inside`, if it is not a folder, by a file of this content, mode and owner.
    ///
    /// # Errors
    /// The system call's.
    pub fn write(&self, inside: &Path, content: &[u8], mode: u32, owner: Owner) -> io::Result<()> {
        let mut file = self.place(inside)?.create()?;
        io::Write::write_all(&mut file, content)?;
        owner.set(&file)?;
        set_mode(&file, mode)
    }

    /// Removes the file or link `inside`; one that is not there is no error.
    ///
    /// # Errors
    /// The system call's.
    pub fn remove(&self, inside: &Path) -> io::Result<()> {
        self.find(inside)?.map_or(Ok(()), |place| place.remove())
    }

    /// The names in the folder `inside`, sorted; none where it is missing. Its time of access stays, as by [`Self::read`].
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn list(&self, inside: &Path) -> io::Result<Vec<OsString>> {
        let folder = match self.resolve(inside, OFlag::O_DIRECTORY | OFlag::O_NOATIME) {
            Ok(folder) => folder,
            Err(Errno::ENOENT | Errno::ENOTDIR) => return Ok(Vec::new()),
            Err(error) => return Err(error.into()),
        };
        let mut names = Vec::new();
        for entry in nix::dir::Dir::from_fd(folder)?.iter() {
            let name = entry?.file_name().to_bytes().to_vec();
            if name != b"." && name != b".." {
                names.push(OsString::from_vec(name));
            }
        }
        names.sort_unstable();
        Ok(names)
    }
}

impl Place {
    /// What is there, not through a symbolic link; none where there is nothing.
    ///
    /// # Errors
    /// The system call's.
    pub fn stat(&self) -> io::Result<Option<FileStat>> {
        match fstatat(&self.folder, self.name(), AtFlags::AT_SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(Some(stat)),
            Err(Errno::ENOENT) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn name(&self) -> &OsStr {
        &self.name
    }

    /// A new, empty file of mode 0600 in place of whatever was there.
    ///
    /// # Errors
    /// The system call's; a folder is not replaced.
    pub fn create(&self) -> io::Result<File> {
        let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_RDWR | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        let make = || openat(&self.folder, self.name(), flags, Mode::from_bits_truncate(0o600));
        Ok(File::from(self.replacing(make)?))
    }

    /// A new symbolic link in place of whatever was there. One that leads to the same target stays: others may be following
    /// it at this moment.
    ///
    /// # Errors
    /// The system call's; a folder is not replaced.
    pub fn symlink(&self, target: &OsStr, owner: Owner) -> io::Result<()> {
        let same = || readlinkat(&self.folder, self.name()).is_ok_and(|found| found == target);
        self.replacing(|| match symlinkat(target, &self.folder, self.name()) {
            Err(Errno::EEXIST) if same() => Ok(()),
            other => other,
        })?;
        let (uid, gid) = (Uid::from_raw(owner.uid), Gid::from_raw(owner.gid));
        fchownat(&self.folder, self.name(), Some(uid), Some(gid), AtFlags::AT_SYMLINK_NOFOLLOW)?;
        Ok(())
    }

    /// Another name for what is at `original`, in place of whatever was here.
    ///
    /// # Errors
    /// The system call's; a folder is not replaced.
    pub fn link(&self, original: &Self) -> io::Result<()> {
        let link = || linkat(&original.folder, original.name(), &self.folder, self.name(), LinkatFlags::empty());
        Ok(self.replacing(link)?)
    }

    fn replacing<T>(&self, make: impl Fn() -> nix::Result<T>) -> nix::Result<T> {
        loop {
            match make() {
                Err(Errno::EEXIST) => match unlinkat(&self.folder, self.name(), UnlinkatFlags::NoRemoveDir) {
                    Ok(()) | Err(Errno::ENOENT) => {}
                    Err(error) => return Err(error),
                },
                other => return other,
            }
        }
    }

    /// Makes a folder of mode 0700; false where there is one already, or a link to one.
    ///
    /// # Errors
    /// The system call's.
    pub fn make_folder(&self, tree: &Tree, inside: &Path) -> io::Result<bool> {
        match mkdirat(&self.folder, self.name(), Mode::from_bits_truncate(0o700)) {
            Ok(()) => Ok(true),
            Err(Errno::EEXIST) => tree.folder(inside).map(|_| false),
            Err(error) => Err(error.into()),
        }
    }

    /// The folder or file here itself, open for reading; a symbolic link is an error.
    ///
    /// # Errors
    /// The system call's.
    pub fn open(&self) -> io::Result<File> {
        let flags = OFlag::O_RDONLY | OFlag::O_NOFOLLOW | OFlag::O_NONBLOCK | OFlag::O_CLOEXEC;
        Ok(File::from(openat(&self.folder, self.name(), flags, Mode::empty())?))
    }

    /// Where the symbolic link here leads.
    ///
    /// # Errors
    /// The system call's, among them that this is no symbolic link.
    pub fn read_link(&self) -> io::Result<PathBuf> {
        Ok(PathBuf::from(readlinkat(&self.folder, self.name())?))
    }

    /// Sets the modification time, in seconds since 1970, of what is here, a symbolic link itself included.
    ///
    /// # Errors
    /// The system call's.
    pub fn set_mtime(&self, seconds: i64) -> io::Result<()> {
        let time = TimeSpec::new(seconds, 0);
        Ok(utimensat(&self.folder, self.name(), &time, &time, UtimensatFlags::NoFollowSymlink)?)
    }

    /// Removes the file or link here; one that is not there is no error.
    ///
    /// # Errors
    /// The system call's.
    pub fn remove(&self) -> io::Result<()> {
        match unlinkat(&self.folder, self.name(), UnlinkatFlags::NoRemoveDir) {
            Err(Errno::ENOENT) => Ok(()),
            other => Ok(other?),
        }
    }
}

/// A numeric owner and group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user's id.
    pub uid: u32,
    /// The group's id.
    pub gid: u32,
}

impl Owner {
    /// User and group 0.
    pub const ROOT: Self = Self { uid: 0, gid: 0 };

    /// Makes this the owner of the open `file` or folder. Clears the setuid and setgid bits of a file.
    ///
    /// # Errors
    /// The system call's.
    pub fn set(self, file: impl AsFd) -> io::Result<()> {
        Ok(fchown(file, Some(Uid::from_raw(self.uid)), Some(Gid::from_raw(self.gid)))?)
    }
}

/// Sets the twelve permission bits of the open `file` or folder.
///
/// # Errors
/// The system call's.
pub fn set_mode(file: impl AsFd, mode: u32) -> io::Result<()> {
    Ok(fchmod(file, Mode::from_bits_truncate(mode & 0o7777))?)
}

/// Sets the modification time of the open `file`, in seconds since 1970, whatever its name is by now.
///
/// # Errors
/// The system call's.
pub fn set_mtime(file: impl AsFd, seconds: i64) -> io::Result<()> {
    let time = TimeSpec::new(seconds, 0);
    Ok(futimens(file, &time, &time)?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_inside_only() {
        let outside = tempfile::tempdir().unwrap();
        let root = tempfile::tempdir().unwrap();
        fs::write(outside.path().join("secret"), "of the host").unwrap();
        symlink(outside.path(), root.path().join("absolute")).unwrap();
        symlink("../../../../../../../etc", root.path().join("climbs")).unwrap();
        symlink("/usr/lib", root.path().join("lib")).unwrap();
        let tree = Tree::open(root.path()).unwrap();
        tree.make_folders(Path::new("usr/lib")).unwrap();
        assert_eq!(tree.read(Path::new("absolute/secret")).unwrap(), None);
        assert_eq!(tree.read(Path::new("climbs/passwd")).unwrap(), None);
        tree.write(Path::new("lib/file"), b"x", 0o640, Owner { uid: 0, gid: 0 }).unwrap();
        assert_eq!(fs::read(root.path().join("usr/lib/file")).unwrap(), b"x");
        assert!(tree.write(Path::new("absolute/new"), b"x", 0o644, Owner::ROOT).is_err());
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
    }

    #[test]
    fn what_is_read_and_listed_looks_as_if_it_was_not() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("file"), "content").unwrap();
        let long_ago = TimeSpec::new(1_000, 0);
        let (tree, no_follow) = (Tree::open(root.path()).unwrap(), UtimensatFlags::NoFollowSymlink);
        for path in [root.path().join("file"), root.path().to_owned()] {
            utimensat(nix::fcntl::AT_FDCWD, &path, &long_ago, &long_ago, no_follow).unwrap();
        }
        assert_eq!(tree.read(Path::new("file")).unwrap().unwrap(), b"content");
        assert_eq!(tree.list(Path::new("")).unwrap(), ["file"]);
        let atime = |path: &Path| std::os::unix::fs::MetadataExt::atime(&fs::metadata(path).unwrap());
        assert_eq!([atime(&root.path().join("file")), atime(root.path())], [1_000, 1_000]);
    }

    #[test]
    fn a_link_to_the_same_target_stays_while_it_is_made_again() {
        let root = tempfile::tempdir().unwrap();
        let tree = Tree::open(root.path()).unwrap();
        let inode = || std::os::unix::fs::MetadataExt::ino(&fs::symlink_metadata(root.path().join("lib")).unwrap());
        let owner = Owner { uid: nix::unistd::getuid().as_raw(), gid: nix::unistd::getgid().as_raw() };
        let link = |target| tree.place(Path::new("lib")).unwrap().symlink(OsStr::new(target), owner).unwrap();
        link("usr/lib");
        let first = inode();
        link("usr/lib");
        assert_eq!(inode(), first);
        link("elsewhere");
        assert_eq!(fs::read_link(root.path().join("lib")).unwrap(), Path::new("elsewhere"));
    }

    #[test]
    fn a_file_replaces_a_link_and_not_what_it_leads_to() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("kept"), "old").unwrap();
        symlink("kept", root.path().join("link")).unwrap();
        let tree = Tree::open(root.path()).unwrap();
        tree.write(Path::new("link"), b"new", 0o644, Owner::ROOT).unwrap();
        assert_eq!(fs::read(root.path().join("kept")).unwrap(), b"old");
        assert_eq!(fs::read(root.path().join("link")).unwrap(), b"new");
    }
}
