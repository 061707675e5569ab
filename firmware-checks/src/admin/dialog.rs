//! Asking for a new password on a terminal.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{self, InputFlags, LocalFlags, SetArg, Termios};

/// The fewest characters of a password.
pub const LEAST: usize = 10;
/// How often something that can't be a password may be typed.
const TRIES: u32 = 3;

/// No password came of it.
#[derive(Debug, thiserror::Error)]
pub enum Stopped {
    /// Nothing was typed for too long.
    #[error("nothing was typed for {} s", .0.as_secs())]
    Silence(Duration),
    /// Ctrl-D, or the terminal is gone.
    #[error("it was given up")]
    GivenUp,
    /// What was typed was no good, three times.
    #[error("no password was chosen in {TRIES} tries")]
    Tries,
    /// The terminal failed.
    #[error("the terminal: {0}")]
    Terminal(#[from] io::Error),
}

/// Asks on `terminal` for a new password, twice and without echo, and gives it. Each line may take `limit`.
///
/// # Errors
/// [`Stopped`]; the terminal is then as it was.
pub fn ask(terminal: &File, limit: Duration) -> Result<String, Stopped> {
    let mut quiet = Quiet::new(terminal)?;
    quiet.show(&format!(
        "\nNobody can log in to this machine yet. Choose the password of `admin`: at least\n{LEAST} characters, which are \
         not shown. It is for this console and for no network.\n"
    ))?;
    for _ in 0..TRIES {
        let first = quiet.line("New password: ", limit)?;
        if let Some(why) = wrong(&first) {
            quiet.show(&format!("{why}; try again.\n"))?;
            continue;
        }
        let first = String::from_utf8_lossy(&first).into_owned();
        if quiet.line("Once more: ", limit)? == first.as_bytes() {
            return Ok(first);
        }
        quiet.show("The two are not the same; try again.\n")?;
    }
    Err(Stopped::Tries)
}

/// What is wrong with `password`.
fn wrong(password: &[u8]) -> Option<String> {
    let Ok(text) = std::str::from_utf8(password) else {
        return Some("This keyboard sends characters that are not UTF-8".to_owned());
    };
    match text.chars().count() {
        _ if text.chars().any(char::is_control) => Some("A key was pressed that stands for no character".to_owned()),
        count if count < LEAST => Some(format!("{count} characters are too few, {LEAST} are needed")),
        _ => None,
    }
}

/// A terminal that edits lines and echoes nothing; as before when it is dropped.
struct Quiet<'a> {
    file: &'a File,
    saved: Termios,
}

impl<'a> Quiet<'a> {
    fn new(file: &'a File) -> io::Result<Self> {
        let saved = termios::tcgetattr(file)?;
        let mut silent = saved.clone();
        silent.local_flags.remove(LocalFlags::ECHO | LocalFlags::ECHONL);
        silent.local_flags.insert(LocalFlags::ICANON);
        silent.input_flags.insert(InputFlags::ICRNL);
        // Whatever was typed before the question is no answer to it.
        termios::tcsetattr(file, SetArg::TCSAFLUSH, &silent)?;
        Ok(Self { file, saved })
    }

    fn show(&mut self, text: &str) -> io::Result<()> {
        self.file.write_all(text.as_bytes())
    }

    /// The next line, without its end.
    fn line(&mut self, prompt: &str, limit: Duration) -> Result<Vec<u8>, Stopped> {
        self.show(prompt)?;
        let end = Instant::now() + limit;
        let mut line = Vec::new();
        while !line.ends_with(b"\n") {
            self.wait(end, limit)?;
            // A terminal's line is at most this long (termios (3), canonical mode).
            let mut chunk = [0; 4096];
            match self.file.read(&mut chunk) {
                Ok(0) => return Err(Stopped::GivenUp),
                Ok(read) => line.extend_from_slice(&chunk[..read]),
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock) => {}
                Err(error) => return Err(error.into()),
            }
        }
        line.pop();
        self.show("\n")?;
        Ok(line)
    }

    fn wait(&self, end: Instant, limit: Duration) -> Result<(), Stopped> {
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let left = PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX);
            match poll(&mut [PollFd::new(self.file.as_fd(), PollFlags::POLLIN)], left) {
                Ok(0) => return Err(Stopped::Silence(limit)),
                Ok(_) => return Ok(()),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(Stopped::Terminal(error.into())),
            }
        }
    }
}

impl Drop for Quiet<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no settings.
        let _ = termios::tcsetattr(self.file, SetArg::TCSANOW, &self.saved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LONG: Duration = Duration::from_secs(30);
    const NEW: &str = "New password: ";
    const MORE: &str = "Once more: ";

    /// Types each line once its prompt is there. What came of it, and all that the screen showed.
    fn typed(lines: &[(&str, &[u8])], limit: Duration) -> (Result<String, Stopped>, String) {
        let pty = nix::pty::openpty(None, None).unwrap();
        let (screen, terminal) = (File::from(pty.master), File::from(pty.slave));
        let asking = std::thread::spawn(move || {
            let before = termios::tcgetattr(&terminal).unwrap().local_flags;
            let answer = ask(&terminal, limit);
            assert_eq!(termios::tcgetattr(&terminal).unwrap().local_flags, before);
            answer
        });
        let mut shown = String::new();
        let until = |shown: &mut String, wanted: &str| {
            let (from, mut chunk) = (shown.len(), [0; 4096]);
            while !shown[from..].contains(wanted) {
                // EIO: the other end was closed.
                let Ok(read) = (&screen).read(&mut chunk) else { return };
                shown.push_str(&String::from_utf8_lossy(&chunk[..read]));
            }
        };
        for (prompt, keys) in lines {
            until(&mut shown, prompt);
            (&screen).write_all(keys).unwrap();
        }
        let answer = asking.join().unwrap();
        until(&mut shown, "nothing that comes");
        (answer, shown)
    }

    #[test]
    fn a_password_that_is_typed_twice_is_taken_and_never_shown() {
        let (answer, shown) = typed(&[(NEW, b"correct horse\r"), (MORE, b"correct horse\r")], LONG);
        assert_eq!(answer.unwrap(), "correct horse");
        assert!(shown.contains("Nobody can log in") && !shown.contains("correct"), "{shown}");
    }

    #[test]
    fn a_typing_error_can_be_taken_back_or_is_noticed() {
        let (answer, shown) = typed(
            &[
                (NEW, b"correct hoarse\r"),
                (MORE, b"correct horse\r"),
                (NEW, b"batterx\x7fy staple\r"),
                (MORE, b"battery staple\r"),
            ],
            LONG,
        );
        assert_eq!(answer.unwrap(), "battery staple");
        assert!(shown.contains("not the same"), "{shown}");
    }

    #[test]
    fn what_is_too_short_or_no_character_is_refused_three_times_at_most() {
        let (answer, shown) = typed(
            &[(NEW, b"short\r"), ("try again", b"correct \x1b[D horse\r"), ("try again", b"\xff\xfe 234567890\r")],
            LONG,
        );
        assert!(matches!(answer, Err(Stopped::Tries)), "{answer:?}");
        for why in ["5 characters are too few, 10 are needed", "stands for no character", "not UTF-8"] {
            assert!(shown.contains(why), "{why}: {shown}");
        }
    }

    #[test]
    fn one_who_gives_up_or_goes_away_leaves_nothing() {
        assert!(matches!(typed(&[(NEW, b"\x04")], LONG).0, Err(Stopped::GivenUp)));
        let (answer, _) = typed(&[(NEW, b"correct horse\r")], Duration::from_millis(200));
        assert!(matches!(answer, Err(Stopped::Silence(_))), "{answer:?}");
    }
}
