//! A root file system from packages.

mod control;
mod deb;
pub mod extract;
pub mod tree;

pub use deb::Error as DebError;
