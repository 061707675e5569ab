//! A root file system as one tar file, and back: everything that a file system keeps of a tree, in one order.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufWriter, Seek, SeekFrom, Write};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};

use tar::{Builder, EntryType, Header};
use walkdir::WalkDir;

use super::Error;
use super::item::{self, Failure, Item, Kind, Owners};
use super::tree::Tree;
use crate::parallel;

/// How much is copied at once, in bytes.
const PIECE: usize = 1 << 18;
/// Bytes of zero at the end of an archive.
const END: u64 = 1024;

/// Writes the tree `root` to the new file `tar`: sorted by name, with numeric owners, extended attributes and hard
/// links, and no modification time later than `released` (seconds since 1970). Headers are written one after the other,
/// with room between them, and contents into that room on all processors.
///
/// # Errors
/// [`Error::Io`], also for an entry that is neither file, folder nor link.
pub fn save(root: &Path, tar: &Path, released: i64) -> Result<(), Error> {
    let writing = |source| Error::Io { doing: "writing the archive", path: tar.to_owned(), source };
    let file = File::create(tar).map_err(writing)?;
    let mut headers = Headers {
        builder: Builder::new(BufWriter::new(file.try_clone().map_err(writing)?)),
        released,
        linked: BTreeMap::new(),
        contents: Vec::new(),
    };
    for entry in WalkDir::new(root).min_depth(1).sort_by_file_name() {
        let entry = entry.map_err(|error| Error::Io {
            doing: "listing",
            path: error.path().unwrap_or(root).to_owned(),
            source: error.into(),
        })?;
        let inside = entry.path().strip_prefix(root).unwrap_or(entry.path());
        headers.append(entry.path(), inside).map_err(Error::io("archiving", inside))?;
    }
    let Headers { builder, contents, .. } = headers;
    builder.into_inner().and_then(|mut writer| writer.flush()).map_err(writing)?;
    parallel::each(&contents, |Content { path, position, size }| {
        let copied = File::open(path).and_then(|from| copy(&from, 0, &file, *position, *size));
        copied.map_err(Error::io("archiving", path))
    })
}

/// A file whose content has its room in an archive.
struct Content {
    path: PathBuf,
    position: u64,
    size: u64,
}

/// An archive while its headers are written.
struct Headers {
    builder: Builder<BufWriter<File>>,
    released: i64,
    /// The first name of each file that has several.
    linked: BTreeMap<(u64, u64), PathBuf>,
    contents: Vec<Content>,
}

impl Headers {
    fn append(&mut self, path: &Path, inside: &Path) -> io::Result<()> {
        let metadata = fs::symlink_metadata(path)?;
        let mut header = Header::new_gnu();
        header.set_mode(metadata.mode() & 0o7777);
        header.set_uid(metadata.uid().into());
        header.set_gid(metadata.gid().into());
        header.set_mtime(u64::try_from(metadata.mtime().min(self.released)).unwrap_or(0));
        header.set_size(0);
        if metadata.is_symlink() {
            header.set_entry_type(EntryType::Symlink);
            return self.builder.append_link(&mut header, inside, fs::read_link(path)?);
        }
        if metadata.is_file() && metadata.nlink() > 1 {
            if let Some(first) = self.linked.get(&(metadata.dev(), metadata.ino())) {
                header.set_entry_type(EntryType::Link);
                return self.builder.append_link(&mut header, inside, first);
            }
            self.linked.insert((metadata.dev(), metadata.ino()), inside.to_owned());
        }
        append_attributes(&mut self.builder, path)?;
        if metadata.is_dir() {
            header.set_entry_type(EntryType::Directory);
            self.builder.append_data(&mut header, inside, io::empty())
        } else if metadata.is_file() {
            header.set_entry_type(EntryType::Regular);
            header.set_size(metadata.len());
            self.builder.append_data(&mut header, inside, io::empty())?;
            self.leave_room(path, metadata.len())
        } else {
            Err(io::Error::other("it is neither file, folder nor link"))
        }
    }

    fn leave_room(&mut self, path: &Path, size: u64) -> io::Result<()> {
        if size == 0 {
            return Ok(());
        }
        let writer = self.builder.get_mut();
        let position = writer.stream_position()?;
        writer.seek(SeekFrom::Start(position + size.next_multiple_of(512)))?;
        self.contents.push(Content { path: path.to_owned(), position, size });
        Ok(())
    }
}

fn append_attributes(builder: &mut Builder<impl Write>, path: &Path) -> io::Result<()> {
    let mut attributes = BTreeMap::new();
    for name in xattr::list(path)? {
        let text = name.to_str().ok_or_else(|| io::Error::other("an extended attribute's name is not UTF-8"))?;
        if let Some(value) = xattr::get(path, &name)? {
            attributes.insert(format!("{}{text}", item::XATTR_HEX), hex::encode(&value).into_bytes());
        }
    }
    if attributes.is_empty() {
        return Ok(());
    }
    builder.append_pax_extensions(attributes.iter().map(|(name, value)| (name.as_str(), value.as_slice())))
}

/// Lays out in the empty folder `root` what [`save`] wrote to `tar`, its files on all processors.
///
/// # Errors
/// [`Error::Io`].
pub fn restore(tar: &Path, root: &Path) -> Result<(), Error> {
    let reading = |source| Error::Io { doing: "restoring from the archive", path: tar.to_owned(), source };
    let told = |failure| match failure {
        Failure::Archive(source) => reading(source),
        Failure::Refused(path, reason) => reading(io::Error::other(format!("`{}`: {reason}", path.display()))),
        Failure::Write(path, source) => Error::Io { doing: "restoring", path, source },
    };
    let tree = Tree::open(root).map_err(Error::io("opening the root folder", root))?;
    let make = |item: &Item, fill: &dyn Fn(&mut File) -> io::Result<()>| {
        item.make(&tree, fill).map_err(Error::io("restoring", &item.inside))
    };
    let nothing = |_: &mut File| Ok(());
    let (mut folders, mut files, mut links) = (Vec::new(), Vec::new(), Vec::new());
    let file = File::open(tar).map_err(reading)?;
    let mut end = END;
    // The content of files is passed over: each is read from its place in the archive when it is written.
    for entry in tar::Archive::new(&file).entries_with_seek().map_err(reading)? {
        let mut entry = entry.map_err(reading)?;
        end = (entry.raw_file_position() + entry.size()).next_multiple_of(512) + END;
        let Some(item) = Item::read(&mut entry, Owners::Keep).map_err(told)? else { continue };
        match item.kind {
            Kind::File => files.push((item, entry.raw_file_position(), entry.size())),
            Kind::Link(_) => links.push(item),
            Kind::Symlink(_) => make(&item, &nothing)?,
            Kind::Folder => {
                make(&item, &nothing)?;
                folders.push(item);
            }
        }
    }
    let length = file.metadata().map_err(reading)?.len();
    if length != end {
        return Err(reading(io::Error::other(format!("{length} bytes, expected {end}: it is not whole"))));
    }
    parallel::each(&files, |(item, position, size)| make(item, &|to| copy(&file, *position, to, 0, *size)))?;
    links.iter().try_for_each(|link| make(link, &nothing))?;
    // A folder's time changes with each file that comes into it.
    folders.iter().try_for_each(|item| item.date(&tree).map_err(Error::io("restoring", &item.inside)))
}

/// Copies `size` bytes of `from`, beginning at `start`, to `to`, beginning at `place`.
fn copy(from: &File, start: u64, to: &File, place: u64, size: u64) -> io::Result<()> {
    let mut buffer = vec![0; usize::try_from(size).unwrap_or(PIECE).min(PIECE)];
    let mut done = 0;
    while done < size {
        let count = usize::try_from(size - done).unwrap_or(PIECE).min(PIECE);
        from.read_exact_at(&mut buffer[..count], start + done)?;
        to.write_all_at(&buffer[..count], place + done)?;
        done += count as u64;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn tree() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        let path = |name: &str| root.path().join(name);
        fs::create_dir_all(path("usr/bin")).unwrap();
        fs::write(path("usr/bin/ping"), "x").unwrap();
        fs::set_permissions(path("usr/bin/ping"), fs::Permissions::from_mode(0o4755)).unwrap();
        fs::hard_link(path("usr/bin/ping"), path("usr/bin/ping6")).unwrap();
        symlink("a".repeat(300), path("long")).unwrap();
        let deep = path(&format!("{}/{}", "d".repeat(120), "e".repeat(120)));
        fs::create_dir_all(&deep).unwrap();
        fs::write(deep.join("f"), "y").unwrap();
        fs::set_permissions(&deep, fs::Permissions::from_mode(0o1750)).unwrap();
        xattr::set(path("usr/bin/ping"), "user.test", b"\0binary\n").unwrap();
        root
    }

    #[test]
    fn a_restored_tree_gives_the_same_archive() {
        let (work, root) = (tempfile::tempdir().unwrap(), tree());
        let (first, second) = (work.path().join("1"), work.path().join("2"));
        save(root.path(), &first, 1_000).unwrap();
        let restored = work.path().join("root");
        fs::create_dir(&restored).unwrap();
        restore(&first, &restored).unwrap();
        save(&restored, &second, 1_000).unwrap();
        assert!(fs::read(&first).unwrap() == fs::read(&second).unwrap());
        assert_eq!(xattr::get(restored.join("usr/bin/ping"), "user.test").unwrap().unwrap(), b"\0binary\n");
        let stat = |name: &str| fs::symlink_metadata(restored.join(name)).unwrap();
        assert_eq!(stat("usr/bin/ping").ino(), stat("usr/bin/ping6").ino());
        assert_eq!((stat("usr/bin/ping").mode() & 0o7777, stat("usr").mtime()), (0o4755, 1_000));
        assert_eq!(fs::read_link(restored.join("long")).unwrap(), PathBuf::from("a".repeat(300)));
    }

    #[test]
    fn an_archive_that_was_cut_off_is_an_error() {
        let (work, root) = (tempfile::tempdir().unwrap(), tree());
        let archive = work.path().join("1");
        save(root.path(), &archive, 1_000).unwrap();
        let length = fs::metadata(&archive).unwrap().len();
        File::options().write(true).open(&archive).unwrap().set_len(length - 2000).unwrap();
        let restored = tempfile::tempdir().unwrap();
        restore(&archive, restored.path()).unwrap_err();
    }
}
