//! The gate: reads the report and decides whether the platform may start.
//!
//! [`decide`] is the whole decision, without side effects; [`Latch`] is what keeps the gate open over reboots;
//! [`Service`] is the daemon that runs the checks, waits for what may change their outcome, and opens the gate.

mod ask;
mod decide;
mod events;
mod judge;
mod latch;
mod notify;
mod pace;
mod publish;
mod service;

pub use ask::{ask, on_board};
pub use decide::decide;
pub use judge::{assemble, scene};
pub use latch::{Latch, Seal};
pub use publish::{PROGRESS, REPORT, progress};
pub use service::Service;

/// Exists while the gate is open; the platform's units carry a condition on it.
pub const OPEN: &str = "/run/firstlight/gate-open";
/// Where the service listens for [`ask`].
pub const SOCKET: &str = "/run/firstlight/checks.socket";
