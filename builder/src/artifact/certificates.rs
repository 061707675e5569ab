//! The certificates of a base that their publishers have: fetched and pinned as the other files are.

use super::{Error, Pin};
use crate::progress::Progress;
use crate::recipe::base::Base;
use crate::recipe::keyring::Published;
use crate::store::Store;

/// Pins the certificate. Whether it is the one that is meant, [`crate::archive::Trust`] judges.
///
/// # Errors
/// It can't be had.
pub fn pin_certificate(published: &Published, store: &Store, progress: &Progress) -> Result<Pin, Error> {
    let (name, from) = (published.name(), published.from.clone());
    let (sha256, size) = store.learn(&name, &from, None, progress)?;
    Ok(Pin { name, from, size, sha256 })
}

/// Those of `pins` that are certificates of `base`.
#[must_use]
pub fn certificates_of(base: &Base, pins: &[Pin]) -> Vec<Pin> {
    let names: Vec<String> = base.published().into_iter().map(Published::name).collect();
    pins.iter().filter(|pin| names.contains(&pin.name)).cloned().collect()
}
