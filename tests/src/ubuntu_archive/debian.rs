//! The Debian packages that the archive is made of: those of the hello recipe on Debian 13, with netplan, snapd and
//! Ubuntu's keyring.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use firmware_checks::architecture::Architecture;
use firstlight::archive::{Mirrors, Package, Past};
use firstlight::progress::Progress;
use firstlight::store::Store;
use firstlight::{lock, recipe};

use crate::image;

/// What Ubuntu's images have besides, and what other platforms take.
const BESIDES: [&str; 3] = ["netplan.io", "snapd", "ubuntu-keyring"];

/// Debian's packages, all of them in the store.
pub struct Debian {
    pub packages: Vec<Package>,
    pub store: Store,
}

impl Debian {
    /// Chooses them for machines of `architecture`, as Debian's own apt does, and fetches them.
    pub fn fetch(architecture: Architecture) -> Result<Self> {
        let base = format!("debian-13{}", super::suffix(architecture));
        let folder = image::scratch("ubuntu").join(&base);
        fs::create_dir_all(&folder)?;
        let recipe = write_recipe(&folder, &base, &format!("packages = {BESIDES:?}"))?;
        let output = image::command().args(["lock", "--update"]).arg(&recipe).output()?;
        ensure!(output.status.success(), "{}", image::text(&output));
        let loaded = recipe::load(&recipe, None)?;
        let lock = lock::read(&lock::path(&loaded), &loaded)?.context("no lock was written")?;
        let store = Store::open(&image::cache())?;
        let mut packages: Vec<Package> = lock.packages();
        let more = lock.tools.into_iter().filter(|tool| !packages.iter().any(|one| one.sha256 == tool.sha256));
        packages.extend(more.collect::<Vec<_>>());
        let mirrors = Mirrors::new(&[], Path::new("/etc/apt"));
        let past = Past { released: lock.released, system: &lock.system.packages };
        let downloads = mirrors.downloads(&loaded.base.sources, &packages, past);
        store.fetch(&downloads, &Progress::silent())?;
        Ok(Self { packages, store })
    }

    /// The file of a package.
    pub fn deb(&self, package: &Package) -> Result<PathBuf> {
        self.store.path(&package.sha256).with_context(|| format!("{} is not in the store", package.name))
    }

    /// The package of this name.
    pub fn named(&self, name: &str) -> Result<&Package> {
        let mut all = self.packages.iter().filter(|package| package.name == name);
        all.next().with_context(|| format!("Debian's packages have no {name}"))
    }
}

/// Writes the hello recipe with all that belongs to it into `folder`, on one base, with `more` among its keys.
///
/// # Errors
/// A file can't be read or written.
pub fn write_recipe(folder: &Path, base: &str, more: &str) -> Result<PathBuf> {
    let shipped = image::repository().join("recipes");
    crate::judge::run(
        "cp",
        &["-rT", &shipped.join("hello").display().to_string(), &folder.join("hello").display().to_string()],
    )?;
    let text = fs::read_to_string(shipped.join("hello.toml"))?;
    let line = |line: &str| match line.starts_with("bases = ") {
        true => format!("bases = [\"{base}\"]\n{more}"),
        false => line.to_owned(),
    };
    let path = folder.join("hello.toml");
    fs::write(&path, text.lines().map(line).collect::<Vec<_>>().join("\n"))?;
    Ok(path)
}
