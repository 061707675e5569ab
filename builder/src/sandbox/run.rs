//! The caller's side of a sandbox: starts init, tells it what to run, listens.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;

use nix::sys::signal::Signal;

use super::{Error, Outcome, Spec, init, program};

/// How much of a failed command's words goes into the error, in bytes.
const TAIL: usize = 1024;

/// What a command wrote, and how it ended.
struct Answer {
    outcome: Outcome,
    stdout: Vec<u8>,
    stderr: Vec<u8>,
}

pub(super) fn run(spec: &Spec, log: Option<&Path>) -> Result<Vec<u8>, Error> {
    let program = spec.command.first().cloned().unwrap_or_default();
    let not_started = |reason: String| Error::NotStarted { program: program.clone(), root: spec.root.clone(), reason };
    let log_file = log
        .map(|path| {
            let opened = OpenOptions::new().create(true).append(true).open(path);
            opened.map(Mutex::new).map_err(|source| Error::Log { path: path.to_owned(), source })
        })
        .transpose()?;
    let answer = talk(spec, log_file.as_ref()).map_err(|error| not_started(error.to_string()))?;
    let how = match answer.outcome {
        Outcome::Exited(0) => return Ok(answer.stdout),
        Outcome::Exited(status) => format!("ended with exit status {status}"),
        Outcome::Killed(signal) => {
            format!("was killed by {}", Signal::try_from(signal).map_or("an unknown signal", Signal::as_str))
        }
        Outcome::NotStarted(reason) => return Err(not_started(reason)),
    };
    let words = if answer.stderr.trim_ascii().is_empty() { answer.stdout } else { answer.stderr };
    let stderr = String::from_utf8_lossy(&words[words.len().saturating_sub(TAIL)..]).into_owned();
    Err(Error::Failed { program, root: spec.root.clone(), how, stderr })
}

/// Starts init, hands it `spec` over a socket, and collects everything until all of the sandbox's processes are gone.
fn talk(spec: &Spec, log: Option<&Mutex<File>>) -> io::Result<Answer> {
    let (mut ours, theirs) = UnixStream::pair()?;
    let mut init = Command::new(program())
        .arg(init::VERB)
        .stdin(OwnedFd::from(theirs))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let (stdout, stderr) = (init.stdout.take(), init.stderr.take());
    let (stdout, stderr, outcome) = thread::scope(|scope| {
        let stdout = scope.spawn(|| collect(stdout, log));
        let stderr = scope.spawn(|| collect(stderr, log));
        let outcome = exchange(&mut ours, spec);
        let joined = |reader: thread::ScopedJoinHandle<'_, io::Result<Vec<u8>>>| {
            reader.join().unwrap_or_else(|_| Err(io::Error::other("a reader of the sandbox's output panicked")))
        };
        (joined(stdout), joined(stderr), outcome)
    });
    init.wait()?;
    let stderr = stderr?;
    let outcome = outcome?.unwrap_or_else(|| {
        let words = String::from_utf8_lossy(&stderr).trim().to_owned();
        Outcome::NotStarted(format!("the sandbox's init ended before it could answer: {words}"))
    });
    Ok(Answer { outcome, stdout: stdout?, stderr })
}

/// Tells init what to run and waits for its answer; none where init died.
fn exchange(socket: &mut UnixStream, spec: &Spec) -> io::Result<Option<Outcome>> {
    let told = socket.write_all(&serde_json::to_vec(spec)?).and_then(|()| socket.shutdown(Shutdown::Write));
    let mut answer = Vec::new();
    let heard = socket.read_to_end(&mut answer);
    if answer.is_empty() {
        return Ok(None);
    }
    told.and(heard)?;
    Ok(Some(serde_json::from_slice(&answer)?))
}

/// Reads `from` to its end, appending each piece to the log as it comes.
fn collect(from: Option<impl Read>, log: Option<&Mutex<File>>) -> io::Result<Vec<u8>> {
    let Some(mut from) = from else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    let mut piece = [0; 16 * 1024];
    // A full disk must not stop the reading, or the command would wait forever for its pipe.
    let mut logged = Ok(());
    loop {
        let length = match from.read(&mut piece) {
            Ok(0) => return logged.map(|()| all),
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        all.extend_from_slice(&piece[..length]);
        if let (Ok(()), Some(Ok(mut file))) = (&logged, log.map(Mutex::lock)) {
            logged = file.write_all(&piece[..length]);
        }
    }
}
