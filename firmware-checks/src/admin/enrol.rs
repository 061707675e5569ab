//! Giving `admin` its first password: once, and only while there is no way in.

use std::fs::File;
use std::io::{self, Write};
use std::process::{Command, Stdio};

use jiff::Timestamp;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};

use super::access::{NAME, access};
use crate::facts::Machine;
use crate::files;

/// Says that somebody enrolled; nobody does so a second time.
pub const ENROLLED: &str = "/var/lib/firstlight/enrolled.json";
/// Held while a password is set, so that of two consoles the first one wins.
const LOCK: &str = "/run/firstlight/enrol.lock";

/// Where and when somebody enrolled.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Enrolled {
    /// The console, such as `ttyS0`.
    pub console: String,
    /// By the machine's clock.
    pub at: Timestamp,
}

/// A password could not be set.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Somebody else was faster, at another console or by a site configuration.
    #[error("`{NAME}` has a way to log in by now; nothing was changed")]
    TooLate,
    /// The system's own program refused it.
    #[error("setting the password: {0}")]
    Refused(String),
    /// A file failed.
    #[error("{doing}: {source}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// The earlier enrolment; none where nobody enrolled.
///
/// # Errors
/// [`ENROLLED`] is there and can't be read.
pub fn enrolled(machine: &Machine) -> io::Result<Option<Enrolled>> {
    match std::fs::read(machine.path(ENROLLED)) {
        Ok(text) => Ok(Some(serde_json::from_slice(&text)?)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Whether the next one who asks for `admin` at a console may choose its password: there is no way in, and nobody
/// enrolled before.
///
/// # Errors
/// It could not be told.
pub fn may_enrol(machine: &Machine) -> io::Result<bool> {
    // A mark that can't be read is still one.
    Ok(!machine.path(ENROLLED).exists() && access(machine)?.none())
}

/// Sets the password by `set`, where there is still no way in, and keeps `mark`.
///
/// The password comes first: a power cut before it leaves everything as it was, and one after it leaves a way in,
/// which alone already keeps the next one from enrolling.
///
/// # Errors
/// [`Error`].
pub fn commit(machine: &Machine, mark: &Enrolled, set: impl FnOnce() -> Result<(), String>) -> Result<(), Error> {
    let failed = |doing| move |source| Error::File { doing, source };
    let path = machine.path(LOCK);
    path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed("making /run/firstlight"))?;
    let lock = File::create(&path).map_err(failed("opening the lock of the enrolment"))?;
    let _lock = Flock::lock(lock, FlockArg::LockExclusive)
        .map_err(|(_, error)| failed("waiting for the lock of the enrolment")(error.into()))?;
    if !may_enrol(machine).map_err(failed("looking for other ways to log in"))? {
        return Err(Error::TooLate);
    }
    set().map_err(Error::Refused)?;
    let durable = File::open(machine.path("/etc")).and_then(|folder| folder.sync_all());
    durable.map_err(failed("writing /etc/shadow to the disk"))?;
    let text = serde_json::to_vec(mark).map_err(|error| failed("keeping that it was done")(error.into()))?;
    files::replace(&machine.path(ENROLLED), &text, 0o644).map_err(failed("keeping that it was done"))
}

/// Gives `admin` its `password` by `program`, the system's chpasswd (8), so that the distribution's own choice of hash
/// and rules for passwords hold. It replaces /etc/shadow in one step.
///
/// # Errors
/// What the program said, in one line; never the password.
pub fn chpasswd(program: &str, password: &str) -> Result<(), String> {
    let told = |error: io::Error| format!("{program}: {error}");
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(told)?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends without reading says why on its standard error.
        let _ = stdin.write_all(format!("{NAME}:{password}\n").as_bytes());
    }
    let output = child.wait_with_output().map_err(told)?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr).split_whitespace().collect::<Vec<_>>().join(" ");
    Err(if said.is_empty() { format!("{program}: {}", output.status) } else { said })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::admin::access::tests::machine;

    fn mark(console: &str) -> Enrolled {
        Enrolled { console: console.to_owned(), at: "2026-11-21T14:02:51Z".parse().unwrap() }
    }

    fn set(machine: &Machine) -> impl FnOnce() -> Result<(), String> {
        let shadow = machine.path("/etc/shadow");
        move || std::fs::write(shadow, "admin:$y$j9T$salt$hash:1:0:99999:7:::\n").map_err(|error| error.to_string())
    }

    #[test]
    fn of_two_consoles_the_first_wins_and_it_is_kept_where_and_when() {
        let (_root, machine) = machine("!", None);
        assert!(may_enrol(&machine).unwrap());
        commit(&machine, &mark("tty1"), set(&machine)).unwrap();
        let second = commit(&machine, &mark("ttyS0"), || unreachable!("a second password was set"));
        assert!(matches!(second, Err(Error::TooLate)), "{second:?}");
        assert_eq!(enrolled(&machine).unwrap(), Some(mark("tty1")));
    }

    #[test]
    fn nobody_enrols_a_second_time_even_where_the_password_is_locked_again() {
        let (_root, machine) = machine("!", None);
        commit(&machine, &mark("tty1"), || Ok(())).unwrap();
        assert!(!may_enrol(&machine).unwrap());
        std::fs::write(machine.path(ENROLLED), "half a").unwrap();
        assert!(!may_enrol(&machine).unwrap(), "a mark that can't be read is still one");
    }

    #[test]
    fn a_key_or_a_password_from_a_site_closes_it() {
        for (hash, keys) in [("$6$salt$hash", None), ("!", Some("ssh-ed25519 AAAA\n"))] {
            assert!(!may_enrol(&machine(hash, keys).1).unwrap());
        }
    }

    #[test]
    fn a_cut_after_the_password_and_before_the_mark_leaves_it_closed() {
        let (_root, machine) = machine("!", None);
        set(&machine)().unwrap();
        assert_eq!(enrolled(&machine).unwrap(), None);
        assert!(!may_enrol(&machine).unwrap());
    }

    #[test]
    fn a_password_that_the_system_refuses_leaves_it_open() {
        let (_root, machine) = machine("!", None);
        let refused = commit(&machine, &mark("tty1"), || Err("too simple".to_owned()));
        assert_eq!(refused.unwrap_err().to_string(), "setting the password: too simple");
        assert!(may_enrol(&machine).unwrap() && enrolled(&machine).unwrap().is_none());
    }

    #[test]
    fn what_the_program_reads_and_says_goes_through() {
        let folder = tempfile::tempdir().unwrap();
        let program = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
            path.display().to_string()
        };
        let seen = folder.path().join("seen");
        chpasswd(&program("good", &format!("cat >{}", seen.display())), "correct: horse").unwrap();
        assert_eq!(std::fs::read_to_string(seen).unwrap(), "admin:correct: horse\n");
        let refused = chpasswd(&program("bad", "echo 'BAD PASSWORD: a word' >&2; exit 1"), "x");
        assert_eq!(refused.unwrap_err(), "BAD PASSWORD: a word");
        assert!(chpasswd("/no/such/program", "secret").unwrap_err().contains("/no/such/program"));
    }
}
