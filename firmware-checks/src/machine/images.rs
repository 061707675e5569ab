//! Container images that lie in the appliance, put into Docker's store when the gate has opened.
//!
//! Docker syncs the description of an image, but not the files of its layers: a power cut in the seconds after a
//! load leaves an image that has the right id and empty files. So an image counts as loaded only once its file
//! system was synced and a stamp says so; one without a stamp is removed and loaded again.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::files;

/// The folder of an image that holds the archives and their index.
pub const DIRECTORY: &str = "/usr/share/firstlight/images";
/// The index in [`DIRECTORY`]: a JSON array of [`Preloaded`].
pub const INDEX: &str = "index.json";
/// What has been loaded and synced: one file each, named by the archive, with the image's id.
const STAMPS: &str = "/var/lib/firstlight/images";

/// An image that lies in the appliance.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Preloaded {
    /// Name and tag.
    pub name: String,
    /// The archive's file name in [`DIRECTORY`].
    pub file: String,
    /// SHA-256 of the image's configuration, lower-case hexadecimal: Docker's own id for it.
    pub id: String,
}

/// An image could not be loaded.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file failed.
    #[error("{doing}: {source}")]
    Io {
        /// What was being done.
        doing: String,
        /// Why it failed.
        source: std::io::Error,
    },
    /// The index is damaged.
    #[error("{path}: {source}")]
    Index {
        /// The index.
        path: String,
        /// Why.
        source: serde_json::Error,
    },
    /// Docker refused.
    #[error("docker {doing}: {stderr}")]
    Docker {
        /// The command.
        doing: String,
        /// The end of its standard error.
        stderr: String,
    },
    /// Docker loaded something else.
    #[error("{file} was loaded as {name}, but its id is {found}, expected {expected}")]
    Other {
        /// The archive.
        file: String,
        /// The image.
        name: String,
        /// Docker's id for it.
        found: String,
        /// The builder's.
        expected: String,
    },
}

/// Loads every image of the appliance that Docker does not yet have whole.
///
/// # Errors
/// The first image that could not be loaded; those before it stay loaded.
pub fn load() -> Result<(), Error> {
    let path = Path::new(DIRECTORY).join(INDEX);
    let doing = || format!("reading {}", path.display());
    let text = fs::read(&path).map_err(|source| Error::Io { doing: doing(), source })?;
    let images: Vec<Preloaded> =
        serde_json::from_slice(&text).map_err(|source| Error::Index { path: path.display().to_string(), source })?;
    images.iter().try_for_each(load_one)
}

fn load_one(image: &Preloaded) -> Result<(), Error> {
    let stamp = Path::new(STAMPS).join(&image.file);
    let stamped = fs::read_to_string(&stamp).is_ok_and(|id| id == image.id);
    if stamped && id_of(&image.name)?.as_deref() == Some(&image.id) {
        return Ok(());
    }
    files::remove(&stamp).map_err(|source| Error::Io { doing: format!("removing {}", stamp.display()), source })?;
    // Not there is as good as removed; in use by a container, it is replaced by the load below.
    let _ = docker(&["image", "rm", "--force", &image.name]);
    let archive = Path::new(DIRECTORY).join(&image.file);
    docker(&["image", "load", "--quiet", "--input", &archive.display().to_string()])?;
    let found = id_of(&image.name)?.unwrap_or_else(|| "not there".into());
    if found != image.id {
        let (file, name, expected) = (image.file.clone(), image.name.clone(), image.id.clone());
        return Err(Error::Other { file, name, found, expected });
    }
    sync(&data_root()?)?;
    files::replace(&stamp, image.id.as_bytes(), 0o644)
        .map_err(|source| Error::Io { doing: format!("writing {}", stamp.display()), source })?;
    println!("{} is loaded", image.name);
    Ok(())
}

/// Docker's id for `name` without its `sha256:`, if it has the image.
fn id_of(name: &str) -> Result<Option<String>, Error> {
    let listed = docker(&["image", "ls", "--no-trunc", "--format", "{{.ID}}", name])?;
    Ok(listed.lines().next().map(|id| id.trim_start_matches("sha256:").to_owned()))
}

fn data_root() -> Result<PathBuf, Error> {
    docker(&["info", "--format", "{{.DockerRootDir}}"]).map(|text| PathBuf::from(text.trim()))
}

/// Writes everything of the file system that holds `folder` to its disk.
fn sync(folder: &Path) -> Result<(), Error> {
    let doing = || format!("syncing {}", folder.display());
    let file = File::open(folder).map_err(|source| Error::Io { doing: doing(), source })?;
    nix::unistd::syncfs(&file).map_err(|errno| Error::Io { doing: doing(), source: errno.into() })
}

fn docker(arguments: &[&str]) -> Result<String, Error> {
    let doing = || arguments.join(" ");
    let output = Command::new("docker").args(arguments).output();
    let output = output.map_err(|source| Error::Io { doing: format!("starting docker {}", doing()), source })?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let tail = output.stderr.len().saturating_sub(1024);
    Err(Error::Docker { doing: doing(), stderr: String::from_utf8_lossy(&output.stderr[tail..]).trim().to_owned() })
}
