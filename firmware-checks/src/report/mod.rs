//! The report: what was found, as one value with several views.

mod model;

pub use model::{Gate, Report, SCHEMA, Verdict};
