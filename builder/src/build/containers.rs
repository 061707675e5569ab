//! The container images of a recipe, and the tiny one that shows that containers really run.

use std::fs;
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::slice;

use jiff::Timestamp;

use crate::archive::{self, Larder, Solution};
use crate::artifact::{self, Files};
use crate::platform::container::{self, Config, Layer};
use crate::platform::docker::{PROBE_IMAGE, Prepared};
use crate::progress::Progress;
use crate::recipe::artifact::of_image;
use crate::recipe::base::Family;
use crate::recipe::schema::ContainerImage;
use crate::recipe::{Fingerprint, Loaded};
use crate::rootfs::deb::{self, extract};
use crate::rootfs::item::Owners;
use crate::rootfs::rpm;
use crate::stage::{self, Key, Stages};

/// A container image could not be prepared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its archive is not usable, or could not be written.
    #[error("container image `{name}`: {source}")]
    Container {
        /// The image.
        name: String,
        /// Why.
        source: container::Error,
    },
    /// The archive holds another image than the recipe says.
    #[error(
        "container image `{name}`: {archive} holds {found}\n  hint: `docker tag` it, and save it anew by that name"
    )]
    OtherName {
        /// The recipe's name.
        name: String,
        /// The archive.
        archive: String,
        /// What it holds.
        found: String,
    },
    /// A package is not what it must be.
    #[error("container image `{name}`: {source}")]
    Archive {
        /// The image.
        name: String,
        /// Why.
        source: Box<archive::Error>,
    },
    /// A package could not be extracted.
    #[error("container image `{name}`: {source}")]
    Rpm {
        /// The image.
        name: String,
        /// Why.
        source: rpm::PackageError,
    },
    /// A package could not be extracted.
    #[error("container image `{name}`: {source}")]
    Package {
        /// The image.
        name: String,
        /// Why.
        source: deb::PackageError,
    },
    /// Its archive is not to be had.
    #[error(transparent)]
    Artifact(#[from] artifact::Error),
    /// It could not be kept in the cache.
    #[error(transparent)]
    Stage(#[from] stage::Error),
    /// A file could not be laid out.
    #[error("container image `{name}`: {doing}: {source}")]
    Io {
        /// The image.
        name: String,
        /// What was being done.
        doing: String,
        /// Why.
        source: io::Error,
    },
}

/// Where images are made, and with what.
pub struct Kitchen<'a> {
    /// The recipe.
    pub loaded: &'a Loaded,
    /// No time in an image is later.
    pub released: Timestamp,
    /// Where the packages lie.
    pub larder: &'a Larder<'a>,
    /// Where the archives lie.
    pub files: Files<'a>,
    /// A folder for unfinished trees and layers.
    pub folder: &'a Path,
    /// Where finished images are kept.
    pub stages: &'a Stages,
    /// Where a build tells what it waits for.
    pub progress: &'a Progress,
}

/// The archive of an image, and the file with its id, in the folder of a finished stage.
const ARCHIVE: &str = "image.tar";
const ID: &str = "id";

impl Kitchen<'_> {
    /// The probe image of this program, where one is wanted, then each image of the recipe, in its order. `solutions` are the packages of those that are made
    /// of packages, each with its place in the recipe's list.
    ///
    /// # Errors
    /// [`Error`], with the image's name.
    pub fn prepare(&self, probe: Option<&[u8]>, solutions: &[(usize, Solution)]) -> Result<Vec<Prepared>, Error> {
        let mut prepared: Vec<Prepared> = probe.map(|checks| self.probe(checks)).transpose()?.into_iter().collect();
        for (number, image) in self.loaded.recipe.images.iter().enumerate() {
            prepared.push(match solutions.iter().find(|(place, _)| *place == number) {
                Some((_, solution)) => self.of_packages(image, solution)?,
                None => self.of_archive(image)?,
            });
        }
        Ok(prepared)
    }

    fn probe(&self, checks: &[u8]) -> Result<Prepared, Error> {
        let entrypoint = ["/firmware-checks", "container-probe"].map(str::to_owned);
        let content = Fingerprint::new("container image").field("checks", checks);
        self.keep(PROBE_IMAGE, content, &entrypoint, |folder| self.make_probe(checks, &entrypoint, folder))
    }

    fn make_probe(&self, checks: &[u8], entrypoint: &[String], into: &Path) -> Result<(), Error> {
        let tree = self.folder.join("probe");
        let program = tree.join("firmware-checks");
        fs::create_dir(&tree)
            .and_then(|()| fs::write(&program, checks))
            .and_then(|()| fs::set_permissions(&program, fs::Permissions::from_mode(0o755)))
            .map_err(failed(PROBE_IMAGE, "laying out the program"))?;
        self.pack(PROBE_IMAGE, &tree, entrypoint, into)
    }

    fn of_packages(&self, image: &ContainerImage, solution: &Solution) -> Result<Prepared, Error> {
        let mut content = Fingerprint::new("container image");
        for package in &solution.packages {
            content = content.field("package", &package.sha256);
        }
        for certificates in self.larder.judged_by().into_iter().flatten() {
            content = content.field("certificates", certificates);
        }
        if let Some(files) = self.loaded.files(image) {
            content = content
                .tree("files", &files)
                .map_err(|error| failed(&image.name, "reading its files")(error.source))?;
        }
        self.keep(&image.name, content, &image.entrypoint, |folder| self.make_of_packages(image, solution, folder))
    }

    /// The image `name` of this content: from the cache where it was made before.
    fn keep(
        &self,
        name: &str,
        content: Fingerprint,
        entrypoint: &[String],
        make: impl FnOnce(&Path) -> Result<(), Error>,
    ) -> Result<Prepared, Error> {
        let key = Key::new("container").input("name", name).input("content", content.finish());
        let key = key.input("entrypoint", entrypoint).input("architecture", self.loaded.base.architecture.as_str());
        let key = key.input("released", self.released).about(format!("the container image {name}"));
        let folder = self.stages.folder(&key, self.progress, make)?;
        let id = fs::read_to_string(folder.join(ID)).map_err(failed(name, "reading its id"))?;
        Ok(Prepared { name: name.to_owned(), archive: folder.join(ARCHIVE), id })
    }

    fn make_of_packages(&self, image: &ContainerImage, solution: &Solution, into: &Path) -> Result<(), Error> {
        let name = image.name.as_str();
        let tree = self.folder.join(file_name(name));
        fs::create_dir(&tree).map_err(failed(name, "making a folder"))?;
        let wrong = |source| Error::Archive { name: name.to_owned(), source: Box::new(source) };
        self.lay_out(name, &self.larder.files(&solution.packages).map_err(wrong)?, &tree)?;
        if let Some(files) = self.loaded.files(image) {
            copy_over(&files, &tree).map_err(failed(name, &format!("laying {} over it", files.display())))?;
        }
        self.pack(name, &tree, &image.entrypoint, into)
    }

    /// The files of packages, one after the other: a folder's time is that of the last package with files in it, the same in
    /// every build.
    fn lay_out(&self, name: &str, files: &[PathBuf], tree: &Path) -> Result<(), Error> {
        let deb = |source| Error::Package { name: name.to_owned(), source };
        let rpm = |source| Error::Rpm { name: name.to_owned(), source };
        match self.loaded.base.family {
            Family::Deb => {
                extract::merge_usr(tree).map_err(deb)?;
                files.iter().try_for_each(|file| extract::extract(file, tree, Owners::Keep)).map_err(deb)
            }
            Family::Rpm => {
                files.iter().try_for_each(|file| rpm::extract::extract_all(slice::from_ref(file), tree)).map_err(rpm)
            }
        }
    }

    fn of_archive(&self, image: &ContainerImage) -> Result<Prepared, Error> {
        let name = image.name.clone();
        let archive = self.files.path(&of_image(&name))?;
        let contents =
            container::inspect(&archive).map_err(|source| Error::Container { name: name.clone(), source })?;
        if !contents.names.contains(&name) {
            let found =
                if contents.names.is_empty() { "an image without a name".into() } else { contents.names.join(", ") };
            return Err(Error::OtherName { name, archive: archive.display().to_string(), found });
        }
        Ok(Prepared { name, archive, id: contents.id })
    }

    fn pack(&self, name: &str, tree: &Path, entrypoint: &[String], into: &Path) -> Result<(), Error> {
        let wrong = |source| Error::Container { name: name.to_owned(), source };
        let base = file_name(name);
        let layer = Layer::pack(tree, &self.folder.join(format!("{base}.layer")), self.released).map_err(wrong)?;
        let architecture = self.loaded.base.architecture.architecture().of_debian();
        let config = Config { name, architecture, entrypoint, created: self.released };
        let id = container::write(&config, &layer, &into.join(ARCHIVE)).map_err(wrong)?;
        fs::write(into.join(ID), id).map_err(failed(name, "writing its id"))?;
        fs::remove_file(&layer.path).and_then(|()| fs::remove_dir_all(tree)).map_err(failed(name, "tidying up"))
    }
}

fn failed(name: &str, doing: &str) -> impl FnOnce(io::Error) -> Error {
    let (name, doing) = (name.to_owned(), doing.to_owned());
    move |source| Error::Io { name, doing, source }
}

fn file_name(image: &str) -> String {
    image.replace(['/', ':'], "_")
}

/// Lays the tree `from` over `to`: files 0644 (0755 where executable), folders 0755, all root's.
fn copy_over(from: &Path, to: &Path) -> io::Result<()> {
    for entry in walkdir::WalkDir::new(from).min_depth(1).sort_by_file_name() {
        let entry = entry?;
        let target = to.join(entry.path().strip_prefix(from).map_err(io::Error::other)?);
        let kind = entry.file_type();
        if kind.is_dir() {
            fs::create_dir_all(&target)?;
        } else if kind.is_symlink() {
            symlink(fs::read_link(entry.path())?, &target)?;
        } else {
            fs::copy(entry.path(), &target)?;
            let executable = entry.metadata()?.permissions().mode() & 0o111 != 0;
            fs::set_permissions(&target, fs::Permissions::from_mode(if executable { 0o755 } else { 0o644 }))?;
        }
    }
    Ok(())
}
