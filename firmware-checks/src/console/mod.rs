//! The machine's own screens: tty1 and every real UART, since a server's serial-over-LAN is often not the kernel's
//! console.

mod issue;
mod live;
mod tell;
mod terminal;

pub use issue::{issue, reload_logins};
pub use live::{is_over, show, watch};
pub use tell::tell;
pub use terminal::{Terminal, find, start_logins};
