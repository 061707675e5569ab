//! The archive's servers: pockets with signed Releases, indices also under their digests, packages in their pools.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use anyhow::Result;
use firmware_checks::architecture::Architecture;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use super::packages::{Made, Pocket, RELEASES, Release, field};
use crate::rpm_distribution::key::Key;

const COMPONENTS: [&str; 4] = ["main", "restricted", "universe", "multiverse"];

/// Lays out `packages` for machines of `architecture` in the folders `archive/` and `security/` below `into`, each a server's.
pub fn publish(packages: &[Made], architecture: Architecture, into: &Path, key: &Key, date: Timestamp) -> Result<()> {
    // What is not for PCs has one server for everything.
    let (name, security) = match architecture {
        Architecture::X86_64 => ("ubuntu", "security"),
        Architecture::Aarch64 => ("ubuntu-ports", "archive"),
    };
    fs::create_dir_all(into.join("security"))?;
    for (pocket, ending, server) in [
        (Pocket::Release, "", "archive"),
        (Pocket::Updates, "-updates", "archive"),
        (Pocket::Security, "-security", security),
    ] {
        let root = into.join(server).join(name);
        let mut placed = Vec::new();
        for package in packages.iter().filter(|package| package.pocket == pocket) {
            let component = component(field(&package.fields, "Package")?);
            placed.push((package, component, place(package, &root, component)?));
        }
        for release in &RELEASES {
            let mut indices: BTreeMap<&str, String> = COMPONENTS.map(|component| (component, String::new())).into();
            for (_, component, stanza) in placed.iter().filter(|(one, ..)| one.release.is_none_or(|one| one == release))
            {
                indices.entry(component).or_default().push_str(stanza);
            }
            let suite = format!("{}{ending}", release.codename);
            let folder = format!("binary-{}", architecture.of_debian());
            write_suite(&root.join("dists").join(&suite), (release, &suite), (&folder, &indices), key, date)?;
        }
    }
    Ok(())
}

/// Where Ubuntu has a package.
fn component(name: &str) -> &'static str {
    match name {
        _ if name.ends_with("-microcode") || name.starts_with("firmware-") => "restricted",
        _ if ["docker", "containerd", "runc", "nginx", "tini"].iter().any(|start| name.starts_with(start)) => {
            "universe"
        }
        _ => "main",
    }
}

/// Puts the file into the pool, and answers its stanza.
fn place(package: &Made, root: &Path, component: &str) -> Result<String> {
    let fields = &package.fields;
    let (name, version) = (field(fields, "Package")?, field(fields, "Version")?);
    let version = version.split_once(':').map_or(version, |(_, rest)| rest);
    let folder =
        format!("pool/{component}/{}/{name}{}", &name[..1], package.release.map_or("", |release| release.codename));
    let path = format!("{folder}/{name}_{version}_{}.deb", field(fields, "Architecture")?);
    fs::create_dir_all(root.join(&folder))?;
    fs::rename(&package.deb, root.join(&path))?;
    let phased = package.phased.map(|share| format!("Phased-Update-Percentage: {share}\n")).unwrap_or_default();
    let (size, sha256) = (package.size, &package.sha256);
    Ok(format!("{}\nFilename: {path}\nSize: {size}\nSHA256: {sha256}\n{phased}\n", fields.trim_end()))
}

fn write_suite(
    suite: &Path,
    (release, name): (&Release, &str),
    (binary, indices): (&str, &BTreeMap<&str, String>),
    key: &Key,
    date: Timestamp,
) -> Result<()> {
    let mut files = String::new();
    for (component, text) in indices {
        let folder = format!("{component}/{binary}");
        let by_hash = suite.join(&folder).join("by-hash/SHA256");
        fs::create_dir_all(&by_hash)?;
        // As Ubuntu's: what is not packed is listed, and not there.
        for (ending, bytes, there) in
            [("", text.as_bytes().to_vec(), false), (".gz", gzip(text)?, true), (".xz", xz(text)?, true)]
        {
            let digest = hex::encode(Sha256::digest(&bytes));
            files += &format!(" {digest} {:>16} {folder}/Packages{ending}\n", bytes.len());
            if there {
                fs::write(suite.join(&folder).join(format!("Packages{ending}")), &bytes)?;
                fs::write(by_hash.join(digest), &bytes)?;
            }
        }
    }
    let date = date.strftime("%a, %d %b %Y %H:%M:%S UTC");
    let Release { version, codename, .. } = release;
    let release = format!(
        "Origin: Ubuntu\nLabel: Ubuntu\nSuite: {name}\nVersion: {version}\nCodename: {codename}\nDate: {date}\n\
         Architectures: amd64 arm64 armhf i386 ppc64el riscv64 s390x\nComponents: {}\nDescription: Ubuntu {version}\n\
         SHA256:\n{files}Acquire-By-Hash: yes\n",
        COMPONENTS.join(" ")
    );
    fs::write(suite.join("Release"), release)?;
    key.sign_clear(&suite.join("Release"), &suite.join("InRelease"))
}

fn gzip(text: &str) -> Result<Vec<u8>> {
    let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    writer.write_all(text.as_bytes())?;
    Ok(writer.finish()?)
}

fn xz(text: &str) -> Result<Vec<u8>> {
    let mut writer = xz2::write::XzEncoder::new(Vec::new(), 6);
    writer.write_all(text.as_bytes())?;
    Ok(writer.finish()?)
}
