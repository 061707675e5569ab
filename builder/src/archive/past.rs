//! Where an archive's packages are kept that its mirrors have dropped: a snapshot service by the time, a vault by the minor release.

use jiff::{SignedDuration, Timestamp};

use super::package::Package;
use crate::recipe::base::{SNAPSHOT_TIME, Source};

/// What is known of the archives as they were when packages were chosen from them.
#[derive(Clone, Copy, Debug)]
pub struct Past<'a> {
    /// When the newest of them was released.
    pub released: Timestamp,
    /// The packages of the system that was chosen, among them the one whose version says which minor release it is of.
    pub system: &'a [Package],
}

impl Past<'_> {
    /// The URLs at which `source` is kept as it was, in the order in which they are to be asked; without a slash at the end.
    pub(super) fn of(&self, source: &Source) -> Vec<String> {
        self.snapshots(source).into_iter().chain(self.vault(source)).collect()
    }

    /// The archive at the times at which its snapshot service has what was released then. A snapshot is taken some time after a
    /// release, and shows what was there; the second is for packages that did not stay a day.
    fn snapshots(&self, source: &Source) -> Vec<String> {
        let at = |hours: i64| {
            let time = self.released.checked_add(SignedDuration::from_hours(hours)).unwrap_or(self.released);
            Some(source.snapshot.as_ref()?.replace(SNAPSHOT_TIME, &time.strftime("%Y%m%dT%H%M%SZ").to_string()))
        };
        [24, 6].into_iter().filter_map(at).collect()
    }

    /// The minor release that was current then, in the vault: its packages stay on the mirrors until the next one is out, and lie in
    /// the vault from then on.
    fn vault(&self, source: &Source) -> Option<String> {
        let name = source.vault_package()?;
        let package = self.system.iter().find(|package| package.name == name)?;
        source.vault_of(package.upstream())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_vault_is_that_of_the_minor_release_that_was_locked() {
        let source = Source {
            vault: Some("https://vault.example/{example-release}/".to_owned()),
            snapshot: Some("https://past.example/{time}".to_owned()),
            ..Source::default()
        };
        let of = |source: &Source, system: &[Package]| {
            Past { released: "2026-11-20T02:00:00Z".parse().unwrap(), system }.of(source)
        };
        let snapshots = ["https://past.example/20261121T020000Z", "https://past.example/20261120T080000Z"];
        let system = [Package::named("bash", "5.1.8-9.el9"), Package::named("example-release", "1:9.6-3.el9")];
        assert_eq!(of(&source, &system), [&snapshots[..], &["https://vault.example/9.6"]].concat());
        assert_eq!(of(&source, &system[..1]), snapshots, "a system without the package");
        assert_eq!(of(&Source::default(), &system), [] as [&str; 0]);
    }
}
