//! What may change the outcome of a check: files of the site, links and addresses, steps of the clock, and an admin
//! who asks.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify, WatchDescriptor};
use nix::sys::socket::{AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, socket};
use nix::sys::time::{TimeSpec, TimeValLike};
use nix::sys::timerfd::{ClockId, Expiration, TimerFd, TimerFlags, TimerSetTimeFlags};

/// Something happened.
#[derive(Debug)]
pub enum Event {
    /// A file that checks read was written, moved or removed.
    Files,
    /// A file system appeared, perhaps one with the site's label.
    Medium,
    /// A link, an address or a route changed, perhaps one that no check looks at.
    Network,
    /// The clock was set.
    Clock,
    /// Somebody waits for a report at the other end.
    Asked(UnixStream),
}

/// A folder to watch, and which names in it count.
struct Folder {
    path: &'static str,
    counts: fn(&str) -> bool,
    what: What,
}

/// What a change in a folder stands for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    /// Any change of a file.
    File,
    /// Only that a file came to be there.
    Mark,
    /// A file system.
    Medium,
}

const FOLDERS: &[Folder] = &[
    Folder { path: "/etc/firstlight", counts: |name| ["site", "waivers.toml"].contains(&name), what: What::File },
    // Not the temporary names under which files are written before they are renamed.
    Folder { path: crate::site::DIRECTORY, counts: |name| !name.starts_with('.'), what: What::File },
    Folder {
        path: "/var/lib/firstlight",
        counts: |name| ["clock.json", "enrolled.json"].contains(&name),
        what: What::File,
    },
    Folder { path: "/run/firstlight", counts: |name| name == "site-error", what: What::File },
    // systemd-timesyncd makes it at its first success, and touches it with every answer of its server.
    Folder { path: "/run/systemd/timesync", counts: |name| name == "synchronized", what: What::Mark },
    Folder { path: "/dev/disk/by-label", counts: |name| name == crate::site::LABEL, what: What::Medium },
    // A second medium with the label may leave the first one's link as it is; its own UUID shows that it came.
    Folder { path: "/dev/disk/by-uuid", counts: |name| !name.starts_with('.'), what: What::Medium },
];

/// rtnetlink (7) groups: RTMGRP_LINK, _IPV4_IFADDR, _IPV4_ROUTE, _IPV6_IFADDR, _IPV6_ROUTE.
const GROUPS: u32 = 0x1 | 0x10 | 0x40 | 0x100 | 0x400;

/// Waits for [`Event`]s.
pub struct Events {
    files: Inotify,
    watches: BTreeMap<WatchDescriptor, &'static Folder>,
    network: OwnedFd,
    clock: TimerFd,
    asks: UnixListener,
}

impl Events {
    /// Begins to watch, and to listen on the socket `at`, for root alone.
    ///
    /// # Errors
    /// The failing system call's.
    pub fn new(at: &Path) -> io::Result<Self> {
        let network = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK,
            SockProtocol::NetlinkRoute,
        )?;
        bind(network.as_raw_fd(), &NetlinkAddr::new(0, GROUPS))?;
        if let Some(folder) = at.parent() {
            std::fs::create_dir_all(folder)?;
        }
        crate::files::remove(at)?;
        let asks = UnixListener::bind(at)?;
        std::fs::set_permissions(at, std::fs::Permissions::from_mode(0o600))?;
        asks.set_nonblocking(true)?;
        let clock = TimerFd::new(ClockId::CLOCK_REALTIME, TimerFlags::TFD_CLOEXEC | TimerFlags::TFD_NONBLOCK)?;
        arm(&clock)?;
        let files = Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK)?;
        let mut events = Self { files, watches: BTreeMap::new(), network, clock, asks };
        events.watch();
        Ok(events)
    }

    /// Watches those folders that are there; called before each wait, since folders come and go.
    fn watch(&mut self) {
        let flags = AddWatchFlags::IN_CLOSE_WRITE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ATTRIB;
        for folder in FOLDERS {
            if let Ok(watch) = self.files.add_watch(folder.path, flags) {
                self.watches.insert(watch, folder);
            }
        }
    }

    /// Waits until something happened, at most until `until`, and then until it has been quiet for a moment, so that a
    /// certificate and its key that are copied one after the other are judged together.
    ///
    /// # Errors
    /// The failing system call's.
    pub fn wait(&mut self, until: Instant) -> io::Result<Vec<Event>> {
        const QUIET: Duration = Duration::from_millis(400);
        const LONGEST: Duration = Duration::from_secs(3);
        let mut found: Vec<Event> = Vec::new();
        let mut until = until;
        let mut end: Option<Instant> = None;
        loop {
            self.watch();
            self.poll(until.saturating_duration_since(Instant::now()))?;
            let fresh = self.take()?;
            let now = Instant::now();
            if fresh.is_empty() {
                if now >= until {
                    return Ok(found);
                }
                continue;
            }
            found.extend(fresh);
            // Who asks does not wait for quiet.
            if found.iter().any(|event| matches!(event, Event::Asked(_))) {
                return Ok(found);
            }
            let end = *end.get_or_insert(now + LONGEST);
            until = (now + QUIET).min(end);
        }
    }

    fn poll(&self, timeout: Duration) -> io::Result<()> {
        let readable = |fd| PollFd::new(fd, PollFlags::POLLIN);
        let mut fds = [
            readable(self.files.as_fd()),
            readable(self.network.as_fd()),
            readable(self.clock.as_fd()),
            readable(self.asks.as_fd()),
        ];
        // Rounded up, so that the last fraction of a millisecond is not polled away.
        let millis = i32::try_from(timeout.as_millis() + 1).unwrap_or(i32::MAX);
        match poll(&mut fds, PollTimeout::try_from(millis).unwrap_or(PollTimeout::MAX)) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// What has happened, without waiting.
    fn take(&mut self) -> io::Result<Vec<Event>> {
        let mut found = Vec::new();
        loop {
            match self.files.read_events() {
                Ok(events) => {
                    for event in events {
                        found.extend(self.sort(event.wd, event.mask, event.name));
                    }
                }
                Err(Errno::EAGAIN | Errno::EINTR) => break,
                Err(error) => return Err(error.into()),
            }
        }
        let mut buffer = [0; 8192];
        loop {
            match recv(self.network.as_raw_fd(), &mut buffer, MsgFlags::empty()) {
                Ok(0) | Err(Errno::EAGAIN) => break,
                // ENOBUFS: more happened than the socket could hold.
                Ok(_) | Err(Errno::ENOBUFS) => found.push(Event::Network),
                Err(Errno::EINTR) => {}
                Err(error) => return Err(error.into()),
            }
        }
        if self.stepped()? {
            found.push(Event::Clock);
        }
        while let Ok((stream, _)) = self.asks.accept() {
            found.push(Event::Asked(stream));
        }
        Ok(found)
    }

    fn sort(&mut self, watch: WatchDescriptor, mask: AddWatchFlags, name: Option<OsString>) -> Option<Event> {
        if mask.contains(AddWatchFlags::IN_IGNORED) {
            self.watches.remove(&watch);
            return None;
        }
        let folder = self.watches.get(&watch)?;
        let name = name?;
        let appeared = mask.intersects(AddWatchFlags::IN_CREATE | AddWatchFlags::IN_MOVED_TO);
        match folder.what {
            _ if !(folder.counts)(&name.to_string_lossy()) => None,
            What::File => Some(Event::Files),
            What::Mark => appeared.then_some(Event::Files),
            What::Medium => appeared.then_some(Event::Medium),
        }
    }

    /// Whether the clock was set since the last call.
    fn stepped(&self) -> io::Result<bool> {
        let mut count = [0; 8];
        match nix::unistd::read(&self.clock, &mut count) {
            Err(Errno::EAGAIN | Errno::EINTR) => Ok(false),
            Ok(_) | Err(Errno::ECANCELED) => arm(&self.clock).map(|()| true),
            Err(error) => Err(error.into()),
        }
    }
}

/// Arms a timer that never expires, but whose reading fails when the clock is set (timerfd_create (2)).
fn arm(clock: &TimerFd) -> io::Result<()> {
    let never = TimeSpec::seconds(i64::from(i32::MAX) * 2);
    let flags = TimerSetTimeFlags::TFD_TIMER_ABSTIME | TimerSetTimeFlags::TFD_TIMER_CANCEL_ON_SET;
    Ok(clock.set(Expiration::OneShot(never), flags)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_admin_who_asks_is_heard_at_once_and_nobody_else_may() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        let mut events = Events::new(&socket).unwrap();
        assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
        let _asking = UnixStream::connect(&socket).unwrap();
        let started = Instant::now();
        let found = events.wait(started + Duration::from_secs(20)).unwrap();
        assert!(found.iter().any(|event| matches!(event, Event::Asked(_))), "{found:?}");
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_quiet_machine_is_waited_for_no_longer_than_asked() {
        let folder = tempfile::tempdir().unwrap();
        let mut events = Events::new(&folder.path().join("socket")).unwrap();
        let started = Instant::now();
        events.wait(started + Duration::from_millis(50)).unwrap();
        assert!(started.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_service_that_was_killed_leaves_no_socket_in_the_way() {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        drop(Events::new(&socket).unwrap());
        assert!(socket.exists());
        Events::new(&socket).unwrap();
    }
}
