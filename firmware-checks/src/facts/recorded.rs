//! A machine made up for a test: files in a temporary folder, and a kernel that answers what it is told.

use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::Machine;
use super::clock::Discipline;
use super::kernel::{Kernel, Space};
use super::network::Address;
use crate::appliance::{Appliance, OsRelease, Platform};
use crate::check::{Context, CouldNotRun, Finding, Phase};
use crate::requirements::Requirements;
use crate::site::Site;

/// What the kernel of a [`Recorded`] machine answers; a question without an answer fails.
#[derive(Clone, Debug, Default)]
struct Answers {
    root: PathBuf,
    addresses: Option<Vec<Address>>,
    discipline: Option<Discipline>,
    ahead: Option<SignedDuration>,
    spaces: Vec<(PathBuf, Space)>,
    listening: Vec<SocketAddr>,
    signature: Option<[u8; 12]>,
}

fn silent() -> io::Error {
    io::Error::other("the recorded kernel does not say")
}

impl Kernel for Answers {
    fn addresses(&self) -> io::Result<Vec<Address>> {
        self.addresses.clone().ok_or_else(silent)
    }

    fn discipline(&self) -> io::Result<Discipline> {
        self.discipline.ok_or_else(silent)
    }

    fn ahead_of_ptp(&self, _: &Path) -> io::Result<SignedDuration> {
        self.ahead.ok_or_else(silent)
    }

    fn file_system(&self, path: &Path) -> io::Result<Space> {
        let path = Path::new("/").join(path.strip_prefix(&self.root).map_err(io::Error::other)?);
        let holding = self.spaces.iter().filter(|(point, _)| path.starts_with(point));
        holding.max_by_key(|(point, _)| point.components().count()).map(|(_, space)| *space).ok_or_else(silent)
    }

    fn connect(&self, address: SocketAddr, _: Duration) -> io::Result<()> {
        if self.listening.contains(&address) { Ok(()) } else { Err(io::ErrorKind::ConnectionRefused.into()) }
    }

    fn hypervisor_signature(&self) -> Option<[u8; 12]> {
        self.signature
    }
}

/// A machine made up for a test; nothing is there but what is put there.
pub(crate) struct Recorded {
    folder: tempfile::TempDir,
    answers: Answers,
    mounts: String,
}

impl Recorded {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        Self { folder, answers: Answers { root, ..Answers::default() }, mounts: String::new() }
    }

    pub(crate) fn machine(&self) -> Machine {
        Machine::at(&self.answers.root).with_kernel(Arc::new(self.answers.clone()))
    }

    fn at(&self, path: &str) -> PathBuf {
        let path = self.folder.path().join(path.trim_start_matches('/'));
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    pub(crate) fn file(self, path: &str, content: impl AsRef<[u8]>) -> Self {
        std::fs::write(self.at(path), content).unwrap();
        self
    }

    pub(crate) fn folder(self, path: &str) -> Self {
        std::fs::create_dir_all(self.at(path)).unwrap();
        self
    }

    pub(crate) fn link(self, path: &str, target: &str) -> Self {
        symlink(target, self.at(path)).unwrap();
        self
    }

    /// A disk of this many sectors, in the place where sysfs has it, with the links that lead there.
    pub(crate) fn disk(self, name: &str, sectors: &str) -> Self {
        let place = format!("/sys/devices/{name}");
        self.file(&format!("{place}/size"), sectors)
            .file(&format!("{place}/removable"), "0\n")
            .file(&format!("{place}/ro"), "0\n")
            .folder(&format!("{place}/holders"))
            .link(&format!("/sys/block/{name}"), &format!("../devices/{name}"))
    }

    pub(crate) fn partition(self, disk: &str, name: &str, number: &str) -> Self {
        self.file(&format!("/sys/devices/{disk}/{name}/partition"), "1\n")
            .link(&format!("/sys/dev/block/{number}"), &format!("../../devices/{disk}/{name}"))
    }

    pub(crate) fn mount(mut self, number: &str, point: &str, kind: &str, source: &str) -> Self {
        self.mounts += &format!("22 1 {number} / {point} rw,relatime shared:1 - {kind} {source} rw\n");
        let mounts = self.mounts.clone();
        self.file("/proc/self/mountinfo", mounts)
    }

    pub(crate) fn space(mut self, point: &str, size: u64, available: u64) -> Self {
        self.answers.spaces.push((point.into(), Space { size, available, read_only: false }));
        self
    }

    /// The file system at `point` can't be written.
    pub(crate) fn read_only(mut self, point: &str) -> Self {
        for (_, space) in self.answers.spaces.iter_mut().filter(|(at, _)| at == Path::new(point)) {
            space.read_only = true;
        }
        self
    }

    pub(crate) fn boot(self, id: &str, uptime: &str) -> Self {
        self.file("/proc/sys/kernel/random/boot_id", id).file("/proc/uptime", uptime)
    }

    pub(crate) fn interface(self, name: &str, flags: &str, carrier: &str, operstate: &str) -> Self {
        let place = format!("/sys/class/net/{name}");
        self.file(&format!("{place}/flags"), flags)
            .file(&format!("{place}/carrier"), carrier)
            .file(&format!("{place}/operstate"), operstate)
            .file(&format!("{place}/address"), "52:54:00:12:34:56\n")
    }

    /// Addresses with prefix, each with its interface.
    pub(crate) fn addresses(mut self, addresses: &[(&str, &str)]) -> Self {
        let parse = |(interface, text): &(&str, &str)| {
            let (address, prefix) = text.split_once('/').unwrap();
            let (address, prefix) = (address.parse().unwrap(), prefix.parse().unwrap());
            Address { interface: (*interface).to_owned(), address, prefix }
        };
        self.answers.addresses = Some(addresses.iter().map(parse).collect());
        self
    }

    pub(crate) fn discipline(mut self, synchronised: bool) -> Self {
        self.answers.discipline = Some(Discipline { synchronised, maximum_error: Duration::from_millis(20) });
        self
    }

    pub(crate) fn host_clock(mut self, name: &str, ahead: SignedDuration) -> Self {
        self.answers.ahead = Some(ahead);
        self.file("/sys/class/ptp/ptp0/clock_name", name)
    }

    pub(crate) fn listening(mut self, address: &str) -> Self {
        self.answers.listening.push(address.parse().unwrap());
        self
    }

    pub(crate) fn signature(mut self, signature: &[u8; 12]) -> Self {
        self.answers.signature = Some(*signature);
        self
    }

    /// What the check `id` answers on this machine to an appliance with `requirements`, at a site.
    pub(crate) fn run(&self, id: &str, requirements: &Requirements, site: Option<&Site>) -> Answer {
        self.run_in(Phase::Admission, id, requirements, site)
    }

    /// The same in `phase`.
    pub(crate) fn run_in(&self, phase: Phase, id: &str, requirements: &Requirements, site: Option<&Site>) -> Answer {
        let appliance = appliance(requirements);
        let check = crate::checks::all().find(|check| check.id == id).unwrap();
        assert!((check.applies)(&appliance), "{id} is not asked for");
        let now: Timestamp = "2026-11-21T12:00:00Z".parse().unwrap();
        let (machine, site_dir) = (self.machine(), self.folder.path());
        (check.run)(&Context { appliance: &appliance, site, site_dir, machine: &machine, now, phase })
    }
}

/// An appliance with `requirements`, locked on 2026-11-20.
pub(crate) fn appliance(requirements: &Requirements) -> Appliance {
    Appliance {
        name: "hello".to_owned(),
        version: "1".to_owned(),
        base: "debian-13".to_owned(),
        os: OsRelease { id: "debian".to_owned(), version_id: "13".to_owned() },
        cpu_level: None,
        locked: "2026-11-20T00:00:00Z".parse().unwrap(),
        platform: Platform::Docker { probe_image: "probe".to_owned(), projects: Vec::new() },
        boot: crate::boot_loader::BootLoader::sample(),
        requirements: requirements.clone(),
    }
}

/// What a check answers.
pub(crate) type Answer = Result<Vec<Finding>, CouldNotRun>;

/// The one finding of an answer.
pub(crate) fn only(answer: Answer) -> Finding {
    let mut findings = answer.unwrap();
    assert_eq!(findings.len(), 1, "{findings:?}");
    findings.remove(0)
}
