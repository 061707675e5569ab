//! RPM packages: laid out without running anything, and installed by the distribution's own rpm.

mod clean;
mod cpio;
mod database;
pub mod extract;
pub mod install;
mod package;

pub use package::Error as PackageError;
