//! Terminals: which there are, and writing to them without ever being held up by one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use nix::libc::{O_NOCTTY, O_NONBLOCK};
use nix::pty::Winsize;
use nix::sys::termios::{self, FlushArg, LocalFlags, SetArg, Termios};

use crate::facts::Machine;

/// A terminal that reports are shown on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// Its device node.
    pub device: PathBuf,
    /// Whether it shows only ASCII.
    pub ascii: bool,
}

/// `tty1` and every serial port that has a UART behind it: the kernel makes nodes for more ports than there are, and
/// says 0 (`PORT_UNKNOWN`) for the type of those that are not.
#[must_use]
pub fn find(machine: &Machine) -> Vec<Terminal> {
    let utf8 = machine.read("/sys/module/vt/parameters/default_utf8").is_ok_and(|answer| answer != "0");
    let screen = machine.path("/sys/class/tty/tty1").exists();
    let mut found: Vec<Terminal> = Vec::new();
    if screen {
        found.push(Terminal { device: machine.path("/dev/tty1"), ascii: !utf8 });
    }
    let serial = serial_ports(machine);
    found.extend(serial.iter().map(|name| Terminal { device: machine.path(&format!("/dev/{name}")), ascii: true }));
    found
}

fn serial_ports(machine: &Machine) -> Vec<String> {
    let names = std::fs::read_dir(machine.path("/sys/class/tty")).into_iter().flatten().flatten();
    let mut found: Vec<String> = names
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .filter(|name| match name.trim_end_matches(|c: char| c.is_ascii_digit()) {
            "ttyS" | "ttyAMA" => machine.read(&format!("/sys/class/tty/{name}/type")).is_ok_and(|kind| kind != "0"),
            // A paravirtual console: only the first speaks to an admin.
            "hvc" => name == "hvc0",
            _ => false,
        })
        .collect();
    found.sort();
    found
}

/// Starts a login on every serial port; systemd by itself does so only on the kernel's console. One that runs already
/// is left alone.
pub fn start_logins(machine: &Machine) {
    for name in serial_ports(machine) {
        let unit = format!("serial-getty@{name}.service");
        let started = Command::new("systemctl").args(["start", "--no-block", &unit]).stdin(Stdio::null()).status();
        if let Err(error) = started {
            eprintln!("starting {unit}: {error}");
        }
    }
}

mod request {
    #![allow(unsafe_code, missing_docs)]
    nix::ioctl_read_bad!(window_size, nix::libc::TIOCGWINSZ, nix::pty::Winsize);
}
use request::window_size;

/// A terminal that has been opened.
pub(super) struct Open {
    file: File,
    /// The settings to put back, where they were changed.
    saved: Option<Termios>,
}

impl Open {
    /// Opens `terminal`; with `keys`, its keys can be read one by one and are not echoed until it is dropped.
    pub(super) fn new(terminal: &Terminal, keys: bool) -> io::Result<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(keys).write(true).custom_flags(O_NOCTTY | O_NONBLOCK).open(&terminal.device)?;
        Self::from(file, keys)
    }

    pub(super) fn from(file: File, keys: bool) -> io::Result<Self> {
        let mut saved = None;
        if keys {
            let settings = termios::tcgetattr(&file)?;
            let mut single = settings.clone();
            single.local_flags.remove(LocalFlags::ICANON | LocalFlags::ECHO);
            termios::tcsetattr(&file, SetArg::TCSANOW, &single)?;
            termios::tcflush(&file, FlushArg::TCIFLUSH)?;
            saved = Some(settings);
        }
        Ok(Self { file, saved })
    }

    /// Shows `text`. A line that nobody reads (flow control, an unplugged cable) is given up after two seconds.
    pub(super) fn show(&mut self, text: &str) -> io::Result<()> {
        let text = text.replace('\n', "\r\n");
        let mut rest = text.as_bytes();
        let mut moved = Instant::now();
        while !rest.is_empty() {
            match self.file.write(rest) {
                Ok(written) => {
                    rest = &rest[written..];
                    moved = Instant::now();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if moved.elapsed() > Duration::from_secs(2) {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                    std::thread::sleep(Duration::from_millis(20));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// How many lines it has, where it says so.
    pub(super) fn rows(&self) -> Option<usize> {
        let mut size = Winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: TIOCGWINSZ writes one `winsize` to where it is told (ioctl_tty (2)), and `size` outlives the call.
        #[allow(unsafe_code)]
        let done = unsafe { window_size(self.file.as_raw_fd(), &raw mut size) };
        done.ok().map(|_| usize::from(size.ws_row)).filter(|rows| *rows > 0)
    }

    /// Whether a key has been pressed since the last call.
    pub(super) fn pressed(&mut self) -> bool {
        let mut keys = [0; 64];
        matches!(self.file.read(&mut keys), Ok(read) if read > 0)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if let Some(settings) = &self.saved {
            // A terminal that is gone needs no settings.
            let _ = termios::tcsetattr(self.file.as_fd(), SetArg::TCSANOW, settings);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_without_a_uart_is_no_terminal() {
        let root = tempfile::tempdir().unwrap();
        let tty = root.path().join("sys/class/tty");
        for (name, kind) in [("ttyS0", "4"), ("ttyS1", "4"), ("ttyS2", "0"), ("ttyS10", "4")] {
            std::fs::create_dir_all(tty.join(name)).unwrap();
            std::fs::write(tty.join(name).join("type"), format!("{kind}\n")).unwrap();
        }
        for name in ["tty0", "tty1", "tty2", "hvc0", "hvc1", "ptmx", "ttyprintk"] {
            std::fs::create_dir_all(tty.join(name)).unwrap();
        }
        let found = find(&Machine::at(root.path()));
        let names: Vec<_> = found.iter().map(|t| t.device.file_name().unwrap().to_str().unwrap()).collect();
        assert_eq!(names, ["tty1", "hvc0", "ttyS0", "ttyS1", "ttyS10"]);
        assert!(found.iter().all(|terminal| terminal.ascii), "nothing says that the screen shows UTF-8");
    }

    #[test]
    fn a_machine_without_a_screen_has_its_uarts() {
        let root = tempfile::tempdir().unwrap();
        let port = root.path().join("sys/class/tty/ttyS0");
        std::fs::create_dir_all(&port).unwrap();
        std::fs::write(port.join("type"), "4").unwrap();
        assert_eq!(find(&Machine::at(root.path())).len(), 1);
    }

    #[test]
    fn a_key_is_seen_without_return_and_the_settings_are_put_back() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let (mut master, slave) = (File::from(pty.master), File::from(pty.slave));
        let before = termios::tcgetattr(&slave).unwrap();
        nix::fcntl::fcntl(&slave, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
        let mut open = Open::from(slave.try_clone().unwrap(), true).unwrap();
        assert!(!open.pressed());
        master.write_all(b"x").unwrap();
        std::thread::sleep(Duration::from_millis(50));
        assert!(open.pressed());
        drop(open);
        assert_eq!(termios::tcgetattr(&slave).unwrap().local_flags, before.local_flags);
    }

    #[test]
    fn a_terminal_that_nobody_reads_is_given_up() {
        let pty = nix::pty::openpty(None, None).unwrap();
        let slave = File::from(pty.slave);
        nix::fcntl::fcntl(&slave, nix::fcntl::FcntlArg::F_SETFL(nix::fcntl::OFlag::O_NONBLOCK)).unwrap();
        let mut open = Open::from(slave, false).unwrap();
        let error = open.show(&"x".repeat(1 << 20)).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }
}
