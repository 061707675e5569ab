//! The clock.

use std::io;

use jiff::Timestamp;

use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::facts::clock::{self, HostClock, Lapsed, TIMESYNCD};
use crate::requirements::Clock;

/// The checks of this file.
pub const CHECKS: &[Check] = &[Check {
    id: "time.synchronised",
    title: "Trusted clock",
    phases: &[Phase::Admission, Phase::Acceptance],
    after: &[],
    documentation: "The clock is trusted when NTP or PTP keeps it in step (the kernel's own state, which \
        systemd-timesyncd, chrony, ntpd and phc2sys set), when it agrees with the hypervisor's clock, or on an admin's \
        word (firmware-checks clock accept), which holds until the clock is set or goes back, and 90 days over \
        reboots. A clock earlier than the image's lock fails. One that is later but confirmed by nobody warns, or \
        fails where requirements.clock is `required`.",
    applies: |_| true,
    run: synchronised,
}];

fn synchronised(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let locked = context.appliance.locked;
    let shown = time(context.now);
    if context.now < locked {
        return Ok(vec![Finding::fail(
            format!("{shown}, which is before this image was made"),
            format!("later than {}", time(locked)),
            set(context),
        )]);
    }
    let required = match context.appliance.requirements.clock {
        Clock::Required => "confirmed by NTP, PTP, the hypervisor or an admin",
        Clock::Plausible => "later than the image's lock; better confirmed",
    };
    let sources = Sources::ask(context);
    if let Some(witness) = sources.witness() {
        return Ok(vec![Finding::pass(format!("{shown}, {witness}"), required)]);
    }
    let doubts = sources.doubts()?;
    let observed = format!("{shown}, {doubts}");
    Ok(vec![match context.appliance.requirements.clock {
        Clock::Required => Finding::fail(observed, required, confirm(context)),
        Clock::Plausible => Finding::warn(observed, required, confirm(context)),
    }])
}

/// Everybody who may vouch for the clock, or why they could not be asked.
struct Sources {
    kernel: io::Result<bool>,
    timesyncd: bool,
    host: io::Result<Option<HostClock>>,
    word: io::Result<Option<(clock::Acceptance, Result<(), Lapsed>)>>,
}

impl Sources {
    fn ask(context: &Context<'_>) -> Self {
        let machine = context.machine;
        Self {
            kernel: machine.kernel().discipline().map(|discipline| discipline.synchronised),
            timesyncd: machine.path(TIMESYNCD).exists(),
            host: clock::host_clock(machine),
            word: clock::accepted(machine, context.now),
        }
    }

    /// Who confirms the clock.
    fn witness(&self) -> Option<String> {
        // The file alone would also be there after somebody had set the clock by hand; the kernel notices that.
        if matches!(self.kernel, Ok(true)) {
            let by = if self.timesyncd { "systemd-timesyncd (NTP)" } else { "an NTP or PTP service" };
            return Some(format!("kept in step by {by}"));
        }
        if let Ok(Some(host)) = &self.host
            && host.agrees()
        {
            return Some(format!("in agreement with the hypervisor's clock ({})", host.name));
        }
        match &self.word {
            Ok(Some((word, Ok(())))) => Some(format!("accepted by an admin on {}", time(word.at))),
            _ => None,
        }
    }

    /// Why nobody confirms it.
    fn doubts(self) -> Result<String, CouldNotRun> {
        let mut doubts = Vec::new();
        let look = "see what keeps the clock: systemctl status systemd-timesyncd; journalctl -k -b";
        self.kernel.map_err(|error| CouldNotRun::new(format!("asking the kernel about its clock: {error}"), look))?;
        if self.timesyncd {
            doubts
                .push("systemd-timesyncd had set it, but it has been set by hand or lost its servers since".to_owned());
        }
        match self.host {
            Ok(None) => {}
            Ok(Some(host)) => {
                let seconds = host.ahead.as_secs();
                let side = if seconds < 0 { "behind" } else { "ahead of" };
                doubts.push(format!("{} s {side} the hypervisor's clock", seconds.unsigned_abs()));
            }
            Err(error) => doubts.push(format!("the hypervisor's clock can't be read ({error})")),
        }
        match self.word {
            Ok(Some((word, Err(lapsed)))) => {
                let why = match lapsed {
                    Lapsed::WentBack => "the clock went back",
                    Lapsed::WasSet => "the clock was set",
                    Lapsed::Old => "90 days went by",
                };
                doubts.push(format!("accepted by an admin on {}, but {why} since", time(word.at)));
            }
            Ok(_) => {}
            Err(error) => doubts.push(format!("the admin's word in {} can't be read ({error})", clock::ACCEPTED)),
        }
        if doubts.is_empty() {
            doubts.push("confirmed by nobody".to_owned());
        }
        Ok(doubts.join("; "))
    }
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}

/// How to set a clock that is wrong.
fn set(context: &Context<'_>) -> String {
    let network = servers(context).map_or(String::new(), |servers| format!("; or see why {servers} does not answer"));
    format!(
        "sudo date --utc --set 'YYYY-MM-DD HH:MM', then sudo firmware-checks clock accept; set it in the firmware setup too, and \
         change the board's battery if it was lost{network}"
    )
}

/// How to get the clock confirmed.
fn confirm(context: &Context<'_>) -> String {
    let by_hand = "if the time shown is right (compare it with a clock you trust): sudo firmware-checks clock accept";
    match servers(context) {
        Some(servers) => format!(
            "see why {servers} does not answer (UDP port 123): systemctl status systemd-timesyncd; or, {by_hand}"
        ),
        None => format!("name an NTP server that this machine reaches under [time] in site.toml; or, {by_hand}"),
    }
}

/// The site's NTP servers, for a sentence.
fn servers(context: &Context<'_>) -> Option<String> {
    let servers = &context.site?.time.ntp;
    (!servers.is_empty()).then(|| servers.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::State;
    use crate::facts::recorded::{Answer, Recorded, only};
    use crate::requirements::Requirements;
    use crate::site::{Site, Time};
    use jiff::SignedDuration;

    const ID: &str = "time.synchronised";

    /// The recorded machine's clock shows 2026-11-21 12:00 UTC; the image's lock is a day older.
    fn run(recorded: &Recorded, clock: Clock) -> Answer {
        recorded.run(ID, &Requirements { clock, ..Requirements::default() }, None)
    }

    fn accepted(at: &str) -> String {
        format!(r#"{{"at":"{at}","boot":"one","uptime":60}}"#)
    }

    #[test]
    fn ntp_ptp_the_hypervisor_and_an_admin_each_confirm_it() {
        let witnesses = [
            (Recorded::new().discipline(true), "an NTP or PTP service"),
            (Recorded::new().discipline(true).file(TIMESYNCD, ""), "systemd-timesyncd"),
            (
                Recorded::new().discipline(false).host_clock("KVM virtual PTP", SignedDuration::from_millis(-3)),
                "KVM virtual PTP",
            ),
            (
                Recorded::new()
                    .discipline(false)
                    .boot("two", "9.0 1.0")
                    .file(clock::ACCEPTED, accepted("2026-11-20T09:00:00Z")),
                "by an admin",
            ),
        ];
        for (recorded, words) in witnesses {
            let finding = only(run(&recorded, Clock::Required));
            assert_eq!(finding.state, State::Pass, "{finding:?}");
            assert!(finding.observed.contains(words), "{}", finding.observed);
        }
    }

    #[test]
    fn confirmed_by_nobody_it_warns_and_keeps_the_gate_shut_where_it_must_be_confirmed() {
        let recorded = Recorded::new().discipline(false);
        assert_eq!(only(run(&recorded, Clock::Plausible)).state, State::Warn);
        let finding = only(run(&recorded, Clock::Required));
        assert_eq!(finding.state, State::Fail);
        assert!(finding.remedy.unwrap().contains("firmware-checks clock accept"));
    }

    #[test]
    fn what_looks_like_a_witness_and_is_none_is_not_believed() {
        let doubtful = [
            (Recorded::new().discipline(false).file(TIMESYNCD, ""), "set by hand"),
            (
                Recorded::new().discipline(false).host_clock("KVM virtual PTP", SignedDuration::from_secs(-90)),
                "90 s behind",
            ),
            (Recorded::new().discipline(false).host_clock("igb 0000:01", SignedDuration::ZERO), "confirmed by nobody"),
            (
                Recorded::new()
                    .discipline(false)
                    .boot("one", "65.0 1.0")
                    .file(clock::ACCEPTED, accepted("2026-11-20T09:00:00Z")),
                "was set",
            ),
        ];
        for (recorded, words) in doubtful {
            let finding = only(run(&recorded, Clock::Required));
            assert_eq!(finding.state, State::Fail, "{finding:?}");
            assert!(finding.observed.contains(words), "{}", finding.observed);
        }
    }

    #[test]
    fn a_clock_before_the_images_lock_fails_whoever_vouches_for_it() {
        let recorded = Recorded::new().discipline(true);
        let machine = recorded.machine();
        let mut appliance = crate::facts::recorded::appliance(&Requirements::default());
        appliance.locked = "2026-11-22T00:00:00Z".parse().unwrap();
        let context = Context {
            appliance: &appliance,
            site: None,
            site_dir: machine.root(),
            machine: &machine,
            now: "2026-11-21T12:00:00Z".parse().unwrap(),
            phase: Phase::Admission,
        };
        let finding = only(synchronised(&context));
        assert_eq!((finding.state, finding.required.as_str()), (State::Fail, "later than 2026-11-22 00:00:00 UTC"));
    }

    #[test]
    fn without_the_kernels_word_it_cannot_run() {
        assert!(run(&Recorded::new(), Clock::Plausible).unwrap_err().what.contains("the kernel"));
    }

    #[test]
    fn a_word_that_cannot_be_read_is_none() {
        let damaged = Recorded::new().discipline(false).boot("one", "65.0 1.0").file(clock::ACCEPTED, "{");
        let finding = only(run(&damaged, Clock::Plausible));
        assert_eq!(finding.state, State::Warn);
        assert!(finding.observed.contains(clock::ACCEPTED), "{}", finding.observed);
    }

    #[test]
    fn the_sites_own_servers_are_named() {
        let site = Site { time: Time { ntp: vec!["ntp.clinic.example".to_owned()] }, ..Site::default() };
        let finding = only(Recorded::new().discipline(false).run(ID, &Requirements::default(), Some(&site)));
        assert!(finding.remedy.unwrap().contains("ntp.clinic.example"));
    }
}
