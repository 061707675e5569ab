//! What a user writes: recipes (appliances) and bases (distributions).
//!
//! The way of a file: a [`firmware_checks::document::Document`] is judged by the shape of its type, then by the [`rules`],
//! which speak of keys; the document knows where those stand and tells them by line and column.

pub mod architecture;
pub mod artifact;
pub mod base;
pub mod identity;
pub mod keyring;
mod load;
pub mod platform;
pub mod rules;
pub mod schema;
pub mod share;

pub use firmware_checks::document::Error;
pub use identity::Fingerprint;
pub use load::{Loaded, Values, load, load_all, read_base};

#[cfg(test)]
mod tests;
