//! A root file system from packages.

pub mod accounts;
pub mod archive;
mod clean;
pub mod deb;
pub mod finalise;
pub mod item;
pub mod overlay;
pub mod rpm;
pub mod sources;
pub mod tree;

use std::io;
use std::path::{Path, PathBuf};

pub use overlay::Error as OverlayError;

use crate::sandbox;

/// A root file system could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A package could not be read or extracted.
    #[error(transparent)]
    Deb(#[from] deb::PackageError),
    /// An RPM package could not be read or extracted.
    #[error(transparent)]
    Rpm(#[from] rpm::PackageError),
    /// rpm itself goes on when a scriptlet fails.
    #[error(
        "scriptlets of packages failed, so they are not whole:\n  {}\n  hint: what they said is in {}",
        .failed.join("\n  "), log.display()
    )]
    Scriptlets {
        /// rpm's own words.
        failed: Vec<String>,
        /// The file with everything that was said.
        log: PathBuf,
    },
    /// An overlay could not be used.
    #[error(transparent)]
    Overlay(#[from] OverlayError),
    /// A program of the target failed.
    #[error(transparent)]
    Sandbox(#[from] sandbox::Error),
    /// A file of the tree could not be used.
    #[error("{doing} `{path}` of the root file system: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file, below the root.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `dpkg --audit` has something to say.
    #[error("dpkg finds packages in a bad state after installing:\n{0}")]
    Audit(String),
    /// What is installed is not what was to be.
    #[error("what is installed is not what was to be:\n  {}", .0.join("\n  "))]
    OtherPackages(Vec<String>),
    /// The distribution's keyring is missing.
    #[error(
        "the packages bring no archive keyring, `/usr/share/keyrings/{0}-archive-keyring.gpg`, so the machine could \
         not be kept up to date\n  hint: name the package that does, such as `{0}-archive-keyring`, in the base"
    )]
    NoKeyring(String),
    /// A preset of ours is not one.
    #[error("/{path}:{line}: `{text}` is not `enable UNIT` or `disable UNIT` with one whole unit name")]
    Preset {
        /// The file, below the root.
        path: PathBuf,
        /// From 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// A unit of our presets can't be enabled.
    #[error(
        "the unit `{unit}` was to be enabled, but is `{state}`\n  hint: its `[Install]` section names what wants it"
    )]
    NotEnabled {
        /// The unit.
        unit: String,
        /// What `systemctl is-enabled` says.
        state: String,
    },
}

impl Error {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}
