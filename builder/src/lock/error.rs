//! Why there is no lock, or not the right one.

use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::archive;
use crate::artifact;
use crate::recipe;
use crate::recipe::identity::Unreadable;
use crate::snap;
use crate::{stage, store, tools};

/// What this room's functions return.
pub type Result<T> = std::result::Result<T, Error>;

/// Why there is no lock, or not the right one.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `--locked` insists on a lock, and there is none.
    #[error("{}: there is no lock, and --locked was given\n  hint: `firstlight lock {}` makes it", path.display(), recipe.display())]
    Missing {
        /// Where it was looked for.
        path: PathBuf,
        /// The recipe.
        recipe: PathBuf,
    },
    /// The recipe or the base is no longer what the lock was made for.
    #[error(
        "{}: the lock was made before this changed:{}\n  hint: `firstlight lock {}` locks anew; with --diff it says first \
         what that would change",
        path.display(), changed.iter().map(|key| format!("\n  {key}")).collect::<String>(), recipe.display()
    )]
    Stale {
        /// The lock.
        path: PathBuf,
        /// The recipe.
        recipe: PathBuf,
        /// Each part that changed: its file and its key.
        changed: Vec<String>,
    },
    /// A file that goes into the image whole is not the right one, or not to be had.
    #[error(transparent)]
    Artifact(#[from] artifact::Error),
    /// A snap is not to be had, or not to be believed.
    #[error(transparent)]
    Snap(#[from] snap::Error),
    /// The lock's text is not that of a lock.
    #[error(
        "{message}\n  hint: a lock is not written by hand; bring it back from version control, or remove it and run `firstlight lock`"
    )]
    Malformed {
        /// Place, what is wrong, and the line.
        message: String,
    },
    /// The lock could not be read or written.
    #[error("{doing} {}: {source}{}", path.display(), if *doing == "writing" { "\n  hint: name another place with --lock-file" } else { "" })]
    Io {
        /// In gerunds, such as `reading`.
        doing: &'static str,
        /// The lock.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What the lock depends on could not be read.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The archive can't be used, or no set of packages fits.
    #[error("resolving the recipe")]
    Archive(#[from] archive::Error),
    /// The recipe names a package that the base does not have.
    #[error("resolving the recipe")]
    Recipe(#[from] recipe::Error),
    /// The tools root, whose solver chooses, can't be made.
    #[error("resolving the recipe")]
    Tools(#[from] tools::Error),
    /// The solver's choice can't be kept.
    #[error("resolving the recipe")]
    Stage(#[from] stage::Error),
    /// A locked package can't be had.
    #[error(
        "{source}\n  hint: where the archive has moved on since the lock was made (as of {released}), `firstlight lock --update` \
         takes what it has now"
    )]
    Gone {
        /// When the archive had it.
        released: Timestamp,
        /// Which, and who was asked.
        source: store::Error,
    },
}

impl Error {
    pub(super) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }

    /// Whether it is the user's to mend.
    #[must_use]
    pub fn is_input(&self) -> bool {
        match self {
            Self::Missing { .. } | Self::Stale { .. } | Self::Malformed { .. } => true,
            Self::Artifact(error) => error.is_input(),
            Self::Snap(error) => error.is_input(),
            _ => false,
        }
    }
}
