//! RPM repositories: their indices, packages and signatures, and the distribution's own choice of packages.

mod archive;
mod authenticity;
mod closure;
mod dependency;
mod filelists;
#[cfg(test)]
mod fixture;
pub mod header;
mod primary;
mod repomd;
mod repository;
mod solve;
#[cfg(test)]
mod tests;
mod version;
mod xml;

pub use archive::Archive;
pub use authenticity::verify;
pub use repository::probe;
pub use solve::solve;
pub use version::compare as compare_versions;
