//! A package as the archive's index describes it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::store::Download;

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

impl Package {
    /// What to fetch for it, below one of `mirrors`.
    pub(super) fn download(&self, mirrors: &[String]) -> Download {
        Download {
            label: self.path.rsplit('/').next().unwrap_or(&self.path).to_owned(),
            urls: mirrors.iter().map(|mirror| format!("{mirror}/{}", self.path)).collect(),
            sha256: self.sha256.clone(),
            size: self.size,
        }
    }

    /// For tests: a small package at `pool/NAME.deb` of the first source.
    #[cfg(test)]
    pub(crate) fn named(name: &str, version: &str) -> Self {
        Self {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "amd64".to_owned(),
            source: 0,
            path: format!("pool/{name}.deb"),
            size: 1000,
            installed_size: 10,
            sha256: format!(
                "{:0>64}",
                name.bytes().chain(version.bytes()).map(|byte| format!("{byte:02x}")).collect::<String>()
            ),
            essential: false,
        }
    }
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
