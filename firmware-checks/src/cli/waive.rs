//! `firmware-checks waive`: let one check fail for a while.

use anyhow::Context;
use clap::Args;
use jiff::civil::Date;
use jiff::{Timestamp, tz::TimeZone};

use crate::checks;
use crate::cli::{Outcome, Wrong};
use crate::facts::Machine;
use crate::waivers::{PATH, Waiver, Waivers};

/// Let one check fail until a day, for a reason that every report shows.
#[derive(Args)]
pub struct Waive {
    /// The check's identifier, as in the report.
    id: String,
    /// Why.
    #[arg(long, required_unless_present = "revoke")]
    reason: Option<String>,
    /// The last day on which it counts (UTC), such as 2027-03-31.
    #[arg(long, required_unless_present = "revoke")]
    until: Option<Date>,
    /// Take the waiver of this check back.
    #[arg(long, conflicts_with_all = ["reason", "until"])]
    revoke: bool,
}

impl Waive {
    /// Writes the waiver, in place of an earlier one of the same check.
    ///
    /// # Errors
    /// [`Wrong`] where there is no such check or the day is past; or the file could not be read or written.
    pub fn run(self) -> anyhow::Result<Outcome> {
        let path = Machine::here().path(PATH);
        let mut waivers = Waivers::load(&path)?;
        let waiver = self.waiver(Timestamp::now())?;
        let had = waivers.list.len();
        waivers.list.retain(|waiver| waiver.id != self.id);
        match waiver {
            Some(waiver) => waivers.list.push(waiver),
            None if waivers.list.len() == had => {
                return Err(Wrong(format!("there is no waiver of `{}` in {PATH}", self.id)).into());
            }
            None => {}
        }
        waivers.save(&path).context("are you root?")?;
        Ok(Outcome::Done)
    }

    fn waiver(&self, now: Timestamp) -> Result<Option<Waiver>, Wrong> {
        let (Some(reason), Some(until)) = (&self.reason, self.until) else { return Ok(None) };
        if !checks::all().any(|check| check.id == self.id) {
            return Err(Wrong(format!("there is no check `{}`; see: firmware-checks list", self.id)));
        }
        if reason.trim().is_empty() {
            return Err(Wrong("--reason is empty: say why, for whoever reads the report".to_owned()));
        }
        let waiver = Waiver { id: self.id.clone(), reason: reason.trim().to_owned(), until };
        if !waiver.counts(now) {
            let today = now.to_zoned(TimeZone::UTC).date();
            return Err(Wrong(format!("--until {until} is past: by this machine's clock it is {today}")));
        }
        Ok(Some(waiver))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn waive(id: &str, reason: &str, until: &str) -> Result<Option<Waiver>, Wrong> {
        let until = Some(until.parse().unwrap());
        Waive { id: id.to_owned(), reason: Some(reason.to_owned()), until, revoke: false }
            .waiver("2026-11-21T12:00:00Z".parse().unwrap())
    }

    #[test]
    fn a_waiver_needs_a_check_a_reason_and_a_day_to_come() {
        assert!(waive("waivers.file", "for now", "2026-11-21").unwrap().is_some());
        assert!(waive("waivers.fil", "for now", "2026-11-21").unwrap_err().0.contains("no check `waivers.fil`"));
        assert!(waive("waivers.file", " ", "2026-11-21").unwrap_err().0.contains("--reason"));
        assert!(waive("waivers.file", "for now", "2026-11-20").unwrap_err().0.contains("is past"));
    }
}
