//! One suite of an archive: its signed Release, asked from the mirrors in turn, and where its indices are to be had.

use jiff::Timestamp;

use super::release::{Listed, Release};
use crate::archive::ask;
use crate::archive::mirrors::Choice;
use crate::archive::{Error, Keyring, Probe, Probed, Result, signature};
use crate::progress::Progress;
use crate::store::{Download, Store};

/// A signed Release has a few hundred kilobytes.
const RELEASE_LIMIT: u64 = 32 << 20;

/// How indices may be packed, best first.
const FORMATS: [&str; 4] = [".xz", ".zst", ".gz", ""];

/// What a mirror is asked for.
pub(super) struct Query<'a> {
    pub store: &'a Store,
    pub keyring: &'a Keyring,
    pub now: Timestamp,
    pub archive: &'a str,
    pub suite: &'a str,
}

/// A suite whose Release was verified.
#[derive(Debug)]
pub(super) struct Suite {
    /// Index into the base's sources.
    pub source: usize,
    pub name: String,
    /// The mirror that it came from.
    pub mirror: String,
    pub release: Release,
    /// The signed text.
    pub text: String,
}

/// An index that a Release lists.
#[derive(Clone, Debug)]
pub(super) struct IndexFile {
    /// Below the suite, without the suffix of its format: `main/binary-amd64/Packages`.
    pub path: String,
    /// Unpacked, where the Release says.
    pub plain: Option<Listed>,
    /// What is downloaded.
    pub packed: Download,
    /// The suffix of its format.
    pub format: &'static str,
}

/// Finds the suite on the mirrors of its archive.
pub(super) fn find(query: &Query, source: usize, choice: &Choice, progress: &Progress) -> Result<Suite> {
    let path = format!("dists/{}/InRelease", query.suite);
    let Query { store, archive, suite, .. } = *query;
    let asked = ask::Query { store, archive, suite, path: &path, limit: RELEASE_LIMIT };
    let (mirror, (text, release)) = ask::find(&asked, choice, progress, |url, message| judge(query, url, message))?;
    Ok(Suite { source, name: suite.to_owned(), mirror, release, text })
}

/// Whether one mirror has a suite as the base needs it.
pub fn probe(probe: &Probe<'_>) -> Result<Probed> {
    let Probe { base, suite, mirror, store, now, .. } = *probe;
    let source = &base.sources[probe.source];
    let query = Query { store, keyring: probe.trust.of(probe.source), now, archive: &source.archive, suite };
    let choice = Choice { named: vec![mirror.to_owned()], usual: Vec::new() };
    let found = find(&query, 0, &choice, &Progress::silent())?;
    found.indices(&source.components, base.architecture.as_str(), &choice.named)?;
    Ok(Probed { released: found.release.date, until: found.release.valid_until })
}

fn judge(query: &Query, url: &str, message: &[u8]) -> Result<(String, Release)> {
    let text = signature::verify(url, message, query.keyring, query.now)?;
    let release = Release::parse(url, &text)?;
    release.judge(url, query.suite, query.now)?;
    Ok((text, release))
}

impl Suite {
    /// The indices of these components for an architecture. `mirrors` are tried in this order.
    pub fn indices(&self, components: &[String], architecture: &str, mirrors: &[String]) -> Result<Vec<IndexFile>> {
        let url = format!("{}/dists/{}/InRelease", self.mirror, self.name);
        let mut files = Vec::new();
        for component in components {
            self.release.carries(&url, component, architecture)?;
            let path = format!("{component}/binary-{architecture}/Packages");
            let Some(file) = self.index(&path, mirrors) else {
                return Err(Error::Malformed { url, reason: format!("it lists no SHA-256 of `{path}`") });
            };
            files.push(file);
            if self.release.all_apart {
                files.extend(self.index(&format!("{component}/binary-all/Packages"), mirrors));
            }
        }
        Ok(files)
    }

    fn index(&self, path: &str, mirrors: &[String]) -> Option<IndexFile> {
        let listed = |format: &&str| self.release.files.get(&format!("{path}{format}"));
        let format = FORMATS.into_iter().find(|format| listed(format).is_some())?;
        let Listed { sha256, size } = listed(&format)?.clone();
        let folder = path.rsplit_once('/').map_or(path, |(folder, _)| folder);
        let mut urls = Vec::new();
        for mirror in mirrors {
            let suite = format!("{mirror}/dists/{}", self.name);
            if self.release.by_hash {
                urls.push(format!("{suite}/{folder}/by-hash/SHA256/{sha256}"));
            }
            urls.push(format!("{suite}/{path}{format}"));
        }
        let packed = Download { label: format!("{} {path}{format}", self.name), urls, sha256, size };
        Some(IndexFile { path: path.to_owned(), plain: listed(&"").cloned(), packed, format })
    }
}
