//! A `.snap`: a SquashFS file system that says in `meta/snap.yaml` what it is.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::path::Path;

use backhand::{FilesystemReader, InnerNode};
use serde::Deserialize;
use sha3::{Digest, Sha3_384};

use super::error::{Error, Result};
use super::key::encode_digest;

/// What a snap says of itself, as far as it decides how it is seeded.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Metadata {
    /// Its name.
    pub name: String,
    /// What kind of snap it is.
    #[serde(default, rename = "type")]
    pub kind: Kind,
    /// The snap whose files it runs on, where it is not the default.
    #[serde(default)]
    base: Option<String>,
    /// How far it is confined: `strict`, `devmode` or `classic`.
    #[serde(default)]
    confinement: Option<String>,
    /// For which architectures it is; none says any.
    #[serde(default)]
    architectures: Vec<String>,
}

/// Kinds of snaps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// Programs and services.
    #[default]
    App,
    /// What programs run on.
    Base,
    /// What programs of the first years run on.
    Os,
    /// snapd itself.
    Snapd,
    /// A kernel, for Ubuntu Core alone.
    Kernel,
    /// A device's description, for Ubuntu Core alone.
    Gadget,
}

/// What a program without `base` runs on.
const DEFAULT_BASE: &str = "core";
/// The most that a `snap.yaml` may be.
const LARGEST: u64 = 4 << 20;

impl Metadata {
    /// What the snap in the file `path` says.
    ///
    /// # Errors
    /// It is not a SquashFS file system, or has no `meta/snap.yaml` that could be read.
    pub fn read(path: &Path) -> Result<Self> {
        let wrong = |reason: String| Error::Container { path: path.to_owned(), reason };
        let file = File::open(path).map_err(Error::io("opening", path))?;
        let snap = FilesystemReader::from_reader(BufReader::new(file)).map_err(|error| {
            wrong(format!("it is not a SquashFS file system that can be read (gzip, xz, zstd): {error}"))
        })?;
        let yaml = snap.files().find_map(|node| match &node.inner {
            InnerNode::File(file) if node.fullpath == Path::new("/meta/snap.yaml") => Some(file),
            _ => None,
        });
        let yaml = yaml.ok_or_else(|| wrong("it has no meta/snap.yaml".to_owned()))?;
        let mut text = String::new();
        let read = snap.file(yaml).reader().take(LARGEST).read_to_string(&mut text);
        read.map_err(|error| wrong(format!("reading its meta/snap.yaml: {error}")))?;
        serde_saphyr::from_str(&text).map_err(|error| wrong(format!("its meta/snap.yaml: {error}")))
    }

    /// The snap that must be there for it to run.
    #[must_use]
    pub fn base(&self) -> Option<&str> {
        match (self.kind, self.base.as_deref()) {
            (Kind::Base | Kind::Os | Kind::Snapd | Kind::Kernel, _) | (_, Some("none")) => None,
            (_, base) => Some(base.unwrap_or(DEFAULT_BASE)),
        }
    }

    /// Whether it runs unconfined, which snapd takes only where it was told to.
    #[must_use]
    pub fn is_classic(&self) -> bool {
        self.confinement.as_deref() == Some("classic")
    }

    /// Whether it runs on `architecture`, in Debian's words.
    #[must_use]
    pub fn runs_on(&self, architecture: &str) -> bool {
        self.architectures.is_empty() || self.architectures.iter().any(|one| one == "all" || one == architecture)
    }

    /// The architectures that it is for.
    #[must_use]
    pub fn architectures(&self) -> String {
        self.architectures.join(", ")
    }
}

/// SHA3-384 of the file `path` as assertions write it, and its size in bytes.
///
/// # Errors
/// It can't be read.
pub fn digest(path: &Path) -> Result<(String, u64)> {
    let read = || -> io::Result<(String, u64)> {
        let (mut file, mut hash, mut buffer, mut size) = (File::open(path)?, Sha3_384::new(), vec![0; 1 << 20], 0);
        loop {
            match file.read(&mut buffer)? {
                0 => return Ok((encode_digest(&hash.finalize()), size)),
                count => {
                    hash.update(&buffer[..count]);
                    size += count as u64;
                }
            }
        }
    };
    read().map_err(Error::io("reading", path))
}

#[cfg(test)]
mod tests {
    use super::super::fixture;
    use super::*;

    #[test]
    fn a_snap_says_what_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("microk8s.snap");
        fixture::pack(
            "name: microk8s\nversion: '1.33'\nbase: core20\nconfinement: classic\narchitectures: [amd64]\n",
            &path,
        );
        let metadata = Metadata::read(&path).unwrap();
        assert_eq!((metadata.base(), metadata.is_classic()), (Some("core20"), true));
        assert!(metadata.runs_on("amd64") && !metadata.runs_on("arm64"));
        fixture::pack("name: core20\nversion: 1\ntype: base\n", &path);
        let metadata = Metadata::read(&path).unwrap();
        assert_eq!((metadata.base(), metadata.is_classic(), metadata.kind), (None, false, Kind::Base));
        assert!(metadata.runs_on("arm64"));
        fixture::pack("name: old\nversion: 1\n", &path);
        assert_eq!(Metadata::read(&path).unwrap().base(), Some("core"));
    }

    #[test]
    fn what_is_no_snap_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.snap");
        std::fs::write(&path, "not a file system").unwrap();
        assert!(Metadata::read(&path).unwrap_err().to_string().contains("not a SquashFS file system"));
        fixture::pack("- a list\n", &path);
        assert!(Metadata::read(&path).unwrap_err().to_string().contains("its meta/snap.yaml"));
    }

    #[test]
    fn the_digest_is_that_of_the_standard() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x");
        std::fs::write(&path, "").unwrap();
        // SHA3-384 of nothing, as NIST's examples for FIPS 202 have it.
        let nothing =
            "0c63a75b845e4f7d01107d852e4c2485c51a50aaaa94fc61995e71bbee983a2ac3713831264adb47fb6bd1e058d5f004";
        let bytes: Vec<u8> =
            (0..48).map(|byte| u8::from_str_radix(&nothing[byte * 2..byte * 2 + 2], 16).unwrap()).collect();
        assert_eq!(digest(&path).unwrap(), (encode_digest(&bytes), 0));
    }
}
