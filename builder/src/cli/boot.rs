//! `firstlight boot`: tries an image in QEMU before it is flashed.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use firmware_checks::units::Size;

use super::BadInput;
use crate::boot::{self, Accel, ExtraDisk, Firmware, Forward, Options, Outcome};

/// Try an image in QEMU: show its console, wait for the readiness report, and exit 0 when it is ready, 1 when it
/// is not, 2 when that could not be told. The image is not changed.
#[derive(Debug, Args)]
pub struct Boot {
    /// The disk image: raw, qcow2 or vhd.
    image: PathBuf,
    /// A site folder, handed to the machine as a USB stick labelled SITE.
    #[arg(long, value_name = "DIR")]
    site: Option<PathBuf>,
    /// Logical processors.
    #[arg(long, value_name = "N", default_value_t = 2)]
    cpus: u32,
    /// The model of processor to play, in QEMU's words, such as `qemu64` [default: all that there is].
    #[arg(long, value_name = "MODEL")]
    cpu: Option<String>,
    /// Memory, such as `4 GiB`.
    #[arg(long, value_name = "SIZE", default_value = "2 GiB")]
    memory: Size,
    /// How the machine starts.
    #[arg(long, value_enum, default_value_t)]
    firmware: Firmware,
    /// A file of UEFI variables to start from, for other Secure Boot keys than the firmware package's.
    #[arg(long, value_name = "FILE")]
    variables: Option<PathBuf>,
    /// How instructions are executed; `auto` tries KVM and falls back to TCG when nothing boots.
    #[arg(long, value_enum, default_value_t)]
    accel: Accel,
    /// Size of the disk that the image finds itself on [default: 16 GB].
    #[arg(long, value_name = "SIZE")]
    disk_size: Option<Size>,
    /// A further disk, empty, or with what a file holds (and into which the machine's writes go); may be given several times.
    /// A site names the first by the id `virtio-firstlight-extra0`.
    #[arg(long = "disk", value_name = "SIZE|FILE")]
    disks: Vec<ExtraDisk>,
    /// A TCP port of this host's loopback that leads to one of the machine; may be given several times.
    #[arg(long = "forward", value_name = "HOST:GUEST")]
    forwards: Vec<Forward>,
    /// Keep the machine's writes in this file and go on from them when it exists [default: thrown away].
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Record each write to the disk in this file (dm-log-writes format), to find out what a power cut would leave.
    #[arg(long, value_name = "FILE")]
    log_writes: Option<PathBuf>,
    /// Write the newest report here as JSON, as soon as it arrives.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Seconds to wait for a final verdict.
    #[arg(long, value_name = "S", default_value_t = 600)]
    timeout: u64,
    /// Leave the machine on after the verdict, until it powers off or this program is interrupted.
    #[arg(long)]
    keep: bool,
}

impl Boot {
    /// Runs the verb.
    ///
    /// # Errors
    /// Where the image could not be started at all.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        let image = self.image.display().to_string();
        let options = Options {
            image: self.image,
            site: self.site,
            cpus: self.cpus,
            cpu: self.cpu,
            memory: self.memory,
            firmware: self.firmware,
            variables: self.variables,
            accel: self.accel,
            disk_size: self.disk_size,
            extra_disks: self.disks,
            forwards: self.forwards,
            state: self.state,
            log_writes: self.log_writes,
            report: self.report,
            timeout: Duration::from_secs(self.timeout),
            keep: self.keep,
        };
        let outcome = boot::run(&options).map_err(by_category).with_context(|| format!("trying {image}"))?;
        match &outcome {
            Outcome::Ready => eprintln!("firstlight: {image} is {outcome}"),
            Outcome::NotReady(_) | Outcome::CouldNotTell(_) => eprintln!("firstlight: {image}: {outcome}"),
        }
        Ok(ExitCode::from(outcome.exit_code()))
    }
}

/// A missing program and a wrong file are the user's to mend.
fn by_category(error: boot::Error) -> anyhow::Error {
    match error {
        boot::Error::Missing { .. } | boot::Error::Input(_) => BadInput(error.to_string()).into(),
        other => other.into(),
    }
}
