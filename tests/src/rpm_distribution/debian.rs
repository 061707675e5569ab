//! The Debian packages that everything is made of, by the product's own archive and store.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use firstlight::archive::{Archive, Mirrors, Opening, Trust};
use firstlight::artifact::Files;
use firstlight::progress::Progress;
use firstlight::recipe;
use firstlight::store::Store;
use jiff::Timestamp;

use super::catalogue::Catalogue;
use crate::{image, judge};

/// A Debian package that lies in the store.
#[derive(Debug)]
pub struct Debian {
    pub name: String,
    pub version: String,
    pub sha256: String,
    pub deb: PathBuf,
    /// For each of its dependencies, the alternatives in their order.
    pub depends: Vec<Vec<String>>,
    pub provides: Vec<String>,
}

/// What the catalogue wants and all that it depends on, by name, without what it leaves out. Indices are asked for today.
///
/// # Errors
/// The archive can't be had.
pub fn fetch(catalogue: &Catalogue) -> Result<BTreeMap<String, Debian>> {
    let base = image::repository().join("recipes/bases/debian-13.toml");
    let mut base_read = recipe::read_base(&base)?;
    // Those of Docker and the like are other parties', whom nobody asked here.
    base_read.sources.retain(|source| source.platforms.is_empty());
    let (store, progress) = (Store::open(&image::cache())?, Progress::silent());
    let trust = Trust::read(&base_read, &base, &Files::of(Path::new(""), &[], &store))?;
    let mirrors = Mirrors::new(&[], Path::new("/etc/apt"));
    let archive = Archive::open(&Opening {
        base: &base_read,
        trust: &trust,
        mirrors: &mirrors,
        store: &store,
        progress: &progress,
        now: Timestamp::now(),
    })?;
    let mut packages = archive.closure(&catalogue.wanted)?;
    packages.retain(|package| !catalogue.without.contains(&package.name));
    store.fetch(&archive.downloads(&packages), &progress)?;
    let mut all = BTreeMap::new();
    for package in packages {
        let deb = store.path(&package.sha256).with_context(|| format!("{} is not in the store", package.name))?;
        let (depends, provides) = relations(&deb)?;
        let (name, version, sha256) = (package.name.clone(), package.version, package.sha256);
        all.insert(package.name, Debian { name, version, sha256, deb, depends, provides });
    }
    Ok(all)
}

fn relations(deb: &Path) -> Result<(Vec<Vec<String>>, Vec<String>)> {
    let fields = judge::run(
        "dpkg-deb",
        &["--show", "--showformat", "${Pre-Depends}, ${Depends}\n${Provides}", &deb.display().to_string()],
    )?;
    let (depends, provides) = fields.split_once('\n').unwrap_or((&fields, ""));
    let name = |relation: &str| relation.split([' ', '(', ':', '[']).find(|word| !word.is_empty()).map(str::to_owned);
    let alternatives = |group: &str| group.split('|').filter_map(name).collect::<Vec<_>>();
    let depends = depends.split(',').map(alternatives).filter(|group| !group.is_empty()).collect();
    Ok((depends, provides.split(',').filter_map(name).collect()))
}
