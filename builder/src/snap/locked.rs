//! The snaps of a lock: chosen and judged once, and judged again from the lock alone when they are seeded.

use std::fs;
use std::path::Path;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::assertion::{Assertion, stream};
use super::error::{Error, Result};
use super::judged::{Judged, SERIES};
use super::seed::{Seed, Snap};
use super::store::SnapStore;
use super::{CANONICAL, GENERIC_CLASSIC, container};
use crate::artifact::{Files, Pin};
use crate::progress::Progress;
use crate::recipe::Loaded;
use crate::recipe::platform::{Microk8s, Platform, SeededSnap, of_snap};
use crate::store::Store;

/// The snaps of a recipe as a lock has them; their files are pinned among its artifacts.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Locked {
    /// Everything that is said of them, and what that builds upon, up to the root of trust.
    pub assertions: String,
    /// The snaps, in the order in which they are installed.
    pub snap: Vec<LockedSnap>,
}

/// A snap of a lock.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct LockedSnap {
    /// Its name.
    pub name: String,
    /// The channel that it was taken from.
    pub channel: String,
    /// Its revision.
    pub revision: u64,
    /// Its SHA3-384, as assertions write it.
    pub sha3_384: String,
}

/// What locking a recipe's snaps needs.
pub struct Locking<'a> {
    /// The recipe.
    pub recipe: &'a Loaded,
    /// Its artifacts as they are pinned, the snaps that are files of its own among them.
    pub pins: &'a [Pin],
    /// Every download.
    pub store: &'a Store,
    /// Where to tell of it.
    pub progress: &'a Progress,
    /// When expiry is judged.
    pub now: Timestamp,
}

impl Locking<'_> {
    /// Chooses and judges the snaps of the recipe's platform, and pins the files of those that come from a store. None where the
    /// platform has no snaps.
    ///
    /// # Errors
    /// [`Error`]: a channel or an assertion is not to be had, or something does not fit.
    pub fn lock(&self) -> Result<Option<(Locked, Vec<Pin>)>> {
        let Platform::Microk8s(platform) = &self.recipe.recipe.platform else { return Ok(None) };
        let mut judged = Judged::new(&roots(self.recipe, platform)?, Some(self.now))?;
        let mut believed = model(self.recipe, platform)?;
        let mut pins = Vec::new();
        for snap in &platform.snaps {
            match (&snap.file, &snap.assertions) {
                (Some(_), Some(path)) => believed.extend(beside(self.recipe, path)?),
                _ => {
                    let (pin, assertions) = self.asked_of_the_store(platform, snap, &judged)?;
                    pins.push(pin);
                    believed.extend(assertions);
                }
            }
        }
        judged.add(believed)?;
        let all: Vec<Pin> = self.pins.iter().chain(&pins).cloned().collect();
        let files = Files::of(&self.recipe.folder, &all, self.store);
        let seed = Seed::judge(&snaps(platform, files)?, &judged, architecture(self.recipe))?;
        Ok(Some((Locked::of(&seed), pins)))
    }

    /// The file of a snap from the store, and what the store says of it.
    fn asked_of_the_store(
        &self,
        platform: &Microk8s,
        snap: &SeededSnap,
        judged: &Judged,
    ) -> Result<(Pin, Vec<Assertion>)> {
        let SeededSnap { name, channel, .. } = snap;
        let asked = SnapStore { url: platform.store.trim_end_matches('/'), store: self.store };
        let (track, risk) = snap.track_and_risk().unwrap_or_default();
        let release = asked.release(name, track, risk, architecture(self.recipe))?;
        let mut found = vec![
            asked.assertion("snap-revision", &[&release.sha3_384])?,
            asked.assertion("snap-declaration", &[SERIES, &release.id])?,
        ];
        let mut next = 0;
        while let Some(needed) = found.get(next).map(|one| judged.prerequisites(one)) {
            for (kind, key) in needed {
                if !found.iter().any(|known| known.is(kind, &key)) {
                    found.push(asked.assertion(kind, &[&key])?);
                }
            }
            next += 1;
        }
        let label = of_snap(name);
        let (sha256, size) = self.store.learn(&label, &release.url, None, self.progress)?;
        let path = self.store.path(&sha256).unwrap_or_default();
        let (sha3_384, _) = container::digest(&path)?;
        if sha3_384 != release.sha3_384 {
            let (what, hint) = ("the SHA3-384", "a proxy that changes downloads?");
            let expected = format!("{} (revision {} of {channel})", release.sha3_384, release.revision);
            return Err(Error::Unfit { snap: name.clone(), what, found: sha3_384, expected, hint });
        }
        Ok((Pin { name: label, from: release.url, size, sha256 }, found))
    }
}

impl Locked {
    fn of(seed: &Seed) -> Self {
        let snap = seed.snaps().iter().map(|one| LockedSnap {
            name: one.snap.name.clone(),
            channel: one.snap.channel.clone(),
            revision: one.revision,
            sha3_384: one.sha3_384.clone(),
        });
        Self { assertions: stream(seed.assertions()), snap: snap.collect() }
    }

    /// The seed, judged anew from the lock and the locked `files`.
    ///
    /// # Errors
    /// A file or an assertion is not what the lock says, or they do not fit together.
    pub fn seed(&self, recipe: &Loaded, platform: &Microk8s, files: Files<'_>) -> Result<Seed> {
        let mut judged = Judged::new(&roots(recipe, platform)?, None)?;
        judged.add(Assertion::stream(&self.assertions, "the lock's assertions")?)?;
        let seed = Seed::judge(&snaps(platform, files)?, &judged, architecture(recipe))?;
        let now = Self::of(&seed).snap;
        let other = now.iter().zip(&self.snap).find(|(now, locked)| now != locked);
        match other {
            Some((now, locked)) => Err(Error::Unfit {
                snap: now.name.clone(),
                what: "the revision",
                found: format!("{} {} from {}", now.name, now.revision, now.channel),
                expected: format!("{} {} from {}", locked.name, locked.revision, locked.channel),
                hint: "the lock was changed by hand; make it anew with `firstlight lock`",
            }),
            None => Ok(seed),
        }
    }
}

fn snaps(platform: &Microk8s, files: Files<'_>) -> Result<Vec<Snap>> {
    let snap = |one: &SeededSnap| {
        let path = files.path(&of_snap(&one.name))?;
        Ok(Snap { name: one.name.clone(), channel: one.channel.clone(), path })
    };
    platform.snaps.iter().map(snap).collect()
}

/// The base's architecture in the words of snaps, which are Debian's.
fn architecture(recipe: &Loaded) -> &str {
    recipe.base.architecture.architecture().of_debian()
}

fn roots(recipe: &Loaded, platform: &Microk8s) -> Result<Vec<Assertion>> {
    match &platform.trusted {
        Some(path) => beside(recipe, path),
        None => Assertion::stream(CANONICAL, "Canonical's root of trust"),
    }
}

fn model(recipe: &Loaded, platform: &Microk8s) -> Result<Vec<Assertion>> {
    match &platform.model {
        Some(path) => beside(recipe, path),
        None => Assertion::stream(GENERIC_CLASSIC, "the model generic-classic"),
    }
}

fn beside(recipe: &Loaded, path: &str) -> Result<Vec<Assertion>> {
    let path = recipe.folder.join(path);
    let text = fs::read_to_string(&path).map_err(Error::io("reading", Path::new(&path)))?;
    Assertion::stream(&text, &path.display().to_string())
}

#[cfg(test)]
#[path = "locked_tests.rs"]
mod tests;
