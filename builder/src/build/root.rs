//! The root file system of an appliance: the distribution's packages, then everything that is Firstlight's or the
//! recipe's own.

use std::collections::BTreeSet;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc;
use std::thread::{self, Scope, ScopedJoinHandle};

use anyhow::Context;
use firmware_checks::appliance::{self, Appliance};

use super::containers::Kitchen;
use crate::archive::Larder;
use crate::artifact::Files;
use crate::lock::Lock;
use crate::parallel::joined;
use crate::platform::docker::{self, Prepared, Project};
use crate::platform::k3s;
use crate::platform::microk8s;
use crate::progress::Progress;
use crate::recipe::Loaded;
use crate::recipe::base::Family;
use crate::recipe::keyring::Keyring;
use crate::recipe::platform::Platform;
use crate::rootfs::archive;
use crate::rootfs::finalise;
use crate::rootfs::overlay::{EarlyFile, Overlay};
use crate::rootfs::{deb, rpm, sources};
use crate::stage::{Key, Stages, Temporary, work_folder};

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
    pub larder: Larder<'a>,
    /// Where the files lie that go in whole.
    pub files: Files<'a>,
    /// The static program for the image.
    pub checks: &'a [u8],
    /// Sees to it that all of these are in the store.
    pub fetch: &'a (dyn Fn() -> anyhow::Result<()> + Sync),
    /// Makes the tools root, or waits for it.
    pub tools: &'a (dyn Fn() -> anyhow::Result<PathBuf> + Sync),
}

/// A finished root file system; gone when this value is.
pub struct Root<'scope> {
    folder: PathBuf,
    packages: Packages<'scope>,
    work: Temporary,
}

/// The tree as the packages alone make it, as an archive in the cache.
pub enum Packages<'scope> {
    /// It is there.
    Kept(PathBuf),
    /// It is being written to the disk.
    Keeping(ScopedJoinHandle<'scope, anyhow::Result<PathBuf>>),
}

impl<'scope> Root<'scope> {
    /// The folder.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Removes the folder, in `scope` beside what is still to do. What stays is the archive of the packages.
    pub fn discard(self, scope: &'scope Scope<'scope, '_>) -> Packages<'scope> {
        let Self { packages, work, .. } = self;
        scope.spawn(move || drop(work));
        packages
    }
}

impl Packages<'_> {
    /// Waits until the archive is safe in the cache, and gives its path.
    ///
    /// # Errors
    /// It could not be kept.
    pub fn kept(self) -> anyhow::Result<PathBuf> {
        match self {
            Self::Kept(path) => Ok(path),
            Self::Keeping(keeping) => joined(keeping),
        }
    }
}

/// Makes the root file system, in the folder `work` or, where there is none, in memory where it fits. What goes on after
/// that, in `scope`, is waited for by [`Packages::kept`].
///
/// # Errors
/// Each step's own, with what was being done.
pub fn make<'scope>(
    scope: &'scope Scope<'scope, '_>,
    ingredients: &'scope Ingredients<'_>,
    work: Option<&Path>,
    cache: &'scope Path,
    progress: &'scope Progress,
) -> anyhow::Result<Root<'scope>> {
    let Ingredients { lock, overlays, checks, .. } = ingredients;
    // The tree, the packages without their compression and the container images, each about as large as the maintainers say.
    let work = work_folder(work, cache, lock.system.installed_size() * 3)?;
    let folder = work.path().join("root");
    fs::create_dir(&folder).with_context(|| format!("making the folder {}", folder.display()))?;
    // The container images need nothing of the tree.
    let (packages, images) = thread::scope(|within| {
        let images = within.spawn(|| prepare_images(ingredients, work.path(), cache, progress));
        (lay_packages(scope, ingredients, work.path(), cache, progress), joined(images))
    });
    let (packages, images) = (packages?, images?);
    third_parties(ingredients, &folder)?;
    let platform = lay_platform(ingredients, &folder, &images).context("laying out the platform")?;
    put(&folder, CHECKS, checks, 0o755)?;
    let description = serde_json::to_vec_pretty(&describe(ingredients, platform))?;
    put(&folder, appliance::PATH.trim_start_matches('/'), &description, 0o644)?;
    let log = work.path().join("finalise.log");
    finalise::finalise(&folder, overlays, lock.system.released.as_second(), &log)?;
    Ok(Root { folder, packages, work })
}

/// Lays out what runs behind the gate, and says what `firmware-checks` must know of it.
fn lay_platform(
    ingredients: &Ingredients<'_>,
    root: &Path,
    images: &[Prepared],
) -> anyhow::Result<appliance::Platform> {
    let Ingredients { loaded, lock, files, .. } = ingredients;
    match &loaded.recipe.platform {
        Platform::Docker(_) => {
            let projects = loaded.projects().into_iter().map(|(name, folder)| Project { name, folder });
            let given = loaded.recipe.platform.given();
            Ok(docker::add(root, images, &projects.collect::<Vec<_>>(), &given)?)
        }
        Platform::K3s(k3s) => Ok(k3s::Layout { root, k3s, folder: &loaded.folder, files: *files, images }.add()?),
        Platform::Microk8s(microk8s) => {
            let locked = lock.snaps.as_ref().context("the lock has no snaps")?;
            Ok(microk8s::add(root, microk8s, &locked.seed(loaded, microk8s, *files)?, images)?)
        }
    }
}

/// Lays the packages of the system into `root` below `work`: from the cache where these packages were installed before.
fn lay_packages<'scope>(
    scope: &'scope Scope<'scope, '_>,
    ingredients: &'scope Ingredients<'_>,
    work: &Path,
    cache: &'scope Path,
    progress: &'scope Progress,
) -> anyhow::Result<Packages<'scope>> {
    let Ingredients { loaded, lock, overlays, larder, .. } = ingredients;
    let (folder, inflated) = (work.join("root"), work.join("inflated"));
    let tree = folder.clone();
    let (laid, is_laid) = mpsc::channel();
    let keep = move || -> anyhow::Result<PathBuf> {
        let solution = &lock.system;
        let paths = match loaded.base.family {
            Family::Deb => deb::install::EARLY.as_slice(),
            Family::Rpm => rpm::install::EARLY.as_slice(),
        };
        let early: Vec<EarlyFile> = overlays.iter().flat_map(|overlay| overlay.early(paths)).collect();
        let requested: BTreeSet<String> = loaded.packages().into_iter().collect();
        let digests: Vec<&str> = solution.packages.iter().map(|package| package.sha256.as_str()).collect();
        let key = Key::new("root").input("packages", &digests).input("requested", &requested).input("early", &early);
        let key = key.input("base", &loaded.base).input("released", solution.released);
        let key = key.perhaps("certificates", larder.judged_by());
        let key = key.about(format!("{} packages of {}, as of {}", digests.len(), loaded.base.name, solution.released));
        let log = &cache.join("install.log");
        Stages::open(cache)?.file(&key, progress, |tar| {
            fs::create_dir(&inflated).with_context(|| format!("making the folder {}", inflated.display()))?;
            install(ingredients, &requested, &early, log, &inflated, &tree)?;
            archive::save(&tree, tar, solution.released.as_second())?;
            // Nobody waits for an archive on its way to the disk.
            let _ = laid.send(());
            Ok(())
        })
    };
    let keeping = scope.spawn(keep);
    if is_laid.recv().is_ok() {
        return Ok(Packages::Keeping(keeping));
    }
    let kept = joined(keeping)?;
    archive::restore(&kept, &folder)?;
    Ok(Packages::Kept(kept))
}

/// Installs the packages of the system into the empty folder `root`, with the empty folder `work` for what is needed on the way.
fn install(
    ingredients: &Ingredients<'_>,
    requested: &BTreeSet<String>,
    early: &[EarlyFile],
    log: &Path,
    work: &Path,
    root: &Path,
) -> anyhow::Result<()> {
    let Ingredients { loaded, lock, larder, .. } = ingredients;
    let (solution, base) = (&lock.system, &loaded.base);
    let files = larder.files(&solution.packages)?;
    match base.family {
        Family::Deb => {
            let request = deb::install::Request { solution, debs: &files, base, requested, early, log, inflated: work };
            deb::install::install(&request, root)?;
        }
        Family::Rpm => {
            let tools = &(ingredients.tools)()?;
            let request = rpm::install::Request { solution, files: &files, tools, early, log, work };
            rpm::install::install(&request, root)?;
        }
    }
    Ok(())
}

/// Has the machine know the sources of third parties.
fn third_parties(ingredients: &Ingredients<'_>, folder: &Path) -> anyhow::Result<()> {
    let Ingredients { loaded, files, .. } = ingredients;
    for (name, source, keyring) in loaded.third_parties() {
        let keyring = match keyring {
            Keyring::Beside(name) => loaded.beside_base(&name),
            Keyring::Published(published) => files.path(&published.name())?,
        };
        let certificates = fs::read(&keyring).with_context(|| format!("reading {}", keyring.display()))?;
        sources::write(folder, loaded.base.family, name, source, &certificates)?;
    }
    Ok(())
}

/// Makes the container images, in `containers` below `work`, that the cache does not have.
fn prepare_images(
    ingredients: &Ingredients<'_>,
    work: &Path,
    cache: &Path,
    progress: &Progress,
) -> anyhow::Result<Vec<Prepared>> {
    let Ingredients { loaded, lock, larder, files, checks, .. } = ingredients;
    let folder = work.join("containers");
    fs::create_dir(&folder).with_context(|| format!("making the folder {}", folder.display()))?;
    let (released, stages) = (lock.system.released, Stages::open(cache)?);
    let kitchen = Kitchen { loaded, released, larder, files: *files, folder: &folder, stages: &stages, progress };
    // Docker runs the probe when it is accepted; the others are asked for their nodes.
    let probe = matches!(loaded.recipe.platform, Platform::Docker(_)).then_some(*checks);
    Ok(kitchen.prepare(probe, &lock.images)?)
}

/// What `firmware-checks` reads on the machine.
fn describe(ingredients: &Ingredients<'_>, platform: appliance::Platform) -> Appliance {
    let Loaded { recipe, base, .. } = ingredients.loaded;
    Appliance {
        name: recipe.name.clone(),
        version: recipe.version.clone(),
        base: base.name.clone(),
        os: base.os.clone(),
        cpu_level: base.cpu_level,
        locked: ingredients.lock.system.released,
        platform,
        boot: base.boot.clone(),
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
