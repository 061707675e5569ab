//! What the kernel and the firmware say about the machine, read from procfs and sysfs and never guessed.
//!
//! Everything is read below [`Machine::root`], so that a recorded machine can be judged in a test. Functions that
//! must ask the kernel by a system call say so.

use std::io;
use std::path::{Path, PathBuf};

/// A machine, as its file system shows it.
#[derive(Clone, Debug)]
pub struct Machine {
    root: PathBuf,
}

impl Machine {
    /// The machine that this program runs on.
    #[must_use]
    pub fn here() -> Self {
        Self::at("/")
    }

    /// A machine whose `/proc`, `/sys`, `/etc` … lie below `root`.
    #[must_use]
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// The folder that stands for `/`.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// `path` (absolute) below the machine's root.
    #[must_use]
    pub fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The content of `path` without white space around it.
    ///
    /// # Errors
    /// The failing system call's; `InvalidData` where it is not UTF-8.
    pub fn read(&self, path: &str) -> io::Result<String> {
        std::fs::read_to_string(self.path(path)).map(|text| text.trim().to_owned())
    }
}
