//! Debian archives: signed indices, packages, and the distribution's own choice of them.

pub(super) mod apt_sources;
mod archive;
mod closure;
mod deb822;
#[cfg(test)]
pub(super) mod fixture;
mod index;
mod relation;
mod release;
mod solve;
mod suite;
#[cfg(test)]
mod tests;

pub use archive::Archive;
pub use relation::compare as compare_versions;
pub use solve::solve;
pub use suite::probe;
