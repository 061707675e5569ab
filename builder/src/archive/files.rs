//! From packages to their files: the only way out of the store into a root.

use std::path::PathBuf;

use super::{Error, Package, Result, Trust, rpm};
use crate::parallel;
use crate::recipe::base::{Base, Family};
use crate::store::Store;

/// Where the packages of a base are taken from, once they were fetched.
#[derive(Clone, Copy, Debug)]
pub struct Larder<'a> {
    /// The base.
    pub base: &'a Base,
    /// Whom its sources are believed.
    pub trust: &'a Trust,
    /// Where the packages lie.
    pub store: &'a Store,
}

impl Larder<'_> {
    /// The certificates of each source, where packages are judged by them as they are taken: what was made of packages while other
    /// certificates were believed is then made anew. None of debs.
    #[must_use]
    pub fn judged_by(&self) -> Option<Vec<String>> {
        let rpm = self.base.family == Family::Rpm;
        rpm.then(|| (0..self.base.sources.len()).map(|source| self.trust.of(source).fingerprints()).collect())
    }

    /// The files of these packages, in their order. That they have the digests by which they are named was verified
    /// by the store; of RPMs each is verified here to be signed by a certificate of its source too, since the index that named
    /// its digest need not be. (A deb is as good as the signed index that names it.)
    ///
    /// # Errors
    /// One is not in the store, or it is not signed as it must be.
    pub fn files(&self, packages: &[Package]) -> Result<Vec<PathBuf>> {
        let lost = |package: &Package| Error::Lost { package: package.label() };
        let path = |package: &Package| self.store.path(&package.sha256).ok_or_else(|| lost(package));
        let paths = packages.iter().map(path).collect::<Result<Vec<_>>>()?;
        if self.base.family == Family::Rpm {
            let both: Vec<_> = packages.iter().zip(&paths).collect();
            parallel::each(&both, |(package, path)| {
                let keyring = self.trust.of(package.source);
                rpm::verify(path, package, keyring).map_err(|reason| Error::Unsigned {
                    package: package.label(),
                    reason,
                    expected: keyring.fingerprints(),
                })
            })?;
        }
        Ok(paths)
    }
}
