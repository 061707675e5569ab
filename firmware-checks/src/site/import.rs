//! The life cycle: from a medium into [`DIRECTORY`], once; a later medium only by an admin's word.

use std::io;
use std::path::{Path, PathBuf};

use super::bundle::{self, Bundle};
use super::status::told;
use super::wipe;
use super::{CONFIGURATION, DIRECTORY, Error};

/// A medium whose files can be read now.
#[derive(Clone, Debug)]
pub struct Offer {
    /// What people call it: its device, or the folder.
    pub name: String,
    /// Whether it is the image's own SITE partition.
    pub own: bool,
    /// Where its files are.
    pub folder: PathBuf,
}

/// What an import came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// Nothing was there to import.
    Nothing,
    /// The configuration was taken.
    Imported {
        /// The medium.
        from: String,
    },
    /// The configuration on the medium is the one that the machine has.
    Same,
}

/// Why a medium's configuration was not taken. The machine's own is as it was.
#[derive(Debug, thiserror::Error)]
pub enum Refused {
    /// It is not valid.
    #[error("the site configuration on {from} was not taken: {}", told(source))]
    Invalid {
        /// The medium.
        from: String,
        /// What is wrong with it.
        source: Error,
    },
    /// At boot, another configuration than the machine's lies on a medium.
    #[error(
        "{from} holds another site configuration than this machine's; it was not taken\nhint: to take it: firmware-checks site import {from}"
    )]
    Configured {
        /// The medium.
        from: String,
    },
    /// Several media hold configurations that differ.
    #[error("{} hold site configurations that differ; none was taken\nhint: remove all but one medium, or name one: firmware-checks site import DEVICE", names.join(" and "))]
    Several {
        /// The media.
        names: Vec<String>,
    },
    /// It could not be written.
    #[error("keeping the site configuration of {from} in {DIRECTORY}: {source}")]
    Write {
        /// The medium.
        from: String,
        /// Why.
        source: io::Error,
    },
}

/// At boot: a machine without a configuration takes the one that is offered, the machine below `root` with one keeps it.
///
/// # Errors
/// [`Refused`]; the machine's own configuration is then as it was.
pub fn at_boot(root: &Path, offers: &[Offer]) -> Result<Done, Refused> {
    let mut found: Vec<(&Offer, Result<Bundle, Error>)> = Vec::new();
    let kept = kept(root);
    for offer in offers.iter().filter(|offer| bundle::offered(&offer.folder)) {
        if let Some(kept) = &kept
            && wipe::imported(&offer.folder, kept).unwrap_or(false)
        {
            continue;
        }
        found.push((offer, Bundle::read(&offer.folder)));
    }
    let Some((first, _)) = found.first() else { return Ok(if kept.is_some() { Done::Same } else { Done::Nothing }) };
    if is_configured(root) {
        return Err(Refused::Configured { from: first.name.clone() });
    }
    let differ = found.iter().any(|(_, read)| match (read, &found[0].1) {
        (Ok(one), Ok(other)) => one != other,
        _ => found.len() > 1,
    });
    if differ {
        return Err(Refused::Several { names: found.iter().map(|(offer, _)| offer.name.clone()).collect() });
    }
    let from = first.name.clone();
    take(root, from, found.remove(0).1)
}

/// By an admin's word: the machine below `root` takes the configuration in `offer`, whatever it had.
///
/// # Errors
/// [`Refused`]; the machine's own configuration is then as it was.
pub fn by_word(root: &Path, offer: &Offer) -> Result<Done, Refused> {
    let read = Bundle::read(&offer.folder);
    if let (Ok(read), Some(kept)) = (&read, kept(root))
        && *read == kept
    {
        return Ok(Done::Same);
    }
    take(root, offer.name.clone(), read)
}

fn take(root: &Path, from: String, read: Result<Bundle, Error>) -> Result<Done, Refused> {
    let bundle = read.map_err(|source| Refused::Invalid { from: from.clone(), source })?;
    match bundle.write(&directory(root)) {
        Ok(()) => Ok(Done::Imported { from }),
        Err(source) => Err(Refused::Write { from, source }),
    }
}

/// Whether everything of a configuration on `offer` was imported by the machine below `root`, so that it may be wiped.
#[must_use]
pub fn may_wipe(root: &Path, offer: &Offer) -> bool {
    let imported = |kept: Bundle| wipe::imported(&offer.folder, &kept).unwrap_or(false);
    offer.own && bundle::offered(&offer.folder) && kept(root).is_some_and(imported)
}

/// Whether the machine below `root` has imported a configuration.
#[must_use]
pub fn is_configured(root: &Path) -> bool {
    directory(root).join(CONFIGURATION).exists()
}

fn kept(root: &Path) -> Option<Bundle> {
    Bundle::read(&directory(root)).ok()
}

/// The folder below `root` that keeps the configuration.
#[must_use]
pub fn directory(root: &Path) -> PathBuf {
    root.join(DIRECTORY.trim_start_matches('/'))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn offer(name: &str, own: bool, files: &[(&str, &str)]) -> (tempfile::TempDir, Offer) {
        let folder = tempfile::tempdir().unwrap();
        for (file, text) in files {
            fs::write(folder.path().join(file), text).unwrap();
        }
        let offer = Offer { name: name.into(), own, folder: folder.path().to_path_buf() };
        (folder, offer)
    }

    fn host(root: &Path) -> Option<String> {
        super::super::load(&directory(root)).ok()?.hostname
    }

    #[test]
    fn a_fresh_machine_takes_what_its_own_partition_offers_and_may_wipe_it_then() {
        let root = tempfile::tempdir().unwrap();
        let (_medium, own) = offer("/dev/vda3", true, &[("site.toml", "hostname = \"a\""), ("tls.key", "k")]);
        assert!(!may_wipe(root.path(), &own));
        let done = at_boot(root.path(), std::slice::from_ref(&own)).unwrap();
        assert_eq!(done, Done::Imported { from: "/dev/vda3".into() });
        assert_eq!(host(root.path()).as_deref(), Some("a"));
        assert!(may_wipe(root.path(), &own));
        // The power was cut before the wiping: the next boot finds the same, and may wipe.
        assert_eq!(at_boot(root.path(), std::slice::from_ref(&own)).unwrap(), Done::Same);
        // It was cut within the wiping.
        fs::write(own.folder.join("tls.key"), "\0").unwrap();
        assert_eq!(at_boot(root.path(), std::slice::from_ref(&own)).unwrap(), Done::Same);
        assert!(may_wipe(root.path(), &own));
    }

    #[test]
    fn a_stick_is_never_wiped() {
        let root = tempfile::tempdir().unwrap();
        let (_medium, stick) = offer("/dev/sdb1", false, &[("site.toml", "")]);
        at_boot(root.path(), std::slice::from_ref(&stick)).unwrap();
        assert!(!may_wipe(root.path(), &stick));
    }

    #[test]
    fn a_configured_machine_changes_by_an_admins_word_alone() {
        let root = tempfile::tempdir().unwrap();
        let (_first, first) = offer("/dev/vda3", true, &[("site.toml", "hostname = \"a\"")]);
        at_boot(root.path(), &[first]).unwrap();
        let (_other, other) = offer("/dev/sdb1", false, &[("site.toml", "hostname = \"b\"")]);
        let refused = at_boot(root.path(), std::slice::from_ref(&other)).unwrap_err().to_string();
        assert!(refused.contains("firmware-checks site import /dev/sdb1"), "{refused}");
        assert_eq!(host(root.path()).as_deref(), Some("a"));
        by_word(root.path(), &other).unwrap();
        assert_eq!(host(root.path()).as_deref(), Some("b"));
        assert_eq!(by_word(root.path(), &other).unwrap(), Done::Same);
    }

    #[test]
    fn an_invalid_configuration_changes_nothing_and_says_why() {
        let root = tempfile::tempdir().unwrap();
        let (_bad, bad) = offer("/dev/vda3", true, &[("site.toml", "hostnam = \"a\"")]);
        let refused = at_boot(root.path(), std::slice::from_ref(&bad)).unwrap_err().to_string();
        assert!(refused.contains("/dev/vda3") && refused.contains("did you mean `hostname`?"), "{refused}");
        assert!(!is_configured(root.path()) && !may_wipe(root.path(), &bad));
        let (_keyonly, key) = offer("/dev/vda3", true, &[("tls.key", "k")]);
        assert!(at_boot(root.path(), &[key]).unwrap_err().to_string().contains("holds no site.toml"));
    }

    #[test]
    fn media_that_contradict_each_other_are_left_to_the_admin() {
        let root = tempfile::tempdir().unwrap();
        let (_a, a) = offer("/dev/vda3", true, &[("site.toml", "hostname = \"a\"")]);
        let (_b, b) = offer("/dev/sdb1", false, &[("site.toml", "hostname = \"b\"")]);
        let refused = at_boot(root.path(), &[a.clone(), b]).unwrap_err().to_string();
        assert!(refused.contains("/dev/vda3 and /dev/sdb1"), "{refused}");
        let (_same, same) = offer("/dev/sdb1", false, &[("site.toml", "hostname = \"a\"")]);
        assert!(at_boot(root.path(), &[a, same]).is_ok());
    }

    #[test]
    fn an_empty_medium_is_nothing() {
        let root = tempfile::tempdir().unwrap();
        let (_empty, empty) = offer("/dev/vda3", true, &[("README.txt", "put site.toml here")]);
        assert_eq!(at_boot(root.path(), &[empty]).unwrap(), Done::Nothing);
    }
}
