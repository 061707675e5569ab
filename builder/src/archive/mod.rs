//! What a package archive is.

pub mod deb;
