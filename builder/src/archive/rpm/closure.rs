//! A simple closure over dependencies, for roots that only lend their programs.

use std::cmp::Ordering;
use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};

use super::archive::Archive;
use super::dependency::{Dependency, Need};
use super::filelists;
use super::primary::Row;
use super::version;
use crate::archive::{Error, Package, Result};

impl Archive {
    /// These packages (names, or what packages provide, or paths of files) with all that they require, sorted by name. What
    /// several packages provide is taken from one that was chosen already, else from the one of the shortest name, as dnf
    /// would; of a condition the first way that can be had. Packages of modules and of other architectures
    /// are left out, conflicts are not looked at, and what is recommended is not taken: this is no set to be installed, only
    /// one to take files from. [`solve`](super::solve) chooses what is installed.
    ///
    /// # Errors
    /// A package is unknown, or needs what no package satisfies.
    pub fn closure(&self, names: &[String]) -> Result<Vec<Package>> {
        let mut chosen = Chosen { lookup: Lookup::new(self)?, queue: VecDeque::new(), places: BTreeSet::new() };
        for name in names {
            let need = Dependency { name: name.clone(), bound: None };
            chosen.add(chosen.lookup.best(&need).ok_or_else(|| self.unknown(name))?);
        }
        loop {
            while let Some(place) = chosen.queue.pop_front() {
                chosen.satisfy(place)?;
            }
            // A condition may hold by now that did not when it was looked at.
            let before = chosen.places.len();
            for place in chosen.places.clone() {
                chosen.satisfy(place)?;
            }
            if chosen.places.len() == before {
                break;
            }
        }
        chosen.places.iter().map(|place| self.package(&self.rows[*place])).collect()
    }
}

/// Who provides what. A place is an index into the archive's rows.
struct Lookup<'a> {
    archive: &'a Archive,
    provided: HashMap<&'a str, Vec<usize>>,
    files: HashMap<&'a str, Vec<usize>>,
    /// Of paths that packages need and that no primary index lists, those who have them.
    listed: HashMap<String, Vec<usize>>,
}

impl<'a> Lookup<'a> {
    fn new(archive: &'a Archive) -> Result<Self> {
        let modular = archive.modular()?;
        let rows = || {
            let fitting = archive.rows.iter().enumerate().filter(|(_, row)| archive.fits(row));
            fitting.filter(|(_, row)| !modular.contains(&row.nevra()))
        };
        let mut lookup = Self { archive, provided: HashMap::new(), files: HashMap::new(), listed: HashMap::new() };
        for (place, row) in rows() {
            for provided in &row.provides {
                lookup.provided.entry(&provided.name).or_default().push(place);
            }
            for file in &row.files {
                lookup.files.entry(file).or_default().push(place);
            }
        }
        let paths = rows().flat_map(|(_, row)| &row.requires).map(|need| need.name.as_str());
        let unknown = |path: &&str| path.starts_with('/') && !lookup.files.contains_key(path);
        let wanted: HashSet<&str> = paths.filter(unknown).collect();
        let by_digest: HashMap<&str, usize> = rows().map(|(place, row)| (row.sha256.as_str(), place)).collect();
        for repository in archive.repositories.iter().filter(|_| !wanted.is_empty()) {
            for (path, digests) in repository.filelists.read(|reader| filelists::owners(reader, &wanted))? {
                let places = digests.iter().filter_map(|digest| by_digest.get(digest.as_str()).copied());
                lookup.listed.entry(path).or_default().extend(places);
            }
        }
        Ok(lookup)
    }

    fn row(&self, place: usize) -> &'a Row {
        &self.archive.rows[place]
    }

    /// Who satisfies it.
    fn candidates(&self, need: &Dependency) -> Vec<usize> {
        let name = need.name.as_str();
        let provides = |place: &usize| self.row(*place).provides.iter().any(|provided| need.met_by(provided));
        let provided = self.provided.get(name).into_iter().flatten().copied().filter(provides);
        let files = self.files.get(name).or_else(|| self.listed.get(name)).into_iter().flatten().copied();
        provided.chain(files).collect()
    }

    fn best(&self, need: &Dependency) -> Option<usize> {
        self.first(&self.candidates(need), &need.name)
    }

    /// Of the packages that satisfy the need of this name, the one to take.
    fn first(&self, places: &[usize], name: &str) -> Option<usize> {
        let rank = |place: &usize| {
            let row = self.row(*place);
            (row.name != name, row.name.len(), row.name.as_str())
        };
        let order = |left: &usize, right: &usize| match rank(left).cmp(&rank(right)) {
            Ordering::Equal => {
                version::compare(&self.row(*right).version, &self.row(*left).version).then(left.cmp(right))
            }
            other => other,
        };
        places.iter().copied().min_by(order)
    }
}

struct Chosen<'a> {
    lookup: Lookup<'a>,
    queue: VecDeque<usize>,
    places: BTreeSet<usize>,
}

impl Chosen<'_> {
    fn add(&mut self, place: usize) {
        if self.places.insert(place) {
            self.queue.push_back(place);
        }
    }

    /// Adds what a chosen package requires.
    fn satisfy(&mut self, place: usize) -> Result<()> {
        let row = self.lookup.row(place);
        for required in row.requires.iter().filter(|required| !required.name.starts_with("rpmlib(")) {
            let unmet = || Error::Unmet {
                package: row.name.clone(),
                relation: required.to_string(),
                place: self.lookup.archive.place(),
            };
            let need = match required.name.starts_with('(') {
                true => Need::parse(&required.name).ok_or_else(unmet)?,
                false => Need::One(required.clone()),
            };
            self.more(&need).ok_or_else(unmet)?.into_iter().for_each(|place| self.add(place));
        }
        Ok(())
    }

    /// What must be chosen besides; none where it can't be satisfied.
    fn more(&self, need: &Need) -> Option<Vec<usize>> {
        match need {
            Need::One(one) => self.one_of(&self.lookup.candidates(one), &one.name),
            Need::And(needs) => {
                let each = needs.iter().map(|need| self.more(need));
                Some(each.collect::<Option<Vec<_>>>()?.concat())
            }
            Need::Or(needs) => {
                let mut ways = needs.iter().filter_map(|need| self.more(need));
                let first = ways.next()?;
                if first.is_empty() { Some(first) } else { Some(ways.find(Vec::is_empty).unwrap_or(first)) }
            }
            Need::If(parts) => match &**parts {
                (need, condition, _) if self.holds(condition) => self.more(need),
                (_, _, other) => other.as_ref().map_or_else(|| Some(Vec::new()), |other| self.more(other)),
            },
            Need::Unless(parts) => match &**parts {
                (need, condition, _) if !self.holds(condition) => self.more(need),
                (_, _, other) => other.as_ref().map_or_else(|| Some(Vec::new()), |other| self.more(other)),
            },
            Need::With(_) | Need::Without(_) => self.one_of(&self.by_one(need)?, ""),
        }
    }

    fn holds(&self, need: &Need) -> bool {
        self.more(need).is_some_and(|more| more.is_empty())
    }

    fn one_of(&self, places: &[usize], name: &str) -> Option<Vec<usize>> {
        if places.iter().any(|place| self.places.contains(place)) {
            return Some(Vec::new());
        }
        self.lookup.first(places, name).map(|place| vec![place])
    }

    /// The packages each of which satisfies a need alone; none for needs of which that can't be said.
    fn by_one(&self, need: &Need) -> Option<Vec<usize>> {
        match need {
            Need::One(one) => Some(self.lookup.candidates(one)),
            Need::Or(needs) => {
                let each = needs.iter().map(|need| self.by_one(need));
                Some(each.collect::<Option<Vec<_>>>()?.concat())
            }
            Need::With(needs) => {
                let mut each = needs.iter().map(|need| self.by_one(need));
                let first = each.next()??;
                let others = each.collect::<Option<Vec<_>>>()?;
                Some(first.into_iter().filter(|place| others.iter().all(|other| other.contains(place))).collect())
            }
            Need::Without(parts) => {
                let (need, other) = (self.by_one(&parts.0)?, self.by_one(&parts.1)?);
                Some(need.into_iter().filter(|place| !other.contains(place)).collect())
            }
            Need::And(_) | Need::If(_) | Need::Unless(_) => None,
        }
    }
}
