//! Handing out the report: to the file that everybody may read, to the channel of a hypervisor, to the log.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;

use nix::libc::O_NONBLOCK;

use crate::checks::run::Progress;
use crate::facts::Machine;
use crate::files;
use crate::report::Report;

/// The newest report.
pub const REPORT: &str = "/run/firstlight/report.json";
/// One line on how far a run is, while there is no report yet.
pub const PROGRESS: &str = "/run/firstlight/progress";
/// A virtio-serial port by which the hypervisor's side reads reports, one line of JSON each.
const CHANNEL: &str = "/dev/virtio-ports/org.firstlight.report";

/// Replaces the report that everybody may read.
///
/// # Errors
/// The failing system call's.
pub fn report(machine: &Machine, report: &Report) -> io::Result<()> {
    files::replace(&machine.path(REPORT), &serde_json::to_vec_pretty(report)?, 0o644)
}

/// Tells how far a run is. In memory only, so it needs no sync.
///
/// # Errors
/// The failing system call's.
pub fn progress(machine: &Machine, progress: Progress) -> io::Result<()> {
    let Progress { done, total, current } = progress;
    let path = machine.path(PROGRESS);
    let fresh = path.with_extension("new");
    fs::write(&fresh, format!("checking {} of {total}: {current}\n", done + 1))?;
    fs::rename(fresh, path)
}

/// Sends the report down the hypervisor's channel, where there is one; never waits for a reader.
///
/// # Errors
/// The failing system call's; `WouldBlock` where the other side does not read.
pub fn channel(machine: &Machine, report: &Report) -> io::Result<()> {
    let port = OpenOptions::new().write(true).custom_flags(O_NONBLOCK).open(machine.path(CHANNEL));
    let mut port = match port {
        Ok(port) => port,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    let mut rest = line.as_slice();
    let mut tries = 0;
    while !rest.is_empty() {
        match port.write(rest) {
            Ok(written) => rest = &rest[written..],
            // The port takes a few pages at once; a reader empties it at once too.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && tries < 40 => {
                tries += 1;
                std::thread::sleep(std::time::Duration::from_millis(50));
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// What of a report is told once and not again while it stays: the gate, each check's state and what is to be done next; not
/// the values, which move all the time.
#[must_use]
pub fn gist(report: &Report) -> String {
    let mut gist = format!("{:?}", report.gate);
    for verdict in &report.checks {
        gist.push_str(&format!(
            "\n{} {} {:?} {:?} {:?}",
            verdict.id,
            verdict.subject.as_deref().unwrap_or_default(),
            verdict.state,
            verdict.waived,
            verdict.remedy.as_ref().filter(|_| verdict.to_mend())
        ));
    }
    gist
}

/// Logs the verdict and what must be mended, in a few lines for the journal.
pub fn log(report: &Report) {
    let text = |text: &str| crate::report::clean(text, false);
    eprintln!("{}", text(&report.headline()));
    for verdict in report.checks.iter().filter(|verdict| verdict.to_mend()) {
        let subject = verdict.subject.as_ref().map(|subject| format!(" {subject}")).unwrap_or_default();
        let line = format!("{}{subject}: found {}, required {}", verdict.id, verdict.observed, verdict.required);
        eprintln!("{}", text(&line));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::{Phase, State};
    use crate::report::{Gate, Verdict, samples};

    fn report(state: State, observed: &str, remedy: &str) -> Report {
        let verdict = samples::verdict("cluster.server", Phase::Admission, state);
        let verdict = Verdict { observed: observed.into(), remedy: Some(remedy.into()), ..verdict };
        samples::report(Gate::Shut, vec![verdict])
    }

    #[test]
    fn what_is_to_be_done_next_is_told_anew_and_a_value_that_moves_is_not() {
        let told = gist(&report(State::Fail, "refused", "start it"));
        assert_eq!(told, gist(&report(State::Fail, "nothing came back", "start it")));
        assert_ne!(told, gist(&report(State::Fail, "of another cluster", "correct the token")));
        assert_ne!(told, gist(&report(State::Unknown, "refused", "start it")));
        let warned = |remedy| gist(&report(State::Warn, "few", remedy));
        assert_eq!(warned("a"), warned("b"));
    }
}
