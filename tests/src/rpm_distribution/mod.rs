//! An RPM distribution made of Debian 13's binaries, under the names and paths of EL9: what AlmaLinux 9 is proved with
//! where AlmaLinux's own mirrors can't be reached.
//!
//! What is EL9's about it: names of packages and what each holds, paths, scriptlets and triggers, accounts, the layout of
//! repositories, signatures, digests, modules. rpmbuild makes the packages and derives their dependencies.
//!
//! What is Debian's: every program, so that versions, features and configuration formats are those of Debian 13. Libraries
//! lie in `/usr/lib64`; as the programs were compiled to look into `/usr/lib/x86_64-linux-gnu`, the package `filesystem` makes that a
//! link to it. Python's modules stay in `/usr/lib/python3`. The kernel release is Debian's, so it is not the version of the package
//! `kernel-core` with `.x86_64` after it, as EL's is; the kernel does not choose SELinux without being told
//! `security=selinux`.
//!
//! The catalogue in `catalogue/` says what goes where; `files/PACKAGE/` holds files that are not Debian's.

mod catalogue;
mod debian;
pub mod key;
mod regroup;
mod repository;
mod serve;
mod spec;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};

use crate::image;
pub use catalogue::Payload;
use catalogue::{Catalogue, Repository};
use debian::Debian;
use key::Key;
pub use repository::build as build_packages;

/// The distribution as it lies in a folder.
#[derive(Clone, Debug)]
pub struct RpmDistribution {
    folder: PathBuf,
}

impl RpmDistribution {
    /// What to serve: below it lie `almalinux/9`, as on `https://repo.almalinux.org`, and `epel/9`.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The certificate that packages and repositories of `AlmaLinux` or `EPEL` are signed by.
    #[must_use]
    pub fn key(&self, vendor: &str) -> PathBuf {
        self.folder.join(format!("RPM-GPG-KEY-{vendor}-9"))
    }

    /// The distribution below `target/`, made where there is none of these inputs: the catalogue, this code and Debian's packages as
    /// they are today. Others are removed.
    ///
    /// # Errors
    /// Debian's archive can't be had, or it can't be made.
    pub fn made() -> Result<Self> {
        let source = source();
        let debian = debian::fetch(&Catalogue::read(&source.join("catalogue"), "")?)?;
        let kernel = debian.keys().find_map(|name| name.strip_prefix("linux-image-"));
        let mut catalogue = Catalogue::read(&source.join("catalogue"), kernel.context("there is no kernel")?)?;
        catalogue.complete(&debian.keys().cloned().collect::<Vec<_>>());
        let all = image::repository().join("target/rpm-distribution");
        let folder = all.join(digest(&source, &debian)?);
        if !folder.is_dir() {
            let _ = fs::remove_dir_all(&all);
            fs::create_dir_all(&all)?;
            let work = tempfile::tempdir_in(&all)?;
            let made = work.path().join("made");
            make(&catalogue, &debian, work.path(), &made)?;
            fs::rename(&made, &folder).with_context(|| format!("keeping {}", folder.display()))?;
        }
        Ok(Self { folder })
    }

    /// Copies it into the folder `to`, which must not be there.
    ///
    /// # Errors
    /// A file can't be copied.
    pub fn copy(&self, to: &Path) -> Result<()> {
        crate::judge::run("cp", &["--archive", &self.folder.display().to_string(), &to.display().to_string()]).map(drop)
    }
}

fn source() -> PathBuf {
    image::repository().join("tests/src/rpm_distribution")
}

fn make(catalogue: &Catalogue, debian: &BTreeMap<String, Debian>, work: &Path, into: &Path) -> Result<()> {
    let contents = regroup::regroup(catalogue, debian, &source().join("files"), work)?;
    let parts = spec::Parts { catalogue, debian, contents: &contents };
    let packages = work.join("packages");
    fs::create_dir(&packages)?;
    for payload in [Payload::Zstd, Payload::Xz, Payload::Gzip] {
        let tree = work.join(format!("{payload:?}"));
        // Packages without a file have none.
        fs::create_dir_all(&tree)?;
        let path = work.join(format!("{payload:?}.spec"));
        fs::write(&path, parts.spec(payload, &tree))?;
        repository::build(&path, payload, work, &packages)?;
    }
    fs::create_dir_all(into)?;
    let mut keys = BTreeMap::new();
    for repository in Repository::ALL {
        let vendor = repository.vendor();
        if !keys.contains_key(vendor) {
            let key = Key::make(&format!("{vendor} as made in a test <{vendor}@firstlight.invalid>"))?;
            key.export(&into.join(format!("RPM-GPG-KEY-{vendor}-9")))?;
            keys.insert(vendor, key);
        }
    }
    let wanted =
        catalogue.packages.iter().map(|(key, entry)| (catalogue::name(key).to_owned(), entry.repository)).collect();
    repository::publish(&packages, into, &keys, &wanted)?;
    for repository in Repository::ALL {
        let modules = source().join("modules.yaml");
        let (compression, modules) =
            if repository == Repository::AppStream { ("xz", Some(modules.as_path())) } else { ("gz", None) };
        repository::index(&into.join(repository.folder()), compression, modules, &keys[repository.vendor()])?;
    }
    keep_in_vaults(into)
}

/// Two minor releases as the vaults would have them: the one before this distribution's, and its own, as when the next one is out.
fn keep_in_vaults(server: &Path) -> Result<()> {
    for (vault, archive) in [("vault", "../almalinux/9"), ("archive/epel", "../../epel/9")] {
        let folder = server.join(vault);
        fs::create_dir_all(&folder)?;
        for minor in ["9.5", "9.6"] {
            std::os::unix::fs::symlink(archive, folder.join(minor))?;
        }
    }
    Ok(())
}

/// Changes with everything that decides what the distribution is like.
fn digest(source: &Path, debian: &BTreeMap<String, Debian>) -> Result<String> {
    let mut digest = Sha256::new();
    for package in debian.values() {
        digest.update(&package.sha256);
    }
    let mut folders = vec![source.to_owned()];
    let mut files = BTreeMap::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            match fs::symlink_metadata(&path)? {
                of if of.is_dir() => folders.push(path),
                of if of.is_symlink() => {
                    _ = files.insert(path.clone(), (0, fs::read_link(&path)?.display().to_string().into_bytes()))
                }
                of => _ = files.insert(path.clone(), (of.permissions().mode(), fs::read(&path)?)),
            }
        }
    }
    for (path, (mode, content)) in files {
        digest.update(format!("{} {mode:o} {}\n", path.strip_prefix(source)?.display(), content.len()));
        digest.update(content);
    }
    Ok(hex::encode(&digest.finalize()[..16]))
}
