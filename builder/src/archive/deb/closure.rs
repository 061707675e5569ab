//! A simple closure over dependencies, for roots that only lend their programs.

use std::collections::{BTreeSet, HashSet, VecDeque};

use super::archive::{Archive, Place};
use super::deb822;
use super::relation::{self, Relation};
use crate::archive::{Error, Package, Result};

impl Archive {
    /// These packages with all that they depend on (`Pre-Depends`, `Depends`), sorted by name: of alternatives the one that is
    /// chosen already, else the first that can be had; of several providers one with the highest priority. Conflicts are not looked at and essential packages
    /// are not implied: this is no set to be installed, only one to take files from. [`solve`](super::solve) chooses
    /// what is installed.
    ///
    /// # Errors
    /// A package is unknown, or needs what no package satisfies.
    pub fn closure(&self, names: &[String]) -> Result<Vec<Package>> {
        let mut chosen =
            Chosen { archive: self, names: HashSet::new(), queue: VecDeque::new(), places: BTreeSet::new() };
        for name in names {
            let place = self.newest_place(name).or_else(|| self.provider(&Relation { name, version: None }));
            chosen.add(place.ok_or_else(|| self.unknown(name))?);
        }
        while let Some(place) = chosen.queue.pop_front() {
            for field in ["Pre-Depends", "Depends"] {
                let value = deb822::field(self.stanza(place), field).unwrap_or_default();
                for group in relation::parse(value) {
                    chosen.satisfy(place, &group)?;
                }
            }
        }
        let mut packages: Vec<Package> =
            chosen.places.into_iter().map(|place| self.package(place)).collect::<Result<_>>()?;
        packages.sort_by(|left, right| left.name.cmp(&right.name));
        Ok(packages)
    }

    /// The package that satisfies a relation: the newest of its name, or else the first provider.
    fn satisfier(&self, relation: &Relation) -> Option<Place> {
        let own = self.newest_place(relation.name).filter(|place| relation.admits(self.version(*place)));
        own.or_else(|| self.provider(relation))
    }

    /// As apt, prefers what every system has: `mawk` as `awk`.
    fn provider(&self, relation: &Relation) -> Option<Place> {
        let rank = |place: &Place| match deb822::field(self.stanza(*place), "Priority") {
            Some("required") => 0,
            Some("important") => 1,
            Some("standard") => 2,
            _ => 3,
        };
        let fit = self.providers(relation.name).filter(|(_, version)| relation.admits_provided(*version));
        fit.map(|(place, _)| place).min_by_key(rank)
    }
}

struct Chosen<'a> {
    archive: &'a Archive,
    /// Names of the chosen packages and all that they provide.
    names: HashSet<&'a str>,
    queue: VecDeque<Place>,
    places: BTreeSet<Place>,
}

impl<'a> Chosen<'a> {
    fn add(&mut self, place: Place) {
        if !self.places.insert(place) {
            return;
        }
        self.queue.push_back(place);
        self.names.insert(self.archive.name(place));
        let provides = deb822::field(self.archive.stanza(place), "Provides").unwrap_or_default();
        self.names.extend(relation::parse(provides).flatten().map(|relation| relation.name));
    }

    fn satisfy(&mut self, place: Place, group: &[Relation<'a>]) -> Result<()> {
        let archive = self.archive;
        let candidates: Vec<(&str, Place)> =
            group.iter().filter_map(|relation| Some((relation.name, archive.satisfier(relation)?))).collect();
        if candidates.iter().any(|(name, _)| self.names.contains(name)) {
            return Ok(());
        }
        match candidates.first() {
            Some((_, found)) => {
                self.add(*found);
                Ok(())
            }
            None => Err(Error::Unmet {
                package: archive.name(place).to_owned(),
                relation: group.iter().map(describe).collect::<Vec<_>>().join(" | "),
                place: archive.place(),
            }),
        }
    }
}

fn describe(relation: &Relation) -> String {
    match relation.version {
        Some((operator, version)) => format!("{} ({operator} {version})", relation.name),
        None => relation.name.to_owned(),
    }
}
