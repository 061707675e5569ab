//! Debian archives: signed indices, packages, and the distribution's own choice of them.

mod package;

pub use package::{Package, Solution};
