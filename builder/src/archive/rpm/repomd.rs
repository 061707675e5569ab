//! `repomd.xml`: what a repository's index consists of, with the digest of each part.

use std::collections::BTreeMap;
use std::io::BufRead;

use jiff::Timestamp;

use super::xml::{Document, Node};
use crate::archive::package::is_path;
use crate::store::is_digest;

/// How many parts one may list.
const PARTS: usize = 1000;

/// A repository's list of its parts.
#[derive(Clone, Debug)]
pub(super) struct Repomd {
    /// When it was made.
    pub released: Timestamp,
    /// The parts by their kind, such as `primary`.
    parts: BTreeMap<String, Result<Part, String>>,
}

/// One file of an index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    /// Its path below the repository.
    pub path: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// Bytes of the file.
    pub size: u64,
    /// Bytes unpacked, where it says.
    pub open_size: Option<u64>,
    /// Seconds since 1970.
    pub timestamp: i64,
}

/// Times before were not repositories' (2000), later ones (2100) are dates that only look like numbers of seconds.
const PLAUSIBLE: std::ops::Range<i64> = 946_684_800..4_102_444_800;

impl Repomd {
    pub fn parse(reader: impl BufRead) -> Result<Self, String> {
        let mut document = Document::new(reader);
        let (mut parts, mut revision) = (BTreeMap::new(), String::new());
        let mut part: Option<(String, BTreeMap<String, String>)> = None;
        let mut text = String::new();
        while let Some(node) = document.next()? {
            match node {
                Node::Open(element) => {
                    text.clear();
                    match (element.name.as_str(), &mut part) {
                        ("data", None) => {
                            let kind = element.get("type").ok_or("a `data` without `type`")?.to_owned();
                            part = Some((kind, BTreeMap::new()));
                        }
                        ("location", Some((_, values))) => {
                            let given = |name: &str| element.get(name).map(str::to_owned);
                            values.extend(given("href").map(|href| ("href".to_owned(), href)));
                            values.extend(given("xml:base").map(|base| ("base".to_owned(), base)));
                        }
                        ("checksum", Some((_, values))) => {
                            values.insert("type".to_owned(), element.get("type").unwrap_or_default().to_owned());
                        }
                        _ => {}
                    }
                }
                Node::Text(more) => text += &more,
                Node::Close(name) => match (name.as_str(), &mut part) {
                    ("data", Some(_)) => {
                        let (kind, values) = part.take().unwrap_or_default();
                        if parts.len() == PARTS || parts.insert(kind.clone(), finish(&kind, &values)).is_some() {
                            return Err(format!("`{kind}` stands there twice, or too many parts do"));
                        }
                    }
                    ("revision", None) => text.trim().clone_into(&mut revision),
                    (_, Some((_, values))) => drop(values.insert(name, text.trim().to_owned())),
                    _ => {}
                },
            }
        }
        let newest = parts.values().flatten().map(|part| part.timestamp).max().unwrap_or_default();
        let seconds = revision.parse().ok().filter(|seconds| PLAUSIBLE.contains(seconds)).unwrap_or(newest);
        let released = Timestamp::from_second(seconds).map_err(|_| format!("`{seconds}` is no time"))?;
        Ok(Self { released, parts })
    }

    /// The part of this kind, where it is as it must be.
    pub fn part(&self, kind: &str) -> Result<Option<&Part>, String> {
        self.parts.get(kind).map(Result::as_ref).transpose().map_err(Clone::clone)
    }
}

fn finish(kind: &str, values: &BTreeMap<String, String>) -> Result<Part, String> {
    let value = |name: &str| values.get(name).map(String::as_str);
    let number = |name: &str| match value(name) {
        None => Ok(None),
        Some(text) => text.parse::<u64>().map(Some).map_err(|_| format!("`{name}` of `{kind}` is `{text}`, no number")),
    };
    if let Some(elsewhere) = value("base") {
        return Err(format!("`{kind}` lies elsewhere, at `{elsewhere}`"));
    }
    let path = value("href").ok_or_else(|| format!("`{kind}` has no location"))?.to_owned();
    if !is_path(&path) {
        return Err(format!("`{path}`, the location of `{kind}`, is not a path below the repository"));
    }
    let (sha256, digest) =
        (value("checksum").unwrap_or_default().to_ascii_lowercase(), value("type").unwrap_or_default());
    if digest != "sha256" || !is_digest(&sha256) {
        return Err(format!("the digest of `{kind}` is `{sha256}` of type `{digest}`, expected one of type `sha256`"));
    }
    // Some tools write fractions of seconds.
    let timestamp = value("timestamp").and_then(|text| text.split('.').next()?.parse().ok()).unwrap_or_default();
    let size = number("size")?.ok_or_else(|| format!("`{kind}` has no size"))?;
    Ok(Part { path, sha256, size, open_size: number("open-size")?, timestamp })
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn text() -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<repomd xmlns=\"http://linux.duke.edu/metadata/repo\" \
             xmlns:rpm=\"http://linux.duke.edu/metadata/rpm\">\n <revision>1731000000</revision>\n <data type=\"primary\">\n  \
             <checksum type=\"sha256\">{DIGEST}</checksum>\n  <open-checksum type=\"sha256\">{DIGEST}</open-checksum>\n  \
             <location href=\"repodata/x-primary.xml.gz\"/>\n  <timestamp>1731000005</timestamp>\n  <size>12</size>\n  \
             <open-size>99</open-size>\n </data>\n</repomd>\n"
        )
    }

    fn parse(text: &str) -> Result<Repomd, String> {
        Repomd::parse(text.as_bytes())
    }

    #[test]
    fn its_parts_are_read() {
        let repomd = parse(&text()).unwrap();
        let part = repomd.part("primary").unwrap().unwrap();
        assert_eq!((part.path.as_str(), part.sha256.as_str()), ("repodata/x-primary.xml.gz", DIGEST));
        assert_eq!((part.size, part.open_size), (12, Some(99)));
        assert_eq!(repomd.released.as_second(), 1_731_000_000);
        assert_eq!(repomd.part("modules"), Ok(None));
    }

    #[test]
    fn a_revision_that_is_no_time_counts_for_nothing() {
        for revision in ["9.4", "20241105123045", "20241105", ""] {
            let repomd = parse(&text().replace("1731000000", revision)).unwrap();
            assert_eq!(repomd.released.as_second(), 1_731_000_005, "{revision}");
        }
    }

    #[test]
    fn what_can_not_be_verified_or_lies_elsewhere_is_refused() {
        for (from, to, told) in [
            ("<checksum type=\"sha256\">", "<checksum type=\"sha\">", "of type `sha`, expected one of type `sha256`"),
            ("<checksum type=\"sha256\">e3", "<checksum type=\"sha256\">e", "expected one of type `sha256`"),
            ("<size>12</size>", "", "`primary` has no size"),
            ("<size>12", "<size>twelve", "`size` of `primary` is `twelve`, no number"),
            ("href=\"repodata/", "href=\"../", "is not a path below the repository"),
            ("href=\"repodata/", "href=\"/etc/", "is not a path below the repository"),
            ("href=\"repodata/", "href=\"http://other.example/", "is not a path below the repository"),
            ("<location ", "<location xml:base=\"http://other.example\" ", "lies elsewhere"),
            ("<location href=\"repodata/x-primary.xml.gz\"/>", "", "has no location"),
            ("<data type=\"primary\">", "<data>", "a `data` without `type`"),
            ("</repomd>", "<data type=\"primary\"></data></repomd>", "stands there twice"),
        ] {
            let repomd = parse(&text().replacen(from, to, 1));
            let error = repomd.and_then(|repomd| repomd.part("primary").map(drop)).unwrap_err();
            assert!(error.contains(told), "{to}: {error}");
        }
    }
}
