//! Indices that tell no end of their own and were not renewed for long: an old copy of one, with old packages in it, is as well
//! signed as the newest.

use std::fmt;

use jiff::Timestamp;

use super::Archive;
use crate::recipe::base::{Base, Source};

/// Days of an index of RPMs where the base says nothing: distributions that are kept up to date write theirs every few days.
const RPM_DAYS: u32 = 60;

/// A suite that was not renewed for longer than its source leads to expect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stale {
    /// The suite, and its archive.
    pub suite: String,
    /// The source's archive.
    pub archive: String,
    /// When its index was made.
    pub released: Timestamp,
    /// How many whole days ago that was.
    pub days: i64,
    /// How many were to be expected at most.
    pub limit: u32,
}

impl Stale {
    /// Judges an index of a suite of `source` by when it was made; `until` is its own end, which makes this needless.
    #[must_use]
    pub fn of(
        base: &Base,
        source: &Source,
        suite: &str,
        released: Timestamp,
        until: Option<Timestamp>,
        now: Timestamp,
    ) -> Option<Self> {
        let usual = (base.family == crate::recipe::base::Family::Rpm).then_some(RPM_DAYS);
        let limit = source.stale_after_days.or(usual).filter(|_| until.is_none())?;
        let days = now.duration_since(released).as_hours() / 24;
        (days > i64::from(limit)).then(|| Self {
            suite: suite.to_owned(),
            archive: source.archive.clone(),
            released,
            days,
            limit,
        })
    }
}

/// Those suites of `archive`, each once.
#[must_use]
pub fn stale(archive: &Archive, base: &Base, now: Timestamp) -> Vec<Stale> {
    let mut found: Vec<Stale> = Vec::new();
    for index in archive.indices() {
        let stale = Stale::of(base, &base.sources[index.source], index.suite, index.released, index.until, now);
        found.extend(stale.filter(|stale| !found.contains(stale)));
    }
    found
}

impl fmt::Display for Stale {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { suite, archive, released, days, limit } = self;
        write!(
            f,
            "`{suite}` of `{archive}` was last renewed {days} days ago, on {}, expected at most {limit}\n  hint: its index has no \
             end of its own, so a mirror that is no longer kept up to date looks like this; try another with --mirror, or say \
             `stale_after_days` in the base where the archive is so quiet",
            released.strftime("%Y-%m-%d")
        )
    }
}
