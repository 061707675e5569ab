//! A package as the archive's index describes it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One binary package of an index whose signature was verified.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Package {
    /// `Package`.
    pub name: String,
    /// `Version`.
    pub version: String,
    /// `Architecture`: the base's own, or `all`.
    pub architecture: String,
    /// Which of the base's sources it comes from (index into `Base::sources`).
    pub source: usize,
    /// `Filename`: its path below the mirror.
    pub path: String,
    /// `Size`: bytes of the `.deb`.
    pub size: u64,
    /// `Installed-Size`: KiB that it takes unpacked, as its maintainer estimates.
    pub installed_size: u64,
    /// `SHA256`, lower-case hexadecimal.
    pub sha256: String,
    /// `Essential: yes`.
    pub essential: bool,
}

/// What apt itself would install.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Solution {
    /// The packages, in the order in which apt would unpack them.
    pub packages: Vec<Package>,
    /// The newest `Date` of the releases that they were chosen from.
    pub released: Timestamp,
}

impl Solution {
    /// Bytes to download.
    #[must_use]
    pub fn download_size(&self) -> u64 {
        self.packages.iter().map(|package| package.size).sum()
    }

    /// Bytes unpacked, as the maintainers estimate.
    #[must_use]
    pub fn installed_size(&self) -> u64 {
        self.packages.iter().map(|package| package.installed_size * 1024).sum()
    }
}
