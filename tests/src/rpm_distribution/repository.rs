//! RPM packages out of spec files, and signed repositories out of packages.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::catalogue::{Payload, Repository};
use super::key::Key;
use crate::judge;

/// What the rpm of EL9 is told by its macros, and what keeps Debian's from touching the files.
const DEFINES: &[&str] = &[
    "_binary_filedigest_algorithm 8",
    "_build_id_links none",
    "_binaries_in_noarch_packages_terminate_build 0",
    "__os_install_post %{nil}",
    "debug_package %{nil}",
    "_docdir /usr/share/doc",
    "_lib lib64",
    "_build_name_fmt %%{NAME}-%%{VERSION}-%%{RELEASE}.%%{ARCH}.rpm",
    "_buildhost tests",
];

/// Builds the packages of `spec` into the folder `into`.
///
/// # Errors
/// `rpmbuild` refuses it.
pub fn build(spec: &Path, payload: Payload, work: &Path, into: &Path) -> Result<()> {
    let mut defines: Vec<String> = DEFINES.iter().map(|define| (*define).to_owned()).collect();
    defines.push(format!("_binary_payload {}", payload.macro_value()));
    defines.push(format!("_topdir {}", work.join(format!("rpmbuild-{payload:?}")).display()));
    defines.push(format!("_rpmdir {}", into.display()));
    defines.push(format!("_dbpath {}", work.join("no-database").display()));
    let mut arguments = vec!["-bb", "--nodeps", "--quiet"];
    for define in &defines {
        arguments.extend(["--define", define]);
    }
    let spec = spec.display().to_string();
    arguments.push(&spec);
    judge::run("rpmbuild", &arguments).map(drop)
}

/// Signs the packages in the folder `packages`, each by the key of its repository's vendor, and moves them into the
/// repositories below `server`, as `wanted` says for each package's name.
///
/// # Errors
/// `rpmsign` refuses, or a package is not among `wanted`.
pub fn publish(
    packages: &Path,
    server: &Path,
    keys: &BTreeMap<&str, Key>,
    wanted: &BTreeMap<String, Repository>,
) -> Result<()> {
    let mut signed: BTreeMap<&str, Vec<PathBuf>> = BTreeMap::new();
    for entry in fs::read_dir(packages)? {
        let from = entry?.path();
        let file = from.file_name().and_then(|name| name.to_str()).context("a name that is not UTF-8")?;
        let name = file.rsplitn(3, '-').nth(2).context("a name without a version")?;
        let repository = wanted.get(name).with_context(|| format!("nobody wants {file}"))?;
        let first = name.chars().next().map(|letter| letter.to_lowercase().to_string()).unwrap_or_default();
        let folder = server.join(repository.folder()).join("Packages").join(first);
        fs::create_dir_all(&folder)?;
        let to = folder.join(file);
        fs::rename(&from, &to)?;
        signed.entry(repository.vendor()).or_default().push(to);
    }
    signed.iter().try_for_each(|(vendor, paths)| keys.get(vendor).context("no key")?.sign_packages(paths))
}

/// Writes `repodata/` of the repository in `folder`, with the module metadata in `modules` where there are any, and signs
/// it.
///
/// # Errors
/// A program refuses.
pub fn index(folder: &Path, compression: &str, modules: Option<&Path>, key: &Key) -> Result<()> {
    fs::create_dir_all(folder.join("Packages"))?;
    let path = folder.display().to_string();
    let compress = format!("--general-compress-type={compression}");
    judge::run("createrepo_c", &["--quiet", "--no-database", &compress, &path])?;
    let repodata = folder.join("repodata");
    if let Some(modules) = modules {
        let (modules, repodata) = (modules.display().to_string(), repodata.display().to_string());
        judge::run("modifyrepo_c", &["--mdtype=modules", "--compress-type=gz", &modules, &repodata])?;
    }
    let repomd = repodata.join("repomd.xml");
    ensure!(repomd.is_file(), "createrepo_c has not written {}", repomd.display());
    key.sign_file(&repomd)
}
