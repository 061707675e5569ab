//! How rpm compares versions (rpm's manual, rpm-version(7), and its `rpmvercmp`).

use std::cmp::Ordering;

/// Compares `[epoch:]version[-release]` as rpm does; an epoch that is not there is 0, a release that is not there
/// equals any.
pub fn compare(left: &str, right: &str) -> Ordering {
    let (left, right) = (Parts::of(left), Parts::of(right));
    let releases = || match (left.release, right.release) {
        (Some(left), Some(right)) => segments(left, right),
        _ => Ordering::Equal,
    };
    segments(left.epoch, right.epoch).then_with(|| segments(left.version, right.version)).then_with(releases)
}

struct Parts<'a> {
    epoch: &'a str,
    version: &'a str,
    release: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Self {
        let digits = |epoch: &str| epoch.bytes().all(|byte| byte.is_ascii_digit());
        let (epoch, rest) = text.split_once(':').filter(|(epoch, _)| digits(epoch)).unwrap_or(("0", text));
        let (version, release) = match rest.rsplit_once('-') {
            Some((version, release)) => (version, Some(release)),
            None => (rest, None),
        };
        Self { epoch: if epoch.is_empty() { "0" } else { epoch }, version, release }
    }
}

/// Segment by segment: digits as numbers, letters as text, a number after letters is newer; `~` comes before the end of the
/// text, `^` after it but before anything else; what else there is only parts segments.
fn segments(mut left: &str, mut right: &str) -> Ordering {
    if left == right {
        return Ordering::Equal;
    }
    let parting = |letter: char| !letter.is_ascii_alphanumeric() && letter != '~' && letter != '^';
    loop {
        (left, right) = (left.trim_start_matches(parting), right.trim_start_matches(parting));
        match (left.strip_prefix('~'), right.strip_prefix('~')) {
            (Some(one), Some(other)) => {
                (left, right) = (one, other);
                continue;
            }
            (Some(_), None) => return Ordering::Less,
            (None, Some(_)) => return Ordering::Greater,
            (None, None) => {}
        }
        match (left.strip_prefix('^'), right.strip_prefix('^')) {
            (Some(one), Some(other)) => {
                (left, right) = (one, other);
                continue;
            }
            (Some(_), None) => return if right.is_empty() { Ordering::Greater } else { Ordering::Less },
            (None, Some(_)) => return if left.is_empty() { Ordering::Less } else { Ordering::Greater },
            (None, None) => {}
        }
        if left.is_empty() || right.is_empty() {
            return left.len().cmp(&right.len());
        }
        let numeric = left.starts_with(|letter: char| letter.is_ascii_digit());
        let (one, other);
        (one, left) = segment(left, numeric);
        (other, right) = segment(right, numeric);
        if other.is_empty() {
            // Of segments of different kinds, a number is newer.
            return if numeric { Ordering::Greater } else { Ordering::Less };
        }
        let order = if numeric { numbers(one, other) } else { one.cmp(other) };
        if order != Ordering::Equal {
            return order;
        }
    }
}

/// The digits, or else the letters, that a text begins with; and what follows.
fn segment(text: &str, numeric: bool) -> (&str, &str) {
    let belongs = |letter: char| if numeric { letter.is_ascii_digit() } else { letter.is_ascii_alphabetic() };
    text.split_at(text.find(|letter| !belongs(letter)).unwrap_or(text.len()))
}

fn numbers(left: &str, right: &str) -> Ordering {
    let (left, right) = (left.trim_start_matches('0'), right.trim_start_matches('0'));
    left.len().cmp(&right.len()).then_with(|| left.cmp(right))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// From rpm's own tests (tests/rpmvercmp.at).
    #[test]
    fn versions_are_compared_as_rpm_does() {
        for (left, right) in [
            ("1.0", "2.0"),
            ("2.0", "2.0.1"),
            ("2.0.1", "2.0.1a"),
            ("5.5p1", "5.5p2"),
            ("5.5p1", "5.5p10"),
            ("10xyz", "10.1xyz"),
            ("xyz10", "xyz10.1"),
            ("xyz.4", "8"),
            ("xyz.4", "2"),
            ("5.5p2", "5.6p1"),
            ("5.6p1", "6.5p1"),
            ("6.0", "6.0.rc1"),
            ("10a2", "10b2"),
            ("1.0aa", "1.0aaa"),
            ("10.0001", "10.0039"),
            ("4.999.9", "5.0"),
            ("20101121", "20101122"),
            ("1.0~rc1", "1.0"),
            ("1.0~rc1", "1.0~rc2"),
            ("1.0~rc1~git123", "1.0~rc1"),
            ("1.0", "1.0^"),
            ("1.0^", "1.0^git1"),
            ("1.0^git1", "1.0^git2"),
            ("1.0^git1", "1.01"),
            ("1.0^20160101", "1.0.1"),
            ("1.0^20160101^git1", "1.0^20160102"),
            ("1.0~rc1", "1.0~rc1^git1"),
            ("1.0^git1~pre", "1.0^git1"),
            ("9-9", "1:1-1"),
            ("1-1.el9", "1-1.el9_1"),
            ("1.0-1.el9", "1.0-2.el9"),
            ("5.14.0-70.el9", "5.14.0-427.el9"),
        ] {
            assert_eq!(compare(left, right), Ordering::Less, "{left} {right}");
            assert_eq!(compare(right, left), Ordering::Greater, "{right} {left}");
        }
        for (left, right) in [
            ("2_0", "2.0"),
            ("a", "a"),
            ("a+", "a_"),
            ("+_", "_+"),
            ("1.05", "1.5"),
            ("10.0001", "10.1"),
            ("0:1-1", "1-1"),
            ("1.0", "1.0-5"),
            (":1-1", "1-1"),
        ] {
            assert_eq!(compare(left, right), Ordering::Equal, "{left} {right}");
        }
    }
}
