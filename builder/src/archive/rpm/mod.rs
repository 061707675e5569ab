//! RPM repositories.

mod version;

pub use version::compare as compare_versions;
