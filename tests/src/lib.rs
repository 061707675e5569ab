//! x

pub mod mirror;
