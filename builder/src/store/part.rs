//! A file that is not whole yet, held by one process at a time.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use super::{Error, Result, make_parent};

/// The beginning of a file, as far as it was downloaded, with the running digest of it.
///
/// Its advisory lock makes a second process that wants the same file wait, and then find it in the store.
pub(super) struct Part {
    file: Flock<File>,
    path: PathBuf,
    digest: Sha256,
    length: u64,
}

impl Part {
    /// Takes the lock, waiting for whoever holds it, and hashes what an earlier try has left. None where `entry` has
    /// appeared in the meantime: whoever held the lock has finished the file.
    pub fn lock(path: &Path, entry: &Path, size: u64) -> Result<Option<Self>> {
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .open(path)
                .map_err(Error::io("opening", path))?;
            let file = Flock::lock(file, FlockArg::LockExclusive)
                .map_err(|(_, errno)| Error::io("locking", path)(errno.into()))?;
            if entry.exists() {
                // What was just created here holds nothing; an older holder's file has another name by now.
                if is_at(&file, path) {
                    let _ = fs::remove_file(path);
                }
                return Ok(None);
            }
            // The holder before may have removed the file, or renamed it and have it removed as damaged: then this lock
            // protects nothing.
            if !is_at(&file, path) {
                continue;
            }
            let mut part = Self { file, path: path.to_owned(), digest: Sha256::new(), length: 0 };
            part.take_stock(size).map_err(Error::io("reading", path))?;
            return Ok(Some(part));
        }
    }

    fn take_stock(&mut self, size: u64) -> io::Result<()> {
        if self.file.metadata()?.len() > size {
            return self.reset();
        }
        let mut buffer = vec![0; 256 * 1024];
        loop {
            let count = self.file.read(&mut buffer)?;
            if count == 0 {
                return Ok(());
            }
            self.digest.update(&buffer[..count]);
            self.length += count as u64;
        }
    }

    /// Bytes so far.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The digest of the bytes so far.
    pub fn sha256(&self) -> String {
        hex::encode(self.digest.clone().finalize())
    }

    /// Begins anew.
    pub fn reset(&mut self) -> io::Result<()> {
        self.file.set_len(0)?;
        self.file.seek(SeekFrom::Start(0))?;
        self.digest = Sha256::new();
        self.length = 0;
        Ok(())
    }

    pub fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.file.write_all(bytes)?;
        self.digest.update(bytes);
        self.length += bytes.len() as u64;
        Ok(())
    }

    pub fn discard(self) {
        let _ = fs::remove_file(&self.path);
    }

    /// Sees to it that the bytes are on the disk; where they do not fit, some file systems tell only now.
    pub fn sync(&self) -> io::Result<()> {
        self.file.sync_all()
    }

    /// Gives the bytes their final name.
    pub fn finish(self, entry: &Path) -> Result<()> {
        make_parent(entry)?;
        fs::rename(&self.path, entry).map_err(Error::io("renaming to", entry))?;
        let folder = entry.parent().unwrap_or(entry);
        File::open(folder).and_then(|folder| folder.sync_all()).map_err(Error::io("syncing", folder))
    }
}

/// Whether the open file is still the one with that name.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => open.ino() == named.ino() && open.dev() == named.dev(),
        _ => false,
    }
}
