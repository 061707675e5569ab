//! Running another program for a bounded time.

use std::io::{self, Read};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// A program did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not installed.
    #[error("{0} is not installed")]
    Missing(String),
    /// It could not be started or waited for.
    #[error("running {doing}: {source}")]
    Start {
        /// The command.
        doing: String,
        /// Why.
        source: io::Error,
    },
    /// It did not end in time, and was killed.
    #[error("{doing} did not end within {} s", limit.as_secs())]
    Late {
        /// The command.
        doing: String,
        /// How long it was given.
        limit: Duration,
    },
    /// It ended with a failure.
    #[error("{doing}: {status}: {said}")]
    Failed {
        /// The command.
        doing: String,
        /// How it ended.
        status: ExitStatus,
        /// The last KiB of its standard error, in one line.
        said: String,
    },
}

impl Error {
    /// The same without the command, for a person who has not typed it; the journal has the whole.
    #[must_use]
    pub fn brief(&self) -> String {
        match self {
            Self::Missing(_) => self.to_string(),
            Self::Start { source, .. } => format!("it can't be run: {source}"),
            Self::Late { limit, .. } => format!("no answer within {} s", limit.as_secs()),
            Self::Failed { status, said, .. } if said.is_empty() => status.to_string(),
            Self::Failed { said, .. } => said.clone(),
        }
    }
}

/// Runs `program` without a shell and gives its standard output. After `limit` it is killed.
///
/// # Errors
/// [`Error`].
pub fn run(program: &str, arguments: &[&str], limit: Duration) -> Result<String, Error> {
    let doing = || std::iter::once(program).chain(arguments.iter().copied()).collect::<Vec<_>>().join(" ");
    let start = |source| Error::Start { doing: doing(), source };
    let mut child = Command::new(program)
        .args(arguments)
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|source| match source.kind() {
            io::ErrorKind::NotFound => Error::Missing(program.to_owned()),
            _ => start(source),
        })?;
    let (stdout, stderr) = (read(child.stdout.take()), read(child.stderr.take()));
    let end = Instant::now() + limit;
    let status = loop {
        if let Some(status) = child.try_wait().map_err(start)? {
            break status;
        }
        if Instant::now() >= end {
            child.kill().and_then(|()| child.wait()).map_err(start)?;
            return Err(Error::Late { doing: doing(), limit });
        }
        thread::sleep(Duration::from_millis(30));
    };
    let text =
        |reader: thread::JoinHandle<Vec<u8>>| String::from_utf8_lossy(&reader.join().unwrap_or_default()).into_owned();
    if status.success() {
        return Ok(text(stdout));
    }
    let said = text(stderr);
    let last = said.char_indices().rev().nth(1023).map_or(0, |(start, _)| start);
    let said = said[last..].split_whitespace().collect::<Vec<_>>().join(" ");
    Err(Error::Failed { doing: doing(), status, said })
}

/// Reads to the end on a thread of its own, so that neither pipe fills up and holds the program.
fn read(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut all = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before a failure is still worth showing.
            let _ = pipe.read_to_end(&mut all);
        }
        all
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn a_program_gives_its_output_or_its_last_words() {
        assert_eq!(run("echo", &["a", "b"], SOON).unwrap(), "a b\n");
        let message = run("sh", &["-c", "echo why >&2; exit 3"], SOON).unwrap_err().to_string();
        assert!(message.ends_with("exit status: 3: why"), "{message}");
        assert_eq!(run("sh", &["-c", "echo why >&2; exit 3"], SOON).unwrap_err().brief(), "why");
        assert_eq!(run("sh", &["-c", "exit 3"], SOON).unwrap_err().brief(), "exit status: 3");
        assert_eq!(run("no-such-program", &[], SOON).unwrap_err().to_string(), "no-such-program is not installed");
    }

    #[test]
    fn a_program_that_does_not_end_is_killed() {
        let started = Instant::now();
        assert!(matches!(run("sleep", &["60"], Duration::from_millis(100)), Err(Error::Late { .. })));
        assert!(started.elapsed() < Duration::from_secs(20));
    }

    #[test]
    fn much_output_holds_nothing_up() {
        assert_eq!(run("head", &["-c", "1000000", "/dev/zero"], SOON).unwrap().len(), 1_000_000);
    }
}
