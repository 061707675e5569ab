//! Keeps apt's choice: on the same indices and the same wishes it chooses the same.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use super::archive::Archive;
use super::error::{Error, Result};
use super::package::Solution;
use super::solve::{Wanted, solve};

/// Changes whenever an older program's choice must not be taken.
const VERSION: &str = "solution 1";

/// As [`solve`](super::solve), but asks apt only once: its answer is kept below `stages` under the digest of all that it
/// depends on. The tools root must be of the same archive.
///
/// # Errors
/// As [`solve`](super::solve)'s; or the answer can't be kept.
pub fn solve_once(archive: &Archive, tools_root: &Path, wanted: &Wanted, stages: &Path) -> Result<Solution> {
    keep(archive, wanted, stages, || solve(archive, tools_root, wanted))
}

fn keep(
    archive: &Archive,
    wanted: &Wanted,
    stages: &Path,
    choose: impl FnOnce() -> Result<Solution>,
) -> Result<Solution> {
    let path = stages.join(format!("solution-{}.json", key(archive, wanted)));
    if let Some(solution) = read(archive, &path) {
        return Ok(solution);
    }
    let solution = choose()?;
    fs::create_dir_all(stages).map_err(Error::io("making the folder", stages))?;
    let mut file = tempfile::NamedTempFile::new_in(stages).map_err(Error::io("making a file in", stages))?;
    let text = serde_json::to_vec(&solution).map_err(|error| Error::io("writing", &path)(error.into()))?;
    file.write_all(&text).and_then(|()| file.as_file().sync_all()).map_err(Error::io("writing", &path))?;
    file.persist(&path).map_err(|error| Error::io("renaming to", &path)(error.error))?;
    Ok(solution)
}

fn key(archive: &Archive, wanted: &Wanted) -> String {
    let mut digest = Sha256::new();
    let flags = format!("{VERSION}\n{}\n{} {}\n", archive.digest(), wanted.recommends, wanted.essential);
    digest.update(flags);
    wanted.packages.iter().for_each(|name| digest.update(format!("{name}\n")));
    digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A damaged file, or one that names a package which the verified indices do not have, is as good as none.
fn read(archive: &Archive, path: &PathBuf) -> Option<Solution> {
    let solution: Solution = serde_json::from_slice(&fs::read(path).ok()?).ok()?;
    let known = |package: &super::Package| {
        archive.named(&package.name).iter().any(|place| archive.package(*place).is_ok_and(|found| found == *package))
    };
    (solution.released == archive.released() && solution.packages.iter().all(known)).then_some(solution)
}

#[cfg(test)]
mod tests {
    use super::super::fixture::{Scene, stanza};
    use super::*;

    #[test]
    fn apt_is_asked_once_for_the_same_wishes_on_the_same_indices() {
        let scene = Scene::new(&(stanza("a", "1", "") + &stanza("b", "1", "")));
        let (archive, stages) = (scene.open().unwrap(), scene.cache.path().join("stages"));
        let names = ["a".to_owned()];
        let wanted = Wanted { packages: &names, recommends: false, essential: false };
        let asked = std::cell::Cell::new(0);
        let choose = |archive: &Archive, wanted: &Wanted| {
            let packages = vec![archive.newest(&wanted.packages[0]).unwrap()];
            let solution = Solution { packages, released: archive.released() };
            keep(archive, wanted, &stages, || {
                asked.set(asked.get() + 1);
                Ok(solution)
            })
            .unwrap()
        };
        let first = choose(&archive, &wanted);
        assert_eq!((choose(&archive, &wanted), asked.get()), (first, 1));
        choose(&archive, &Wanted { recommends: true, ..wanted });
        choose(&archive, &Wanted { packages: &["b".to_owned()], ..wanted });
        assert_eq!(asked.get(), 3);

        for file in fs::read_dir(&stages).unwrap() {
            let file = file.unwrap().path();
            fs::write(&file, fs::read_to_string(&file).unwrap().replace("\"size\":1000", "\"size\":1001")).unwrap();
        }
        assert_eq!((choose(&archive, &wanted).packages[0].size, asked.get()), (1000, 4));
    }
}
