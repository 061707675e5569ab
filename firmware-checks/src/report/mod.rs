//! The report: what was found, as one value with several views.

mod judge;
mod junit;
mod model;
mod prometheus;
#[cfg(test)]
pub(crate) mod samples;
mod text;
#[cfg(test)]
mod views;
mod wrap;

pub use junit::junit;
pub use model::{Gate, Report, SCHEMA, Verdict};
pub use prometheus::prometheus;
pub use text::{AWAITS, View, text};
pub use wrap::{clean, wrap};
