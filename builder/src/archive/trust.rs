//! Whom an archive is believed.

use std::fs;
use std::path::Path;

use jiff::Timestamp;

use super::{Certificate, Error, Keyring, Result};
use crate::recipe::base::Base;

/// For each of a base's sources, the certificates that may sign it.
#[derive(Clone, Debug)]
pub struct Trust {
    keyrings: Vec<Keyring>,
}

impl Trust {
    /// Reads the keyrings of `base`, beside its file.
    ///
    /// # Errors
    /// One can't be read.
    pub fn read(base: &Base, file: &Path) -> Result<Self> {
        let keyring = |name: &String| {
            let path = file.with_file_name(name);
            Keyring::parse(&fs::read_to_string(&path).map_err(Error::io("reading", &path))?)
        };
        let own = keyring(&base.keyring)?;
        let of = |name: &Option<String>| name.as_ref().map_or_else(|| Ok(own.clone()), keyring);
        Ok(Self { keyrings: base.sources.iter().map(|source| of(&source.keyring)).collect::<Result<_>>()? })
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
