//! What is asked of an archive, and what its distribution would install.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::package::Package;

/// What is to be installed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Wanted<'a> {
    /// Names of packages, also virtual ones.
    pub packages: &'a [String],
    /// Whether recommended packages are installed too.
    pub recommends: bool,
    /// Whether all essential packages are installed too, as a system needs them. A container image may do without.
    pub essential: bool,
}

/// What the distribution itself would install.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Solution {
    /// The packages, in the order in which they would be unpacked: of debs apt's own.
    pub packages: Vec<Package>,
    /// When the newest of the indices that they were chosen from was made.
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
