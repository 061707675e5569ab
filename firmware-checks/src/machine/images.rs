//! Container images that lie in the appliance, put into Docker's store when the gate has opened.
//!
//! Docker syncs the description of an image, but not the files of its layers: a power cut in the seconds after a
//! load leaves an image that has the right id and empty files. So an image counts as loaded only once its file
//! system was synced and a stamp says so; one whose loading was begun and not finished is removed and loaded again.
//!
//! Docker knows a layer before it knows the image, and takes a layer that it knows as it is. A cut between the two leaves
//! a layer with empty files that no image leads to: it goes with an image, by loading one and removing that.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use crate::files;

/// The folder of an image that holds the archives and their index.
pub const DIRECTORY: &str = "/usr/share/firstlight/images";
/// The index in [`DIRECTORY`]: a JSON array of [`Preloaded`].
pub const INDEX: &str = "index.json";
/// What has been loaded and synced: one file each, named by the archive, with the image's id; or with [`BEGUN`].
const STAMPS: &str = "/var/lib/firstlight/images";
/// The stamp of an image that is being loaded, or was when the power went.
const BEGUN: &str = "begun";

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
    images.iter().try_for_each(|image| load_one(image, Path::new(STAMPS), &docker))
}

/// Runs `docker` with arguments and answers its standard output.
type Docker = dyn Fn(&[&str]) -> Result<String, Error>;

fn load_one(image: &Preloaded, stamps: &Path, docker: &Docker) -> Result<(), Error> {
    let path = stamps.join(&image.file);
    let stamp = |content: &str| {
        files::replace(&path, content.as_bytes(), 0o644)
            .map_err(|source| Error::Io { doing: format!("writing {}", path.display()), source })
    };
    let before = fs::read_to_string(&path).ok();
    if before.as_ref() == Some(&image.id) && id_of(&image.name, docker)?.as_ref() == Some(&image.id) {
        return Ok(());
    }
    stamp(BEGUN)?;
    let archive = Path::new(DIRECTORY).join(&image.file).display().to_string();
    let load = || docker(&["image", "load", "--quiet", "--input", &archive]);
    // Not there is as good as removed; in use by a container, it is replaced by the load below.
    let remove = || docker(&["image", "rm", "--force", &image.name]).ok();
    remove();
    if before.as_deref() == Some(BEGUN) {
        // Perhaps the layers can't even be read; then too the removal takes them along, as far as Docker knows them.
        let _ = load();
        remove();
    }
    load()?;
    let found = id_of(&image.name, docker)?.unwrap_or_else(|| "not there".into());
    if found != image.id {
        let (file, name, expected) = (image.file.clone(), image.name.clone(), image.id.clone());
        return Err(Error::Other { file, name, found, expected });
    }
    sync(Path::new(docker(&["info", "--format", "{{.DockerRootDir}}"])?.trim()))?;
    stamp(&image.id)?;
    println!("{} is loaded", image.name);
    Ok(())
}

/// Docker's id for `name` without its `sha256:`, if it has the image.
fn id_of(name: &str, docker: &Docker) -> Result<Option<String>, Error> {
    let listed = docker(&["image", "ls", "--no-trunc", "--format", "{{.ID}}", name])?;
    Ok(listed.lines().next().map(|id| id.trim_start_matches("sha256:").to_owned()))
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// What `docker image` was asked to change, in order, when the stamp was `before`; and the stamp afterwards.
    fn changes(before: Option<&str>, id_found: &str) -> (Vec<String>, String) {
        let stamps = tempfile::tempdir().unwrap();
        let path = stamps.path().join("a.tar");
        if let Some(before) = before {
            fs::write(&path, before).unwrap();
        }
        let asked = std::rc::Rc::new(RefCell::new(Vec::new()));
        let (seen, root, id_found) = (asked.clone(), stamps.path().display().to_string(), id_found.to_owned());
        let docker = move |arguments: &[&str]| match arguments {
            ["image", "ls", ..] => Ok(format!("sha256:{id_found}\n")),
            ["info", ..] => Ok(root.clone()),
            ["image", verb, ..] => {
                seen.borrow_mut().push((*verb).to_owned());
                Ok(String::new())
            }
            other => panic!("{other:?}"),
        };
        let image = Preloaded { name: "a:1".into(), file: "a.tar".into(), id: "aa".into() };
        // Whether it succeeded shows in the stamp.
        let _ = load_one(&image, stamps.path(), &docker);
        (asked.take(), fs::read_to_string(path).unwrap())
    }

    #[test]
    fn what_was_loaded_whole_is_left_alone() {
        assert_eq!(changes(Some("aa"), "aa"), (vec![], "aa".to_owned()));
    }

    #[test]
    fn a_first_load_is_stamped_when_it_is_whole() {
        assert_eq!(changes(None, "aa"), (vec!["rm".into(), "load".into()], "aa".to_owned()));
        assert_eq!(changes(None, "bb").1, BEGUN, "Docker has another image");
    }

    #[test]
    fn a_load_that_was_cut_is_begun_again_without_the_layers_it_left() {
        let all = ["rm", "load", "rm", "load"].map(String::from).to_vec();
        assert_eq!(changes(Some(BEGUN), "aa"), (all, "aa".to_owned()));
        assert_eq!(changes(Some("older"), "aa"), (vec!["rm".into(), "load".into()], "aa".to_owned()));
    }
}
