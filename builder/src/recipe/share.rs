//! Where the things lie that a recipe names but does not bring: overlays and bases.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The folder names under which things are looked for.
const OVERLAYS: &str = "overlays";
const BASES: &str = "bases";

/// The places in which overlays and bases are looked for, in order: beside the recipe; in the folder that
/// `FIRSTLIGHT_SHARE` names; in the repository that holds the recipe; in `../share/firstlight` of the program; in the
/// repository in which the program was built.
///
/// Each but the first has `overlays/` and `recipes/bases/`; beside a recipe they are `overlays/` and `bases/`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Share {
    beside: PathBuf,
    shipped: Vec<PathBuf>,
}

impl Share {
    /// The places for a recipe that lies in `folder`.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        let program = std::env::current_exe().ok();
        Self::with(folder, std::env::var_os("FIRSTLIGHT_SHARE").map(PathBuf::from).as_deref(), program.as_deref())
    }

    fn with(folder: &Path, set: Option<&Path>, program: Option<&Path>) -> Self {
        let absolute = std::path::absolute(folder).unwrap_or_else(|_| folder.to_path_buf());
        let installed = program.and_then(|program| Some(program.parent()?.parent()?.join("share/firstlight")));
        let places = set.map(Path::to_path_buf).into_iter().chain(repository(&absolute)).chain(installed);
        let places = places.chain(program.and_then(repository)).filter(|place| is_share(place));
        let mut shipped: Vec<PathBuf> = Vec::new();
        for place in places {
            if !shipped.contains(&place) {
                shipped.push(place);
            }
        }
        Self { beside: folder.to_path_buf(), shipped }
    }

    /// The folder of the overlay `name`.
    #[must_use]
    pub fn overlay(&self, name: &str) -> Option<PathBuf> {
        let beside = self.beside.join(OVERLAYS).join(name);
        if beside.is_dir() { Some(beside) } else { self.shipped_overlay(name) }
    }

    /// The folder of an overlay that comes with Firstlight; one beside the recipe that happens to have its name is not it.
    #[must_use]
    pub fn shipped_overlay(&self, name: &str) -> Option<PathBuf> {
        self.shipped.iter().map(|place| place.join(OVERLAYS).join(name)).find(|folder| folder.is_dir())
    }

    /// The file of the base `name`.
    #[must_use]
    pub fn base(&self, name: &str) -> Option<PathBuf> {
        self.bases_folders().map(|folder| folder.join(format!("{name}.toml"))).find(|file| file.is_file())
    }

    /// The names of every overlay that there is, sorted.
    #[must_use]
    pub fn overlay_names(&self) -> Vec<String> {
        let shipped = self.shipped.iter().map(|place| place.join(OVERLAYS));
        names(std::iter::once(self.beside.join(OVERLAYS)).chain(shipped), |path| {
            path.is_dir().then(|| path.file_name()?.to_str().map(str::to_owned))?
        })
    }

    /// The names of every base that there is, sorted.
    #[must_use]
    pub fn base_names(&self) -> Vec<String> {
        names(self.bases_folders(), |path| {
            let toml = path.extension().is_some_and(|extension| extension == "toml");
            toml.then(|| path.file_stem()?.to_str().map(str::to_owned))?
        })
    }

    /// The places looked in, for a message.
    #[must_use]
    pub fn places(&self) -> String {
        let all: Vec<String> =
            std::iter::once(&self.beside).chain(&self.shipped).map(|place| place.display().to_string()).collect();
        all.join(", ")
    }

    fn bases_folders(&self) -> impl Iterator<Item = PathBuf> {
        let shipped = self.shipped.iter().map(|place| place.join("recipes").join(BASES));
        std::iter::once(self.beside.join(BASES)).chain(shipped)
    }
}

/// Whether `folder` has what every share has.
fn is_share(folder: &Path) -> bool {
    folder.join(OVERLAYS).is_dir() && folder.join("recipes").join(BASES).is_dir()
}

/// The nearest folder at or above `path` that is a share.
fn repository(path: &Path) -> Option<PathBuf> {
    path.ancestors().find(|ancestor| is_share(ancestor)).map(Path::to_path_buf)
}

fn names(folders: impl Iterator<Item = PathBuf>, name: impl Fn(PathBuf) -> Option<String>) -> Vec<String> {
    let entries = folders.filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().filter_map(Result::ok);
    entries.filter_map(|entry| name(entry.path())).collect::<BTreeSet<_>>().into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn share(at: &Path, overlay: &str, base: &str) {
        fs::create_dir_all(at.join("overlays").join(overlay)).unwrap();
        fs::create_dir_all(at.join("recipes/bases")).unwrap();
        fs::write(at.join("recipes/bases").join(format!("{base}.toml")), "").unwrap();
    }

    #[test]
    fn what_lies_beside_the_recipe_comes_before_what_is_shipped() {
        let dir = tempfile::tempdir().unwrap();
        let (repo, mine) = (dir.path().join("repo"), dir.path().join("mine"));
        share(&repo, "base", "debian-13");
        fs::create_dir_all(mine.join("overlays/base")).unwrap();
        fs::create_dir_all(mine.join("overlays/extra")).unwrap();
        let share = Share::with(&mine, Some(&repo), None);
        assert_eq!(share.overlay("extra"), Some(mine.join("overlays/extra")));
        assert_eq!(share.shipped_overlay("base"), Some(repo.join("overlays/base")));
        assert_eq!(share.base("debian-13"), Some(repo.join("recipes/bases/debian-13.toml")));
        assert_eq!(share.overlay_names(), ["base", "extra"]);
        assert_eq!((share.base_names(), share.base("debian-14")), (vec!["debian-13".to_owned()], None));
    }

    #[test]
    fn the_repository_and_the_installation_are_found() {
        let dir = tempfile::tempdir().unwrap();
        let (repo, prefix) = (dir.path().join("repo"), dir.path().join("usr"));
        share(&repo, "base", "debian-13");
        share(&prefix.join("share/firstlight"), "base", "debian-12");
        let built = Share::with(dir.path(), None, Some(&repo.join("target/release/firstlight")));
        assert_eq!(built.shipped, std::slice::from_ref(&repo));
        let installed = Share::with(&repo.join("recipes"), None, Some(&prefix.join("bin/firstlight")));
        assert_eq!(installed.shipped, [repo, prefix.join("share/firstlight")]);
    }
}
