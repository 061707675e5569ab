//! Every download by its SHA-256: fetched once, verified, kept.
//!
//! Below the cache folder: `store/v1/sha256/ab/cdef…` holds what is whole, `store/v1/partial/` what is not yet. Nothing gets
//! into the former but by a rename after its digest was verified and its bytes were synced, so that a kill at any
//! moment leaves either a whole entry or none. Deleting all of it is always safe.
//!
//! The time of an entry is that of its last use. Every open store holds a shared lock on `store/v1/in-use`: nothing is
//! pruned meanwhile.

mod download;
mod error;
mod http;
mod import;
mod learn;
mod part;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use sha2::{Digest, Sha256};
use tempfile::NamedTempFile;

use crate::neighbours;
use crate::progress::{self, Progress, Transfer};
pub use error::Error;
pub use http::{Answer, Network};

/// What the store's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// The file that every open store locks.
const IN_USE: &str = "in-use";

/// How files begin that have no digest yet.
const TEMPORARY: &str = "new-";

/// One file to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Download {
    /// What it is, for a person: `docker.io_26.1.5_amd64.deb`.
    pub label: String,
    /// Where it may be had, in order of preference.
    pub urls: Vec<String>,
    /// Its SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Its size in bytes.
    pub size: u64,
}

/// What a call of [`Store::fetch`] did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fetched {
    /// Bytes of all files together.
    pub bytes: u64,
    /// Files that lay in the store already.
    pub kept: usize,
    /// Files that were downloaded.
    pub new: usize,
    /// Bytes that came over the network.
    pub received: u64,
    /// How long it took.
    pub took: Duration,
}

impl Fetched {
    /// Shows it as the stage `fetched`.
    pub fn tell(&self, progress: &Progress) {
        let mut text = progress::bytes(self.bytes);
        if self.kept > 0 {
            text += &format!(", {} from the store", self.kept);
        }
        if self.new > 0 {
            text += &format!(", {} new", self.new);
        }
        match self.received {
            0 => progress.stage_timed("fetched", text, self.took),
            received => progress.stage_rated("fetched", text, self.took, received),
        }
    }
}

/// The version of the store's layout.
pub const FORMAT: u32 = 1;

/// How old the note of an entry's last use may get.
const NOTED: Duration = Duration::from_secs(60);

/// The folder of a store below the cache folder `cache`.
#[must_use]
pub fn below(cache: &Path) -> PathBuf {
    cache.join("store").join(format!("v{FORMAT}"))
}

/// A folder of verified files, shared by all builds of a user.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    /// The stores of other users, from which files are taken.
    neighbours: Vec<PathBuf>,
    _in_use: File,
    network: Network,
    agent: ureq::Agent,
    /// Digests of entries whose bytes this process has seen to be right.
    verified: Mutex<HashSet<String>>,
}

impl Store {
    /// Opens the store below the cache folder `cache`, and makes it where there is none.
    ///
    /// # Errors
    /// The folders can't be made.
    pub fn open(cache: &Path) -> Result<Self> {
        Self::with_network(cache, Network::default())
    }

    /// As [`open`](Self::open), with other limits for the network.
    ///
    /// # Errors
    /// The folders can't be made.
    pub fn with_network(cache: &Path, network: Network) -> Result<Self> {
        let root = below(cache);
        for folder in ["sha256", "partial"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).map_err(Error::io("making the folder", &folder))?;
        }
        sweep(&root.join("partial"));
        let lock = root.join(IN_USE);
        let in_use = File::create(&lock).map_err(Error::io("opening", &lock))?;
        in_use.lock_shared().map_err(Error::io("locking", &lock))?;
        let neighbours = neighbours::of(cache).iter().map(|one| below(&one.folder)).collect();
        let agent = http::agent(&network);
        Ok(Self { root, neighbours, _in_use: in_use, network, agent, verified: Mutex::default() })
    }

    /// The file with this digest. None where it is absent or damaged, here and with every neighbour; a damaged one is
    /// removed, so that the next fetch brings it anew. Its bytes are verified once in each process.
    #[must_use]
    pub fn path(&self, sha256: &str) -> Option<PathBuf> {
        if !is_digest(sha256) {
            return None;
        }
        let path = self.entry(sha256);
        if self.seen().contains(sha256) && path.is_file() {
            return Some(path);
        }
        if verify(&path, sha256) || self.import(sha256) {
            self.seen().insert(sha256.to_owned());
            return Some(path);
        }
        None
    }

    /// Sees to it that all these files lie in the store: takes what is there, after verifying it, and downloads the rest, several at
    /// a time. What was downloaded before a failure stays, in part too, and is not downloaded again.
    ///
    /// # Errors
    /// The first file that can't be had, for which reason.
    pub fn fetch(&self, downloads: &[Download], progress: &Progress) -> Result<Fetched> {
        let mut digests = HashSet::new();
        let mut wanted = Vec::new();
        for download in downloads {
            if !is_digest(&download.sha256) {
                return Err(Error::BadDigest { label: download.label.clone(), digest: download.sha256.clone() });
            }
            if digests.insert(&download.sha256) {
                wanted.push(download);
            }
        }
        let total = wanted.iter().map(|download| download.size).sum();
        let transfer = progress.transfer("fetching", total);
        let new = self.work_through(&wanted, &transfer)?;
        Ok(Fetched {
            bytes: total,
            kept: wanted.len() - new,
            new,
            received: transfer.bytes_received(),
            took: transfer.elapsed(),
        })
    }

    /// Gives the number of files that were not in the store before.
    fn work_through(&self, wanted: &[&Download], transfer: &Transfer) -> Result<usize> {
        let (next, new, stop) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicBool::new(false));
        let failure = Mutex::new(None);
        let worker = || {
            while !stop.load(Ordering::Relaxed) {
                let Some(download) = wanted.get(next.fetch_add(1, Ordering::Relaxed)) else { break };
                match self.obtain(download, transfer, &stop) {
                    Ok(true) => drop(new.fetch_add(1, Ordering::Relaxed)),
                    Ok(false) => {}
                    Err(error) => {
                        // Before the others are stopped: theirs is a consequence, this is the cause.
                        failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error);
                        stop.store(true, Ordering::Relaxed);
                    }
                }
            }
        };
        std::thread::scope(|scope| {
            for _ in 0..self.network.connections.min(wanted.len()) {
                scope.spawn(worker);
            }
        });
        match failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some(error) => Err(error),
            None => Ok(new.into_inner()),
        }
    }

    /// Whether the file had to be downloaded.
    fn obtain(&self, download: &Download, transfer: &Transfer, stop: &AtomicBool) -> Result<bool> {
        if self.path(&download.sha256).is_some() {
            transfer.found(download.size);
            return Ok(false);
        }
        self.online(&download.label)?;
        download::download(self, download, transfer, stop)
    }

    /// Fetches a small file whose digest nobody knows beforehand, such as a signed Release, into memory: at most `limit` bytes.
    /// Passing failures are retried.
    ///
    /// # Errors
    /// It can't be had from this URL.
    pub fn get(&self, label: &str, url: &str, limit: u64) -> Result<Answer> {
        self.ask(label, url, limit, &[])
    }

    /// As [`get`](Self::get), with these headers in the request: their names and values.
    ///
    /// # Errors
    /// It can't be had from this URL.
    pub fn ask(&self, label: &str, url: &str, limit: u64, headers: &[(&str, &str)]) -> Result<Answer> {
        self.online(label)?;
        http::get(&self.agent, &self.network, label, url, limit, headers)
    }

    fn online(&self, label: &str) -> Result<()> {
        match self.network.offline {
            true => Err(Error::Offline { label: label.to_owned(), folder: self.root.clone() }),
            false => Ok(()),
        }
    }

    /// Keeps what `reader` gives. Gives its digest and its size in bytes.
    ///
    /// # Errors
    /// It can't be read or written.
    pub fn insert_reader(&self, label: &str, reader: &mut dyn Read) -> Result<(String, u64)> {
        let (file, sha256, size) = self.receive(label, reader)?;
        self.keep(label, file, &sha256)?;
        self.seen().insert(sha256.clone());
        Ok((sha256, size))
    }

    /// Writes what `reader` gives to a file without a name of its own. Gives its digest and its size in bytes, too.
    fn receive(&self, label: &str, reader: &mut dyn Read) -> Result<(NamedTempFile, String, u64)> {
        let folder = self.root.join("partial");
        let file = tempfile::Builder::new().prefix(TEMPORARY).tempfile_in(&folder);
        let mut file = file.map_err(Error::io("making a file in", &folder))?;
        let mut writer = Hashing { inner: file.as_file_mut(), digest: Sha256::new() };
        let size = io::copy(reader, &mut writer).map_err(|source| self.write_failed(label, 0, source))?;
        let sha256 = hex::encode(writer.digest.finalize());
        Ok((file, sha256, size))
    }

    /// Makes the file, whose digest is `sha256`, an entry.
    fn keep(&self, label: &str, file: NamedTempFile, sha256: &str) -> Result<()> {
        file.as_file().sync_all().map_err(|source| self.write_failed(label, 0, source))?;
        let path = self.entry(sha256);
        make_parent(&path)?;
        let kept = file.persist(&path).map_err(|error| Error::io("renaming to", &path)(error.error))?;
        readable_by_all(&kept, &path)
    }

    /// Where the entry with this digest lies or would lie.
    fn entry(&self, sha256: &str) -> PathBuf {
        entry(&self.root, sha256)
    }

    fn partial(&self, sha256: &str) -> PathBuf {
        self.root.join("partial").join(format!("{sha256}.part"))
    }

    fn seen(&self) -> std::sync::MutexGuard<'_, HashSet<String>> {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_failed(&self, label: &str, size: u64, source: io::Error) -> Error {
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Error::NoSpace { label: label.to_owned(), size, folder: self.root.clone() }
            }
            _ => Error::Io { doing: "writing below", path: self.root.clone(), source },
        }
    }
}

/// Where the entry with this digest lies in the store `root`, or would lie.
fn entry(root: &Path, sha256: &str) -> PathBuf {
    root.join("sha256").join(&sha256[..2]).join(&sha256[2..])
}

/// Whether the file at `path` has this digest. One that has another is removed; of one that has it the use is noted.
fn verify(path: &Path, sha256: &str) -> bool {
    let right = matches!(check(path, sha256), Ok(Ok(())));
    if right && let Ok(file) = File::open(path) {
        let noted = file.metadata().and_then(|metadata| metadata.modified()).ok();
        if noted.and_then(|time| time.elapsed().ok()).is_none_or(|age| age > NOTED) {
            // Pruning then goes by an older time, which costs a download at worst.
            let _ = file.set_modified(SystemTime::now());
        }
    }
    right
}

/// Reads the file at `path`. Where it has another digest than this one, it is removed, and its digest is given.
///
/// # Errors
/// It can't be read or removed.
pub fn check(path: &Path, sha256: &str) -> io::Result<std::result::Result<(), String>> {
    let found = digest_of(&mut File::open(path)?)?;
    if found == sha256 {
        return Ok(Ok(()));
    }
    fs::remove_file(path)?;
    Ok(Err(found))
}

/// The store below the cache folder `cache`, locked against every use; none where there is no store, or somebody uses
/// it.
///
/// # Errors
/// The lock can't be had.
pub fn seize(cache: &Path) -> io::Result<Option<File>> {
    let file = match File::open(below(cache).join(IN_USE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened?,
    };
    match file.try_lock() {
        Ok(()) => Ok(Some(file)),
        Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Removes what runs that were killed have left without a lock to tell whether it is still in use: by its age.
fn sweep(folder: &Path) {
    let old = |entry: &fs::DirEntry| {
        let unlocked = entry.file_name().as_encoded_bytes().starts_with(TEMPORARY.as_bytes());
        let age = entry.metadata().and_then(|found| found.modified()).ok().and_then(|time| time.elapsed().ok());
        unlocked && age.is_some_and(|age| age > Duration::from_secs(24 * 3600))
    };
    for entry in fs::read_dir(folder).into_iter().flatten().flatten().filter(old) {
        let _ = fs::remove_file(entry.path());
    }
}

/// Hashes what passes through it.
struct Hashing<'a> {
    inner: &'a mut File,
    digest: Sha256,
}

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.digest.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

fn make_parent(path: &Path) -> Result<()> {
    let folder = path.parent().unwrap_or(path);
    fs::create_dir_all(folder).map_err(Error::io("making the folder", folder))
}

/// Temporary files are born 0600; the sandbox may read the store as another user of its namespace.
fn readable_by_all(file: &File, path: &Path) -> Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(fs::Permissions::from_mode(0o644)).map_err(Error::io("setting the mode of", path))
}

/// Whether `text` is a SHA-256 digest as the store names its entries: 64 lower-case hexadecimal digits.
#[must_use]
pub fn is_digest(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

/// The SHA-256 of all that a reader gives, in lower-case hexadecimal.
///
/// # Errors
/// As the reader's.
pub fn digest_of(reader: &mut dyn Read) -> io::Result<String> {
    let mut digest = Sha256::new();
    let mut buffer = vec![0; 256 * 1024];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(hex::encode(digest.finalize())),
            Ok(count) => digest.update(&buffer[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
