//! Tries an image in QEMU before it is flashed: starts it on a throw-away copy, shows its console, and waits for
//! the readiness report that the appliance sends through a virtio channel.

mod accel;
mod architecture;
mod channel;
mod console;
mod firmware;
mod machine;
mod verdict;

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use firmware_checks::report::Report;
use firmware_checks::units::Size;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};

use crate::stage::{self, Temporary};

pub use accel::Accel;
pub use firmware::Firmware;
pub use machine::{ExtraDisk, Forward};
pub use verdict::Outcome;

use channel::Channel;
use console::Console;
use machine::{SystemDisk, Virtual};

/// How often the machine is listened to.
const POLL: Duration = Duration::from_millis(50);

/// How to start the image.
#[derive(Clone, Debug)]
pub struct Options {
    /// The disk image, raw, qcow2 or vhd; it is not changed.
    pub image: PathBuf,
    /// A site folder, handed to the machine as a USB stick labelled `SITE`.
    pub site: Option<PathBuf>,
    /// Logical processors.
    pub cpus: u32,
    /// The model of processor that is played, in QEMU's words; absent: all that the host or the emulation has.
    pub cpu: Option<String>,
    /// Memory.
    pub memory: Size,
    /// How the machine starts.
    pub firmware: Firmware,
    /// UEFI variables to start from instead of the firmware's own (for other Secure Boot keys).
    pub variables: Option<PathBuf>,
    /// How instructions are executed.
    pub accel: Accel,
    /// Size of the disk that the image finds itself on; at least the image's.
    pub disk_size: Option<Size>,
    /// Further disks, with the serial numbers `firstlight-extra0`, `firstlight-extra1` and so on.
    pub extra_disks: Vec<ExtraDisk>,
    /// Ports of this host's loopback that lead to the machine.
    pub forwards: Vec<Forward>,
    /// Where the machine's writes go, kept for a later start; absent: thrown away.
    pub state: Option<PathBuf>,
    /// Where each write to the system's disk is recorded, in the format of the kernel's dm-log-writes, to find out what a
    /// power cut would have left.
    pub log_writes: Option<PathBuf>,
    /// Where the newest report is written as JSON, at once when it arrives.
    pub report: Option<PathBuf>,
    /// How long to wait for a final verdict.
    pub timeout: Duration,
    /// Leave the machine on after the verdict, until it powers off or this program is interrupted.
    pub keep: bool,
}

/// An image could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Something that this host must have is missing.
    #[error("{what}\n  hint: {hint}")]
    Missing {
        /// What is missing and what it is for.
        what: String,
        /// How to get it.
        hint: String,
    },
    /// The image, a disk or a firmware file could not be used.
    #[error("{0}")]
    Input(String),
    /// A file or a socket failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: io::Error,
    },
    /// There is no place for the throw-away disk.
    #[error("making a folder for the machine's disk: {0}")]
    Temporary(#[from] stage::Error),
    /// QEMU ended by itself.
    #[error("QEMU ended ({status}) before the appliance reported: {stderr}")]
    Ended {
        /// Its exit status.
        status: String,
        /// The end of its standard error.
        stderr: String,
    },
}

impl Error {
    fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

/// Starts the image and waits for its verdict.
///
/// # Errors
/// [`Error`] where QEMU or its firmware is missing, a file cannot be used, or QEMU ends by itself.
pub fn run(options: &Options) -> Result<Outcome, Error> {
    let interrupted = interruption().map_err(Error::io("watching for signals"))?;
    let folder = Temporary::new_in(&std::env::temp_dir())?;
    let mut system = SystemDisk::new(options, folder.path())?;
    let mut accel = options.accel.first(system.architecture);
    loop {
        let mut trial = Trial::start(options, accel, &system, folder.path(), &interrupted)?;
        let Some(outcome) = trial.watch(accel.is_doubtful(options.accel))? else {
            eprintln!("firstlight: nothing boots under KVM on this host; starting again under TCG (slower)");
            accel = Accel::Tcg;
            system = SystemDisk::new(options, folder.path())?;
            continue;
        };
        if options.keep && !matches!(outcome, Outcome::CouldNotTell(_)) {
            eprintln!("firstlight: {outcome}; the machine stays on until it powers off");
            trial.stay()?;
        }
        return Ok(outcome);
    }
}

/// A started machine with the two ways in which it speaks.
struct Trial<'a> {
    options: &'a Options,
    machine: Virtual,
    console: Console,
    channel: Channel,
    started: Instant,
    interrupted: &'a AtomicBool,
}

impl<'a> Trial<'a> {
    fn start(
        options: &'a Options,
        accel: Accel,
        system: &SystemDisk,
        folder: &Path,
        interrupted: &'a AtomicBool,
    ) -> Result<Self, Error> {
        let mut machine = Virtual::start(options, accel, system, folder)?;
        let console = Console::of(&mut machine);
        let channel = Channel::at(machine.report_socket());
        Ok(Self { options, machine, console, channel, started: Instant::now(), interrupted })
    }

    /// Follows console and report until there is a final verdict or the time is up. None where the accelerator is
    /// `doubtful` and the guest's kernel has said nothing for too long, or nothing at all before QEMU ended.
    fn watch(&mut self, doubtful: bool) -> Result<Option<Outcome>, Error> {
        let mut last: Option<Report> = None;
        loop {
            if let Some(report) = self.listen()? {
                let outcome = verdict::of(&report);
                last = Some(report);
                if outcome.is_some() {
                    return Ok(outcome);
                }
            }
            // Before QEMU's own end: ctrl-c reaches it, too.
            if self.interrupted.load(Ordering::Relaxed) {
                return Ok(Some(verdict::at_the_end(last.as_ref(), "it was interrupted")));
            }
            if let Some((status, stderr)) = self.machine.ended() {
                return match last {
                    // A KVM that QEMU can't even start in is as doubtful as one that hangs.
                    None if doubtful && !self.console.kernel_seen() => Ok(None),
                    Some(report) => Ok(Some(verdict::at_the_end(Some(&report), "the machine powered off"))),
                    None => Err(Error::Ended { status, stderr }),
                };
            }
            if self.started.elapsed() > self.options.timeout {
                let why = format!("no final verdict within {} s", self.options.timeout.as_secs());
                return Ok(Some(verdict::at_the_end(last.as_ref(), &why)));
            }
            if doubtful && !self.console.kernel_seen() && self.started.elapsed() > accel::PATIENCE {
                return Ok(None);
            }
        }
    }

    /// Keeps showing the console and writing reports until the machine is off, or this program is interrupted.
    fn stay(&mut self) -> Result<(), Error> {
        while self.machine.ended().is_none() && !self.interrupted.load(Ordering::Relaxed) {
            self.listen()?;
        }
        Ok(())
    }

    /// Waits a moment, shows what the console has said, and writes down a report that has come.
    fn listen(&mut self) -> Result<Option<Report>, Error> {
        std::thread::sleep(POLL);
        self.console.pass_on();
        let report = self.channel.newest();
        if let (Some(report), Some(path)) = (&report, &self.options.report) {
            write_report(report, path)?;
        }
        Ok(report)
    }
}

/// Becomes true when the user or the system asks this program to end. The throw-away disk is then removed on the way out.
fn interruption() -> io::Result<Arc<AtomicBool>> {
    let flag = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM, SIGHUP] {
        // Who asks a second time does not want to wait.
        signal_hook::flag::register_conditional_shutdown(signal, 130, Arc::clone(&flag))?;
        signal_hook::flag::register(signal, Arc::clone(&flag))?;
    }
    Ok(flag)
}

fn write_report(report: &Report, path: &Path) -> Result<(), Error> {
    let mut text = serde_json::to_vec_pretty(report).map_err(|error| Error::Input(error.to_string()))?;
    text.push(b'\n');
    let doing = format!("writing the report to {}", path.display());
    firmware_checks::files::replace(path, &text, 0o644).map_err(Error::io(doing))
}
