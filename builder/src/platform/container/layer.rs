//! One layer: a folder as a tar archive whose bytes depend on the folder's content alone.

use std::fs::{self, File, Metadata};
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tar::{EntryType, Header};
use walkdir::WalkDir;

use super::{Error, hex};

/// A layer as an uncompressed tar archive in a file.
#[derive(Debug)]
pub struct Layer {
    /// The archive.
    pub path: PathBuf,
    /// SHA-256 of the archive, lower-case hexadecimal: both its digest and its `diff_id`.
    pub digest: String,
    /// Its size in bytes.
    pub size: u64,
}

impl Layer {
    /// Packs `folder` into the new file `path`: entries sorted by name, owners as numbers, and no time later than
    /// `latest` (seconds since 1970).
    ///
    /// # Errors
    /// [`Error::Io`] with the file that failed; sockets and device nodes are refused.
    pub fn pack(folder: &Path, path: &Path, latest: u64) -> Result<Self, Error> {
        let file = File::create_new(path).map_err(Error::io(format!("making {}", path.display())))?;
        let mut builder = tar::Builder::new(Hashing::new(BufWriter::new(file)));
        builder.mode(tar::HeaderMode::Complete);
        for entry in WalkDir::new(folder).min_depth(1).sort_by_file_name() {
            let entry = entry.map_err(|error| Error::io(format!("listing {}", folder.display()))(error.into()))?;
            append(&mut builder, folder, entry.path(), latest)
                .map_err(Error::io(format!("packing {}", entry.path().display())))?;
        }
        let doing = || format!("writing {}", path.display());
        let hashing = builder.into_inner().map_err(Error::io(doing()))?;
        let (digest, size) = (hex(hashing.hash.finalize()), hashing.size);
        hashing.inner.into_inner().map_err(|error| Error::io(doing())(error.into_error()))?;
        Ok(Self { path: path.to_owned(), digest, size })
    }
}

fn append(builder: &mut tar::Builder<impl Write>, folder: &Path, path: &Path, latest: u64) -> io::Result<()> {
    let metadata = fs::symlink_metadata(path)?;
    let name = path.strip_prefix(folder).map_err(io::Error::other)?;
    let mut header = header(&metadata, latest);
    let kind = metadata.file_type();
    if kind.is_dir() {
        header.set_entry_type(EntryType::Directory);
        header.set_size(0);
        builder.append_data(&mut header, name, io::empty())
    } else if kind.is_symlink() {
        header.set_entry_type(EntryType::Symlink);
        header.set_size(0);
        builder.append_link(&mut header, name, fs::read_link(path)?)
    } else if kind.is_file() {
        header.set_entry_type(EntryType::Regular);
        header.set_size(metadata.len());
        builder.append_data(&mut header, name, File::open(path)?)
    } else {
        let what = if kind.is_socket() { "a socket" } else { "a device node or a pipe" };
        Err(io::Error::new(io::ErrorKind::Unsupported, format!("{what} can't be in a container image")))
    }
}

fn header(metadata: &Metadata, latest: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_mode(metadata.mode() & 0o7777);
    header.set_uid(u64::from(metadata.uid()));
    header.set_gid(u64::from(metadata.gid()));
    header.set_mtime(u64::try_from(metadata.mtime()).unwrap_or(0).min(latest));
    header
}

/// A writer that knows the digest of what went through it.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W> Hashing<W> {
    fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), size: 0 }
    }
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.inner.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.size += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
