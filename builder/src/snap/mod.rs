//! Snaps: what a store's assertions say of them, and the seed that snapd installs without a store.
//!
//! A snap is believed because of a chain of assertions: its `snap-revision` names the SHA3-384 of the file, its size and its
//! identifier; its `snap-declaration` the name of that identifier; both are signed by the store's key, whose `account-key` is
//! signed by the root of trust. snapd has Canonical's root compiled in; it is [`CANONICAL`] here, and another store's is data of
//! the recipe.

mod assertion;
mod container;
mod error;
#[cfg(test)]
mod fixture;
mod judged;
mod key;
mod locked;
mod seed;
mod store;

pub use assertion::{Assertion, Value, stream};
pub use container::{Kind, Metadata, digest};
pub use error::{Error, Result};
pub use judged::Judged;
pub use key::PublicKey;
pub use locked::{Locked, LockedSnap, Locking};
pub use seed::{FOLDER, Seed, Seeded, Snap};
pub use store::{Release, SnapStore};

/// Canonical's account and its root key, as every snapd has them compiled in.
pub const CANONICAL: &str = include_str!("canonical.assert");
/// The model of a distribution that nobody wrote a model for, with the account and the key that signed it: as every snapd has
/// them.
pub const GENERIC_CLASSIC: &str = include_str!("generic-classic.assert");
