//! The packages of a base, from repositories' indices.

use std::collections::HashSet;
use std::io::{BufRead, BufReader};

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::primary::{self, Row};
use super::repository::{self, Query, Repository};
use super::version;
use crate::archive::mirrors::Choice;
use crate::archive::{Error, IndexRead, Opening, Package, Result};
use crate::progress::Progress;
use crate::recipe::base::Source;
use crate::store::{Answer, Download, Store};

/// Bytes of a list of mirrors.
const MIRRORLIST_LIMIT: u64 = 1 << 20;

/// How many mirrors of a list are taken; the nearest come first.
const MIRRORLIST_TAKEN: usize = 5;

/// All packages that a base may be made of.
#[derive(Debug)]
pub struct Archive {
    pub(super) architecture: String,
    /// The distribution's release, `$releasever`.
    pub(super) release: String,
    pub(super) repositories: Vec<Repository>,
    /// Every package of every repository, by its name; of the same name, in the order of the repositories.
    pub(super) rows: Vec<Row>,
    /// For each of the base's sources, the mirrors in the order in which they are asked.
    mirrors: Vec<Vec<String>>,
}

impl Archive {
    /// Asks the mirrors for each repository of the base, verifies signatures where there must be some, and digests, and reads
    /// the indices.
    ///
    /// # Errors
    /// No mirror has a repository, a signature or digest is wrong, or an index can't be read.
    pub fn open(opening: &Opening<'_>) -> Result<Self> {
        let Opening { base, trust, mirrors, store, progress, now } = *opening;
        let (mut repositories, mut orders, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for (number, source) in base.sources.iter().enumerate() {
            let mut choice = mirrors.choose(&base.sources, number);
            if !mirrors.named() {
                add_listed(&mut choice, source, base.architecture.as_str(), store, progress);
            }
            let mut found = Vec::new();
            for suite in &source.suites {
                let query = Query { store, keyring: trust.of(number), now, source, suite };
                found.push(repository::find(&query, number, &choice, progress)?);
            }
            let order = choice.order(&found.iter().map(|one| one.mirror.as_str()).collect::<Vec<_>>());
            wanted.extend(found.iter().flat_map(|repository| repository.downloads(&order)));
            repositories.append(&mut found);
            orders.push(order);
        }
        let fetched = store.fetch(&wanted, progress)?;
        if fetched.new > 0 {
            fetched.tell(progress);
        }
        let mut rows = Vec::new();
        for (number, repository) in repositories.iter_mut().enumerate() {
            for index in repository.indices_mut() {
                let sha256 = &index.part.sha256;
                let lost = format!("its copy in the store (sha256 {sha256}) vanished while it was read");
                index.file = store.path(sha256).ok_or_else(|| index.malformed(lost))?;
            }
            rows.append(&mut repository.primary.read(|reader| primary::parse(reader, number))?);
        }
        rows.sort_by(|left, right| left.name.cmp(&right.name));
        let (architecture, release) = (base.architecture.to_string(), base.os.version_id.clone());
        Ok(Self { architecture, release, repositories, rows, mirrors: orders })
    }

    /// When the newest of its repositories was made.
    #[must_use]
    pub fn released(&self) -> Timestamp {
        self.repositories.iter().map(|repository| repository.released).max().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Changes whenever the content of any index does, or what they are read for: the SHA-256 of their digests.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        digest.update(format!("{} {}\n", self.release, self.architecture));
        for repository in &self.repositories {
            let indices = repository.indices().map(|(kind, index)| format!("{kind} {}", index.part.sha256));
            digest.update(format!("{} {}\n", repository.name, indices.collect::<Vec<_>>().join(" ")));
        }
        hex::encode(digest.finalize())
    }

    /// How many packages its indices name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// What to fetch for these packages.
    #[must_use]
    pub fn downloads(&self, packages: &[Package]) -> Vec<Download> {
        packages.iter().map(|package| package.download(&self.mirrors[package.source])).collect()
    }

    /// The indices that it was read from.
    pub fn indices(&self) -> impl Iterator<Item = IndexRead<'_>> {
        self.repositories.iter().flat_map(|repository| {
            repository.indices().map(|(_, index)| IndexRead {
                source: repository.source,
                suite: &repository.name,
                path: &index.part.path,
                released: repository.released,
                until: None,
                sha256: &index.part.sha256,
            })
        })
    }

    /// The newest package of this name for the base's architecture.
    ///
    /// # Errors
    /// There is none, or what its index says of it is not as it must be.
    pub fn newest(&self, name: &str) -> Result<Package> {
        // Of several that are equally new, the first source's.
        let fitting = self.named(name).iter().rev().filter(|row| self.fits(row));
        let newest = fitting.max_by(|left, right| version::compare(&left.version, &right.version));
        self.package(newest.ok_or_else(|| self.unknown(name))?)
    }

    /// Whether its indices have exactly this package.
    #[must_use]
    pub fn has(&self, package: &Package) -> bool {
        self.named(&package.name).iter().any(|row| self.package(row).is_ok_and(|found| found == *package))
    }

    /// Whether a package has this name, or provides it.
    pub(super) fn knows(&self, name: &str) -> bool {
        let provides = |row: &Row| row.provides.iter().any(|provided| provided.name == name);
        !self.named(name).is_empty() || self.rows.iter().any(provides)
    }

    pub(super) fn unknown(&self, name: &str) -> Error {
        let distance = |row: &&Row| strsim::damerau_levenshtein(name, &row.name);
        let close = |row: &&Row| row.name.len().abs_diff(name.len()) <= 3;
        let nearest = self.rows.iter().filter(close).min_by_key(distance);
        let nearest = nearest.filter(|row| distance(row) <= 2 + name.len() / 5);
        Error::UnknownPackage {
            name: name.to_owned(),
            place: self.place(),
            nearest: nearest.map(|row| row.name.clone()),
        }
    }

    /// Its repositories, for messages.
    pub(super) fn place(&self) -> String {
        self.repositories.iter().map(|repository| repository.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    /// All packages of this name.
    pub(super) fn named(&self, name: &str) -> &[Row] {
        let start = self.rows.partition_point(|row| row.name.as_str() < name);
        let length = self.rows[start..].partition_point(|row| row.name == name);
        &self.rows[start..start + length]
    }

    /// Whether it runs on the base's architecture alone.
    pub(super) fn fits(&self, row: &Row) -> bool {
        row.architecture == self.architecture || row.architecture == "noarch"
    }

    pub(super) fn package(&self, row: &Row) -> Result<Package> {
        let repository = &self.repositories[row.repository];
        row.package(repository.source, &repository.name).map_err(|reason| repository.primary.malformed(reason))
    }

    /// The packages that belong to modules, in the form of [`Row::nevra`]: outside their module they are not to be had.
    pub(super) fn modular(&self) -> Result<HashSet<String>> {
        let mut found = HashSet::new();
        for index in self.repositories.iter().filter_map(|repository| repository.modules.as_ref()) {
            let listed = index.read(|reader| artifacts(reader).map_err(|error| error.to_string()))?;
            found.extend(listed);
        }
        Ok(found)
    }
}

/// What stands in a list of `modules.yaml` and could be a package: of all its lists only the artifacts have such.
fn artifacts(reader: impl BufRead) -> std::io::Result<Vec<String>> {
    let mut found = Vec::new();
    for line in reader.lines() {
        if let Some(item) = line?.trim().strip_prefix("- ")
            && item.contains(':')
            && !item.contains(' ')
        {
            found.push(item.trim_matches(['"', '\'']).to_owned());
        }
    }
    Ok(found)
}

/// Adds the mirrors of the source's list after the base's own, where the list is to be had: it is a suggestion, as
/// every byte is verified anyway.
fn add_listed(choice: &mut Choice, source: &Source, architecture: &str, store: &Store, progress: &Progress) {
    let Some(url) = &source.mirrorlist else { return };
    let listed = match store.get(&format!("{}'s list of mirrors", source.archive), url, MIRRORLIST_LIMIT) {
        Ok(Answer::Found(text)) => listed(&text, source, architecture),
        Ok(Answer::Absent(answer)) => {
            return progress.warn(format_args!("{url}: {answer}; asking the base's own mirrors"));
        }
        Err(error) => return progress.warn(format_args!("{error}; asking the base's own mirrors")),
    };
    for mirror in listed {
        if !choice.usual.contains(&mirror) {
            choice.usual.push(mirror);
        }
    }
}

/// The mirrors of a list: of each repository's URL what precedes one of the source's suites.
fn listed(text: &[u8], source: &Source, architecture: &str) -> Vec<String> {
    let mirror = |line: &str| {
        let url = line.trim().replace("$basearch", architecture).replace("$arch", architecture);
        let url = url.trim_end_matches('/');
        let is_url = url.starts_with("http://") || url.starts_with("https://");
        let found = source.suites.iter().find_map(|suite| url.strip_suffix(suite.as_str())?.strip_suffix('/'));
        found.filter(|_| is_url && !url.contains(char::is_whitespace)).map(str::to_owned)
    };
    let lines = BufReader::new(text).lines().map_while(std::result::Result::ok);
    lines.filter_map(|line| mirror(&line)).take(MIRRORLIST_TAKEN).collect()
}
