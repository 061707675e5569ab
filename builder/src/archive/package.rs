//! A package as the archive's index describes it.

use serde::{Deserialize, Serialize};

use crate::store::Download;

/// One binary package of an index that was verified.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Package {
    /// Its name.
    pub name: String,
    /// Its version: of a deb `[epoch:]upstream[-revision]`, of an RPM `[epoch:]version-release`.
    pub version: String,
    /// The base's own architecture, or the word for none: `all`, `noarch`.
    pub architecture: String,
    /// Which of the base's sources it comes from (index into `Base::sources`).
    pub source: usize,
    /// Its path below the mirror.
    pub path: String,
    /// Bytes of its file.
    pub size: u64,
    /// KiB that it takes unpacked, as its maintainer or its build says.
    pub installed_size: u64,
    /// SHA-256 of its file, lower-case hexadecimal.
    pub sha256: String,
    /// Whether every system has it (`Essential: yes`). No RPM says so.
    pub essential: bool,
}

impl Package {
    /// The name of its file.
    #[must_use]
    pub fn label(&self) -> String {
        self.path.rsplit('/').next().unwrap_or(&self.path).to_owned()
    }

    /// Its version as its authors give it: without the epoch, and without what stands behind the last `-`, the distribution's own.
    #[must_use]
    pub fn upstream(&self) -> &str {
        let version = self.version.split_once(':').map_or(self.version.as_str(), |(_, version)| version);
        version.rsplit_once('-').map_or(version, |(upstream, _)| upstream)
    }

    /// What to fetch for it, below one of `mirrors`.
    pub(super) fn download(&self, mirrors: &[String]) -> Download {
        Download {
            label: self.label(),
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
            sha256: format!("{:0>64}", hex::encode([name, version].concat())),
            essential: false,
        }
    }
}

/// Whether it is a path below a mirror, and nowhere else.
pub(super) fn is_path(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#\\".contains(&byte))
        && text.split('/').all(|part| !part.is_empty() && part != "." && part != "..")
}
