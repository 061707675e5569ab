//! A key that signs packages and repositories, made for one run and thrown away.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use jiff::Timestamp;

use crate::judge;

/// A folder of GnuPG's with one secret key.
#[derive(Debug)]
pub struct Key {
    home: tempfile::TempDir,
    user: String,
}

impl Key {
    /// A new RSA key of 3072 bits for `user`.
    ///
    /// # Errors
    /// `gpg` can't make it.
    pub fn make(user: &str) -> Result<Self> {
        Self::make_with(user, "")
    }

    /// The same, made and signing at `time`.
    ///
    /// # Errors
    /// `gpg` can't make it.
    pub fn make_at(user: &str, time: Timestamp) -> Result<Self> {
        Self::make_with(user, &format!("faked-system-time {}!\n", time.strftime("%Y%m%dT%H%M%S")))
    }

    fn make_with(user: &str, configuration: &str) -> Result<Self> {
        let home = tempfile::tempdir()?;
        fs::set_permissions(home.path(), Permissions::from_mode(0o700))?;
        fs::write(home.path().join("gpg.conf"), configuration)?;
        let key = Self { home, user: user.to_owned() };
        key.gpg(&["--passphrase", "", "--quick-generate-key", user, "rsa3072", "sign", "never"])?;
        Ok(key)
    }

    /// Writes the certificate, ASCII-armored.
    ///
    /// # Errors
    /// `gpg` can't.
    pub fn export(&self, to: &Path) -> Result<()> {
        let armored = self.gpg(&["--armor", "--export", &self.user])?;
        fs::write(to, armored).with_context(|| format!("writing {}", to.display()))
    }

    /// Writes a detached signature of `file` beside it, with `.asc` after its name.
    ///
    /// # Errors
    /// `gpg` can't.
    pub fn sign_file(&self, file: &Path) -> Result<()> {
        self.gpg(&["--detach-sign", "--armor", &file.display().to_string()]).map(drop)
    }

    /// Writes the file `text` clear-signed to `to`.
    ///
    /// # Errors
    /// `gpg` can't.
    pub fn sign_clear(&self, text: &Path, to: &Path) -> Result<()> {
        let [text, to] = [text, to].map(|path| path.display().to_string());
        self.gpg(&["--clear-sign", "--output", &to, &text]).map(drop)
    }

    /// Signs the header of each package.
    ///
    /// # Errors
    /// `rpmsign` can't.
    pub fn sign_packages(&self, packages: &[PathBuf]) -> Result<()> {
        let paths: Vec<String> = packages.iter().map(|path| path.display().to_string()).collect();
        let half = paths.len().div_ceil(2).max(1);
        std::thread::scope(|scope| {
            let signing: Vec<_> = paths.chunks(half).map(|part| scope.spawn(|| self.rpmsign(part))).collect();
            signing.into_iter().try_for_each(|one| one.join().map_err(|_| anyhow::anyhow!("signing ended early"))?)
        })
    }

    fn rpmsign(&self, paths: &[String]) -> Result<()> {
        let name = format!("_gpg_name {}", self.user);
        let home = format!("_gpg_path {}", self.home.path().display());
        let arguments = ["--addsign", "--define", &name, "--define", &home, "--define", "__gpg /usr/bin/gpg"];
        let arguments: Vec<&str> = arguments.into_iter().chain(paths.iter().map(String::as_str)).collect();
        judge::run("rpmsign", &arguments).map(drop)
    }

    fn gpg(&self, arguments: &[&str]) -> Result<String> {
        let home = self.home.path().display().to_string();
        judge::run("gpg", &[&["--homedir", &home, "--batch", "--yes", "--quiet"], arguments].concat())
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // Else the agent stays for a folder that is gone.
        let _ = std::process::Command::new("gpgconf")
            .arg("--homedir")
            .arg(self.home.path())
            .args(["--kill", "all"])
            .status();
    }
}
