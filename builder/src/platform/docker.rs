//! Docker Engine with Compose v2: container images and compose projects, started by `platform.target`.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use firmware_checks::appliance;
use firmware_checks::machine::given::{self, Given};
use firmware_checks::machine::images::{DIRECTORY, INDEX, Preloaded};

/// The image that `platform.container` runs: one static binary, this project's own.
pub const PROBE_IMAGE: &str = "firstlight/probe:1";
/// Where compose projects lie in the image.
const COMPOSE: &str = "usr/share/firstlight/compose";
/// What `platform.target` starts besides the compose projects.
const UNITS: [&str; 3] = ["docker.service", "firstlight-given.service", "firstlight-images.service"];

/// A container image ready to be laid into a root file system.
#[derive(Clone, Debug)]
pub struct Prepared {
    /// Name and tag.
    pub name: String,
    /// The archive on this host.
    pub archive: PathBuf,
    /// The image's id.
    pub id: String,
}

/// A compose project ready to be laid into a root file system.
#[derive(Clone, Debug)]
pub struct Project {
    /// Its name: the recipe's own, or the folder's where there are several.
    pub name: String,
    /// The folder on this host with its `compose.yaml`.
    pub folder: PathBuf,
}

/// Lays container images, compose projects and the list of what they are `given` of the site configuration into `root`, and hangs
/// everything below `platform.target`.
///
/// # Errors
/// The first file that could not be written.
pub fn add(
    root: &Path,
    images: &[Prepared],
    projects: &[Project],
    given: &Given,
) -> std::io::Result<appliance::Platform> {
    let folder = root.join(DIRECTORY.trim_start_matches('/'));
    fs::create_dir_all(&folder)?;
    let mut index = Vec::new();
    for image in images {
        let file = format!("{}.tar", image.name.replace(['/', ':'], "_"));
        fs::copy(&image.archive, folder.join(&file))?;
        index.push(Preloaded { name: image.name.clone(), file, id: image.id.clone() });
    }
    fs::write(folder.join(INDEX), serde_json::to_vec_pretty(&index)?)?;
    let list = root.join(given::PATH.trim_start_matches('/'));
    fs::create_dir_all(list.parent().unwrap_or(root))?;
    fs::write(&list, serde_json::to_vec_pretty(given)?)?;
    for project in projects {
        copy_tree(&project.folder, &root.join(COMPOSE).join(&project.name))?;
    }
    let wants = root.join("usr/lib/systemd/system/platform.target.wants");
    fs::create_dir_all(&wants)?;
    for unit in UNITS {
        link(Path::new("..").join(unit), &wants.join(unit))?;
    }
    for project in projects {
        let instance = format!("firstlight-compose@{}.service", project.name);
        link(PathBuf::from("../firstlight-compose@.service"), &wants.join(instance))?;
    }
    let names = projects.iter().map(|project| project.name.clone()).collect();
    Ok(appliance::Platform::Docker { probe_image: PROBE_IMAGE.into(), projects: names })
}

fn link(target: PathBuf, path: &Path) -> std::io::Result<()> {
    match symlink(target, path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

/// Copies files and folders; what belongs to the builder's user on this host is root's in the image.
fn copy_tree(from: &Path, to: &Path) -> std::io::Result<()> {
    for entry in walkdir::WalkDir::new(from).sort_by_file_name() {
        let entry = entry?;
        let target = to.join(entry.path().strip_prefix(from).map_err(std::io::Error::other)?);
        if entry.file_type().is_dir() {
            fs::create_dir_all(&target)?;
        } else {
            fs::copy(entry.path(), &target)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_hangs_below_the_platform_and_nothing_below_a_boot_target() {
        let (root, host) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let archive = host.path().join("x.tar");
        fs::write(&archive, "archive").unwrap();
        let folder = host.path().join("compose");
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("compose.yaml"), "services: {}").unwrap();
        let image = Prepared { name: "a/b:1".into(), archive, id: "ab".into() };
        let project = Project { name: "hello".into(), folder };
        let platform = add(root.path(), &[image], &[project], &Given::default()).unwrap();
        assert_eq!(
            platform,
            appliance::Platform::Docker { probe_image: PROBE_IMAGE.into(), projects: vec!["hello".into()] }
        );
        let at = |path: &str| root.path().join(path);
        let wants = "usr/lib/systemd/system/platform.target.wants";
        let target = fs::read_link(at(&format!("{wants}/firstlight-compose@hello.service"))).unwrap();
        assert_eq!(target, Path::new("../firstlight-compose@.service"));
        assert_eq!(fs::read_link(at(&format!("{wants}/docker.service"))).unwrap(), Path::new("../docker.service"));
        assert_eq!(fs::read(at("usr/share/firstlight/images/a_b_1.tar")).unwrap(), b"archive");
        assert!(at("usr/share/firstlight/compose/hello/compose.yaml").exists());
        assert!(!at("usr/lib/systemd/system/multi-user.target.wants").exists());
    }
}
