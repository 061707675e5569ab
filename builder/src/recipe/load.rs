//! From a path to a recipe on one of its bases, with everything that it names found.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use firmware_checks::document::{Diagnostics, Document, KeyPath, Problem, listed, nearest};
use serde::Serialize;

use super::Error;
use super::base::{Base, Source};
use super::keyring::Keyring;
use super::rules;
use super::schema::{ContainerImage, Recipe, Target};
use super::share::Share;

/// A recipe whose own text is right, not yet on a base.
#[derive(Clone, Debug)]
pub struct Opened {
    document: Document,
    folder: PathBuf,
    share: Share,
    recipe: Recipe,
}

/// A recipe on one of its bases: valid, and everything that it names is there.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The recipe's file, as the user named it.
    pub path: PathBuf,
    /// The folder that it lies in, from which its relative paths go.
    pub folder: PathBuf,
    /// Where overlays and bases are found.
    pub share: Share,
    /// What the recipe says.
    pub recipe: Recipe,
    /// What the base says.
    pub base: Base,
    /// The base's file.
    pub base_path: PathBuf,
    document: Document,
}

/// What the overlays' templates may name, such as `{{vars.NAME}}`.
#[derive(Clone, Debug, Serialize)]
pub struct Values<'a> {
    /// The recipe's name.
    pub name: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Its title.
    pub title: &'a str,
    /// The base's name.
    pub base: &'a str,
    /// What the kernel is told besides its root.
    pub kernel_parameters: String,
    /// The recipe's own.
    pub vars: &'a BTreeMap<String, String>,
}

/// Loads the recipe `path` on the base `base`, or on its first.
///
/// # Errors
/// [`Error`], with everything that is wrong in the recipe or the base.
pub fn load(path: &Path, base: Option<&str>) -> Result<Loaded, Error> {
    Opened::read(path)?.on(base)
}

/// Loads the recipe `path` on each of its bases, or on `base` only.
///
/// # Errors
/// [`Error`], with everything that is wrong in the recipe or any of the bases.
pub fn load_all(path: &Path, base: Option<&str>) -> Result<Vec<Loaded>, Error> {
    let opened = Opened::read(path)?;
    let bases = base.map_or_else(|| opened.recipe.bases.clone(), |base| vec![base.to_owned()]);
    let mut loaded = Vec::new();
    let mut wrong = Vec::new();
    for base in bases {
        match opened.on(Some(&base)) {
            Ok(one) => loaded.push(one),
            Err(Error::Invalid(Diagnostics(mut found))) => wrong.append(&mut found),
            Err(other) => return Err(other),
        }
    }
    if wrong.is_empty() { Ok(loaded) } else { Err(Error::Invalid(Diagnostics(wrong))) }
}

impl Opened {
    fn read(path: &Path) -> Result<Self, Error> {
        let document = Document::read(path)?;
        let folder =
            path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_path_buf();
        let share = Share::of(&folder);
        let recipe = document.judge(|recipe: &Recipe| {
            let mut found = rules::recipe::problems(recipe);
            // What is named wrongly is not also told to be missing.
            let absent = rules::files::problems(recipe, &folder, &share);
            let told: Vec<KeyPath> = found.iter().map(|problem| problem.at.clone()).collect();
            found.extend(absent.into_iter().filter(|problem| !told.contains(&problem.at)));
            found
        })?;
        Ok(Self { document, folder, share, recipe })
    }

    fn on(&self, base: Option<&str>) -> Result<Loaded, Error> {
        let name = base.or(self.recipe.bases.first().map(String::as_str)).unwrap_or_default();
        let supported = self.recipe.bases.iter().map(String::as_str);
        let base_path = self.share.base(name).filter(|_| self.recipe.bases.iter().any(|one| one == name));
        let Some(base_path) = base_path else {
            let near = nearest(name, supported.clone()).map(|near| format!("did you mean `--base {near}`?"));
            let problem =
                Problem::value(KeyPath::root().key("bases"), format!("base `{name}` is not among the recipe's"))
                    .label(format!("supported: {}", listed(supported, "and")));
            return Err(Error::Invalid(self.document.locate(vec![problem.perhaps(near)])));
        };
        let base = read_base(&base_path)?;
        self.document.refuse(rules::files::fit(&self.recipe, &base))?;
        let base = base.for_platform(self.recipe.platform.variant());
        let Self { document, folder, share, recipe } = self.clone();
        Ok(Loaded { path: document.path().to_path_buf(), folder, share, recipe, base, base_path, document })
    }
}

/// Reads the base in the file `path`.
///
/// # Errors
/// [`Error`], with everything that is wrong in it.
pub fn read_base(path: &Path) -> Result<Base, Error> {
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    Document::read(path)?.judge(|base: &Base| {
        let mut found = rules::base::problems(base, stem);
        let root = KeyPath::root();
        let own = std::iter::once((root.key("keyring"), &base.keyring));
        let sources = base.sources.iter().enumerate();
        let others = sources.filter_map(|(index, source)| {
            let Keyring::Beside(name) = source.keyring.as_ref()? else { return None };
            Some((root.key("sources").item(index).key("keyring"), name))
        });
        for (key, name) in own.chain(others) {
            let keyring = beside(path, name);
            if !keyring.is_file() {
                let problem = Problem::value(key, format!("keyring `{name}` is not there"));
                found.push(problem.label(format!("expected {}", keyring.display())));
            }
        }
        found.extend(rules::files::base_overlays(base, &Share::of(path.parent().unwrap_or(Path::new("")))));
        found
    })
}

fn beside(path: &Path, name: &str) -> PathBuf {
    path.parent().unwrap_or(Path::new("")).join(name)
}

impl Loaded {
    /// What a later stage finds wrong with the recipe, told at its line.
    #[must_use]
    pub fn refuse(&self, problem: Problem) -> Error {
        Error::Invalid(self.document.locate(vec![problem]))
    }

    /// Where the recipe itself names the package `name`: for the root file system, or for a container image.
    #[must_use]
    pub fn names_package(&self, name: &str) -> Option<KeyPath> {
        let within = |at: KeyPath, list: &[String]| list.iter().position(|one| one == name).map(|index| at.item(index));
        let images = self.recipe.images.iter().enumerate().find_map(|(index, image)| {
            within(KeyPath::root().key("images").item(index).key("packages"), &image.packages)
        });
        within(KeyPath::root().key("packages"), &self.recipe.packages).or(images)
    }

    /// The base's keyring: OpenPGP certificates, ASCII-armored.
    #[must_use]
    pub fn keyring(&self) -> PathBuf {
        self.beside_base(&self.base.keyring)
    }

    /// The file of a keyring that lies beside the base, such as `name`.
    #[must_use]
    pub fn beside_base(&self, name: &str) -> PathBuf {
        beside(&self.base_path, name)
    }

    /// The sources that the machine gets as files of its own: each one's name, itself, and its keyring.
    pub fn third_parties(&self) -> impl Iterator<Item = (&String, &Source, Keyring)> {
        self.base.sources.iter().filter_map(|source| {
            let own = || Keyring::Beside(self.base.keyring.clone());
            Some((source.installed_as.as_ref()?, source, source.keyring.clone().unwrap_or_else(own)))
        })
    }

    /// The overlays by name and folder, in the order in which they are laid: `base` and the family's, the platform's, each with
    /// what the base adds to it, and the recipe's.
    #[must_use]
    pub fn overlays(&self) -> Vec<(String, PathBuf)> {
        let added = |name: &str| self.base.overlays.get(name).into_iter().flatten().map(String::as_str);
        let (base, family) = (rules::recipe::BASE_OVERLAY, self.base.family.overlay());
        let platform = &self.recipe.platform;
        let shipped =
            [base, family].into_iter().chain(added(base)).chain([platform.kind()]).chain(added(platform.variant()));
        let shipped = shipped.filter_map(|name| Some((name.to_owned(), self.share.shipped_overlay(name)?)));
        let own = self.recipe.overlays.iter().filter_map(|name| Some((name.clone(), self.share.overlay(name)?)));
        shipped.chain(own).collect()
    }

    /// What the overlays' templates may name.
    #[must_use]
    pub fn values(&self) -> Values<'_> {
        let Recipe { name, version, title, vars, .. } = &self.recipe;
        Values { name, version, title, base: &self.base.name, kernel_parameters: self.base.kernel_parameters(), vars }
    }

    /// The compose projects by name and folder.
    #[must_use]
    pub fn projects(&self) -> Vec<(String, PathBuf)> {
        self.recipe.projects().into_iter().map(|(name, folder)| (name, self.folder.join(folder))).collect()
    }

    /// The files beside the recipe that only its platform names, besides its artifacts: each one's name and path.
    #[must_use]
    pub fn platform_files(&self) -> Vec<(String, PathBuf)> {
        self.recipe.platform.files().into_iter().map(|name| (name.to_owned(), self.folder.join(name))).collect()
    }

    /// The archive of an image that is made of one beside the recipe.
    #[must_use]
    pub fn archive(&self, image: &ContainerImage) -> Option<PathBuf> {
        image.archive.as_ref()?.path().map(|path| self.folder.join(path))
    }

    /// The folder laid over an image that is made of packages.
    #[must_use]
    pub fn files(&self, image: &ContainerImage) -> Option<PathBuf> {
        image.files.as_ref().map(|path| self.folder.join(path))
    }

    /// The packages of the kernel for the recipe's target: its own, else those for servers.
    #[must_use]
    pub fn kernel(&self) -> Option<&Vec<String>> {
        let lists = &self.base.kernel;
        [self.recipe.target, Target::Metal, Target::Both].iter().find_map(|target| lists.get(target))
    }

    /// What the root file system is asked to hold: the packages of the base, the kernel, the platform and the recipe, each
    /// once. What they depend on is the distribution's to add.
    #[must_use]
    pub fn packages(&self) -> Vec<String> {
        let platform = self.base.platforms.get(self.recipe.platform.variant());
        let lists = [Some(&self.base.packages), self.kernel(), platform, Some(&self.recipe.packages)];
        let mut all: Vec<String> = Vec::new();
        for name in lists.into_iter().flatten().flatten() {
            if !all.contains(name) {
                all.push(name.clone());
            }
        }
        all
    }

    /// The image's file name without its extension: `NAME-VERSION-BASE-ARCH`, or `NAME-VERSION-BASE` where the base's own name
    /// ends with its architecture.
    #[must_use]
    pub fn stem(&self) -> String {
        let Self { recipe, base, .. } = self;
        let stem = format!("{}-{}-{}", recipe.name, recipe.version, base.name);
        let ending = format!("-{}", base.architecture);
        if stem.ends_with(&ending) { stem } else { stem + &ending }
    }
}
