//! The root file system of an appliance: the distribution's packages, then everything that is Firstlight's or the
//! recipe's own.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::Context;
use firmware_checks::appliance::{self, Appliance};

use super::containers::Kitchen;
use crate::lock::Lock;
use crate::platform::docker::{self, Project};
use crate::progress::Progress;
use crate::recipe::Loaded;
use crate::rootfs::archive;
use crate::rootfs::finalise;
use crate::rootfs::install::{self, EarlyFile};
use crate::rootfs::overlay::Overlay;
use crate::stage::{Key, Stages, Temporary, work_folder};
use crate::store::Store;

/// Where `firmware-checks` lies in an image.
const CHECKS: &str = "usr/bin/firmware-checks";

/// What a root file system is made of.
pub struct Ingredients<'a> {
    /// The recipe.
    pub loaded: &'a Loaded,
    /// Its packages.
    pub lock: &'a Lock,
    /// Its overlays, in the order in which they are laid.
    pub overlays: &'a [Overlay],
    /// Where the packages lie.
    pub store: &'a Store,
    /// The static program for the image.
    pub checks: &'a [u8],
}

/// A finished root file system; gone when this value is.
pub struct Root {
    folder: PathBuf,
    /// As the packages alone make it (tar), in the cache.
    pub packages: PathBuf,
    _work: Temporary,
}

impl Root {
    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

/// Makes the root file system, in the folder `work` or, where there is none, in memory where it fits.
///
/// # Errors
/// Each step's own, with what was being done.
pub fn make(
    ingredients: &Ingredients<'_>,
    work: Option<&Path>,
    cache: &Path,
    progress: &Progress,
) -> anyhow::Result<Root> {
    let Ingredients { lock, overlays, checks, .. } = ingredients;
    let early: Vec<EarlyFile> = overlays.iter().flat_map(Overlay::early).collect();
    // The tree, its tar archive and the container images, each about as large as the maintainers say.
    let work = work_folder(work, cache, lock.system.installed_size() * 3)?;
    let folder = work.path().join("root");
    fs::create_dir(&folder).with_context(|| format!("making the folder {}", folder.display()))?;
    let packages = install_packages(ingredients, &early, &folder, cache, progress)?;
    let platform = add_platform(ingredients, &folder, work.path())?;
    put(&folder, CHECKS, checks, 0o755)?;
    let description = serde_json::to_vec_pretty(&describe(ingredients, platform))?;
    put(&folder, appliance::PATH.trim_start_matches('/'), &description, 0o644)?;
    let log = work.path().join("finalise.log");
    finalise::finalise(&folder, overlays, lock.system.released.as_second(), &log)?;
    Ok(Root { folder, packages, _work: work })
}

/// Lays the packages of the system into `folder`: from the cache where these packages were installed before.
fn install_packages(
    ingredients: &Ingredients<'_>,
    early: &[EarlyFile],
    folder: &Path,
    cache: &Path,
    progress: &Progress,
) -> anyhow::Result<PathBuf> {
    let Ingredients { loaded, lock, store, .. } = ingredients;
    let solution = &lock.system;
    let requested: BTreeSet<String> = loaded.packages().into_iter().collect();
    let digests: Vec<&str> = solution.packages.iter().map(|package| package.sha256.as_str()).collect();
    let key = Key::new("root").input("packages", &digests).input("requested", &requested).input("early", early);
    let key = key.input("base", &loaded.base).input("released", solution.released);
    let key = key.about(format!("{} packages of {}, as of {}", digests.len(), loaded.base.name, solution.released));
    let log = cache.join("install.log");
    let debs: Vec<PathBuf> = solution.packages.iter().filter_map(|package| store.path(&package.sha256)).collect();
    let request =
        install::Request { solution, debs: &debs, base: &loaded.base, requested: &requested, early, log: &log };
    let packed = Stages::open(cache)?.file(&key, progress, |tar| -> anyhow::Result<()> {
        install::install(&request, folder)?;
        archive::save(folder, tar, solution.released.as_second())?;
        fs::remove_dir_all(folder).and_then(|()| fs::create_dir(folder)).context("clearing the work folder")
    })?;
    // Always from the archive, also right after it was made: files are then created in one order, and mke2fs, which
    // takes them in the order of the folder, makes the same file system whether or not the cache had them.
    archive::restore(&packed, folder)?;
    Ok(packed)
}

/// Adds what runs behind the gate.
fn add_platform(ingredients: &Ingredients<'_>, folder: &Path, work: &Path) -> anyhow::Result<appliance::Platform> {
    let Ingredients { loaded, lock, store, checks, .. } = ingredients;
    let kitchen_folder = work.join("containers");
    fs::create_dir(&kitchen_folder).with_context(|| format!("making the folder {}", kitchen_folder.display()))?;
    let kitchen = Kitchen {
        loaded,
        released: lock.system.released,
        deb: &|package| store.path(&package.sha256).unwrap_or_default(),
        folder: &kitchen_folder,
    };
    let images = kitchen.prepare(checks, &lock.images)?;
    let projects = loaded.projects().into_iter().map(|(name, folder)| Project { name, folder });
    let platform = docker::add(folder, &images, &projects.collect::<Vec<_>>()).context("laying out the platform")?;
    fs::remove_dir_all(&kitchen_folder).with_context(|| format!("removing {}", kitchen_folder.display()))?;
    Ok(platform)
}

/// What `firmware-checks` reads on the machine.
fn describe(ingredients: &Ingredients<'_>, platform: appliance::Platform) -> Appliance {
    let Loaded { recipe, base, .. } = ingredients.loaded;
    Appliance {
        name: recipe.name.clone(),
        version: recipe.version.clone(),
        base: base.name.clone(),
        os: base.os.clone(),
        locked: ingredients.lock.system.released,
        platform,
        requirements: recipe.requirements.clone(),
    }
}

fn put(root: &Path, path: &str, content: &[u8], mode: u32) -> anyhow::Result<()> {
    let path = root.join(path);
    let folder = path.parent().unwrap_or(root);
    fs::create_dir_all(folder)
        .and_then(|()| fs::write(&path, content))
        .and_then(|()| fs::set_permissions(&path, Permissions::from_mode(mode)))
        .with_context(|| format!("writing {}", path.display()))
}
