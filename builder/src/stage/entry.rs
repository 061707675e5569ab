//! One finished stage as it lies in the cache, and whether it is still what was made.
//!
//! The folder `KIND-DIGEST`, named by the digest of the inputs, holds
//! - `content`, the file or folder that was made,
//! - `inputs`, what it was made from,
//! - `record.json`, what it was when it was made ([`Record`]),
//! - `used`, empty: its time is that of the last use, and whoever uses the stage holds a shared lock on it.

use std::fs::{self, File, FileTimes};
use std::io;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::key::{self, Key};
use super::{Error, content, lock};

/// Up to so many bytes are always judged by their digest, which then costs next to nothing: a change within the same
/// tick of the kernel's clock as the making could keep the times.
const SMALL: u64 = 1 << 20;

/// What a stage was when it was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// What it is, in a few words.
    pub about: String,
    /// When it was made.
    pub made: Timestamp,
    /// Bytes in it.
    pub bytes: u64,
    /// The digest of its content: SHA-256 of a file, of a folder that of a list of all in it.
    pub digest: String,
    /// A digest of what the kernel said about its files when their bytes were last known to be right, and of which boot that was.
    identity: String,
}

/// How thoroughly a stage is judged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thorough {
    /// By its bytes only where the kernel's word for its files has changed, or where they are few.
    AsNeeded,
    /// By its bytes.
    Wholly,
}

/// What became of a stage.
#[derive(Debug, PartialEq, Eq)]
pub enum Judged {
    /// It is what was made.
    Good(Record),
    /// There is none.
    Absent,
    /// It is not what was made; why.
    Bad(String),
}

/// A finished stage, or the place of one.
#[derive(Clone, Debug)]
pub struct Entry {
    folder: PathBuf,
}

impl Entry {
    /// That in this folder, which may be missing.
    #[must_use]
    pub fn at(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// `KIND-DIGEST`.
    #[must_use]
    pub fn name(&self) -> &str {
        self.folder.file_name().and_then(|name| name.to_str()).unwrap_or_default()
    }

    /// The file or folder that was made.
    #[must_use]
    pub fn content(&self) -> PathBuf {
        self.folder.join("content")
    }

    fn used(&self) -> PathBuf {
        self.folder.join("used")
    }

    /// When it was last used; none where that can't be told.
    #[must_use]
    pub fn last_used(&self) -> Option<SystemTime> {
        fs::metadata(self.used()).and_then(|used| used.modified()).ok()
    }

    /// Writes everything but the content, which must be there. Nothing is synced: should a cut of power take what the kernel
    /// has not written yet, the next boot finds that out by the digest.
    pub(super) fn complete(&self, key: &Key) -> io::Result<()> {
        let content = self.content();
        let record = Record {
            about: key.about.clone(),
            made: Timestamp::now(),
            bytes: content::size(&content).bytes,
            digest: content::digest(&content)?,
            identity: content::identity(&content, &content::boot()?)?,
        };
        fs::write(self.folder.join("inputs"), &key.inputs)?;
        fs::write(self.record(), serde_json::to_vec_pretty(&record)?)?;
        File::create(self.used()).map(drop)
    }

    fn record(&self) -> PathBuf {
        self.folder.join("record.json")
    }

    /// Takes it into use by this process, until it ends, and judges it. Nothing but a good one may be used.
    pub(super) fn take(&self) -> Judged {
        match lock::keep(&self.used()) {
            Ok(true) => {}
            Ok(false) if self.folder.exists() => return Judged::Bad("`used` is missing".into()),
            Ok(false) => return Judged::Absent,
            Err(error) => return Judged::Bad(format!("`used`: {error}")),
        }
        let judged = self.judge(Thorough::AsNeeded);
        if let Judged::Good(_) = judged {
            // In another user's folder that is not possible, and not needed.
            let now = FileTimes::new().set_modified(SystemTime::now());
            let _ = File::open(self.used()).and_then(|used| used.set_times(now));
        }
        judged
    }

    /// Whether nobody uses it.
    ///
    /// # Errors
    /// It can't be looked at.
    pub fn is_unused(&self) -> Result<bool, Error> {
        self.seize().map(|seized| seized.is_some()).map_err(Error::io("locking", &self.folder))
    }

    /// Its file of use, locked; none where somebody uses it.
    pub(super) fn seize(&self) -> io::Result<Option<File>> {
        match lock::seize(&self.used()) {
            // Nobody can use what lacks it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => File::open(&self.folder).map(Some),
            other => other,
        }
    }

    /// Whether it still is what was made.
    #[must_use]
    pub fn judge(&self, thorough: Thorough) -> Judged {
        if !self.folder.exists() {
            return Judged::Absent;
        }
        match self.examine(thorough) {
            Ok(judged) => judged,
            Err(error) => Judged::Bad(error.to_string()),
        }
    }

    fn examine(&self, thorough: Thorough) -> io::Result<Judged> {
        let told = |what: &str| {
            let what = what.to_owned();
            move |error: io::Error| io::Error::other(format!("`{what}`: {error}"))
        };
        let text = fs::read(self.record()).map_err(told("record.json"))?;
        let record: Record = serde_json::from_slice(&text).map_err(|error| told("record.json")(error.into()))?;
        let inputs = fs::read(self.folder.join("inputs")).map_err(told("inputs"))?;
        let kind = self.name().split('-').next().unwrap_or_default();
        if key::name(kind, &inputs) != self.name() {
            return Ok(Judged::Bad("it was made from other inputs than its name says".into()));
        }
        let content = self.content();
        let identity = content::boot().and_then(|boot| content::identity(&content, &boot)).map_err(told("content"))?;
        if identity == record.identity && record.bytes > SMALL && thorough == Thorough::AsNeeded {
            return Ok(Judged::Good(record));
        }
        let found = content::digest(&content).map_err(told("content"))?;
        if found != record.digest {
            let bytes = content::size(&content).bytes;
            return Ok(Judged::Bad(format!(
                "expected sha256 {} ({} bytes), found {found} ({bytes} bytes)",
                record.digest, record.bytes
            )));
        }
        let record = Record { identity, ..record };
        // A copied or restored cache is read once, and all of it once after each boot. Where that can't be noted, it is read each time.
        let _ = self.note(&record);
        Ok(Judged::Good(record))
    }

    /// Replaces the record.
    fn note(&self, record: &Record) -> io::Result<()> {
        let before = fs::read(self.record())?;
        let text = serde_json::to_vec_pretty(record)?;
        if text == before {
            return Ok(());
        }
        let mut file = tempfile::NamedTempFile::new_in(&self.folder)?;
        io::Write::write_all(&mut file, &text)?;
        file.as_file().sync_all()?;
        file.persist(self.record()).map_err(|error| error.error)?;
        Ok(())
    }
}
