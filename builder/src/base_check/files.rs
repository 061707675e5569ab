//! The files that the base names: the boot loader's parts, and os-release. The packages that bring them are downloaded alone.

use std::path::Path;

use super::{Line, State, Subject, Wrong, below};
use crate::archive::{Archive, Package, Solution};
use crate::recipe::base::Family;
use crate::stage::Stages;
use crate::tools;

/// How much is downloaded at most to look for the files.
const LIMIT: u64 = 64 << 20;
/// How many letters a package's name must share with a path for the package to be looked into.
const SHARED: usize = 4;
const OS_RELEASE: &str = "/usr/lib/os-release";
/// GRUB's modules for BIOS are a folder; this one of them is needed on every disk.
const BIOS_MODULE: &str = "boot.img";

/// A line for each file.
pub(super) fn lines(subject: &Subject<'_>, archive: &Archive, system: &Solution, stages: &Stages) -> Vec<Line> {
    let boot = &subject.base.boot;
    let mut wanted = vec![
        ("boot.shim", boot.shim.clone()),
        ("boot.mok_manager", boot.mok_manager.clone()),
        ("boot.grub", boot.grub.clone()),
    ];
    let module = |folder: &String| ("boot.bios_modules", format!("{}/{BIOS_MODULE}", folder.trim_end_matches('/')));
    wanted.extend(boot.bios_modules.as_ref().map(module));
    let packages = candidates(subject, system, &wanted);
    let names = packages.iter().map(|package| package.name.as_str()).collect::<Vec<_>>().join(", ");
    let (downloads, workshop) = (archive.downloads(&packages), subject.workshop);
    let root = match tools::root(&packages, &downloads, &subject.larder(), stages, workshop.progress) {
        Ok(root) => root,
        Err(error) => return vec![Wrong::of_tools(&error, subject.now).line("boot")],
    };
    let mut lines: Vec<Line> = wanted
        .iter()
        .map(|(what, path)| match below(&root, path).metadata() {
            Ok(found) if found.is_file() => Line::ok(*what, format!("{path}, {} bytes", found.len())),
            _ => Line {
                state: State::Fail,
                what: (*what).to_owned(),
                found: format!("in none of {names}"),
                expected: Some(path.clone()),
                hint: nearest(&root, path).map(|near| format!("the nearest file is {near}")),
            },
        })
        .collect();
    lines.push(os_release(subject, &root));
    lines
}

/// The packages to look into, smallest first: those whose names have to do with the paths, and the one with os-release.
fn candidates(subject: &Subject<'_>, system: &Solution, wanted: &[(&str, String)]) -> Vec<Package> {
    let release = |name: &str| match subject.base.family {
        Family::Deb => name == "base-files",
        Family::Rpm => name.ends_with("-release"),
    };
    let related = |name: &str| {
        let words = name.split('-').filter_map(|word| word.get(..SHARED));
        words.into_iter().any(|word| wanted.iter().any(|(_, path)| path.contains(word)))
    };
    let mut packages: Vec<Package> =
        system.packages.iter().filter(|package| related(&package.name) || release(&package.name)).cloned().collect();
    packages.sort_by_key(|package| package.size);
    let mut sum = 0;
    packages.retain(|package| {
        sum += package.size;
        sum <= LIMIT
    });
    packages
}

/// The file below `root` that is most like `path`; one of the same name before all others.
fn nearest(root: &Path, path: &str) -> Option<String> {
    let files =
        walkdir::WalkDir::new(root).into_iter().filter_map(Result::ok).filter(|entry| entry.file_type().is_file());
    let paths = files.filter_map(|entry| Some(format!("/{}", entry.path().strip_prefix(root).ok()?.display())));
    let name = |path: &str| path.rsplit('/').next().map(str::to_owned);
    let other_name = |found: &str| name(found) != name(path);
    let near = paths.map(|found| (other_name(&found), strsim::damerau_levenshtein(path, &found), found)).min()?;
    (!near.0 || near.1 <= 3 + path.len() / 3).then_some(near.2)
}

fn os_release(subject: &Subject<'_>, root: &Path) -> Line {
    let asked = &subject.base.os;
    let text = std::fs::read_to_string(below(root, OS_RELEASE)).unwrap_or_default();
    let field = |key: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        line.map(|value| value.trim_matches(['"', '\'']).to_owned()).unwrap_or_default()
    };
    let (id, version) = (field("ID"), field("VERSION_ID"));
    let found = format!("ID={id} VERSION_ID={version}");
    // A base `9` stands for `9.4` too, as for the machine's own check.
    let fits =
        version.strip_prefix(asked.version_id.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
    if id == asked.id && fits {
        return Line::ok("os", found);
    }
    Line {
        state: State::Fail,
        what: "os".to_owned(),
        found: if text.is_empty() { format!("no {OS_RELEASE}") } else { format!("{OS_RELEASE}: {found}") },
        expected: Some(format!("ID={} VERSION_ID={}", asked.id, asked.version_id)),
        hint: Some("correct `os` in the base: the machine compares itself with it".to_owned()),
    }
}
