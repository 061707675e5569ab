//! The few things that a first boot must do before anything can be judged.

pub mod compose;
pub mod grow;
pub mod images;
pub mod ssh_keys;
