//! An archive in the shape of Ubuntu's, with its releases 24.04 and 22.04, made of Debian 13's packages: what Ubuntu is proved with where Ubuntu's own servers
//! can't be reached.
//!
//! What is Ubuntu's about it: pockets on two servers, components, indices by digest, the fields of a Release, members of packages
//! compressed by zstd, the names of kernel, firmware, boot loader and Compose, os-release, netplan, shim's and GRUB's paths and the
//! folder `EFI/ubuntu`, phased updates.
//!
//! What is Debian's: every program. Debian's signed GRUB looks into `EFI/debian`, so GRUB is made anew by grub-mkimage, and is
//! not signed: Secure Boot is not proved by this archive.

mod deb;
mod debian;
mod packages;
mod pockets;

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use firmware_checks::architecture::Architecture;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::image;
use crate::mirror::Mirror;
use crate::rpm_distribution::key::Key;
pub use debian::write_recipe;

/// How old its releases are: snapshots of the days since then show them.
const AGE: SignedDuration = SignedDuration::from_hours(7 * 24);

/// The archive as it lies in a folder.
#[derive(Clone, Debug)]
pub struct UbuntuArchive {
    folder: PathBuf,
    architecture: Architecture,
}

/// The archive's servers.
pub struct Servers {
    /// As archive.ubuntu.com: all but the security pocket; and, below `/snapshot`, everything as snapshot.ubuntu.com. Of 64-bit
    /// ARM as ports.ubuntu.com: all.
    pub archive: Mirror,
    /// As security.ubuntu.com: the security pocket. Of 64-bit ARM nothing.
    pub security: Mirror,
}

/// How the bases for machines of `architecture` end.
#[must_use]
pub fn suffix(architecture: Architecture) -> &'static str {
    match architecture {
        Architecture::X86_64 => "",
        Architecture::Aarch64 => "-arm64",
    }
}

impl UbuntuArchive {
    /// The archive for machines of `architecture`, below `target/`, made where there is none of these inputs: this code, and Debian's packages as they are today.
    /// Others are removed.
    ///
    /// # Errors
    /// Debian's archive can't be had, or it can't be made.
    pub fn made(architecture: Architecture) -> Result<Self> {
        let debian = debian::Debian::fetch(architecture)?;
        let all = image::repository().join(format!("target/ubuntu-archive{}", suffix(architecture)));
        let folder = all.join(digest(&debian)?);
        if !folder.is_dir() {
            let _ = fs::remove_dir_all(&all);
            fs::create_dir_all(&all)?;
            let work = tempfile::tempdir_in(&all)?;
            let made = work.path().join("made");
            let date = Timestamp::now().checked_sub(AGE)?;
            let key = Key::make_at("Ubuntu as made in a test <tests@firstlight.invalid>", date)?;
            let packages = packages::make(&debian, architecture, work.path())?;
            pockets::publish(&packages, architecture, &made, &key, date)?;
            key.export(&made.join("keyring.asc"))?;
            fs::rename(&made, &folder).with_context(|| format!("keeping {}", folder.display()))?;
        }
        Ok(Self { folder, architecture })
    }

    /// Serves it.
    ///
    /// # Errors
    /// No port can be had.
    pub fn serve(&self) -> io::Result<Servers> {
        let (archive, security) = (self.folder.join("archive"), self.folder.join("security"));
        let places = [archive.clone(), security.clone()];
        // /snapshot/ubuntu/TIME/… is either server's /ubuntu/….
        let snapshot = move |path: &str, to: &Path| {
            let rest = path.strip_prefix("/snapshot/ubuntu/").and_then(|rest| rest.split_once('/'));
            let (_, rest) = rest.ok_or(io::ErrorKind::NotFound)?;
            let found = places.iter().map(|place| place.join("ubuntu").join(rest)).find(|path| path.is_file());
            fs::copy(found.ok_or(io::ErrorKind::NotFound)?, to).map(drop)
        };
        Ok(Servers { archive: Mirror::relay(&archive, Box::new(snapshot))?, security: Mirror::serve(&security)? })
    }

    /// Writes the base `ubuntu-VERSION`, of 64-bit ARM `ubuntu-VERSION-arm64`, as it is shipped, but for its servers and its keyring, below `folder`.
    ///
    /// # Errors
    /// A file can't be read or written, or the shipped base does not name what is to be replaced.
    pub fn write_base(&self, version: &str, servers: &Servers, folder: &Path) -> Result<PathBuf> {
        let name = format!("ubuntu-{version}{}.toml", suffix(self.architecture));
        let shipped = image::repository().join("recipes/bases").join(&name);
        let mut text = fs::read_to_string(&shipped)?;
        let (archive, security) = (servers.archive.url(), servers.security.url().replace("127.0.0.1", "localhost"));
        let servers = match self.architecture {
            Architecture::X86_64 => vec![
                ("https://snapshot.ubuntu.com", format!("{archive}/snapshot")),
                ("http://archive.ubuntu.com", archive),
                ("http://security.ubuntu.com", security),
            ],
            Architecture::Aarch64 => vec![("http://ports.ubuntu.com", archive)],
        };
        for (from, to) in servers.into_iter().chain([("keys/ubuntu.asc", "keyring.asc".to_owned())]) {
            anyhow::ensure!(text.contains(from), "{}: no `{from}`", shipped.display());
            text = text.replace(from, &to);
        }
        // Docker's own repository is none of Ubuntu's.
        let start = text.find("# Docker's own repository").context("no repository of Docker's")?;
        let end = start + text[start..].find("[kernel]").context("no kernel after it")?;
        text.replace_range(start..end, "");
        text = text
            .lines()
            .filter(|line| !line.starts_with("docker-ce = "))
            .fold(String::new(), |all, line| all + line + "\n");
        fs::create_dir_all(folder)?;
        fs::copy(self.folder.join("keyring.asc"), folder.join("keyring.asc"))?;
        let path = folder.join(name);
        fs::write(&path, text)?;
        Ok(path)
    }
}

/// Changes with everything that decides what the archive is like.
fn digest(debian: &debian::Debian) -> Result<String> {
    let mut digest = Sha256::new();
    for package in &debian.packages {
        digest.update(&package.sha256);
    }
    let mut sources: Vec<PathBuf> = fs::read_dir(image::repository().join("tests/src/ubuntu_archive"))?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<io::Result<_>>()?;
    sources.sort();
    for source in sources {
        digest.update(fs::read(source)?);
    }
    Ok(hex::encode(&digest.finalize()[..16]))
}
