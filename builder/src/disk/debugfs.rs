//! The debugfs of the tools root, which changes a finished ext4 file system where it lies in the image.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use super::layout::Partition;
use crate::sandbox::{self, Sandbox};

/// Where the files are seen that commands name.
pub(super) const FILES: &str = "/run/files";

/// A file system could not be changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The commands could not be written down.
    #[error("writing {path}: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The program failed.
    #[error(transparent)]
    Tool(#[from] sandbox::Error),
    /// A command failed; debugfs's own words.
    #[error("debugfs says: {0}")]
    Words(String),
}

/// One file system of an image.
pub(super) struct Debugfs<'a> {
    /// The tools root.
    pub tools: &'a Path,
    /// The image.
    pub image: &'a Path,
    /// Where the file system lies in it.
    pub partition: &'a Partition,
    /// Every time that is written.
    pub time: Timestamp,
}

impl Debugfs<'_> {
    /// Carries out `commands`, a line for each, which find the files of the folder `files` below [`FILES`].
    pub(super) fn run(&self, commands: &str, files: Option<&Path>) -> Result<(), Error> {
        let file = tempfile::NamedTempFile::new().and_then(|file| fs::write(file.path(), commands).map(|()| file));
        let file = file.map_err(|source| Error::Io { path: std::env::temp_dir(), source })?;
        let time = self.time.as_second().to_string();
        let mut sandbox =
            Sandbox::of_tools(self.tools).bind(self.image, "/run/disk.raw").bind_ro(file.path(), "/run/commands");
        if let Some(files) = files {
            sandbox = sandbox.bind_ro(files, FILES);
        }
        let sandbox = sandbox.env("SOURCE_DATE_EPOCH", &time).env("E2FSPROGS_FAKE_TIME", &time);
        let disk = format!("/run/disk.raw?offset={}", self.partition.start);
        // debugfs ends well whatever happened to its commands: what it says is the only sign.
        let script = r#"exec debugfs -w -f /run/commands "$0" 2>&1"#;
        let said = sandbox.run(&["sh", "-c", script, &disk])?;
        match complaint(&String::from_utf8_lossy(&said)) {
            None => Ok(()),
            Some(words) => Err(Error::Words(words.to_owned())),
        }
    }
}

/// The first line of debugfs that is neither its version, nor a command of ours, nor the number of a file that was made.
fn complaint(said: &str) -> Option<&str> {
    let fine = |line: &str| {
        let line = line.trim();
        line.is_empty() || line.starts_with("debugfs") || line.starts_with("Allocated inode: ")
    };
    said.lines().find(|line| !fine(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anything_but_version_commands_and_new_files_is_a_complaint() {
        let fine = "debugfs 1.46.5 (30-Dec-2021)\ndebugfs: ea_set \"/\" security.selinux \"x\"\nAllocated inode: 12\n";
        assert_eq!(complaint(fine), None);
        assert_eq!(
            complaint(&format!("{fine}/x: File not found by ext2_lookup \n")),
            Some("/x: File not found by ext2_lookup ")
        );
    }
}
