//! Runs one command inside a root folder, apart from the host: mount, PID, network, UTS and IPC namespaces of its
//! own, no network, no host name, an environment that is the same everywhere.
//!
//! The program starts itself again as the sandbox's init ([`init_if_asked`]), so that a single-threaded process sets
//! the namespaces up. The whole belongs into the user namespace of [`userns::enter`].

pub mod emulation;
mod init;
mod mounts;
mod run;
mod subid;
mod unsynced;
pub mod userns;

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use serde::{Deserialize, Serialize};

pub use init::init_if_asked;

/// Where commands are looked for inside.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The program that is started as init; `/proc/self/exe` where nothing else was said.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// Names another program than this one as the sandbox's init: one whose `main` begins with [`init_if_asked`]. For
/// processes whose `main` is not ours, such as a test binary. The first call counts.
pub fn set_program(program: impl Into<PathBuf>) {
    let _ = PROGRAM.set(program.into());
}

fn program() -> PathBuf {
    PROGRAM.get().cloned().unwrap_or_else(|| PathBuf::from("/proc/self/exe"))
}

/// The folders, below it, that a tools root must have: since nothing may change it, nothing makes them later.
pub fn folders_of_tools() -> impl Iterator<Item = &'static Path> {
    mounts::of_tools()
}

/// A root folder and what a command in it is given. Each [`run`](Self::run) is a sandbox of its own.
#[derive(Clone, Debug)]
pub struct Sandbox {
    spec: Spec,
    log: Option<PathBuf>,
}

/// What init is told.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Spec {
    root: PathBuf,
    read_only: bool,
    binds: Vec<Bind>,
    env: BTreeMap<String, String>,
    command: Vec<String>,
}

/// A file or folder of the host seen inside.
#[derive(Clone, Debug, Deserialize, Serialize)]
struct Bind {
    host: PathBuf,
    inside: PathBuf,
    kind: BindKind,
}

/// How a bind is seen inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
enum BindKind {
    ReadOnly,
    Writable,
    /// Writable, and fit to be the root of a command: with the system's folders.
    Root,
}

/// What init answers.
#[derive(Debug, Deserialize, Serialize)]
enum Outcome {
    /// The command ended by itself.
    Exited(i32),
    /// The command was ended by a signal.
    Killed(i32),
    /// The command was never started.
    NotStarted(String),
}

/// A command in the sandbox did not do its work.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The sandbox could not be set up, or the command could not be started in it.
    #[error("running `{program}` in the sandbox of {root}: {reason}")]
    NotStarted {
        /// The command's first word.
        program: String,
        /// The root folder.
        root: PathBuf,
        /// The failing step and why.
        reason: String,
    },
    /// The command answered with an exit status other than 0, or was killed.
    #[error("`{program}` {how} in the sandbox of {root}{}", tail(.stderr))]
    Failed {
        /// The command's first word.
        program: String,
        /// The root folder.
        root: PathBuf,
        /// `ended with exit status N` or `was killed by SIGNAL`.
        how: String,
        /// The last KiB of what it wrote to standard error (standard output where it wrote nothing there).
        stderr: String,
    },
    /// The log could not be written.
    #[error("writing the log {path}: {source}")]
    Log {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn tail(stderr: &str) -> String {
    match stderr.trim_end() {
        "" => String::new(),
        text => format!(":\n{text}"),
    }
}

impl Sandbox {
    /// A sandbox of `root`: `/proc` is fresh, `/dev` holds the harmless nodes, `/run`, `/tmp` and `/sys` are empty and
    /// forgotten afterwards. Missing folders of these names are made in `root`.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        let env = [
            ("PATH", PATH),
            ("LC_ALL", "C.UTF-8"),
            ("HOME", "/root"),
            ("DEBIAN_FRONTEND", "noninteractive"),
            ("DEBCONF_NONINTERACTIVE_SEEN", "true"),
            ("TZ", "UTC"),
        ];
        let env = env.into_iter().map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
        let spec = Spec { root: root.to_owned(), read_only: false, binds: Vec::new(), env, command: Vec::new() };
        Self { spec, log: None }
    }

    /// A sandbox of the tools root `root`, which no command can change: as [`Self::new`], and `/var/tmp` is empty and forgotten
    /// afterwards, too. It must have the [`folders_of_tools`].
    #[must_use]
    pub fn of_tools(root: &Path) -> Self {
        let mut sandbox = Self::new(root);
        sandbox.spec.read_only = true;
        sandbox
    }

    /// Lets the command see and change `host`, a file or folder, as `inside`. A missing mount point is made, which
    /// leaves no trace below `/run` and `/tmp`.
    #[must_use]
    pub fn bind(self, host: &Path, inside: &str) -> Self {
        self.add(host, inside, BindKind::Writable)
    }

    /// Lets the command see and change the root folder `host` as `inside`, and change its own root to it: there too `/proc`,
    /// `/sys` and `/dev` are those of the sandbox, and `/run` and `/tmp` are empty and forgotten afterwards. The folders of
    /// these names must be there.
    #[must_use]
    pub fn bind_root(self, host: &Path, inside: &str) -> Self {
        self.add(host, inside, BindKind::Root)
    }

    /// Lets the command see `host`, a file or folder, as `inside`, without changing it.
    #[must_use]
    pub fn bind_ro(self, host: &Path, inside: &str) -> Self {
        self.add(host, inside, BindKind::ReadOnly)
    }

    fn add(mut self, host: &Path, inside: &str, kind: BindKind) -> Self {
        self.spec.binds.push(Bind { host: host.to_owned(), inside: PathBuf::from(inside), kind });
        self
    }

    /// Sets an environment variable. Nothing of the caller's own environment is seen inside.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.spec.env.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Appends everything that commands write, to standard output and standard error, to the file `log`.
    #[must_use]
    pub fn log(mut self, log: &Path) -> Self {
        self.log = Some(log.to_owned());
        self
    }

    /// The root folder.
    #[must_use]
    pub fn root(&self) -> &Path {
        &self.spec.root
    }

    /// Runs `command`, found by `PATH` inside, in `/` with empty standard input, and gives what it wrote to standard
    /// output. When it ends, whatever it left running is killed.
    ///
    /// # Errors
    /// [`Error`]: it could not be started, or its exit status was not 0.
    pub fn run(&self, command: &[&str]) -> Result<Vec<u8>, Error> {
        let mut spec = Spec { command: command.iter().map(|word| (*word).to_owned()).collect(), ..self.spec.clone() };
        spec.env.extend(emulation::processor().map(|(key, value)| (key.to_owned(), value.to_owned())));
        run::run(&spec, self.log.as_deref())
    }
}
