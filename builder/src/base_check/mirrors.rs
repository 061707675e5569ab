//! Each suite on each mirror and on the snapshot service: signed, valid, with the base's components and architecture.

use jiff::{SignedDuration, Timestamp};

use super::{Line, State, Subject, Wrong};
use crate::archive::{self, Probe, Stale};
use crate::recipe::base::{SNAPSHOT_TIME, Source};

/// How old the snapshot is that is asked for.
const SNAPSHOT_AGE: SignedDuration = SignedDuration::from_hours(48);

/// A line for each suite of each mirror, and one for each snapshot service.
pub(super) fn lines(subject: &Subject<'_>) -> Vec<Line> {
    let mut lines = Vec::new();
    for (number, source) in subject.base.sources.iter().enumerate() {
        for mirror in subject.workshop.mirrors.tried(&subject.base.sources, number) {
            lines.extend(mirror_lines(subject, (number, source), &mirror));
        }
        lines.extend(source.snapshot.as_ref().and_then(|url| snapshot(subject, (number, source), url)));
    }
    lines
}

fn mirror_lines(subject: &Subject<'_>, (number, source): (usize, &Source), mirror: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    for suite in &source.suites {
        let what = format!("suite {suite}");
        match probe(subject, number, (suite, mirror), subject.now) {
            Ok(found) => {
                let stale = Stale::of(subject.base, source, suite, found.released, found.until, subject.now);
                if let Some(stale) = stale {
                    lines.push(quiet(what, mirror, &stale));
                    continue;
                }
                let until = found.until.map(|until| format!(", valid until {until}")).unwrap_or_default();
                lines.push(Line::ok(what, format!("{mirror}: of {}{until}", found.released)));
            }
            Err(error) => {
                let line = Wrong::of(&error, subject.now).line(what);
                let out_of_reach = line.state == State::Unknown;
                lines.push(line);
                // The other suites of a server that does not answer would only take their time.
                if out_of_reach {
                    break;
                }
            }
        }
    }
    lines
}

/// A mirror whose suite was not renewed for long.
fn quiet(what: String, mirror: &str, stale: &Stale) -> Line {
    Line {
        state: State::Warn,
        what,
        found: format!("{mirror}: of {}, {} days ago", stale.released, stale.days),
        expected: Some(format!("at most {} days", stale.limit)),
        hint: Some(
            "is the mirror kept up to date? Where the archive is so quiet: `stale_after_days` in the base".to_owned(),
        ),
    }
}

/// The first suite as it was two days ago, from the snapshot service.
fn snapshot(subject: &Subject<'_>, (number, source): (usize, &Source), url: &str) -> Option<Line> {
    let suite = source.suites.first()?;
    let then = subject.now.checked_sub(SNAPSHOT_AGE).ok()?;
    let mirror = url.replace(SNAPSHOT_TIME, &then.strftime("%Y%m%dT%H%M%SZ").to_string());
    let what = format!("snapshot of {suite}");
    Some(match probe(subject, number, (suite, &mirror), then) {
        Ok(found) => Line::ok(what, format!("{mirror}: of {}", found.released)),
        Err(error) => Wrong::of(&error, then).line(what),
    })
}

/// Asks one mirror for one suite, as of `now`.
pub(super) fn probe(
    subject: &Subject<'_>,
    source: usize,
    (suite, mirror): (&str, &str),
    now: Timestamp,
) -> archive::Result<archive::Probed> {
    let Subject { base, trust, workshop, .. } = *subject;
    archive::probe(&Probe { base, source, suite, mirror, trust, store: workshop.store, now })
}
