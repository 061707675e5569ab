//! A user namespace in which this process is root: over files of its own and subordinate ids, never over the host.

use std::fs;
use std::io::{self, Read, Write};
use std::process::{Child, Command, Stdio};

use nix::errno::Errno;
use nix::sched::{CloneFlags, unshare};
use nix::unistd::{Gid, Uid, User, getpid, setgroups, setresgid, setresuid};

use super::subid::{self, Range};

/// How many ids a distribution's packages may use: 0 to 65535, `nobody` among them.
pub const IDS: u32 = 65536;

/// No user namespace could be entered.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The kernel, or what guards it, forbids user namespaces.
    #[error("entering a user namespace: {source}\n  hint: {hint}")]
    Forbidden {
        /// The kernel's answer.
        source: io::Error,
        /// What to do.
        hint: String,
    },
    /// There are too few ids to map.
    #[error("mapping {IDS} user and group ids: {reason}\n  hint: {hint}")]
    Ids {
        /// What was found.
        reason: String,
        /// What to do.
        hint: String,
    },
}

/// Enters a user namespace in which this process is user and group 0 and the ids up to 65535 are mapped, and a mount
/// namespace that belongs to it. Must come before any thread is started.
///
/// Root maps every id to itself. An ordinary user maps 0 to itself, so that its cache stays its own, and the others
/// to its subordinate ids (`subuid(5)`).
///
/// # Errors
/// [`Error`], with a hint that names the command or setting which helps.
pub fn enter() -> Result<(), Error> {
    let (uid, gid) = (Uid::current(), Gid::current());
    let script = if uid.is_root() { for_root()? } else { for_user(uid, gid)? };
    let mut mapper = start(&script).map_err(|source| mapping(&format!("starting sh: {source}")))?;
    unshare(CloneFlags::CLONE_NEWUSER).map_err(forbidden)?;
    finish(&mut mapper)?;
    // Ubuntu lets everyone make a user namespace, but without its rights: only using one of them tells.
    unshare(CloneFlags::CLONE_NEWNS).map_err(forbidden)?;
    let root = (Uid::from_raw(0), Gid::from_raw(0));
    setgroups(&[root.1]).map_err(forbidden)?;
    setresgid(root.1, root.1, root.1).map_err(forbidden)?;
    setresuid(root.0, root.0, root.0).map_err(forbidden)
}

/// A shell script that maps the ids of this process from outside of its namespace, as the kernel asks, when it is
/// told so by a line on its standard input.
fn start(script: &str) -> io::Result<Child> {
    Command::new("/bin/sh")
        .args(["-c", &format!("read -r go && {script}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
}

fn finish(mapper: &mut Child) -> Result<(), Error> {
    let mut words = String::new();
    if let Some(mut stdin) = mapper.stdin.take() {
        stdin.write_all(b"go\n").map_err(|error| mapping(&error.to_string()))?;
    }
    if let Some(mut stderr) = mapper.stderr.take() {
        stderr.read_to_string(&mut words).map_err(|error| mapping(&error.to_string()))?;
    }
    match mapper.wait() {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(mapping(words.trim())),
        Err(error) => Err(mapping(&error.to_string())),
    }
}

fn for_root() -> Result<String, Error> {
    let pid = getpid();
    let map = |kind: &str| {
        let file = format!("/proc/self/{kind}_map");
        let text = fs::read_to_string(&file).map_err(|error| mapping(&format!("reading {file}: {error}")))?;
        let ranges = subid::from_zero(&text, IDS);
        let mapped: u32 = ranges.iter().map(|range| range.count).sum();
        if mapped < IDS {
            return Err(Error::Ids {
                reason: format!("this root has only the ids 0 to {} ({file})", mapped.saturating_sub(1)),
                hint: format!("start the container with {IDS} ids, or run firstlight outside of it"),
            });
        }
        let line = |Range { start, count }: &Range| format!("{start} {start} {count}\\n");
        Ok(format!("printf '{}' > /proc/{pid}/{kind}_map", ranges.iter().map(line).collect::<String>()))
    };
    Ok(format!("{} && {}", map("uid")?, map("gid")?))
}

fn for_user(uid: Uid, gid: Gid) -> Result<String, Error> {
    let user = User::from_uid(uid).ok().flatten().map_or_else(|| uid.to_string(), |user| user.name);
    let of = |file: &str, own: u32| {
        let text = fs::read_to_string(file).map_err(|error| few_ids(&format!("reading {file}: {error}"), &user))?;
        let ranges = subid::ranges(&text, &user, uid.as_raw());
        let spare: u64 = ranges.iter().map(|range| u64::from(range.count)).sum();
        if spare + 1 < IDS.into() {
            return Err(few_ids(&format!("{file} gives `{user}` {spare} subordinate ids"), &user));
        }
        Ok(map(own, &ranges))
    };
    let (uids, gids) = (of("/etc/subuid", uid.as_raw())?, of("/etc/subgid", gid.as_raw())?);
    for tool in ["newuidmap", "newgidmap"] {
        if !on_path(tool) {
            return Err(Error::Ids {
                reason: format!("`{tool}` was not found"),
                hint: "install the package `uidmap` (Debian, Ubuntu) or `shadow-utils` (Fedora, AlmaLinux)".to_owned(),
            });
        }
    }
    let pid = getpid();
    Ok(format!("newuidmap {pid} {uids} && newgidmap {pid} {gids}"))
}

/// newuidmap's arguments: 0 is `own`, the next ids are those of `ranges`, to [`IDS`] in all.
fn map(own: u32, ranges: &[Range]) -> String {
    let mut arguments = format!("0 {own} 1");
    let mut next = 1;
    for range in ranges {
        let count = range.count.min(IDS - next);
        if count > 0 {
            arguments += &format!(" {next} {} {count}", range.start);
            next += count;
        }
    }
    arguments
}

fn on_path(tool: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(tool).is_file())
}

fn few_ids(reason: &str, user: &str) -> Error {
    let hint = format!("sudo usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}");
    Error::Ids { reason: reason.to_owned(), hint }
}

fn mapping(reason: &str) -> Error {
    let hint = "see user_namespaces(7); the ids of /etc/subuid and /etc/subgid must be free and whole".to_owned();
    Error::Ids { reason: reason.to_owned(), hint }
}

fn forbidden(error: Errno) -> Error {
    let set = |file: &str, value: &str| fs::read_to_string(file).is_ok_and(|text| text.trim() == value);
    let hint = if set("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1") && !Uid::effective().is_root() {
        "Ubuntu's AppArmor forbids it: sudo sysctl kernel.apparmor_restrict_unprivileged_userns=0, or run as root"
    } else if set("/proc/sys/kernel/unprivileged_userns_clone", "0") {
        "sudo sysctl kernel.unprivileged_userns_clone=1, or run as root"
    } else if set("/proc/sys/user/max_user_namespaces", "0") {
        "sudo sysctl user.max_user_namespaces=10000"
    } else if error == Errno::EINVAL {
        "this process already has threads; this is a mistake in Firstlight"
    } else {
        "inside a container: start it with `--privileged`, or with a seccomp profile that allows user namespaces"
    };
    Error::Forbidden { source: error.into(), hint: hint.to_owned() }
}
