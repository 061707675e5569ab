//! Asking the service for a fresh report.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use crate::appliance::Appliance;
use crate::check::Phase;
use crate::checks;
use crate::facts::Machine;
use crate::report::{Gate, Report};

use super::judge;

/// Asks the service that listens at `socket` to run the checks now; `None` where none listens.
///
/// # Errors
/// The service could not be reached, as by anybody but root; or did not answer with a report.
pub fn ask(socket: &Path) -> io::Result<Option<Report>> {
    let mut stream = match UnixStream::connect(socket) {
        Ok(stream) => stream,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    // Longer than all checks together take when one of them hangs.
    stream.set_read_timeout(Some(Duration::from_secs(600)))?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(Some(serde_json::from_slice(&answer)?))
}

/// Sends `report` to one who asked, who may have gone away.
pub(super) fn answer(mut stream: UnixStream, report: &Report) {
    let sent = serde_json::to_vec(report).map_err(io::Error::from).and_then(|line| {
        stream.set_nonblocking(false)?;
        stream.set_write_timeout(Some(Duration::from_secs(5)))?;
        stream.write_all(&line)
    });
    if let Err(error) = sent {
        eprintln!("sending the report to one who asked for it: {error}");
    }
}

/// Judges the machine in this process, without the service; opens nothing.
#[must_use]
pub fn on_board(appliance: &Appliance, machine: &Machine) -> Report {
    let open = judge::is_open(machine);
    let (phase, gate) = if open { (Phase::Acceptance, Gate::Opened) } else { (Phase::Admission, Gate::Shut) };
    let scene = judge::scene(appliance, machine);
    let verdicts = checks::run::run(checks::all(), &scene, phase, &[], |_| {});
    judge::assemble(&scene, verdicts, gate)
}
