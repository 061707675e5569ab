//! A site folder with everything an appliance needs, right by default.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::certificates::{Authority, Pair};

/// The host name of every machine under test.
pub const HOSTNAME: &str = "hello.firstlight.test";
/// The password of `admin` on the console, behind [`password_hash`].
pub const PASSWORD: &str = "correct horse battery staple";

/// A site folder, and what the tests must know of it.
pub struct TestSite {
    /// The folder, as `--site` takes it.
    pub folder: PathBuf,
    /// The authority behind its certificate.
    pub authority: Authority,
    /// The private key with which `admin` logs in by SSH.
    pub ssh_key: PathBuf,
}

impl TestSite {
    /// Makes a good site in the new folder `folder`; the SSH key lies beside it.
    ///
    /// # Errors
    /// A file or a key could not be made.
    pub fn make(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let ssh_key = folder.with_extension("ssh-key");
        make_ssh_key(&ssh_key)?;
        let public = fs::read_to_string(ssh_key.with_extension("ssh-key.pub"))
            .or_else(|_| fs::read_to_string(format!("{}.pub", ssh_key.display())))?;
        let authority = Authority::new()?;
        let site = Self { folder: folder.to_owned(), authority, ssh_key };
        let text = format!(
            "hostname = \"{HOSTNAME}\"\n\n[time]\nntp = [\"10.0.2.2\"]\n\n[admin]\nssh_keys = [\"{}\"]\npassword_hash = \"{}\"\n",
            public.trim(),
            password_hash(PASSWORD)?
        );
        fs::write(folder.join("site.toml"), text)?;
        fs::write(folder.join("ca.crt"), site.authority.certificate())?;
        site.write_pair(&site.authority.issue(&[HOSTNAME], &[])?)?;
        Ok(site)
    }

    /// Replaces certificate and key.
    ///
    /// # Errors
    /// A file could not be written.
    pub fn write_pair(&self, pair: &Pair) -> Result<()> {
        fs::write(self.folder.join("tls.crt"), &pair.certificate)?;
        fs::write(self.folder.join("tls.key"), &pair.key)?;
        Ok(())
    }
}

/// crypt (5) of `password` by SHA-512, which every libcrypt knows.
///
/// # Errors
/// openssl is not there.
pub fn password_hash(password: &str) -> Result<String> {
    let output = Command::new("openssl").args(["passwd", "-6", password]).output().context("starting openssl")?;
    ensure!(output.status.success(), "openssl passwd: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

fn make_ssh_key(path: &Path) -> Result<()> {
    if path.exists() {
        return Ok(());
    }
    let output = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "firstlight-test", "-f"])
        .arg(path)
        .output()
        .context("starting ssh-keygen")?;
    ensure!(output.status.success(), "ssh-keygen: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
