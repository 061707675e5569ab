//! What a user writes: recipes (appliances) and bases (distributions).

pub mod base;
pub mod schema;
