//! The seed: the snaps that snapd installs when it runs for the first time, with the assertions that make it believe them, in
//! `/var/lib/snapd/seed` (the form of Ubuntu Core 16 and of classic systems).

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;

use super::assertion::Assertion;
use super::container::{self, Kind, Metadata};
use super::error::{Error, Result};
use super::judged::{Judged, SERIES};

/// Where snapd looks for it, below the root.
pub const FOLDER: &str = "var/lib/snapd/seed";
/// The snap that brings snapd itself, without which a classic system takes no seed.
const SNAPD: &str = "snapd";

/// A snap to be seeded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Snap {
    /// Its name.
    pub name: String,
    /// The channel that it will be refreshed from, such as `1.33/stable`.
    pub channel: String,
    /// The file.
    pub path: PathBuf,
}

/// A seed in which everything fits together.
#[derive(Clone, Debug)]
pub struct Seed {
    snaps: Vec<Seeded>,
    assertions: Vec<Assertion>,
}

/// A snap that the assertions are about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seeded {
    /// Its name, channel and file.
    pub snap: Snap,
    /// Its identifier in the store.
    pub id: String,
    /// Its revision.
    pub revision: u64,
    /// Its SHA3-384, as assertions write it.
    pub sha3_384: String,
    metadata: Metadata,
}

#[derive(Serialize)]
struct Yaml<'a> {
    snaps: Vec<Entry<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "kebab-case")]
struct Entry<'a> {
    name: &'a str,
    snap_id: &'a str,
    channel: &'a str,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    classic: bool,
    file: String,
}

impl Seed {
    /// The seed of `snaps` for `architecture` in Debian's words: snapd first, each snap after its base. `judged` must know what
    /// they and the one model of the seed need.
    ///
    /// # Errors
    /// A snap is not the one that the assertions are about, or a snap, an assertion or the model is missing.
    pub fn judge(snaps: &[Snap], judged: &Judged, architecture: &str) -> Result<Self> {
        let seeded = snaps.iter().map(|snap| Seeded::judge(snap, judged, architecture)).collect::<Result<Vec<_>>>()?;
        let snaps = order(seeded)?;
        let mut assertions: Vec<Assertion> = judged.all().cloned().collect();
        assertions.sort_by_key(|one| (one.kind() != "account", one.kind() != "account-key", one.name()));
        let models: Vec<&Assertion> = assertions.iter().filter(|one| one.kind() == "model").collect();
        let [model] = models[..] else {
            let reason = format!("found {} models among the assertions, expected one", models.len());
            return Err(Error::Seed {
                reason,
                hint: "a classic model, such as generic-classic, says what system it is",
            });
        };
        let seed = Self { snaps, assertions: Vec::new() };
        seed.fits(model)?;
        Ok(Self { assertions, ..seed })
    }

    /// Whether it is a seed for a system of `model`.
    fn fits(&self, model: &Assertion) -> Result<()> {
        let refuse = |reason: String, hint| Err(Error::Seed { reason, hint });
        if model.header("classic") != Some("true") || model.has("snaps") {
            let hint = "a model for a distribution has `classic: true` and no `snaps`; others are for Ubuntu Core";
            return refuse(format!("the {} is not that of a classic system", model.name()), hint);
        }
        let has = |name: &str| self.snaps.iter().any(|one| one.snap.name == name);
        let gadget = model.header("gadget").map(|gadget| gadget.split('=').next().unwrap_or(gadget));
        match model.list("required-snaps").into_iter().chain(gadget).find(|name| !has(name)) {
            Some(name) => refuse(format!("the {} requires the snap {name}", model.name()), "name it in the recipe"),
            None => Ok(()),
        }
    }

    /// The assertions that make snapd believe it.
    #[must_use]
    pub fn assertions(&self) -> &[Assertion] {
        &self.assertions
    }

    /// Its snaps, in the order in which they are installed.
    #[must_use]
    pub fn snaps(&self) -> &[Seeded] {
        &self.snaps
    }

    /// Lays it into the root file system `root`.
    ///
    /// # Errors
    /// The first file that could not be written.
    pub fn lay(&self, root: &Path) -> Result<()> {
        let folder = root.join(FOLDER);
        for name in ["snaps", "assertions"] {
            let folder = folder.join(name);
            fs::create_dir_all(&folder).map_err(Error::io("making the folder", &folder))?;
        }
        for one in &self.snaps {
            let path = folder.join("snaps").join(one.file());
            fs::copy(&one.snap.path, &path).map_err(Error::io("writing", &path))?;
            fs::set_permissions(&path, Permissions::from_mode(0o600)).map_err(Error::io("writing", &path))?;
        }
        for (number, assertion) in self.assertions.iter().enumerate() {
            let path = folder.join("assertions").join(format!("{number:02}.{}", assertion.kind()));
            fs::write(&path, assertion.text()).map_err(Error::io("writing", &path))?;
        }
        let path = folder.join("seed.yaml");
        fs::write(&path, self.yaml()).map_err(Error::io("writing", &path))
    }

    /// `seed.yaml`.
    fn yaml(&self) -> String {
        let yaml = Yaml { snaps: self.snaps.iter().map(Seeded::entry).collect() };
        serde_saphyr::to_string(&yaml).expect("texts and booleans always have a form in YAML")
    }
}

impl Seeded {
    fn judge(snap: &Snap, judged: &Judged, architecture: &str) -> Result<Self> {
        let (sha3_384, size) = container::digest(&snap.path)?;
        let unfit = |what, found: String, expected: String, hint| {
            Err(Error::Unfit { snap: snap.name.clone(), what, found, expected, hint })
        };
        let missing = |missing: String, hint| Error::Missing { snap: snap.name.clone(), missing, hint };
        let other_bytes = "the file was changed, or is another revision than its assertions are about";
        let revision = judged
            .find("snap-revision", &[("snap-sha3-384", &sha3_384)])
            .ok_or_else(|| missing(format!("assertion snap-revision of its SHA3-384 {sha3_384}"), other_bytes))?;
        let number = |name| revision.number(name).map_err(|reason| Error::malformed(&revision.name(), reason));
        if number("snap-size")? != size {
            return unfit("the size", size.to_string(), number("snap-size")?.to_string(), other_bytes);
        }
        let id = revision.header("snap-id").unwrap_or_default();
        let declaration = judged.find("snap-declaration", &[("series", SERIES), ("snap-id", id)]).ok_or_else(|| {
            missing(format!("assertion snap-declaration of {id}"), "lock again, or bring the whole `.assert`")
        })?;
        let (told, hint) = ("the name", "the file or its assertions are those of another snap");
        let declared = declaration.header("snap-name").unwrap_or_default();
        if declared != snap.name {
            return unfit(told, format!("`{declared}` in its snap-declaration"), format!("`{}`", snap.name), hint);
        }
        let metadata = Metadata::read(&snap.path)?;
        if metadata.name != snap.name {
            return unfit(told, format!("`{}` in its snap.yaml", metadata.name), format!("`{}`", snap.name), hint);
        }
        if !metadata.runs_on(architecture) {
            let hint = "lock on a base of its architecture";
            return unfit("the architectures", metadata.architectures(), architecture.to_owned(), hint);
        }
        let number = number("snap-revision")?;
        Ok(Self { snap: snap.clone(), id: id.to_owned(), revision: number, sha3_384, metadata })
    }

    fn entry(&self) -> Entry<'_> {
        let Self { snap, id, metadata, .. } = self;
        let classic = metadata.is_classic();
        Entry { name: &snap.name, snap_id: id, channel: &snap.channel, classic, file: self.file() }
    }

    /// Its name in the seed.
    fn file(&self) -> String {
        format!("{}_{}.snap", self.snap.name, self.revision)
    }
}

/// snapd first, each snap after its base; else as they are.
fn order(mut left: Vec<Seeded>) -> Result<Vec<Seeded>> {
    let refuse = |reason, hint| Err(Error::Seed { reason, hint });
    let names: Vec<String> = left.iter().map(|one| one.snap.name.clone()).collect();
    if let Some(twice) = names.iter().enumerate().find(|(place, name)| names[..*place].contains(name)) {
        return refuse(format!("the snap {} is named twice", twice.1), "a system has one of each name");
    }
    let Some(first) = left.iter().position(|one| one.metadata.kind == Kind::Snapd) else {
        return refuse(
            format!("the snap {SNAPD} is not among them"),
            "without it snapd takes no seed on a distribution",
        );
    };
    let mut ordered = vec![left.remove(first)];
    while !left.is_empty() {
        let there = |base: Option<&str>| base.is_none_or(|base| ordered.iter().any(|one| one.snap.name == base));
        match left.iter().position(|one| there(one.metadata.base())) {
            Some(next) => ordered.push(left.remove(next)),
            None => {
                let (name, base) = (&left[0].snap.name, left[0].metadata.base().unwrap_or_default());
                return refuse(
                    format!("the snap {name} runs on {base}, which is not among them"),
                    "name it in the recipe",
                );
            }
        }
    }
    Ok(ordered)
}

#[cfg(test)]
#[path = "seed_tests.rs"]
mod tests;
