//! Telling a change on the consoles, beside whatever login is there.

use std::fs::File;
use std::thread;
use std::time::Duration;

use crate::facts::Machine;
use crate::report::{Report, View, text};

use super::live::OWNED;
use super::terminal::{Open, find};

/// Lines of the block: it shares the screen with a login.
const ROWS: usize = 16;

/// Writes `report` as a short block on every console, each on a thread of its own, since a slow line must not hold
/// up the gate. Waits a moment where the live view is just giving the consoles away.
pub fn tell(machine: &Machine, report: &Report) {
    if let Ok(file) = File::open(machine.path(OWNED)) {
        for _ in 0..50 {
            if file.try_lock_shared().is_ok() {
                break;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
    let terminals = find(machine);
    thread::scope(|scope| {
        for terminal in &terminals {
            scope.spawn(move || {
                let block = text(report, View { ascii: terminal.ascii, rows: Some(ROWS) });
                let told = Open::new(terminal, false).and_then(|mut open| open.show(&format!("\n{block}")));
                if let Err(error) = told {
                    eprintln!("telling {}: {error}", terminal.device.display());
                }
            });
        }
    });
}
