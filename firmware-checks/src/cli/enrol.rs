//! `firmware-checks enrol`: the first password of `admin`.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use jiff::Timestamp;

use crate::admin::{self, Enrolled, Error};
use crate::cli::{Outcome, Wrong};
use crate::facts::Machine;

/// How long each line may take: long enough to think of a password, and to write it down.
const LIMIT: Duration = Duration::from_secs(180);

/// Choose the password of `admin` at this console, where nobody can log in yet; else do nothing (run by the login).
#[derive(Args)]
pub struct Enrol {}

impl Enrol {
    /// Asks, and sets it.
    ///
    /// # Errors
    /// This is no console of the machine, or the password could not be set.
    pub fn run(self) -> anyhow::Result<Outcome> {
        let machine = Machine::here();
        if !admin::may_enrol(&machine).context("looking who may log in")? {
            return Ok(Outcome::Done);
        }
        let terminal = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        let name = nix::unistd::ttyname(&terminal).context("asking for the name of this terminal")?;
        let console =
            console(&name).ok_or_else(|| Wrong(format!("{} is no console of this machine", name.display())))?;
        let password = match admin::ask(&terminal, LIMIT) {
            Ok(password) => password,
            Err(stopped) => {
                told(&terminal, &format!("{stopped}. Nothing was changed."));
                return Ok(Outcome::NotReady);
            }
        };
        let mark = Enrolled { console: console.to_owned(), at: Timestamp::now() };
        match admin::commit(&machine, &mark, || admin::chpasswd("/usr/sbin/chpasswd", &password)) {
            Ok(()) => {
                journal(&mark);
                told(&terminal, "The password is set. Log in with it now.");
                Ok(Outcome::Done)
            }
            Err(error @ Error::TooLate) => Err(Wrong(error.to_string()).into()),
            Err(error) => Err(error.into()),
        }
    }
}

/// The name of a console: a device of the machine itself. What comes over a network has a pseudo-terminal (pts (4)).
fn console(device: &Path) -> Option<&str> {
    device.strip_prefix("/dev").ok()?.to_str().filter(|name| !name.contains('/'))
}

fn told(mut terminal: &File, text: &str) {
    // Whoever has gone away need not be told.
    let _ = terminal.write_all(format!("{text}\n").as_bytes());
}

/// Puts into the journal that, where and when somebody enrolled. The mark says it too.
fn journal(mark: &Enrolled) {
    let text = format!("<5>firmware-checks: the password of admin was chosen at {} at {}\n", mark.console, mark.at);
    let sent = std::os::unix::net::UnixDatagram::unbound()
        .and_then(|socket| socket.send_to(text.as_bytes(), "/dev/log").map(drop));
    if let Err(error) = sent {
        eprintln!("telling the journal: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_that_may_be_somewhere_else_is_no_console() {
        for (device, name) in [("/dev/tty1", "tty1"), ("/dev/ttyS1", "ttyS1"), ("/dev/console", "console")] {
            assert_eq!(console(Path::new(device)), Some(name));
        }
        for device in ["/dev/pts/0", "/tmp/tty1", "pipe:[1]"] {
            assert_eq!(console(Path::new(device)), None, "{device}");
        }
    }
}
