//! The archive of a base, whose family decides how it works.

use std::cmp::Ordering;
use std::path::Path;

use jiff::Timestamp;

use super::{Mirrors, Package, Result, Solution, Trust, Wanted, deb, rpm};
use crate::progress::Progress;
use crate::recipe::base::{Base, Family};
use crate::store::{Download, Store};

/// All packages that a base may be made of.
#[derive(Debug)]
pub enum Archive {
    /// Of debs, for apt.
    Deb(deb::Archive),
    /// Of RPMs, for dnf.
    Rpm(rpm::Archive),
}

/// An index that an archive was read from.
#[derive(Clone, Copy, Debug)]
pub struct IndexRead<'a> {
    /// Which of the base's sources it belongs to.
    pub source: usize,
    /// Its suite.
    pub suite: &'a str,
    /// Its path below the suite, unpacked.
    pub path: &'a str,
    /// When what lists it was made.
    pub released: Timestamp,
    /// Until when that may be used, where it says so.
    pub until: Option<Timestamp>,
    /// SHA-256 of the unpacked index.
    pub sha256: &'a str,
}

/// One suite on one mirror, to be tried.
#[derive(Clone, Copy, Debug)]
pub struct Probe<'a> {
    /// The base.
    pub base: &'a Base,
    /// Which of its sources the suite belongs to.
    pub source: usize,
    /// The suite.
    pub suite: &'a str,
    /// The mirror's URL, without a slash at the end.
    pub mirror: &'a str,
    /// Whom the sources are believed.
    pub trust: &'a Trust,
    /// By which it is asked.
    pub store: &'a Store,
    /// As of when it is judged.
    pub now: Timestamp,
}

/// A suite that is as it must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probed {
    /// When it was made.
    pub released: Timestamp,
    /// Until when it may be used, where it says so.
    pub until: Option<Timestamp>,
}

/// Whether a mirror has a suite with what the base takes from it, well signed and still valid. Downloads no index.
///
/// # Errors
/// It has not, or could not be asked.
pub fn probe(probe: &Probe<'_>) -> Result<Probed> {
    match probe.base.family {
        Family::Deb => deb::probe(probe),
        Family::Rpm => rpm::probe(probe),
    }
}

/// What an archive is opened with.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// The base whose packages it has.
    pub base: &'a Base,
    /// Which signatures of it count.
    pub trust: &'a Trust,
    /// Who is asked for it.
    pub mirrors: &'a Mirrors,
    /// Where what is downloaded is kept.
    pub store: &'a Store,
    /// What shows the downloads.
    pub progress: &'a Progress,
    /// The time by which expiry is judged.
    pub now: Timestamp,
}

impl Archive {
    /// Asks the mirrors for each suite of the base, verifies signatures, expiry and digests, and reads the
    /// indices.
    ///
    /// # Errors
    /// No mirror has a suite, a signature or digest is wrong, or an index can't be read.
    pub fn open(opening: &Opening<'_>) -> Result<Self> {
        match opening.base.family {
            Family::Deb => deb::Archive::open(opening).map(Self::Deb),
            Family::Rpm => rpm::Archive::open(opening).map(Self::Rpm),
        }
    }

    /// When the newest of what its indices are listed in was made.
    #[must_use]
    pub fn released(&self) -> Timestamp {
        match self {
            Self::Deb(archive) => archive.released(),
            Self::Rpm(archive) => archive.released(),
        }
    }

    /// Changes whenever the content of any index does: the SHA-256 of their digests.
    #[must_use]
    pub fn digest(&self) -> String {
        match self {
            Self::Deb(archive) => archive.digest(),
            Self::Rpm(archive) => archive.digest(),
        }
    }

    /// How many packages its indices name.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Deb(archive) => archive.len(),
            Self::Rpm(archive) => archive.len(),
        }
    }

    /// Whether its indices name no package.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What to fetch for these packages.
    #[must_use]
    pub fn downloads(&self, packages: &[Package]) -> Vec<Download> {
        match self {
            Self::Deb(archive) => archive.downloads(packages),
            Self::Rpm(archive) => archive.downloads(packages),
        }
    }

    /// The indices that it was read from.
    #[must_use]
    pub fn indices(&self) -> Vec<IndexRead<'_>> {
        match self {
            Self::Deb(archive) => archive.indices().collect(),
            Self::Rpm(archive) => archive.indices().collect(),
        }
    }

    /// The newest package of this name.
    ///
    /// # Errors
    /// There is none, or what its index says of it is not as it must be.
    pub fn newest(&self, name: &str) -> Result<Package> {
        match self {
            Self::Deb(archive) => archive.newest(name),
            Self::Rpm(archive) => archive.newest(name),
        }
    }

    /// Whether its indices have exactly this package.
    #[must_use]
    pub fn has(&self, package: &Package) -> bool {
        match self {
            Self::Deb(archive) => archive.has(package),
            Self::Rpm(archive) => archive.has(package),
        }
    }

    /// These packages with all that they depend on, sorted by name. This is no set to be installed, only one to take files
    /// from: conflicts are not looked at, and of several ways the first is taken.
    ///
    /// # Errors
    /// A package is unknown, or needs what no package satisfies.
    pub fn closure(&self, names: &[String]) -> Result<Vec<Package>> {
        match self {
            Self::Deb(archive) => archive.closure(names),
            Self::Rpm(archive) => archive.closure(names),
        }
    }

    /// What the distribution's own solver would install on an empty system. It is run from `tools_root`, which must be of the
    /// same archive.
    ///
    /// # Errors
    /// A name is unknown, the packages can't be installed together, or the solver can't be run.
    pub fn solve(&self, tools_root: &Path, wanted: &Wanted) -> Result<Solution> {
        match self {
            Self::Deb(archive) => deb::solve(archive, tools_root, wanted),
            Self::Rpm(archive) => rpm::solve(archive, tools_root, wanted),
        }
    }
}

/// Compares versions as the family's own tools do; what is no version comes before all others.
#[must_use]
pub fn compare_versions(family: Family, left: &str, right: &str) -> Ordering {
    match family {
        Family::Deb => deb::compare_versions(left, right),
        Family::Rpm => rpm::compare_versions(left, right),
    }
}
