//! The live view: how far the checks are, then the report.

use std::fs::File;
use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::facts::Machine;
use crate::gate::{PROGRESS, REPORT};
use crate::report::{Report, View, text};

use super::terminal::{Open, Terminal, find};

/// Held (flock) while the live view owns the consoles.
pub(super) const OWNED: &str = "/run/firstlight/console-owned";
/// Exists once the live view of this boot has given the consoles away.
const OVER: &str = "/run/firstlight/console-over";

/// Lines of the smallest screen: a serial terminal's.
const ROWS: usize = 24;
const BEAT: Duration = Duration::from_millis(250);

/// Whether the live view of this boot has given the consoles away.
#[must_use]
pub fn is_over(machine: &Machine) -> bool {
    machine.path(OVER).exists()
}

/// Owns every console until the first verdict, a key press on that console, or `limit`; leaves the report standing on
/// each.
///
/// # Errors
/// The marks in `/run` could not be written. A terminal that fails is logged and left.
pub fn show(machine: &Machine, limit: Duration) -> io::Result<()> {
    let owned = machine.path(OWNED);
    if let Some(folder) = owned.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let lock = File::create(owned)?;
    lock.lock()?;
    let end = Instant::now() + limit;
    thread::scope(|scope| {
        for terminal in find(machine) {
            scope.spawn(move || {
                if let Err(error) = show_on(machine, &terminal, end) {
                    eprintln!("showing the report on {}: {error}", terminal.device.display());
                }
            });
        }
    });
    File::create(machine.path(OVER))?;
    drop(lock);
    Ok(())
}

fn show_on(machine: &Machine, terminal: &Terminal, end: Instant) -> io::Result<()> {
    let mut open = Open::new(terminal, true)?;
    open.show("\n Firstlight checks this machine before its platform starts. Any key: log in.\n")?;
    let mut line = String::new();
    loop {
        if let Some(report) = newest(machine) {
            let view = View { ascii: terminal.ascii, rows: Some(ROWS - 1) };
            return open.show(&format!("\r\x1b[K\n{}", text(&report, view)));
        }
        if open.pressed() || Instant::now() >= end {
            return open.show("\r\x1b[K The checks go on; see: firmware-checks watch\n");
        }
        let now = progress(machine);
        if now != line {
            open.show(&format!("\r {now}\x1b[K"))?;
            line = now;
        }
        thread::sleep(BEAT);
    }
}

fn newest(machine: &Machine) -> Option<Report> {
    serde_json::from_slice(&std::fs::read(machine.path(REPORT)).ok()?).ok()
}

fn progress(machine: &Machine) -> String {
    machine.read(PROGRESS).unwrap_or_else(|_| "waiting for the checks to begin".to_owned())
}

/// Shows the report on the terminal of the one who asks, anew with every change, until a key is pressed.
///
/// # Errors
/// The terminal could not be opened or written.
pub fn watch(machine: &Machine, ascii: bool) -> io::Result<()> {
    let terminal = Terminal { device: "/dev/tty".into(), ascii };
    let mut open = Open::new(&terminal, true)?;
    let view = View { ascii, rows: Some(open.rows().unwrap_or(ROWS) - 1) };
    let mut shown = String::new();
    while !open.pressed() {
        let now = match newest(machine) {
            Some(report) => text(&report, view),
            None => format!(" {}\n", progress(machine)),
        };
        if now != shown {
            // Clear the screen and go to its upper left corner (ECMA-48 ED and CUP).
            open.show(&format!("\x1b[2J\x1b[H{now}"))?;
            shown = now;
        }
        thread::sleep(BEAT);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_live_view_ends_by_itself_and_says_that_it_is_over() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        assert!(!is_over(&machine));
        show(&machine, Duration::from_millis(10)).unwrap();
        assert!(is_over(&machine));
    }

    #[test]
    fn what_runs_is_shown_until_there_is_a_report() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        assert_eq!(progress(&machine), "waiting for the checks to begin");
        assert!(newest(&machine).is_none());
        std::fs::create_dir_all(machine.path("/run/firstlight")).unwrap();
        let now = crate::checks::run::Progress { done: 2, total: 31, current: "tls.pair" };
        crate::gate::progress(&machine, now).unwrap();
        assert_eq!(progress(&machine), "checking 3 of 31: tls.pair");
    }
}
