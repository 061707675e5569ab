//! The distribution in AlmaLinux 9's shape, served, and a recipe on its base.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context, Result, ensure};
use end_to_end::image;
use end_to_end::mirror::{Fault, Mirror};
use end_to_end::rpm_distribution::RpmDistribution;
use firstlight::archive::Package;
use firstlight::store::Store;
use firstlight::{lock, recipe};

/// A recipe that takes one package of each feature that real RPMs have.
const RECIPE: &str = r#"
name = "almalinux"
version = "1.0"
bases = ["almalinux-9"]
packages = ["feature-top"]

[platform]
kind = "docker"

[requirements]
cpu = { minimum = 2 }
memory = { minimum = "1.5 GB" }

[[requirements.data]]
name = "data"
path = "/srv"
minimum = "1 GB"

[[requirements.ports]]
name = "ssh"
port = 22
owner = "system"
"#;

/// The distribution, served, and the recipe on its base.
pub struct Bench {
    pub mirror: Mirror,
    pub folder: PathBuf,
    pub recipe: PathBuf,
}

impl Bench {
    /// Serves the distribution itself.
    pub fn new(name: &str) -> Result<Self> {
        let distribution = RpmDistribution::made()?;
        Self::with(name, &distribution, distribution.serve()?)
    }

    /// The same where `mirror` serves it, or what was made of it.
    pub fn with(name: &str, distribution: &RpmDistribution, mirror: Mirror) -> Result<Self> {
        let folder = image::scratch(name);
        fs::create_dir_all(&folder)?;
        distribution.write_base(&mirror, &folder.join("bases"))?;
        let recipe = folder.join("almalinux.toml");
        fs::write(&recipe, RECIPE)?;
        // The distribution of an earlier run was signed by other keys.
        let _ = fs::remove_file(folder.join("almalinux.almalinux-9.lock"));
        Ok(Self { mirror, folder, recipe })
    }

    /// Locks the recipe anew; gives what was said against it, if anything was.
    pub fn lock(&self) -> Result<std::result::Result<(), String>> {
        let output = image::command().args(["lock", "--update"]).arg(&self.recipe).output()?;
        Ok(if output.status.success() { Ok(()) } else { Err(image::text(&output)) })
    }

    /// Name and version of each package of the system, as locked.
    pub fn locked(&self) -> Result<BTreeMap<String, String>> {
        let packages = self.locked_packages()?.into_iter();
        Ok(packages.map(|package| (package.name, package.version)).collect())
    }

    fn locked_packages(&self) -> Result<Vec<Package>> {
        let loaded = recipe::load(&self.recipe, None)?;
        Ok(lock::read(&lock::path(&loaded), &loaded)?.context("no lock")?.system.packages)
    }

    /// From now on the mirror no longer has this locked package of AlmaLinux's, and neither has the store: the vault alone has it.
    /// Gives its path below the mirror.
    pub fn drop_from_mirror(&self, name: &str) -> Result<String> {
        let package = self.locked_packages()?.into_iter().find(|package| package.name == name);
        let package = package.with_context(|| format!("{name} is not locked"))?;
        if let Some(stored) = Store::open(&image::cache())?.path(&package.sha256) {
            fs::remove_file(stored)?;
        }
        self.mirror.fail(&format!("/almalinux/9/{}", package.path), Fault::Status(404), usize::MAX);
        Ok(package.path)
    }
}

/// An image, built twice of one lock to the same bytes.
pub struct Built {
    /// What it was built from, still served.
    pub bench: Bench,
    pub image: PathBuf,
}

/// The image, built once for all tests.
pub fn built() -> Result<&'static Built> {
    static BUILT: OnceLock<std::result::Result<Built, String>> = OnceLock::new();
    let built = BUILT.get_or_init(|| build().map_err(|error| format!("{error:#}")));
    built.as_ref().map_err(|error| anyhow::anyhow!("{error}"))
}

/// The package that its mirror has dropped since it was locked.
pub const DROPPED: &str = "feature-gzip";

fn build() -> Result<Built> {
    let bench = Bench::new("almalinux")?;
    bench.lock()?.map_err(anyhow::Error::msg)?;
    bench.drop_from_mirror(DROPPED)?;
    let out = bench.folder.join("out");
    // One that is there from an earlier run would be taken for unchanged, and nothing be asked for.
    let _ = fs::remove_dir_all(&out);
    let output = image::command().args(["build", "--rebuild-check", "--out"]).arg(&out).arg(&bench.recipe).output()?;
    ensure!(output.status.success(), "{}", image::text(&output));
    // rpm and dnf make databases where there is none: nothing of theirs may get into the tools root.
    ensure!(!image::text(&output).contains("is not what was made"), "{}", image::text(&output));
    Ok(Built { bench, image: out.join("almalinux-1.0-almalinux-9-x86_64.raw") })
}

/// Where `debugfs` finds the file system in the partition labelled `label` of `image`.
pub fn file_system(image: &Path, label: &str) -> Result<PathBuf> {
    let start = end_to_end::judge::partition(image, label)?.start;
    Ok(format!("{}?offset={start}", image.display()).into())
}
