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
}

/// The archive's servers.
pub struct Servers {
    /// As archive.ubuntu.com: all but the security pocket; and, below `/snapshot`, everything as snapshot.ubuntu.com.
    pub archive: Mirror,
    /// As security.ubuntu.com: the security pocket.
    pub security: Mirror,
}

impl UbuntuArchive {
    /// The archive below `target/`, made where there is none of these inputs: this code, and Debian's packages as they are today.
    /// Others are removed.
    ///
    /// # Errors
    /// Debian's archive can't be had, or it can't be made.
    pub fn made() -> Result<Self> {
        let debian = debian::Debian::fetch()?;
        let all = image::repository().join("target/ubuntu-archive");
        let folder = all.join(digest(&debian)?);
        if !folder.is_dir() {
            let _ = fs::remove_dir_all(&all);
            fs::create_dir_all(&all)?;
            let work = tempfile::tempdir_in(&all)?;
            let made = work.path().join("made");
            let date = Timestamp::now().checked_sub(AGE)?;
            let key = Key::make_at("Ubuntu as made in a test <tests@firstlight.invalid>", date)?;
            let packages = packages::make(&debian, work.path())?;
            pockets::publish(&packages, &made, &key, date)?;
            key.export(&made.join("keyring.asc"))?;
            fs::rename(&made, &folder).with_context(|| format!("keeping {}", folder.display()))?;
        }
        Ok(Self { folder })
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

    /// Writes the base `ubuntu-VERSION` as it is shipped, but for its servers and its keyring, below `folder`.
    ///
    /// # Errors
    /// A file can't be read or written, or the shipped base does not name what is to be replaced.
    pub fn write_base(&self, version: &str, servers: &Servers, folder: &Path) -> Result<PathBuf> {
        let name = format!("ubuntu-{version}.toml");
        let shipped = image::repository().join("recipes/bases").join(&name);
        let mut text = fs::read_to_string(&shipped)?;
        let security = servers.security.url().replace("127.0.0.1", "localhost");
        for (from, to) in [
            ("http://archive.ubuntu.com", servers.archive.url()),
            ("http://security.ubuntu.com", security),
            ("https://snapshot.ubuntu.com", format!("{}/snapshot", servers.archive.url())),
            ("keys/ubuntu.asc", "keyring.asc".to_owned()),
        ] {
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
