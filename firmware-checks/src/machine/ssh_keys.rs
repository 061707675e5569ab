//! The machine's own SSH keys, made on the machine, once.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The kinds that sshd_config (5) offers by default, DSA aside.
const KINDS: [&str; 3] = ["ed25519", "ecdsa", "rsa"];

/// The keys could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file could not be read, written or renamed.
    #[error("making the SSH host key {}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// `ssh-keygen` failed.
    #[error("making an SSH host key of kind {kind}: ssh-keygen ended with {status}: {told}")]
    Generate {
        /// The kind of key.
        kind: &'static str,
        /// How it ended.
        status: String,
        /// The end of what it said.
        told: String,
    },
}

/// Makes in `folder` (`/etc/ssh`) each host key that is not there whole, and gives the kinds that were made.
///
/// A key is made in a folder beside and synced; then the public half is renamed into place, then the private one. So a
/// private key under its own name is whole, with its public half: only its absence means that the key is to be made,
/// and a power cut at any moment leaves either.
///
/// # Errors
/// [`Error`]; keys that were there before are as they were.
pub fn make(folder: &Path) -> Result<Vec<&'static str>, Error> {
    let work = folder.join(".firstlight-new");
    let failed = |path: &Path| {
        let path = path.to_path_buf();
        move |source| Error::File { path, source }
    };
    clear(&work).map_err(failed(&work))?;
    let mut made = Vec::new();
    for kind in KINDS {
        let name = format!("ssh_host_{kind}_key");
        let (private, public) = (folder.join(&name), folder.join(format!("{name}.pub")));
        if whole(&private) && whole(&public) {
            continue;
        }
        if !work.exists() {
            fs::create_dir(&work).map_err(failed(&work))?;
        }
        let new = work.join(&name);
        generate(kind, &new)?;
        let new_public = new.with_extension("pub");
        let steps = || {
            File::open(&new)?.sync_all()?;
            File::open(&new_public)?.sync_all()?;
            fs::rename(&new_public, &public)?;
            File::open(folder)?.sync_all()?;
            fs::rename(&new, &private)?;
            File::open(folder)?.sync_all()
        };
        steps().map_err(failed(&private))?;
        made.push(kind);
    }
    clear(&work).map_err(failed(&work))?;
    Ok(made)
}

fn whole(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() > 0)
}

fn clear(folder: &Path) -> io::Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn generate(kind: &'static str, path: &Path) -> Result<(), Error> {
    let output = Command::new("ssh-keygen")
        .args(["-q", "-N", "", "-C", "", "-t", kind, "-f"])
        .arg(path)
        .output()
        .map_err(|source| Error::File { path: PathBuf::from("ssh-keygen"), source })?;
    if output.status.success() {
        return Ok(());
    }
    let told = String::from_utf8_lossy(&output.stderr);
    let from = told.len().saturating_sub(1024);
    let told = told.get(from..).unwrap_or_default().trim().to_owned();
    Err(Error::Generate { kind, status: output.status.to_string(), told })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    fn read(folder: &Path, name: &str) -> Vec<u8> {
        fs::read(folder.join(name)).unwrap()
    }

    #[test]
    fn keys_are_made_once_and_a_half_made_one_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path();
        assert_eq!(make(path).unwrap(), KINDS);
        let mode = fs::metadata(path.join("ssh_host_rsa_key")).unwrap().mode() & 0o7777;
        assert_eq!((mode, fs::read_dir(path).unwrap().count()), (0o600, 6));
        let ed25519 = read(path, "ssh_host_ed25519_key");
        assert_eq!(make(path).unwrap(), [""; 0]);

        // A cut left a public half without a private one, an empty file, and the folder for new ones.
        fs::remove_file(path.join("ssh_host_ecdsa_key")).unwrap();
        fs::write(path.join("ssh_host_rsa_key"), "").unwrap();
        fs::create_dir(path.join(".firstlight-new")).unwrap();
        fs::write(path.join(".firstlight-new/ssh_host_ecdsa_key"), "half").unwrap();
        assert_eq!(make(path).unwrap(), ["ecdsa", "rsa"]);
        assert_eq!(read(path, "ssh_host_ed25519_key"), ed25519);
        for kind in KINDS {
            let private = path.join(format!("ssh_host_{kind}_key"));
            let output = Command::new("ssh-keygen").arg("-y").arg("-f").arg(&private).output().unwrap();
            let public = String::from_utf8(read(path, &format!("ssh_host_{kind}_key.pub"))).unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), public.trim());
        }
        assert_eq!(fs::read_dir(path).unwrap().count(), 6);
    }

    #[test]
    fn a_folder_that_is_not_there_is_told() {
        let told = make(Path::new("/nonexistent/ssh")).unwrap_err().to_string();
        assert!(told.contains("/nonexistent/ssh"), "{told}");
    }
}
