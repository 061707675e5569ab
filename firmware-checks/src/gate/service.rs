//! The daemon: judges, decides, tells, waits.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;

use crate::appliance::{self, Appliance};
use crate::check::{Check, Phase, State};
use crate::checks;
use crate::checks::run::Scene;
use crate::console;
use crate::facts::{Machine, network};
use crate::files;
use crate::firewall;
use crate::machine::data_disks;
use crate::report::{Gate, Report, Verdict};
use crate::site;

use super::events::{Event, Events};
use super::latch::{Latch, Seal};
use super::notify::notify;
use super::{OPEN, SOCKET, ask, decide, judge, pace, publish};

/// The service could not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// What the image was built to be is not known.
    #[error(transparent)]
    Appliance(#[from] appliance::Error),
    /// Something else that it can't do without.
    #[error("{doing}: {source}")]
    System {
        /// What was being done.
        doing: &'static str,
        /// Why it failed.
        source: io::Error,
    },
}

/// The daemon that keeps the gate.
pub struct Service {
    machine: Machine,
    appliance: Appliance,
    gate: Gate,
    latched: bool,
    /// Verdicts of the checks that are not run again in the present phase.
    before: Vec<Verdict>,
    events: Events,
    started: Instant,
    /// When the platform was started by this process, or found running.
    opened: Option<Instant>,
    /// Runs since something changed.
    tries: u32,
    /// The gist of what was told last; none before the first verdict.
    told: Option<String>,
    network: String,
    /// Those who wait for the next report.
    asking: Vec<UnixStream>,
}

impl Service {
    /// Takes up the state in which an earlier run, or an earlier boot, left this machine.
    ///
    /// # Errors
    /// [`Error`].
    pub fn start() -> Result<Self, Error> {
        let machine = Machine::here();
        let appliance = Appliance::load(machine.root())?;
        let events =
            Events::new(Path::new(SOCKET)).map_err(|source| Error::System { doing: "watching for changes", source })?;
        let latched = is_latched(&appliance, &machine);
        let earlier = earlier_report(&machine);
        let running = judge::is_open(&machine);
        Ok(Self {
            latched,
            gate: if running { Gate::Opened } else { Gate::Shut },
            told: earlier.as_ref().map(publish::gist),
            before: earlier.filter(|_| running).map(|report| report.checks).unwrap_or_default(),
            events,
            started: Instant::now(),
            opened: running.then(Instant::now),
            tries: 0,
            network: network_now(&machine),
            asking: Vec::new(),
            machine,
            appliance,
        })
    }

    /// Keeps the gate until the process is ended.
    ///
    /// # Errors
    /// Waiting for events failed; everything else is logged and tried again.
    pub fn run(mut self) -> Result<(), Error> {
        logged("telling the service manager", notify("READY=1"));
        console::start_logins(&self.machine);
        // A stick that was there before its events were watched for, but too late for the boot's own import.
        self.import();
        // Without its disks the platform would write its data elsewhere: then the machine is judged anew.
        if self.latched && self.gate == Gate::Shut && self.has_its_disks() {
            self.open_by_latch();
        }
        let mut report = self.first_verdict()?;
        loop {
            report = self.advance(report);
            let starting = self.starting();
            let pause = pace::pause(&report, self.tries, starting);
            report.next_run = Timestamp::now().checked_add(pause).ok();
            self.tell(&report);
            self.wait(Instant::now() + pause)?;
            if starting {
                // Nor do those of a platform that comes up.
                self.tries = 0;
            }
            report = self.judge();
        }
    }

    /// A machine that was let through before starts its platform at once. Only what can be seen no longer when the
    /// platform runs is looked at first.
    fn open_by_latch(&mut self) {
        let scene = judge::scene(&self.appliance, &self.machine);
        let only_before = checks::all().filter(|check: &&Check| check.phases == [Phase::Admission]);
        self.before = checks::run::run(only_before, &scene, Phase::Admission, &[], |_| {});
        self.open();
    }

    /// Judges until the machine is admitted, or nothing that is in the way may come right by itself, or the boot has had
    /// its time to bring up network and clock.
    fn first_verdict(&mut self) -> Result<Report, Error> {
        loop {
            let report = self.judge();
            let end = self.started + pace::settling(&report);
            if Instant::now() >= end {
                // The short pauses of settling do not count for the back-off.
                self.tries = 0;
                return Ok(report);
            }
            let soon = (Instant::now() + Duration::from_secs(2)).min(end);
            self.wait(soon)?;
        }
    }

    fn judge(&mut self) -> Report {
        if self.gate == Gate::Shut {
            self.has_its_disks();
        }
        // What a recipe calls `local` is the networks that the machine is in now.
        logged(
            "filling the machine's networks into the firewall",
            firewall::refresh().map(drop).map_err(io::Error::other),
        );
        let scene: Arc<Scene> = judge::scene(&self.appliance, &self.machine);
        let phase = if self.gate == Gate::Shut { Phase::Admission } else { Phase::Acceptance };
        let first = self.told.is_none();
        let machine = self.machine.clone();
        let verdicts = checks::run::run(checks::all(), &scene, phase, &self.before, |progress| {
            if first {
                logged("telling how far the checks are", publish::progress(&machine, progress));
            }
        });
        self.before.clone_from(&verdicts);
        let mut report = judge::assemble(&scene, verdicts, self.gate.clone());
        if self.starting() {
            report.checks.iter_mut().for_each(not_yet);
        }
        report
    }

    /// Whether the platform may still be coming up.
    fn starting(&self) -> bool {
        self.gate == Gate::Opened && self.opened.is_some_and(|opened| opened.elapsed() < pace::DEADLINE)
    }

    /// Moves the gate as far as `report` lets it, and judges anew what opening it changes.
    fn advance(&mut self, mut report: Report) -> Report {
        loop {
            let next = decide(&self.gate, &report, false);
            if next == self.gate {
                return report;
            }
            if next == Gate::Opened {
                self.before.clone_from(&report.checks);
                self.open();
                if self.gate == Gate::Shut {
                    return report;
                }
                report = self.judge();
            } else {
                self.gate = next.clone();
                report.gate = next;
            }
        }
    }

    /// Opens the gate: first the latch, durably, then the mark, then the platform; so a power cut in between ends on
    /// the next boot as if there had been none.
    fn open(&mut self) {
        if !self.latched {
            let sealed = Seal::of(&self.appliance, &self.machine)
                .and_then(|seal| Latch { seal, opened: Timestamp::now() }.save(&self.machine));
            // Without a latch the machine is judged anew at the next boot, which is safe.
            self.latched = logged("keeping the gate open over reboots", sealed);
        }
        if !logged("opening the gate", files::replace(&self.machine.path(OPEN), b"", 0o644)) {
            return;
        }
        self.gate = Gate::Opened;
        self.opened = Some(Instant::now());
        self.tries = 0;
        start_platform();
    }

    /// Hands out the report; what a person reads, once for each change.
    fn tell(&mut self, report: &Report) {
        logged("writing the report", publish::report(&self.machine, report));
        for stream in self.asking.drain(..) {
            ask::answer(stream, report);
        }
        let gist = publish::gist(report);
        let first = self.told.is_none();
        if self.told.as_ref() == Some(&gist) {
            logged("writing the login prompt's text", console::issue(&self.machine, report).map(|_| ()));
            return;
        }
        self.told = Some(gist);
        publish::log(report);
        logged("sending the report to the hypervisor", publish::channel(&self.machine, report));
        logged("telling the service manager", notify(&format!("STATUS={}", report.headline())));
        let fresh = logged("writing the login prompt's text", console::issue(&self.machine, report).map(|_| ()));
        // The live view shows the first verdict, unless it has given the consoles away before there was one.
        if !first || console::is_over(&self.machine) {
            console::tell(&self.machine, report);
        }
        if fresh {
            console::reload_logins();
        }
    }

    /// Waits for something that may change what the checks find.
    fn wait(&mut self, until: Instant) -> Result<(), Error> {
        loop {
            let events = self.events.wait(until).map_err(|source| Error::System { doing: "waiting", source })?;
            if events.is_empty() {
                self.tries = self.tries.saturating_add(1);
                return Ok(());
            }
            let mut changed = false;
            for event in events {
                match event {
                    Event::Asked(stream) => self.asking.push(stream),
                    Event::Files | Event::Clock => changed = true,
                    Event::Medium => changed |= self.import(),
                    Event::Network => {}
                }
            }
            let network = network_now(&self.machine);
            changed |= network != self.network;
            self.network = network;
            if changed || !self.asking.is_empty() {
                self.tries = 0;
                return Ok(());
            }
        }
    }

    /// Whether every data folder lies on the disk that the site names for it, once that has been tried: a site may have come
    /// after the boot's own try, and a disk, too.
    fn has_its_disks(&self) -> bool {
        let Some(site) = site::status(self.machine.root()).site else { return true };
        let mounted = || data_disks::all_mounted(&self.machine, &self.appliance.requirements.data, &site);
        if !mounted() {
            mount_data_disks();
        }
        mounted()
    }

    /// Imports the site from a medium that is there by now, where the machine has none yet.
    fn import(&self) -> bool {
        if site::status(self.machine.root()).site.is_some() {
            return false;
        }
        let tried = std::env::current_exe()
            .and_then(|this| Command::new(this).args(["site", "import", "--boot"]).stdin(Stdio::null()).status());
        match tried {
            Ok(status) if status.success() => true,
            Ok(status) => {
                eprintln!("importing the site from a medium: {status}");
                true
            }
            Err(error) => logged("importing the site from a medium", Err(error)),
        }
    }
}

/// Mounts the disks for data that the site names, by the boot's own service. Where one can't be had, the
/// check `disk.selected` says why.
fn mount_data_disks() {
    let unit = "firstlight-data-disks.service";
    let run = |verb| Command::new("systemctl").args([verb, unit]).stdin(Stdio::null()).status();
    // A unit that fails again and again is refused by systemd after a while, unless that is forgotten.
    let outcome = run("reset-failed").and_then(|_| run("restart")).map(drop);
    logged("mounting the disks for data", outcome);
}

/// Until the deadline, a check of the platform itself that does not pass has not passed yet. Checks that had their
/// say before the platform started are failures at once.
fn not_yet(verdict: &mut Verdict) {
    let of_the_platform = checks::all().any(|check| check.id == verdict.id && check.phases == [Phase::Acceptance]);
    if of_the_platform && verdict.to_mend() {
        verdict.state = State::Waiting;
        verdict.observed = format!("not yet: {}", verdict.observed);
    }
}

fn is_latched(appliance: &Appliance, machine: &Machine) -> bool {
    let Some(latch) = Latch::load(machine) else { return false };
    match Seal::of(appliance, machine) {
        Ok(seal) if seal == latch.seal => true,
        Ok(seal) => {
            let what = if seal.machine == latch.seal.machine { "requirements" } else { "machine" };
            eprintln!("the gate was opened for another {what} (on {}); this one is judged anew", latch.opened);
            false
        }
        Err(error) => {
            eprintln!("telling which machine this is: {error}; it is judged anew");
            false
        }
    }
}

/// The report of an earlier run of this service since the machine booted.
fn earlier_report(machine: &Machine) -> Option<Report> {
    let text = std::fs::read(machine.path(super::REPORT)).ok()?;
    serde_json::from_slice(&text).ok()
}

/// What of the network the checks look at; netlink tells of much else, such as every container that starts.
fn network_now(machine: &Machine) -> String {
    format!("{:?}\n{:?}", network::links(machine), network::addresses(machine))
        + &format!("\n{:?}", network::default_routes(machine))
}

fn start_platform() {
    let started =
        Command::new("systemctl").args(["start", "--no-block", "platform.target"]).stdin(Stdio::null()).status();
    let outcome = started.and_then(|status| {
        if status.success() {
            Ok(())
        } else {
            Err(io::Error::other(format!("systemctl start platform.target: {status}")))
        }
    });
    logged("starting the platform", outcome);
}

/// Logs a failure that must not end the service. Whether it was none.
fn logged(doing: &str, outcome: io::Result<()>) -> bool {
    outcome.inspect_err(|error| eprintln!("{doing}: {error}")).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::samples;

    fn failed(id: &str) -> Verdict {
        Verdict { observed: "activating".to_owned(), ..samples::verdict(id, Phase::Acceptance, State::Fail) }
    }

    #[test]
    fn only_the_platform_itself_is_given_time_to_come_up() {
        let mut unit = failed("platform.units");
        not_yet(&mut unit);
        assert_eq!((unit.state, unit.observed.as_str()), (State::Waiting, "not yet: activating"));
        let mut site = failed("site.configuration");
        not_yet(&mut site);
        assert_eq!(site, failed("site.configuration"));
        let mut waived = failed("platform.units");
        waived.waived = Some("for now".to_owned());
        not_yet(&mut waived);
        assert_eq!(waived.state, State::Fail);
    }
}
