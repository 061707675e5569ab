//! What a package archive is: which packages a base may be made of, from indices that were verified, and which of them its
//! distribution would install.
//!
//! What both families share is here; [`Archive`] is the one or the other.

mod age;
mod ask;
mod deb;
mod error;
mod family;
mod files;
#[cfg(test)]
mod fixture;
mod mirrors;
mod package;
mod past;
mod rpm;
mod signature;
mod solution;
mod solution_cache;
mod trust;
mod unpack;

pub use age::{Stale, stale};
pub use error::{Error, Result};
pub use family::{Archive, IndexRead, Opening, Probe, Probed, compare_versions, probe};
pub use files::Larder;
pub use mirrors::Mirrors;
pub use package::Package;
pub use past::Past;
pub use rpm::header as rpm_header;
pub use signature::{Certificate, Keyring};
pub use solution::{Solution, Wanted};
pub use solution_cache::solve_once;
pub use trust::Trust;
