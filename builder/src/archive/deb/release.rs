//! A Release file: what a suite is, until when it holds, and the digests of its indices
//! (<https://wiki.debian.org/DebianRepository/Format>).

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::fmt::rfc2822::DateTimeParser;

use super::deb822;
use crate::archive::{Error, Result};

/// How far this machine's clock may lag behind the archive's, in seconds. apt allows the same.
const FUTURE_TOLERANCE: i64 = 10;

/// The parts of a Release that a build needs. Only from text whose signature was verified.
#[derive(Clone, Debug)]
pub(super) struct Release {
    pub suite: String,
    pub codename: String,
    pub date: Timestamp,
    pub valid_until: Option<Timestamp>,
    pub architectures: Vec<String>,
    pub components: Vec<String>,
    /// Indices may be had under their digests.
    pub by_hash: bool,
    /// `binary-all` has packages which the indices of the other architectures lack.
    pub all_apart: bool,
    /// SHA-256 and size by path below the suite.
    pub files: HashMap<String, Listed>,
}

/// A file that a Release lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    pub sha256: String,
    pub size: u64,
}

impl Release {
    pub fn parse(url: &str, text: &str) -> Result<Self> {
        let malformed = |reason: String| Error::Malformed { url: url.to_owned(), reason };
        // What follows the first stanza is not the Release.
        let stanza = deb822::stanzas(text).next().unwrap_or_default();
        let value = |name: &str| deb822::field(stanza, name).unwrap_or_default();
        let words = |name: &str| value(name).split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        let time = |name: &str| match value(name) {
            "" => Ok(None),
            text => parse_date(text).map(Some).ok_or_else(|| malformed(format!("`{name}: {text}` is no date"))),
        };
        let architectures = words("Architectures");
        let support = value("No-Support-for-Architecture-all");
        Ok(Self {
            suite: value("Suite").to_owned(),
            codename: value("Codename").to_owned(),
            date: time("Date")?.ok_or_else(|| malformed("it has no `Date`".to_owned()))?,
            valid_until: time("Valid-Until")?,
            components: words("Components"),
            by_hash: value("Acquire-By-Hash").eq_ignore_ascii_case("yes"),
            all_apart: architectures.iter().any(|name| name == "all") && support != "Packages",
            architectures,
            files: parse_files(value("SHA256")).map_err(malformed)?,
        })
    }

    /// Whether it may be used for this suite at this time.
    pub fn judge(&self, url: &str, suite: &str, now: Timestamp) -> Result<()> {
        if self.codename != suite && self.suite != suite {
            return Err(Error::Unfit {
                url: url.to_owned(),
                what: "the suite",
                found: if self.codename.is_empty() { self.suite.clone() } else { self.codename.clone() },
                expected: suite.to_owned(),
                hint: "the mirror serves another suite under this name; try another one with --mirror",
            });
        }
        let url = url.to_owned();
        if self.date.as_second() > now.as_second() + FUTURE_TOLERANCE {
            return Err(Error::NotYetValid { url, date: self.date, now });
        }
        match self.valid_until {
            Some(until) if until < now => Err(Error::Expired { url, until, now }),
            _ => Ok(()),
        }
    }

    /// Whether it has this component for this architecture.
    pub fn carries(&self, url: &str, component: &str, architecture: &str) -> Result<()> {
        let unfit = |what, found: &[String], expected: &str| Error::Unfit {
            url: url.to_owned(),
            what,
            found: found.join(" "),
            expected: expected.to_owned(),
            hint: "a mirror with a part of the archive only? Try another one with --mirror",
        };
        // A suite may be the child of another one: Debian's security archive calls `main` `updates/main`.
        let named = |listed: &String| listed == component || listed.rsplit('/').next() == Some(component);
        if !self.components.iter().any(named) {
            return Err(unfit("the components", &self.components, component));
        }
        if !self.architectures.iter().any(|listed| listed == architecture) {
            return Err(unfit("the architectures", &self.architectures, architecture));
        }
        Ok(())
    }
}

/// `Sat, 12 Sep 2026 07:55:41 UTC`.
fn parse_date(text: &str) -> Option<Timestamp> {
    let text = match text.strip_suffix("UTC") {
        Some(start) => format!("{start}+0000"),
        None => text.to_owned(),
    };
    DateTimeParser::new().parse_timestamp(&text).ok()
}

/// Lines of digest, size and path.
fn parse_files(value: &str) -> std::result::Result<HashMap<String, Listed>, String> {
    let mut files = HashMap::new();
    for line in value.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut words = line.split_whitespace();
        let (Some(sha256), Some(size), Some(path)) = (words.next(), words.next(), words.next()) else {
            return Err(format!("`{line}` is not a digest, a size and a path"));
        };
        let Ok(size) = size.parse() else {
            return Err(format!("`{size}` in `{line}` is no size"));
        };
        files.insert(path.to_owned(), Listed { sha256: sha256.to_ascii_lowercase(), size });
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "Origin: Debian\nSuite: stable-security\nCodename: trixie-security\n\
        Date: Fri, 20 Nov 2026 00:12:42 UTC\nValid-Until: Fri, 27 Nov 2026 00:12:42 UTC\nAcquire-By-Hash: yes\n\
        Architectures: amd64 arm64\nComponents: updates/main updates/contrib\nSHA256:\n \
        e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 12 main/binary-amd64/Packages\n";

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn release() -> Release {
        Release::parse("u", TEXT).unwrap()
    }

    #[test]
    fn its_fields_are_read() {
        let release = release();
        assert_eq!(release.date, at("2026-11-20T00:12:42Z"));
        assert!(release.by_hash && !release.all_apart);
        assert_eq!(release.files["main/binary-amd64/Packages"].size, 12);
    }

    #[test]
    fn it_holds_from_its_date_until_its_end() {
        let judge = |now: &str| release().judge("u", "trixie-security", at(now));
        assert!(judge("2026-11-20T00:12:42Z").is_ok());
        assert!(judge("2026-11-27T00:12:42Z").is_ok());
        assert!(matches!(judge("2026-11-27T00:12:43Z"), Err(Error::Expired { .. })));
        assert!(judge("2026-11-20T00:12:32Z").is_ok());
        assert!(matches!(judge("2026-11-20T00:12:31Z"), Err(Error::NotYetValid { .. })));
    }

    #[test]
    fn it_must_be_of_the_suite_that_was_asked_for() {
        let now = at("2026-11-21T00:00:00Z");
        assert!(release().judge("u", "stable-security", now).is_ok());
        let text = release().judge("u", "trixie", now).unwrap_err().to_string();
        assert!(text.contains("found the suite `trixie-security`, expected `trixie`"), "{text}");
    }

    #[test]
    fn components_and_architectures_must_be_there() {
        assert!(release().carries("u", "main", "amd64").is_ok());
        assert!(release().carries("u", "non-free", "amd64").is_err());
        assert!(release().carries("u", "main", "s390x").is_err());
    }

    #[test]
    fn a_release_without_a_date_or_with_broken_lists_is_refused() {
        for (from, to) in [("Date: Fri", "Dated: Fri"), (" 12 main", " twelve main"), ("00:12:42", "25:12:42")] {
            assert!(Release::parse("u", &TEXT.replace(from, to)).is_err(), "{to}");
        }
    }

    #[test]
    fn a_second_stanza_is_not_read() {
        let text = format!("{TEXT}\nCodename: other\nSHA256:\n ab 1 evil\n");
        assert!(!Release::parse("u", &text).unwrap().files.contains_key("evil"));
    }
}
