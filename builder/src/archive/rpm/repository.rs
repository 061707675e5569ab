//! One repository: its `repomd.xml`, asked from the mirrors in turn, and the indices that this lists.

use std::io::{BufReader, Read};
use std::path::PathBuf;

use jiff::Timestamp;

use super::repomd::{Part, Repomd};
use crate::archive::mirrors::Choice;
use crate::archive::signature::{Keyring, Moment, verify_detached};
use crate::archive::{Error, Probe, Probed, Result, ask, unpack};
use crate::progress::Progress;
use crate::recipe::base::Source;
use crate::store::{Answer, Download, Store};

/// It has a few kilobytes.
const REPOMD_LIMIT: u64 = 4 << 20;

/// Bytes of a signature.
const SIGNATURE_LIMIT: u64 = 64 << 10;

/// What an index may have unpacked, where its size is not said: the largest known, Fedora's file lists, has less than a
/// GiB.
const UNPACKED_LIMIT: u64 = 4 << 30;

/// How far this machine's clock may lag behind the archive's, in seconds.
const FUTURE_TOLERANCE: i64 = 10;

/// What a mirror is asked for.
pub(super) struct Query<'a> {
    pub store: &'a Store,
    pub keyring: &'a Keyring,
    pub now: Timestamp,
    pub source: &'a Source,
    pub suite: &'a str,
}

/// A repository whose `repomd.xml` was read.
#[derive(Debug)]
pub(super) struct Repository {
    /// Index into the base's sources.
    pub source: usize,
    /// Its folder below the mirror.
    pub name: String,
    /// The mirror that it came from.
    pub mirror: String,
    /// When it was made.
    pub released: Timestamp,
    pub primary: Index,
    pub filelists: Index,
    /// Where it has modules.
    pub modules: Option<Index>,
}

/// A part of a repository's index.
#[derive(Debug)]
pub(super) struct Index {
    pub part: Part,
    url: String,
    /// The file in the store, still packed; set once it is there.
    pub file: PathBuf,
}

/// Finds the repository on the mirrors of its archive.
pub(super) fn find(query: &Query, source: usize, choice: &Choice, progress: &Progress) -> Result<Repository> {
    let Query { store, suite, .. } = *query;
    let path = format!("{suite}/repodata/repomd.xml");
    let asked = ask::Query { store, archive: &query.source.archive, suite, path: &path, limit: REPOMD_LIMIT };
    let (mirror, (url, repomd)) = ask::find(&asked, choice, progress, |url, content| {
        judge(query, url, content).map(|repomd| (url.to_owned(), repomd))
    })?;
    let malformed = |reason: String| Error::Malformed { url: url.clone(), reason };
    let index = |kind: &str| -> Result<Option<Index>> {
        let part = repomd.part(kind).map_err(malformed)?;
        Ok(part.map(|part| Index {
            part: part.clone(),
            url: format!("{mirror}/{suite}/{}", part.path),
            file: PathBuf::new(),
        }))
    };
    let needed = |kind: &str| index(kind)?.ok_or_else(|| malformed(format!("it does not list `{kind}`")));
    let (primary, filelists, modules) = (needed("primary")?, needed("filelists")?, index("modules")?);
    let (name, released) = (suite.to_owned(), repomd.released);
    Ok(Repository { source, name, mirror, released, primary, filelists, modules })
}

/// Whether one mirror has a repository as the base needs it.
pub fn probe(probe: &Probe<'_>) -> Result<Probed> {
    let Probe { base, suite, mirror, store, now, .. } = *probe;
    let query = Query { store, keyring: probe.trust.of(probe.source), now, source: &base.sources[probe.source], suite };
    let choice = Choice { named: vec![mirror.to_owned()], usual: Vec::new() };
    let found = find(&query, 0, &choice, &Progress::silent())?;
    Ok(Probed { released: found.released, until: None })
}

fn judge(query: &Query, url: &str, content: &[u8]) -> Result<Repomd> {
    if query.source.signed {
        let refuse =
            |reason: String| Error::Signature { url: url.to_owned(), reason, expected: query.keyring.fingerprints() };
        let signature = format!("{url}.asc");
        let label = format!("the signature of {}'s repomd.xml", query.suite);
        let signature = match query.store.get(&label, &signature, SIGNATURE_LIMIT)? {
            Answer::Found(signature) => signature,
            Answer::Absent(answer) => return Err(refuse(format!("it is not signed: {signature}: {answer}"))),
        };
        verify_detached(query.keyring, &signature, content, query.now, Moment::Now).map_err(refuse)?;
    }
    let repomd = Repomd::parse(content).map_err(|reason| Error::Malformed { url: url.to_owned(), reason })?;
    if repomd.released.as_second() > query.now.as_second() + FUTURE_TOLERANCE {
        return Err(Error::NotYetValid { url: url.to_owned(), date: repomd.released, now: query.now });
    }
    Ok(repomd)
}

impl Repository {
    /// Its indices.
    pub fn indices(&self) -> impl Iterator<Item = (&'static str, &Index)> {
        let modules = self.modules.iter().map(|index| ("modules", index));
        [("primary", &self.primary), ("filelists", &self.filelists)].into_iter().chain(modules)
    }

    /// Its indices, to be changed.
    pub fn indices_mut(&mut self) -> impl Iterator<Item = &mut Index> {
        [&mut self.primary, &mut self.filelists].into_iter().chain(&mut self.modules)
    }

    /// What to fetch for its indices. `mirrors` are tried in this order.
    pub fn downloads(&self, mirrors: &[String]) -> Vec<Download> {
        let download = |(_, index): (&str, &Index)| {
            let Part { path, sha256, size, .. } = &index.part;
            // Most have the digest in their name.
            let file =
                path.rsplit('/').next().unwrap_or(path).trim_start_matches(sha256.as_str()).trim_start_matches('-');
            let urls = mirrors.iter().map(|mirror| format!("{mirror}/{}/{path}", self.name)).collect();
            Download { label: format!("{} {file}", self.name), urls, sha256: sha256.clone(), size: *size }
        };
        self.indices().map(download).collect()
    }
}

impl Index {
    /// Reads the index, unpacked, by `parse`. It may have as many bytes as its `repomd.xml` says.
    pub fn read<T>(&self, parse: impl FnOnce(BufReader<&mut dyn Read>) -> std::result::Result<T, String>) -> Result<T> {
        let limit = self.part.open_size.unwrap_or(UNPACKED_LIMIT).min(UNPACKED_LIMIT);
        let packed = unpack::open(&self.file, &self.part.path).map_err(Error::io("opening", &self.file))?;
        let mut limited = packed.take(limit + 1);
        let parsed = parse(BufReader::with_capacity(128 << 10, &mut limited));
        let malformed = |reason: String| Error::Malformed { url: self.url.clone(), reason };
        if limited.limit() == 0 {
            return Err(malformed(format!("it has more than {limit} bytes unpacked")));
        }
        parsed.map_err(malformed)
    }

    /// The end of its name that says how it is packed, such as `.gz`.
    pub fn suffix(&self) -> &str {
        [".gz", ".xz", ".zst"].into_iter().find(|suffix| self.part.path.ends_with(suffix)).unwrap_or_default()
    }

    pub fn malformed(&self, reason: String) -> Error {
        Error::Malformed { url: self.url.clone(), reason }
    }
}
