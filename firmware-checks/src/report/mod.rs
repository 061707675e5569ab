//! The report: what was found, as one value with several views.

mod model;
mod wrap;

pub use model::{Gate, Report, SCHEMA, Verdict};
pub use wrap::{clean, wrap};
