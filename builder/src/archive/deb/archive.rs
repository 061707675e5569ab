//! The packages of a base, from indices whose signatures were verified.

use std::fs;
use std::path::PathBuf;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::index::{Index, Row};
use super::relation;
use super::suite::{self, IndexFile, Query, Suite};
use crate::archive::{Error, IndexRead, Opening, Package, Result, unpack};
use crate::progress::Progress;
use crate::store::{self, Download, Store};

/// All packages that a base may be made of.
#[derive(Debug)]
pub struct Archive {
    pub(super) architecture: String,
    pub(super) suites: Vec<Suite>,
    pub(super) indices: Vec<Located>,
    /// Every package of every index, by its name; of the same name, in the order of the base's sources.
    by_name: Vec<Place>,
    /// For each of the base's sources, the mirrors in the order in which they are asked.
    mirrors: Vec<Vec<String>>,
}

/// An index and where it is from.
#[derive(Debug)]
pub(super) struct Located {
    pub index: Index,
    /// Which suite lists it.
    pub suite: usize,
    /// Its path below the suite.
    pub path: String,
    /// The unpacked file in the store.
    pub file: PathBuf,
    sha256: String,
}

/// Where a package stands: which index, which row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    index: usize,
    row: usize,
}

impl Archive {
    /// Asks the mirrors for each suite of the base, verifies signatures, expiry and digests, and reads the
    /// indices.
    ///
    /// # Errors
    /// No mirror has a suite, a signature or digest is wrong, or an index can't be read.
    pub fn open(opening: &Opening<'_>) -> Result<Self> {
        let Opening { base, trust, mirrors, store, progress, now } = *opening;
        let (mut suites, mut orders, mut wanted) = (Vec::new(), Vec::new(), Vec::new());
        for (number, source) in base.sources.iter().enumerate() {
            let choice = mirrors.choose(&base.sources, number);
            let mut found = Vec::new();
            for name in &source.suites {
                let query = Query { store, keyring: trust.of(number), now, archive: &source.archive, suite: name };
                found.push(suite::find(&query, number, &choice, progress)?);
            }
            let order = choice.order(&found.iter().map(|suite| suite.mirror.as_str()).collect::<Vec<_>>());
            for suite in found {
                let files = suite.indices(&source.components, base.architecture.as_str(), &order)?;
                wanted.extend(files.into_iter().map(|file| (suites.len(), file)));
                suites.push(suite);
            }
            orders.push(order);
        }
        let indices = read_indices(&suites, wanted, store, progress)?;
        let by_name = sort_by_name(&indices);
        Ok(Self { architecture: base.architecture.to_string(), suites, indices, by_name, mirrors: orders })
    }

    /// The newest `Date` of its Releases.
    #[must_use]
    pub fn released(&self) -> Timestamp {
        self.suites.iter().map(|suite| suite.release.date).max().unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// Changes whenever the content of any index does: the SHA-256 of their digests.
    #[must_use]
    pub fn digest(&self) -> String {
        let mut digest = Sha256::new();
        for located in &self.indices {
            digest.update(format!("{} {} {}\n", self.suites[located.suite].name, located.path, located.sha256));
        }
        hex::encode(digest.finalize())
    }

    /// How many packages its indices name.
    #[must_use]
    pub fn len(&self) -> usize {
        self.by_name.len()
    }

    /// What to fetch for these packages.
    #[must_use]
    pub fn downloads(&self, packages: &[Package]) -> Vec<Download> {
        packages.iter().map(|package| package.download(&self.mirrors[package.source])).collect()
    }

    /// The indices that it was read from.
    pub fn indices(&self) -> impl Iterator<Item = IndexRead<'_>> {
        self.indices.iter().map(|located| {
            let suite = &self.suites[located.suite];
            let (released, until) = (suite.release.date, suite.release.valid_until);
            let (suite, source) = (suite.name.as_str(), suite.source);
            IndexRead { source, suite, path: &located.path, released, until, sha256: &located.sha256 }
        })
    }

    /// The newest package of this name.
    ///
    /// # Errors
    /// There is none, or its stanza is not as it must be.
    pub fn newest(&self, name: &str) -> Result<Package> {
        let place = self.newest_place(name).ok_or_else(|| self.unknown(name))?;
        self.package(place)
    }

    /// Whether its indices have exactly this package.
    #[must_use]
    pub fn has(&self, package: &Package) -> bool {
        self.named(&package.name).iter().any(|place| self.package(*place).is_ok_and(|found| found == *package))
    }

    /// Names of the essential packages, sorted.
    #[must_use]
    pub fn essential(&self) -> Vec<String> {
        let places = self.by_name.iter().filter(|place| self.row(**place).1.essential);
        let mut names: Vec<String> = places.map(|place| self.name(*place).to_owned()).collect();
        names.dedup();
        names
    }

    /// Whether a package has this name, or provides it.
    pub(super) fn knows(&self, name: &str) -> bool {
        !self.named(name).is_empty() || self.providers(name).next().is_some()
    }

    pub(super) fn unknown(&self, name: &str) -> Error {
        let distance = |place: &&Place| strsim::damerau_levenshtein(name, self.name(**place));
        let close = |place: &&Place| self.name(**place).len().abs_diff(name.len()) <= 3;
        let nearest = self.by_name.iter().filter(close).min_by_key(distance);
        let nearest = nearest.filter(|place| distance(place) <= 2 + name.len() / 5);
        Error::UnknownPackage {
            name: name.to_owned(),
            place: self.place(),
            nearest: nearest.map(|place| self.name(*place).to_owned()),
        }
    }

    /// Its suites, for messages.
    pub(super) fn place(&self) -> String {
        self.suites.iter().map(|suite| suite.name.as_str()).collect::<Vec<_>>().join(", ")
    }

    fn row(&self, place: Place) -> (&Index, &Row) {
        let index = &self.indices[place.index].index;
        (index, &index.rows[place.row])
    }

    pub(super) fn name(&self, place: Place) -> &str {
        let (index, row) = self.row(place);
        index.name(row)
    }

    pub(super) fn stanza(&self, place: Place) -> &str {
        let (index, row) = self.row(place);
        index.stanza(row)
    }

    pub(super) fn version(&self, place: Place) -> &str {
        super::deb822::field(self.stanza(place), "Version").unwrap_or_default()
    }

    pub(super) fn package(&self, place: Place) -> Result<Package> {
        let (index, row) = self.row(place);
        index.package(row)
    }

    /// All packages of this name.
    pub(super) fn named(&self, name: &str) -> &[Place] {
        let start = self.by_name.partition_point(|place| self.name(*place) < name);
        let length = self.by_name[start..].partition_point(|place| self.name(*place) == name);
        &self.by_name[start..start + length]
    }

    pub(super) fn newest_place(&self, name: &str) -> Option<Place> {
        let newer = |left: Place, right: Place| {
            if relation::compare(self.version(right), self.version(left)).is_gt() { right } else { left }
        };
        self.named(name).iter().copied().reduce(newer)
    }

    /// Packages that provide this name, with the version that they provide.
    pub(super) fn providers<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (Place, Option<&'a str>)> {
        let provided = move |place: &Place| {
            let field = super::deb822::field(self.stanza(*place), "Provides")?;
            let found = relation::parse(field).flatten().find(|relation| relation.name == name)?;
            Some((*place, found.version.map(|(_, version)| version)))
        };
        self.by_name.iter().filter(|place| self.row(**place).1.provides).filter_map(provided)
    }
}

fn sort_by_name(indices: &[Located]) -> Vec<Place> {
    let name = |place: &Place| {
        let index = &indices[place.index].index;
        index.name(&index.rows[place.row])
    };
    let places = |(number, located): (usize, &Located)| {
        (0..located.index.rows.len()).map(move |row| Place { index: number, row })
    };
    let mut by_name: Vec<Place> = indices.iter().enumerate().flat_map(places).collect();
    by_name.sort_by(|left, right| name(left).cmp(name(right)));
    by_name
}

/// Fetches, unpacks and reads the indices. Unpacked ones are kept under their own digest, so that the next build needs not
/// unpack them again.
fn read_indices(
    suites: &[Suite],
    wanted: Vec<(usize, IndexFile)>,
    store: &Store,
    progress: &Progress,
) -> Result<Vec<Located>> {
    let unpacked = |file: &IndexFile| file.plain.as_ref().is_some_and(|plain| store.path(&plain.sha256).is_some());
    let missing: Vec<Download> =
        wanted.iter().filter(|(_, file)| !unpacked(file)).map(|(_, file)| file.packed.clone()).collect();
    if !missing.is_empty() {
        store.fetch(&missing, progress)?.tell(progress);
    }
    let mut indices = Vec::new();
    for (number, file) in wanted {
        let suite = &suites[number];
        let url = format!("{}/dists/{}/{}", suite.mirror, suite.name, file.path);
        let (sha256, path) = unpack(&file, store, &url)?;
        let text = fs::read(&path).map_err(Error::io("reading", &path))?;
        let text = String::from_utf8(text)
            .map_err(|error| Error::Malformed { url: url.clone(), reason: format!("not UTF-8: {error}") })?;
        let index = Index::parse(url, suite.source, text)?;
        indices.push(Located { index, suite: number, path: file.path, file: path, sha256 });
    }
    Ok(indices)
}

/// Digest and path of the unpacked index.
fn unpack(file: &IndexFile, store: &Store, url: &str) -> Result<(String, PathBuf)> {
    if let Some(plain) = &file.plain
        && let Some(path) = store.path(&plain.sha256)
    {
        return Ok((plain.sha256.clone(), path));
    }
    let lost = |sha256: &str| Error::Malformed {
        url: url.to_owned(),
        reason: format!("its copy in the store (sha256 {sha256}) vanished while it was read"),
    };
    let packed = store.path(&file.packed.sha256).ok_or_else(|| lost(&file.packed.sha256))?;
    let mut reader = unpack::open(&packed, file.format).map_err(Error::io("opening", &packed))?;
    let (sha256, size) = store.insert_reader(&file.packed.label, &mut reader)?;
    if let Some(plain) = &file.plain
        && plain.sha256 != sha256
    {
        return Err(Error::Store(store::Error::Digest {
            label: format!("{} (unpacked)", file.packed.label),
            url: url.to_owned(),
            expected: plain.sha256.clone(),
            size: plain.size,
            found: format!("sha256 {sha256} ({size} bytes)"),
        }));
    }
    let path = store.path(&sha256).ok_or_else(|| lost(&sha256))?;
    Ok((sha256, path))
}
