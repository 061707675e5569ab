//! microk8s: the seed that snapd installs once the gate is open, its launch configuration and its images.
//!
//! What snaps keep lies below `/var/snap`, which is bound to the data partition; what the image brings for microk8s lies in
//! [`SHARE`] and is laid there before snapd starts (`tmpfiles.conf`, in the form of tmpfiles.d (5)).

mod launch;

use std::fmt::Write as _;
use std::fs::{self, File, Permissions};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use firmware_checks::appliance;

use super::container;
use super::docker::Prepared;
use crate::recipe::platform::Microk8s;
use crate::snap::{self, Seed};

/// Where the image keeps what microk8s takes when it is installed.
const SHARE: &str = "usr/share/firstlight/microk8s";
/// Where microk8s looks for it (its snap's `install` hook).
const COMMON: &str = "/var/snap/microk8s/common";
/// The unit that `platform.target` starts: it requires snapd, and waits for microk8s.
const UNIT: &str = "firstlight-microk8s.service";

/// microk8s could not be laid out.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The snaps can't be seeded.
    #[error(transparent)]
    Snap(#[from] snap::Error),
    /// A file could not be read or written.
    #[error("laying out microk8s: {}: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> Error {
    let path = path.to_owned();
    move |source| Error::Io { path, source }
}

/// Lays the seed, the launch configuration and the container images into `root`, and hangs microk8s below `platform.target`.
///
/// # Errors
/// [`Error`].
pub fn add(root: &Path, microk8s: &Microk8s, seed: &Seed, images: &[Prepared]) -> Result<appliance::Platform, Error> {
    seed.lay(root)?;
    let share = root.join(SHARE);
    let sideload = share.join("sideload");
    fs::create_dir_all(&sideload).map_err(at(&sideload))?;
    let mut names = Vec::new();
    for image in images {
        let name = format!("{}.tar", image.name.replace(['/', ':'], "_"));
        sideload_image(&image.archive, &sideload.join(&name))?;
        names.push(name);
    }
    put(&share.join("launch.yaml"), &launch::configuration(microk8s))?;
    put(&share.join("tmpfiles.conf"), &tmpfiles(&names))?;
    let wants = root.join("usr/lib/systemd/system/platform.target.wants");
    fs::create_dir_all(&wants).map_err(at(&wants))?;
    let link = wants.join(UNIT);
    symlink(Path::new("..").join(UNIT), &link).map_err(at(&link))?;
    let revision = seed.snaps().iter().find(|one| one.snap.name == "microk8s").map_or(0, |one| one.revision);
    Ok(appliance::Platform::Microk8s { revision })
}

/// What is laid below `/var/snap` before snapd starts: the configuration once, since the machine's own is not to be overwritten, and
/// a link for each image.
fn tmpfiles(images: &[String]) -> String {
    let mut out = format!("d {COMMON} 0755 root root\n");
    let _ = writeln!(out, "C {COMMON}/.microk8s.yaml 0600 root root - /{SHARE}/launch.yaml");
    let _ = writeln!(out, "d {COMMON}/sideload 0755 root root");
    for name in images {
        let _ = writeln!(out, "L+ {COMMON}/sideload/{name} - - - - /{SHARE}/sideload/{name}");
    }
    out
}

/// Copies the archive of a container image, unpacked: microk8s takes `*.tar` only.
fn sideload_image(from: &Path, to: &Path) -> Result<(), Error> {
    let mut reader = container::decompressed(from).map_err(at(from))?;
    let mut file = File::create(to).map_err(at(to))?;
    io::copy(&mut reader, &mut file).map_err(at(to))?;
    fs::set_permissions(to, Permissions::from_mode(0o644)).map_err(at(to))
}

fn put(path: &Path, content: &str) -> Result<(), Error> {
    fs::write(path, content).map_err(at(path))?;
    fs::set_permissions(path, Permissions::from_mode(0o644)).map_err(at(path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_image_is_linked_and_the_configuration_copied_once() {
        let text = tmpfiles(&["quay.io_calico_cni_v3.tar".to_owned()]);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[0], "d /var/snap/microk8s/common 0755 root root");
        assert!(lines[1].starts_with("C /var/snap/microk8s/common/.microk8s.yaml 0600"), "not `C+`: {text}");
        let link = "L+ /var/snap/microk8s/common/sideload/quay.io_calico_cni_v3.tar - - - - \
                    /usr/share/firstlight/microk8s/sideload/quay.io_calico_cni_v3.tar";
        assert_eq!(lines[3], link);
    }

    #[test]
    fn a_packed_archive_is_laid_as_a_plain_one() {
        let dir = tempfile::tempdir().unwrap();
        let (packed, plain) = (dir.path().join("a.tar.zst"), dir.path().join("a.tar"));
        fs::write(&packed, zstd::encode_all(&b"archive"[..], 1).unwrap()).unwrap();
        sideload_image(&packed, &plain).unwrap();
        assert_eq!(fs::read(&plain).unwrap(), b"archive");
    }
}
