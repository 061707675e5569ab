//! The certificates that may sign the base's archive.

use std::path::Path;
use std::slice;

use jiff::{SignedDuration, Timestamp};

use super::wrong::Wrong;
use super::{Line, State};
use crate::archive::{self, Certificate, Trust};
use crate::artifact::{self, Files, Pin};
use crate::lock::Workshop;
use crate::recipe::base::Base;
use crate::recipe::keyring::{Keyring, Published};

/// How long before its end a certificate is told of: a release of the base's file takes its time.
const SOON: SignedDuration = SignedDuration::from_hours(180 * 24);

/// Fetches the certificates that their publishers have. Sources whose certificate can't be had, or is another one, are told and
/// left out of what is tried further, and so are the platforms that need them.
#[must_use]
pub fn published(mut base: Base, workshop: &Workshop<'_>, now: Timestamp) -> (Base, Vec<Pin>, Vec<Line>) {
    let (mut pins, mut lines) = (Vec::new(), Vec::new());
    for published in base.published().into_iter().cloned().collect::<Vec<_>>() {
        match fetched(&published, workshop, now) {
            Ok(pin) => pins.push(pin),
            Err(wrong) => {
                lines.push(wrong.line(published.name()));
                let keyring = Some(Keyring::Published(published));
                let Base { sources, platforms, .. } = &mut base;
                for source in sources.extract_if(.., |source| source.keyring == keyring) {
                    platforms.retain(|name, _| !source.platforms.contains(name));
                }
            }
        }
    }
    (base, pins, lines)
}

fn fetched(published: &Published, workshop: &Workshop<'_>, now: Timestamp) -> Result<Pin, Wrong> {
    let Workshop { store, progress, .. } = *workshop;
    let wrong = |error: &archive::Error| Wrong::of(error, now);
    let pin = artifact::pin_certificate(published, store, progress).map_err(|error| match error {
        artifact::Error::Store(error) => wrong(&error.into()),
        other => wrong(&archive::Error::Keyring { reason: other.to_string() }),
    })?;
    Trust::published(published, &Files::of(Path::new(""), slice::from_ref(&pin), store))
        .map_err(|error| wrong(&error))?;
    Ok(pin)
}

/// A line for each certificate.
pub(super) fn lines(trust: &Trust, now: Timestamp) -> Vec<Line> {
    let line = |certificate: Certificate| {
        let found = format!("{} {}", certificate.fingerprint, certificate.name);
        let renew = Some("take the distribution's newer certificate into the base's keyring".to_owned());
        let what = "certificate".to_owned();
        match (certificate.refused, certificate.until) {
            (Some(reason), _) => Line {
                state: State::Fail,
                what,
                found: format!("{found}: {reason}"),
                expected: Some(format!("one that may sign at {now}")),
                hint: renew,
            },
            (None, Some(until)) if until.duration_since(now) < SOON => Line {
                state: State::Warn,
                what,
                found: format!("{found}: valid until {until}"),
                expected: None,
                hint: renew,
            },
            (None, Some(until)) => Line::ok(what, format!("{found}, until {}", until.strftime("%Y-%m-%d"))),
            (None, None) => Line::ok(what, format!("{found}, without an end")),
        }
    };
    trust.certificates(now).into_iter().map(line).collect()
}
