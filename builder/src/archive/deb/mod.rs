//! Debian archives: signed indices, packages, and the distribution's own choice of them.

mod apt_sources;
mod archive;
mod closure;
mod deb822;
mod error;
#[cfg(test)]
mod fixture;
mod index;
mod mirrors;
mod package;
mod relation;
mod release;
mod signature;
mod solution_cache;
mod solve;
mod suite;
#[cfg(test)]
mod tests;

pub use archive::{Archive, IndexRead};
pub use error::{Error, Result};
pub use mirrors::Mirrors;
pub use package::{Package, Solution};
pub use relation::compare as compare_versions;
pub use signature::Keyring;
pub use solution_cache::solve_once;
pub use solve::{Wanted, solve};
