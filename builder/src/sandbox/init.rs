//! The sandbox's own side: this program, started again as process 1 of the new namespaces.
//!
//! Two processes: the first makes the namespaces and starts the second, which is process 1 in them, does the
//! mounts, starts the command and reaps whatever it leaves. Each dies with the one that started it, and with
//! process 1 the kernel kills all others, so a killed builder leaves nothing running.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sched::{CloneFlags, unshare};
use nix::sys::prctl::set_pdeathsig;
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use nix::sys::signal::Signal;
use nix::sys::stat::{Mode, umask};
use nix::sys::wait::{WaitStatus, wait};
use nix::unistd::{Pid, getpid, sethostname, setsid};

use super::{Outcome, Spec, mounts, unsynced};

/// The hidden verb of the process that makes the namespaces.
pub(super) const VERB: &str = "__sandbox";
/// The hidden verb of process 1.
const INIT: &str = "__sandbox-init";

/// Does the sandbox's work and never returns, where this process was started for it. The first statement of `main`.
pub fn init_if_asked() {
    let verb = std::env::args_os().nth(1);
    match verb.as_deref().and_then(OsStr::to_str) {
        Some(VERB) => std::process::exit(outside()),
        Some(INIT) if getpid() == Pid::from_raw(1) => std::process::exit(inside()),
        _ => {}
    }
}

/// Makes the namespaces, then waits for process 1.
fn outside() -> i32 {
    let made = die_with_parent().and_then(|()| {
        setsid().map_err(|error| format!("starting a session: {error}"))?;
        let namespaces = CloneFlags::CLONE_NEWNS
            | CloneFlags::CLONE_NEWPID
            | CloneFlags::CLONE_NEWNET
            | CloneFlags::CLONE_NEWUTS
            | CloneFlags::CLONE_NEWIPC;
        unshare(namespaces).map_err(|error| {
            format!("making namespaces: {error}; only root, or a process in a user namespace of its own, may do this")
        })?;
        let init = Command::new("/proc/self/exe").arg(INIT).spawn();
        let mut init = init.map_err(|error| format!("starting init: {error}"))?;
        init.wait().map_err(|error| format!("waiting for init: {error}"))
    });
    match made {
        Ok(status) => i32::from(!status.success()),
        Err(reason) => answer(&Outcome::NotStarted(reason)),
    }
}

/// Process 1: mounts, starts the command, waits for it.
fn inside() -> i32 {
    let outcome = die_with_parent().and_then(|()| prepare_and_run()).unwrap_or_else(Outcome::NotStarted);
    answer(&outcome)
}

fn prepare_and_run() -> Result<Outcome, String> {
    let mut text = Vec::new();
    io::stdin().lock().read_to_end(&mut text).map_err(|error| format!("reading what to run: {error}"))?;
    let spec: Spec = serde_json::from_slice(&text).map_err(|error| format!("reading what to run: {error}"))?;
    keep_descriptors_from_the_command().map_err(|error| format!("closing inherited files: {error}"))?;
    sethostname("localhost").map_err(|error| format!("setting the host name: {error}"))?;
    mounts::enter(&spec)?;
    umask(Mode::from_bits_truncate(0o022));
    // Some programs close every descriptor up to the limit, one by one; a host's may be a thousand million.
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_err(|error| format!("reading the file limit: {error}"))?;
    setrlimit(Resource::RLIMIT_NOFILE, limit.0.min(1024), limit.1.min(4096))
        .map_err(|error| format!("setting the file limit: {error}"))?;
    unsynced::enter().map_err(|error| format!("making sync a word only: {error}"))?;
    let (program, arguments) = spec.command.split_first().ok_or("no command was given")?;
    let child = Command::new(program)
        .args(arguments)
        .env_clear()
        .envs(&spec.env)
        .stdin(Stdio::null())
        .spawn()
        .map_err(|error| format!("starting it: {error}"))?;
    let child = Pid::from_raw(i32::try_from(child.id()).map_err(|error| error.to_string())?);
    loop {
        match wait() {
            Ok(WaitStatus::Exited(pid, status)) if pid == child => return Ok(Outcome::Exited(status)),
            Ok(WaitStatus::Signaled(pid, signal, _)) if pid == child => return Ok(Outcome::Killed(signal as i32)),
            Ok(_) | Err(nix::errno::Errno::EINTR) => {}
            Err(error) => return Err(format!("waiting for it: {error}")),
        }
    }
}

/// Asks to be killed when the parent dies, and finds out whether it is dead already: then its end of the socket on
/// standard input is closed.
fn die_with_parent() -> Result<(), String> {
    set_pdeathsig(Signal::SIGKILL).map_err(|error| format!("binding init's life to the builder's: {error}"))?;
    let stdin = io::stdin();
    let mut socket = [PollFd::new(stdin.as_fd(), PollFlags::empty())];
    poll(&mut socket, PollTimeout::ZERO).map_err(|error| format!("looking at the builder's socket: {error}"))?;
    match socket[0].revents() {
        Some(events) if events.contains(PollFlags::POLLHUP) => Err("the builder is gone".to_owned()),
        _ => Ok(()),
    }
}

fn answer(outcome: &Outcome) -> i32 {
    let sent = io::stdin().as_fd().try_clone_to_owned().and_then(|socket| {
        let text = serde_json::to_vec(outcome)?;
        UnixStream::from(socket).write_all(&text)
    });
    i32::from(sent.is_err())
}

/// Marks every descriptor but the three standard ones close-on-exec: those that the builder itself inherited, from a
/// shell or a job server, are no business of a maintainer script.
fn keep_descriptors_from_the_command() -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let Some(number) = entry?.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if number > 2 {
            close_on_exec(number)?;
        }
    }
    Ok(())
}

#[allow(unsafe_code)]
fn close_on_exec(number: i32) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, FdFlag, fcntl};
    // SAFETY: the descriptor is only borrowed for this one call, which neither closes nor keeps it; one that was
    // closed in the meantime (the folder's own) is answered with EBADF.
    let descriptor = unsafe { BorrowedFd::borrow_raw(number) };
    match fcntl(descriptor, FcntlArg::F_SETFD(FdFlag::FD_CLOEXEC)) {
        Ok(_) | Err(nix::errno::Errno::EBADF) => Ok(()),
        Err(error) => Err(error.into()),
    }
}
