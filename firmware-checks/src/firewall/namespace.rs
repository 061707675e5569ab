//! A network namespace without a name: it ends with the process, however that ends.

use std::fs::File;
use std::os::fd::AsRawFd;
use std::thread;

use nix::sched::{CloneFlags, setns, unshare};

use super::Error;

/// A network namespace that lives as long as this.
pub struct Namespace {
    handle: File,
}

impl Namespace {
    /// A new one, empty but for a loopback that is down. Needs `CAP_SYS_ADMIN`.
    ///
    /// # Errors
    /// The kernel refused.
    pub fn new() -> Result<Self, Error> {
        // A namespace belongs to a thread: one is given up to make it.
        let made = thread::scope(|scope| scope.spawn(make).join());
        made.unwrap_or(Err(nix::Error::EAGAIN))
            .map(|handle| Self { handle })
            .map_err(Error::system("making a network namespace"))
    }

    /// A path that other programs may open while this lives.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", std::process::id(), self.handle.as_raw_fd())
    }

    /// What `work` gives in a thread whose network this is; programs that it runs are in there too.
    ///
    /// # Errors
    /// The kernel refused to let the thread in; what `work` gives.
    pub fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T, Error> + Send) -> Result<T, Error> {
        let entered = || {
            setns(&self.handle, CloneFlags::CLONE_NEWNET).map_err(Error::system("entering a network namespace"))?;
            work()
        };
        match thread::scope(|scope| scope.spawn(entered).join()) {
            Ok(done) => done,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

fn make() -> nix::Result<File> {
    unshare(CloneFlags::CLONE_NEWNET)?;
    File::open("/proc/thread-self/ns/net")
        .map_err(|error| error.raw_os_error().map_or(nix::Error::EIO, nix::Error::from_raw))
}
