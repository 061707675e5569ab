//! Keeps a solver's choice: on the same indices and the same wishes it chooses the same.

use std::fs;
use std::path::Path;

use super::{Archive, Error, Result, Solution, Wanted};
use crate::progress::Progress;
use crate::stage::{Key, Stages};

/// As [`Archive::solve`], but asks the solver only once: its answer is kept among `stages` under all that it depends on.
/// The tools root must be of the same archive.
///
/// # Errors
/// As [`Archive::solve`]'s; or the answer can't be kept.
pub fn solve_once(
    archive: &Archive,
    tools_root: &Path,
    wanted: &Wanted,
    stages: &Stages,
    progress: &Progress,
) -> Result<Solution> {
    keep(archive, wanted, stages, progress, || archive.solve(tools_root, wanted))
}

fn keep(
    archive: &Archive,
    wanted: &Wanted,
    stages: &Stages,
    progress: &Progress,
    choose: impl Fn() -> Result<Solution>,
) -> Result<Solution> {
    let key = Key::new("solution").input("archive", archive.digest()).input("wanted", wanted);
    let key = key.about(format!("the choice for {}", wanted.packages.join(" ")));
    let get = || {
        stages.file(&key, progress, |path| {
            let text = serde_json::to_vec(&choose()?).map_err(|error| Error::io("writing", path)(error.into()))?;
            fs::write(path, text).map_err(Error::io("writing", path))
        })
    };
    let path = get()?;
    if let Some(solution) = read(archive, &path) {
        return Ok(solution);
    }
    fs::remove_file(&path).map_err(Error::io("removing", &path))?;
    let path = get()?;
    read(archive, &path).ok_or_else(|| Error::io("reading", &path)(std::io::ErrorKind::InvalidData.into()))
}

/// A damaged file, or one that names a package which the verified indices do not have, is as good as none.
fn read(archive: &Archive, path: &Path) -> Option<Solution> {
    let solution: Solution = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let known = solution.packages.iter().all(|package| archive.has(package));
    (solution.released == archive.released() && known).then_some(solution)
}

#[cfg(test)]
mod tests {
    use super::super::deb::fixture::{Scene, stanza};
    use super::*;

    #[test]
    fn the_solver_is_asked_once_for_the_same_wishes_on_the_same_indices() {
        let scene = Scene::new(&(stanza("a", "1", "") + &stanza("b", "1", "")));
        let (archive, stages) = (Archive::Deb(scene.open().unwrap()), Stages::open(scene.cache.path()).unwrap());
        let names = ["a".to_owned()];
        let wanted = Wanted { packages: &names, recommends: false, essential: false };
        let asked = std::cell::Cell::new(0);
        let choose = |archive: &Archive, wanted: &Wanted| {
            let packages = vec![archive.newest(&wanted.packages[0]).unwrap()];
            let solution = Solution { packages, released: archive.released() };
            keep(archive, wanted, &stages, &Progress::silent(), || {
                asked.set(asked.get() + 1);
                Ok(solution.clone())
            })
            .unwrap()
        };
        let first = choose(&archive, &wanted);
        assert_eq!((choose(&archive, &wanted), asked.get()), (first, 1));
        choose(&archive, &Wanted { recommends: true, ..wanted });
        choose(&archive, &Wanted { packages: &["b".to_owned()], ..wanted });
        assert_eq!(asked.get(), 3);

        for file in walkdir::WalkDir::new(scene.cache.path().join("stages")) {
            let file = file.unwrap().into_path();
            if !file.is_file() {
                continue;
            }
            fs::write(&file, fs::read_to_string(&file).unwrap().replace("\"size\":1000", "\"size\":1001")).unwrap();
        }
        assert_eq!((choose(&archive, &wanted).packages[0].size, asked.get()), (1000, 4));
    }
}
