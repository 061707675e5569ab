//! Locks of a stage: one that makes, any number that use.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::progress::Progress;

/// Held by the one build that makes a stage. Its file is gone when this value is.
#[derive(Debug)]
pub(super) struct Making {
    path: PathBuf,
    _file: File,
}

impl Making {
    /// Waits for whoever makes the stage `name` in `folder`.
    pub(super) fn wait(folder: &Path, name: &str, progress: &Progress) -> io::Result<Self> {
        let path = folder.join(format!("{name}.lock"));
        loop {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(&path)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    progress.warn(format!("another build makes the same stage, {name}; waiting for it"));
                    file.lock()?;
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
            // Who held it before has removed the file: this lock protects nothing.
            if is_at(&file, &path) {
                return Ok(Self { path, _file: file });
            }
        }
    }
}

impl Drop for Making {
    fn drop(&mut self) {
        // While it is still locked; what can't be removed now is removed by the next who makes this stage.
        let _ = fs::remove_file(&self.path);
    }
}

/// The locks of the stages that this process uses. It may use them until it ends.
static USED: Mutex<Vec<File>> = Mutex::new(Vec::new());

/// Keeps others from removing the stage whose file of use is `path`, until this process ends. False where it is gone.
pub(super) fn keep(path: &Path) -> io::Result<bool> {
    let file = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        opened => opened?,
    };
    file.lock_shared()?;
    let there = is_at(&file, path);
    if there {
        USED.lock().unwrap_or_else(PoisonError::into_inner).push(file);
    }
    Ok(there)
}

/// The file of use at `path`, locked against every use; none where somebody uses the stage.
pub(super) fn seize(path: &Path) -> io::Result<Option<File>> {
    let file = File::open(path)?;
    match file.try_lock() {
        Ok(()) if is_at(&file, path) => Ok(Some(file)),
        Ok(()) | Err(TryLockError::WouldBlock) => Ok(None),
        Err(TryLockError::Error(error)) => Err(error),
    }
}

/// Whether the open file is still the one with that name.
fn is_at(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::metadata(path)) {
        (Ok(open), Ok(named)) => open.ino() == named.ino() && open.dev() == named.dev(),
        _ => false,
    }
}
