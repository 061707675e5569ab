//! Debian's packages: laid out without running anything, and installed by the target's own dpkg.

mod clean;
mod control;
pub mod extract;
mod inflate;
pub mod install;
mod package;
mod shortcuts;
mod sources;

pub use package::Error as PackageError;
