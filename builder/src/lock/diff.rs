//! What locking anew would change.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::Lock;
use crate::archive::{Package, compare_versions};
use crate::artifact::Pin;
use crate::progress;
use crate::recipe::base::Family;

/// The difference of two locks of one recipe. Its JSON form is for scripts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diff {
    /// How versions compare.
    #[serde(skip)]
    pub family: Family,
    /// When the archive of the first was as it says; none where there was no lock.
    pub from: Option<Timestamp>,
    /// When the archive of the second was.
    pub to: Timestamp,
    /// Packages of the image that differ, by name.
    pub packages: Vec<Change>,
    /// Files that go into the image whole and differ, by name.
    pub artifacts: Vec<Replaced>,
    /// Bytes of all packages and artifacts of the image before.
    pub bytes_before: u64,
    /// Bytes of all packages and artifacts of the image after.
    pub bytes_after: u64,
    /// Whether the tools that make the image differ, too.
    pub tools: bool,
}

/// One package of the image that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Change {
    /// Its name.
    pub name: String,
    /// Versions that only the first lock has.
    pub before: Vec<String>,
    /// Versions that only the second lock has.
    pub after: Vec<String>,
    /// How many bytes more there are to download; fewer where negative.
    pub bytes: i64,
}

impl Diff {
    /// Whether both take the same.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.artifacts.is_empty() && !self.tools
    }
}

/// One file of the image that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Replaced {
    /// What it is.
    pub name: String,
    /// What the first lock has; none where it is added.
    pub before: Option<Pin>,
    /// What the second lock has; none where it is removed.
    pub after: Option<Pin>,
}

/// What `after` has that `before` has not, and the reverse; both of a base of this family.
#[must_use]
pub fn diff(family: Family, before: Option<&Lock>, after: &Lock) -> Diff {
    let old = before.map(Lock::packages).unwrap_or_default();
    let new = after.packages();
    let mut changes: BTreeMap<&str, Change> = BTreeMap::new();
    for (list, other, is_new) in [(&old, &new, false), (&new, &old, true)] {
        let only = list.iter().filter(|one| !other.iter().any(|two| two.sha256 == one.sha256));
        for package in only {
            let change = changes.entry(&package.name).or_insert_with(|| Change::of(&package.name));
            let (versions, sign) = if is_new { (&mut change.after, 1) } else { (&mut change.before, -1) };
            versions.push(package.version.clone());
            change.bytes += sign * package.size.cast_signed();
        }
    }
    let bytes = |list: &[Package], pins: &[Pin]| {
        list.iter().map(|package| package.size).chain(pins.iter().map(|pin| pin.size)).sum()
    };
    let old_pins = before.map_or(&[][..], |lock| &lock.artifacts);
    Diff {
        family,
        from: before.map(|lock| lock.released),
        to: after.released,
        artifacts: replaced(old_pins, &after.artifacts),
        bytes_before: bytes(&old, old_pins),
        bytes_after: bytes(&new, &after.artifacts),
        tools: before.is_none_or(|lock| lock.tools != after.tools),
        packages: changes.into_values().collect(),
    }
}

/// The pins that differ, by name.
fn replaced(old: &[Pin], new: &[Pin]) -> Vec<Replaced> {
    let names: BTreeSet<&str> = old.iter().chain(new).map(|pin| pin.name.as_str()).collect();
    let find = |list: &[Pin], name: &str| list.iter().find(|pin| pin.name == name).cloned();
    let differ = names.into_iter().filter_map(|name| {
        let (before, after) = (find(old, name), find(new, name));
        (before != after).then(|| Replaced { name: name.to_owned(), before, after })
    });
    differ.collect()
}

impl fmt::Display for Replaced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |pin: &Pin| format!("{} sha256 {}… ({})", pin.from, &pin.sha256[..12], progress::bytes(pin.size));
        match (&self.before, &self.after) {
            (Some(before), Some(after)) if before.from == after.from => {
                let (old, new) = (&before.sha256[..12], &after.sha256[..12]);
                let (was, is) = (progress::bytes(before.size), progress::bytes(after.size));
                writeln!(f, "  replaced   {}: {} sha256 {old}… ({was}) -> {new}… ({is})", self.name, after.from)
            }
            (Some(before), Some(after)) => {
                writeln!(f, "  replaced   {}: {}\n             -> {}", self.name, told(before), told(after))
            }
            (Some(before), None) => writeln!(f, "  removed    {}: {}", self.name, told(before)),
            (None, Some(after)) => writeln!(f, "  added      {}: {}", self.name, told(after)),
            (None, None) => Ok(()),
        }
    }
}

impl Change {
    fn of(name: &str) -> Self {
        Self { name: name.to_owned(), before: Vec::new(), after: Vec::new(), bytes: 0 }
    }
}

impl fmt::Display for Diff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return writeln!(f, "  nothing changes: the archive as of {} gives the same packages and files", self.to);
        }
        for change in &self.packages {
            let Change { name, before, after, bytes } = change;
            let (before, after) = (before.join(", "), after.join(", "));
            let sign = if *bytes < 0 { '-' } else { '+' };
            let size = format!("{sign}{}", progress::bytes(bytes.unsigned_abs()));
            match (before.as_str(), after.as_str()) {
                ("", after) => writeln!(f, "  added      {name} {after}  ({size})")?,
                (before, "") => writeln!(f, "  removed    {name} {before}  ({size})")?,
                (before, after) if before == after => writeln!(f, "  rebuilt    {name} {after}  ({size})")?,
                (before, after) => {
                    let word =
                        if compare_versions(self.family, before, after).is_lt() { "upgraded" } else { "downgraded" };
                    writeln!(f, "  {word:<10} {name} {before} -> {after}  ({size})")?;
                }
            }
        }
        for replaced in &self.artifacts {
            replaced.fmt(f)?;
        }
        if self.tools && self.from.is_some() {
            writeln!(f, "  the tools that make the image differ")?;
        }
        let count = |changed: (bool, bool)| {
            let packages = self.packages.iter().map(|change| (!change.before.is_empty(), !change.after.is_empty()));
            let artifacts = self.artifacts.iter().map(|one| (one.before.is_some(), one.after.is_some()));
            packages.chain(artifacts).filter(|one| *one == changed).count()
        };
        writeln!(
            f,
            "  {} added, {} removed, {} changed; {} instead of {}",
            count((false, true)),
            count((true, false)),
            count((true, true)),
            progress::bytes(self.bytes_after),
            progress::bytes(self.bytes_before),
        )
    }
}
