//! The machine's first serial port, shown as it is.

use std::io::Write;

use super::machine::Virtual;

/// What Linux prints first, before any of its consoles could be configured away.
const KERNEL: &[u8] = b"Linux version";
/// What a user space prints when the kernel is told to be quiet.
const USERSPACE: &[u8] = b"systemd";

/// Shows what the serial port says and remembers whether a kernel has spoken.
pub(super) struct Console {
    lines: std::sync::mpsc::Receiver<Vec<u8>>,
    recent: Vec<u8>,
    kernel_seen: bool,
}

impl Console {
    /// The console of `machine`; there is one for each, later calls take it over.
    pub(super) fn of(machine: &mut Virtual) -> Self {
        Self { lines: machine.console(), recent: Vec::new(), kernel_seen: false }
    }

    /// Shows what has come since the last call.
    pub(super) fn pass_on(&mut self) {
        let mut out = std::io::stdout().lock();
        for chunk in self.lines.try_iter() {
            // A console that nobody reads any more is no reason to give up the machine.
            let _ = out.write_all(&chunk).and_then(|()| out.flush());
            if !self.kernel_seen {
                self.recent.extend_from_slice(&chunk);
                let says = |what: &[u8]| self.recent.windows(what.len()).any(|window| window == what);
                self.kernel_seen = says(KERNEL) || says(USERSPACE);
                let keep = self.recent.len().saturating_sub(64);
                self.recent.drain(..keep);
            }
        }
    }

    /// Whether the guest's kernel or its user space has said anything.
    pub(super) fn kernel_seen(&self) -> bool {
        self.kernel_seen
    }
}
