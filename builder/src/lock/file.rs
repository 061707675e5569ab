//! The lock as a file: TOML in a stable order, so that version control shows what changed.
//!
//! Every package stands once, sorted by name; the sets (`tools`, `system`, each container image) name theirs, the system in
//! apt's order of unpacking. URLs are paths below the base's mirrors, since where the bytes come from is nobody's business
//! as long as they are these.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::path::{Component, Path};

use firmware_checks::document::Diagnostic;
use firmware_checks::files;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Lock;
use super::error::{Error, Result};
use super::inputs::{self, Inputs};
use crate::archive::{Package, Solution};
use crate::artifact::{self, Pin};
use crate::recipe::Loaded;
use crate::recipe::artifact::is_url;
use crate::recipe::platform::of_snap;
use crate::recipe::schema::ContainerImage;
use crate::{snap, store};

/// Changes when what is written would be read otherwise.
const VERSION: u32 = 1;

const TOOLS: &str = "tools";
const SYSTEM: &str = "system";

/// What the set of a container image is called.
fn image_set(image: &str) -> String {
    format!("image {image}")
}

/// An index that packages were chosen from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Index {
    /// The archive's name.
    pub archive: String,
    /// The suite.
    pub suite: String,
    /// Its path below the suite, unpacked.
    pub path: String,
    /// When its suite's Release was made.
    pub released: Timestamp,
    /// SHA-256 of the unpacked index.
    pub sha256: String,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct File {
    version: u32,
    recipe: String,
    base: String,
    released: Timestamp,
    inputs: Inputs,
    #[serde(default)]
    index: Vec<Index>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    artifact: Vec<Pin>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    snaps: Option<snap::Locked>,
    set: Vec<Set>,
    package: Vec<Entry>,
}

/// The packages of the tools root, of the system, or of a container image.
#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Set {
    name: String,
    packages: Vec<String>,
}

#[derive(Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    version: String,
    architecture: String,
    archive: String,
    path: String,
    size: u64,
    /// KiB, as the maintainer estimates.
    installed: u64,
    sha256: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    essential: bool,
}

/// Writes `lock` as the file `path`: whole, or not at all.
///
/// # Errors
/// [`Error::Io`].
pub fn write(path: &Path, recipe: &Loaded, lock: &Lock) -> Result<()> {
    let text = text(recipe, lock);
    files::replace(path, text.as_bytes(), 0o644).map_err(Error::io("writing", path))
}

fn text(recipe: &Loaded, lock: &Lock) -> String {
    let solutions = std::iter::once(&lock.system).chain(lock.images.iter().map(|(_, solution)| solution));
    let all: BTreeMap<(&str, &str, &str), &Package> = solutions
        .flat_map(|solution| &solution.packages)
        .chain(&lock.tools)
        .map(|one| ((one.name.as_str(), one.version.as_str(), one.architecture.as_str()), one))
        .collect();
    let mut count: BTreeMap<&str, usize> = BTreeMap::new();
    all.values().for_each(|one| *count.entry(one.name.as_str()).or_default() += 1);
    // A name alone wherever it says enough, so that an upgrade is one change in the file.
    let refer = |one: &Package| match count[one.name.as_str()] {
        1 => one.name.clone(),
        _ => format!("{}={}:{}", one.name, one.version, one.architecture),
    };
    let set = |name: &str, packages: &[Package]| Set {
        name: name.to_owned(),
        packages: packages.iter().map(refer).collect(),
    };
    let mut sets = vec![set(TOOLS, &lock.tools), set(SYSTEM, &lock.system.packages)];
    for (index, solution) in &lock.images {
        sets.push(set(&image_set(&recipe.recipe.images[*index].name), &solution.packages));
    }
    let file = File {
        version: VERSION,
        recipe: recipe.recipe.name.clone(),
        base: recipe.base.name.clone(),
        released: lock.released,
        inputs: lock.inputs.clone(),
        index: lock.indices.clone(),
        artifact: lock.artifacts.clone(),
        snaps: lock.snaps.clone(),
        set: sets,
        package: all.into_values().map(|package| Entry::new(recipe, package)).collect(),
    };
    let body = toml::to_string_pretty(&file).expect("strings, numbers and lists of them always have a form in TOML");
    format!("# Written by `firstlight lock`, which also brings it up to date (--update); not by hand.\n\n{body}")
}

impl Entry {
    fn new(recipe: &Loaded, package: &Package) -> Self {
        Self {
            name: package.name.clone(),
            version: package.version.clone(),
            architecture: package.architecture.clone(),
            archive: recipe.base.source_names()[package.source].clone(),
            path: package.path.clone(),
            size: package.size,
            installed: package.installed_size,
            sha256: package.sha256.clone(),
            essential: package.essential,
        }
    }

    fn package(&self, recipe: &Loaded) -> std::result::Result<Package, String> {
        let source = recipe.base.source_names().iter().position(|name| *name == self.archive);
        let source = source.ok_or_else(|| format!("{}: the base has no archive `{}`", self.name, self.archive))?;
        let inside = |part: Component<'_>| matches!(part, Component::Normal(_));
        if self.path.is_empty() || !Path::new(&self.path).components().all(inside) {
            return Err(format!("{}: `{}` is not a path below a mirror", self.name, self.path));
        }
        if !store::is_digest(&self.sha256) {
            return Err(format!("{}: `{}` is not a SHA-256 digest", self.name, self.sha256));
        }
        Ok(Package {
            name: self.name.clone(),
            version: self.version.clone(),
            architecture: self.architecture.clone(),
            source,
            path: self.path.clone(),
            size: self.size,
            installed_size: self.installed,
            sha256: self.sha256.clone(),
            essential: self.essential,
        })
    }
}

/// The lock in the file `path`, for `recipe` on its base; `None` where there is no such file.
///
/// # Errors
/// [`Error::Stale`] or [`Error::Artifact`] where it is not for what the recipe says now; [`Error::Malformed`].
pub fn read(path: &Path, recipe: &Loaded) -> Result<Option<Lock>> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(Error::io("reading", path))?,
    };
    let file = parse(path, &text)?;
    let inputs = inputs::of(recipe)?;
    let mut changed = inputs::changed(recipe, &file.inputs, &inputs);
    for (key, locked, now) in [("name", &file.recipe, &recipe.recipe.name), ("base", &file.base, &recipe.base.name)] {
        if locked != now {
            changed.push(format!("{}: `{key}` is `{now}`, the lock's is `{locked}`", recipe.path.display()));
        }
    }
    if !changed.is_empty() {
        return Err(Error::Stale { path: path.to_owned(), recipe: recipe.path.clone(), changed });
    }
    let lock = file.pins(recipe).and_then(|()| file.lock(recipe, inputs, |image| !image.packages.is_empty()));
    let lock = lock.map_err(|reason| malformed(path, &text, 0..0, reason))?;
    artifact::compare(recipe, &lock.artifacts)?;
    Ok(Some(lock))
}

/// What the file `path` locks, although it may no longer be what `recipe` asks for; `None` where that can't be told.
#[must_use]
pub fn peek(path: &Path, recipe: &Loaded) -> Option<Lock> {
    let file = parse(path, &fs::read_to_string(path).ok()?).ok()?;
    file.lock(recipe, file.inputs.clone(), |image| file.set.iter().any(|set| set.name == image_set(&image.name))).ok()
}

fn parse(path: &Path, text: &str) -> Result<File> {
    let file: File = toml::from_str(text)
        .map_err(|error| malformed(path, text, error.span().unwrap_or(0..0), error.message().to_owned()))?;
    if file.version != VERSION {
        let reason = format!("a lock of version {}, expected {VERSION}: another firstlight made it", file.version);
        let at = text.find("version").unwrap_or(0);
        return Err(malformed(path, text, at..at + 7, reason));
    }
    Ok(file)
}

fn malformed(path: &Path, text: &str, span: std::ops::Range<usize>, reason: String) -> Error {
    Error::Malformed { message: Diagnostic::new(path, text, span, reason).to_string() }
}

impl File {
    /// `takes` says which of the recipe's container images have a set of packages.
    fn lock(
        &self,
        recipe: &Loaded,
        inputs: Inputs,
        takes: impl Fn(&ContainerImage) -> bool,
    ) -> std::result::Result<Lock, String> {
        let mut packages = BTreeMap::new();
        let mut names = BTreeSet::new();
        for entry in &self.package {
            let package = entry.package(recipe)?;
            let full = format!("{}={}:{}", package.name, package.version, package.architecture);
            if !names.insert(full.clone()) {
                return Err(format!("{full} stands there twice"));
            }
            packages.insert(package.name.clone(), package.clone());
            packages.insert(full, package);
        }
        let solution = |name: &str| {
            let set = self.set.iter().find(|set| set.name == name).ok_or_else(|| format!("it has no set `{name}`"))?;
            let find = |name: &String| packages.get(name).cloned().ok_or_else(|| format!("it has no package `{name}`"));
            set.packages.iter().map(find).collect::<std::result::Result<Vec<_>, _>>()
        };
        let solved = |name: &str| Ok::<_, String>(Solution { packages: solution(name)?, released: self.released });
        let made = recipe.recipe.images.iter().enumerate().filter(|(_, image)| takes(image));
        let images = made.map(|(index, image)| Ok((index, solved(&image_set(&image.name))?)));
        Ok(Lock {
            released: self.released,
            inputs,
            indices: self.index.clone(),
            artifacts: self.artifact.clone(),
            snaps: self.snaps.clone(),
            tools: solution(TOOLS)?,
            system: solved(SYSTEM)?,
            images: images.collect::<std::result::Result<_, String>>()?,
        })
    }

    /// Whether the lock pins exactly the artifacts of the recipe.
    fn pins(&self, recipe: &Loaded) -> std::result::Result<(), String> {
        let (recipe, base) = (&recipe.recipe, &recipe.base);
        let named = recipe.artifacts();
        let stored: Vec<String> = recipe.platform.stored_snaps().map(of_snap).collect();
        for named in &named {
            let fits = |pin: &&Pin| pin.name == named.name && pin.from == named.artifact.from;
            let pin = self.artifact.iter().find(fits).ok_or_else(|| format!("it has no artifact `{}`", named.name))?;
            if !store::is_digest(&pin.sha256) {
                return Err(format!("{}: `{}` is not a SHA-256 digest", pin.name, pin.sha256));
            }
        }
        if let Some(name) =
            stored.iter().find(|name| !self.artifact.iter().any(|pin| pin.name == **name && is_url(&pin.from)))
        {
            return Err(format!("it has no artifact `{name}`"));
        }
        let certificates = base.published();
        for published in &certificates {
            let fits = |pin: &Pin| pin.name == published.name() && pin.from == published.from;
            if !self.artifact.iter().any(|pin| fits(pin) && store::is_digest(&pin.sha256)) {
                return Err(format!("it has no `{}`", published.name()));
            }
        }
        match self.artifact.len().cmp(&(named.len() + stored.len() + certificates.len())) {
            std::cmp::Ordering::Greater => Err("it has artifacts that the recipe does not name".to_owned()),
            _ => Ok(()),
        }
    }
}
