//! The certificates that may sign the base's archive.

use jiff::{SignedDuration, Timestamp};

use super::{Line, State};
use crate::archive::{Certificate, Trust};

/// How long before its end a certificate is told of: a release of the base's file takes its time.
const SOON: SignedDuration = SignedDuration::from_hours(180 * 24);

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
