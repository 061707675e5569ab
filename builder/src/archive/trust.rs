//! Whom an archive is believed.

use std::fs;
use std::path::Path;

use jiff::Timestamp;

use super::{Certificate, Error, Keyring, Result};
use crate::artifact::Files;
use crate::recipe::base::{Base, Source};
use crate::recipe::keyring::{self, Published};

/// For each of a base's sources, the certificates that may sign it.
#[derive(Clone, Debug)]
pub struct Trust {
    keyrings: Vec<Keyring>,
}

impl Trust {
    /// Reads the keyrings of `base`: those beside its `file`, and of `files` those that their publishers have.
    ///
    /// # Errors
    /// One can't be read, or what a publisher has is not what the base means.
    pub fn read(base: &Base, file: &Path, files: &Files<'_>) -> Result<Self> {
        let own = read(&file.with_file_name(&base.keyring))?;
        let of = |source: &Source| match &source.keyring {
            None => Ok(own.clone()),
            Some(keyring::Keyring::Beside(name)) => read(&file.with_file_name(name)),
            Some(keyring::Keyring::Published(published)) => Self::published(published, files),
        };
        Ok(Self { keyrings: base.sources.iter().map(of).collect::<Result<_>>()? })
    }

    /// Reads a certificate that was fetched.
    ///
    /// # Errors
    /// It can't be read, or it is another one.
    pub fn published(published: &Published, files: &Files<'_>) -> Result<Keyring> {
        let Published { from: url, fingerprint } = published;
        let path = files.path(&published.name());
        let path = path.map_err(|error| Error::Keyring { reason: format!("{url}: {error}") })?;
        let found = read(&path)?;
        if !found.is_only(fingerprint) {
            let (url, expected) = (url.clone(), fingerprint.clone());
            return Err(Error::OtherCertificate { url, found: found.fingerprints(), expected });
        }
        Ok(found)
    }

    /// The certificates for the source of this number.
    pub(super) fn of(&self, source: usize) -> &Keyring {
        &self.keyrings[source]
    }

    /// Every certificate once, as it is at `now`.
    #[must_use]
    pub fn certificates(&self, now: Timestamp) -> Vec<Certificate> {
        let mut all: Vec<Certificate> = Vec::new();
        for certificate in self.keyrings.iter().flat_map(|keyring| keyring.certificates(now)) {
            if !all.contains(&certificate) {
                all.push(certificate);
            }
        }
        all
    }

    /// For tests: the same certificates for every source.
    #[cfg(test)]
    pub(crate) fn all(keyring: &Keyring, base: &Base) -> Self {
        Self { keyrings: base.sources.iter().map(|_| keyring.clone()).collect() }
    }
}

fn read(path: &Path) -> Result<Keyring> {
    Keyring::parse(&fs::read_to_string(path).map_err(Error::io("reading", path))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::fixture::Key;
    use crate::artifact::Pin;
    use crate::store::Store;

    /// What a publisher's server gave, judged by the fingerprint that a base names.
    fn judged(file: &str, fingerprint: &str) -> Result<Keyring> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("key"), file).unwrap();
        let store = Store::open(&folder.path().join("cache")).unwrap();
        let published = Published { from: "https://a.example/key".to_owned(), fingerprint: fingerprint.to_owned() };
        let pin = Pin { name: published.name(), from: "key".to_owned(), size: 0, sha256: "0".repeat(64) };
        Trust::published(&published, &Files::of(folder.path(), &[pin], &store))
    }

    #[test]
    fn only_the_certificate_that_the_base_means_is_believed() {
        let [right, other] = [Key::new(), Key::new()].map(|key| key.armored());
        let fingerprint = Keyring::parse(&right).unwrap().fingerprints();
        assert_eq!(judged(&right, &fingerprint).unwrap().fingerprints(), fingerprint);
        // On the machine, the whole file would be believed.
        for file in [other.clone(), format!("{right}\n{other}")] {
            let error = judged(&file, &fingerprint).unwrap_err();
            assert!(matches!(&error, Error::OtherCertificate { expected, .. } if *expected == fingerprint), "{error}");
        }
        assert!(matches!(judged("<html></html>", &fingerprint).unwrap_err(), Error::Keyring { .. }));
    }
}
