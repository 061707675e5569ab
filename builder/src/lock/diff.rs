//! What locking anew would change.

use std::collections::BTreeMap;
use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::Lock;
use crate::archive::{Package, compare_versions};
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
    /// Bytes of all packages of the image before.
    pub bytes_before: u64,
    /// Bytes of all packages of the image after.
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
        self.packages.is_empty() && !self.tools
    }
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
    let bytes = |list: &[Package]| list.iter().map(|package| package.size).sum();
    Diff {
        family,
        from: before.map(|lock| lock.released),
        to: after.released,
        bytes_before: bytes(&old),
        bytes_after: bytes(&new),
        tools: before.is_none_or(|lock| lock.tools != after.tools),
        packages: changes.into_values().collect(),
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
            return writeln!(f, "  nothing changes: the archive as of {} gives the same packages", self.to);
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
        if self.tools && self.from.is_some() {
            writeln!(f, "  the tools that make the image differ")?;
        }
        let count = |wanted: fn(&Change) -> bool| self.packages.iter().filter(|change| wanted(change)).count();
        writeln!(
            f,
            "  {} added, {} removed, {} changed; {} instead of {}",
            count(|change| change.before.is_empty()),
            count(|change| change.after.is_empty()),
            count(|change| !change.before.is_empty() && !change.after.is_empty()),
            progress::bytes(self.bytes_after),
            progress::bytes(self.bytes_before),
        )
    }
}
