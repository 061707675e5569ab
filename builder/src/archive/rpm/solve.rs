//! The set of packages that dnf itself would choose: asked from the distribution's own dnf, on the verified indices.
//!
//! dnf is given repositories of indices alone, an empty root and no configuration but ours, by a script over its
//! Python interface. It filters modules as it does everywhere (their default streams count). It neither needs a network nor
//! verifies anything: that was done when the archive was opened, and its answer is only accepted as far as it names
//! packages of these indices.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::archive::Archive;
use super::primary::is_name;
use super::repository::{Index, Repository};
use crate::archive::{Error, Package, Result, Solution, Wanted};
use crate::sandbox::Sandbox;

/// Where dnf finds what it is given in the sandbox.
const INSIDE: &str = "/run/firstlight-dnf";

/// Where it may write.
const SCRATCH: &str = "/tmp/firstlight-dnf";

const SCRIPT: &str = include_str!("solve.py");

/// What dnf would install on an empty system, by name. dnf is run from `tools_root`.
///
/// # Errors
/// A name is unknown, the packages can't be installed together, or dnf can't be run.
pub fn solve(archive: &Archive, tools_root: &Path, wanted: &Wanted) -> Result<Solution> {
    solve_with(archive, wanted, INSIDE, SCRATCH, |state| {
        let mut sandbox = Sandbox::of_tools(tools_root);
        for (name, path) in &state.files {
            sandbox = sandbox.bind_ro(path, &format!("{INSIDE}/{name}"));
        }
        // -B: nothing compiled could be kept in the tools root.
        Ok(sandbox.run(&["python3", "-I", "-B", &format!("{INSIDE}/solve.py"), &format!("{INSIDE}/request.json")])?)
    })
}

/// The files that dnf is to find: name below its folder, path on the host.
struct State {
    files: Vec<(String, PathBuf)>,
    /// Holds those that were made for it.
    _folder: tempfile::TempDir,
}

#[derive(Serialize)]
struct Request<'a> {
    names: &'a [String],
    recommends: bool,
    release: &'a str,
    architecture: &'a str,
    repositories: Vec<Named>,
    scratch: &'a str,
}

#[derive(Serialize)]
struct Named {
    id: String,
    folder: String,
}

#[derive(Deserialize)]
enum Answer {
    #[serde(rename = "packages")]
    Packages(Vec<Chosen>),
    #[serde(rename = "refused")]
    Refused(String),
}

/// A package as dnf names it.
#[derive(Debug, Deserialize)]
struct Chosen {
    repository: String,
    name: String,
    version: String,
    architecture: String,
    sha256: String,
}

/// `run` gives what the script wrote to standard output.
fn solve_with(
    archive: &Archive,
    wanted: &Wanted,
    inside: &str,
    scratch: &str,
    run: impl FnOnce(&State) -> Result<Vec<u8>>,
) -> Result<Solution> {
    if let Some(name) = wanted.packages.iter().find(|name| !is_name(name) || !archive.knows(name)) {
        return Err(archive.unknown(name));
    }
    let released = archive.released();
    if wanted.packages.is_empty() {
        return Ok(Solution { packages: Vec::new(), released });
    }
    let request = Request {
        names: wanted.packages,
        recommends: wanted.recommends,
        release: &archive.release,
        architecture: &archive.architecture,
        repositories: (0..archive.repositories.len())
            .map(|number| Named { id: id(archive, number), folder: format!("{inside}/{number}") })
            .collect(),
        scratch,
    };
    let output = run(&prepare(archive, &request)?)?;
    let unmapped = |answer: String| Error::Unmapped { program: "dnf", answer };
    match serde_json::from_slice(&output) {
        Ok(Answer::Packages(chosen)) => {
            let package = |chosen: &Chosen| find(archive, chosen)?.ok_or_else(|| unmapped(format!("{chosen:?}")));
            let mut packages = chosen.iter().map(package).collect::<Result<Vec<_>>>()?;
            packages.sort_by(|left, right| (&left.name, &left.version).cmp(&(&right.name, &right.version)));
            Ok(Solution { packages, released })
        }
        Ok(Answer::Refused(words)) => Err(Error::Unsatisfiable { program: "dnf", explanation: explain(&words) }),
        Err(_) => Err(unmapped(String::from_utf8_lossy(&output).into_owned())),
    }
}

/// Lays out what dnf is given: the script, the request, and for each repository its indices.
fn prepare(archive: &Archive, request: &Request) -> Result<State> {
    let folder = tempfile::tempdir().map_err(Error::io("making a folder in", std::env::temp_dir()))?;
    let mut files = Vec::new();
    let mut add = |name: String, content: &[u8]| -> Result<()> {
        let path = folder.path().join(name.replace('/', "_"));
        fs::write(&path, content).map_err(Error::io("writing", &path))?;
        files.push((name, path));
        Ok(())
    };
    let path = folder.path().join("request.json");
    let text = serde_json::to_vec(request).map_err(|error| Error::io("writing", path)(error.into()))?;
    add("request.json".to_owned(), &text)?;
    add("solve.py".to_owned(), SCRIPT.as_bytes())?;
    for (number, repository) in archive.repositories.iter().enumerate() {
        add(format!("{number}/repodata/repomd.xml"), repomd(repository).as_bytes())?;
    }
    for (number, repository) in archive.repositories.iter().enumerate() {
        let indices = repository.indices();
        files.extend(indices.map(|(kind, index)| (format!("{number}/{}", file(kind, index)), index.file.clone())));
    }
    Ok(State { files, _folder: folder })
}

/// A `repomd.xml` of the indices that there are: the repository's own lists more.
fn repomd(repository: &Repository) -> String {
    let mut text = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<repomd xmlns=\"http://linux.duke.edu/metadata/repo\">\n<revision>{}</revision>\n",
        repository.released.as_second()
    );
    for (kind, index) in repository.indices() {
        let (part, name) = (&index.part, file(kind, index));
        let _ = writeln!(
            text,
            "<data type=\"{kind}\"><checksum type=\"sha256\">{}</checksum><location href=\"{name}\"/><timestamp>{}</timestamp>\
             <size>{}</size></data>",
            part.sha256, part.timestamp, part.size
        );
    }
    text + "</repomd>\n"
}

/// What an index is called for dnf, which sees by the name how it is packed.
fn file(kind: &str, index: &Index) -> String {
    let form = if kind == "modules" { "yaml" } else { "xml" };
    format!("repodata/{kind}.{form}{}", index.suffix())
}

/// What a repository is called for dnf, which takes letters, digits and `-_.:`, and names it where it explains itself.
fn id(archive: &Archive, number: usize) -> String {
    let plain = |number: usize| {
        archive.repositories[number].name.replace(|c: char| !c.is_ascii_alphanumeric() && c != '_', "-")
    };
    let name = plain(number);
    if (0..number).any(|other| plain(other) == name) { format!("{name}.{number}") } else { name }
}

fn find(archive: &Archive, chosen: &Chosen) -> Result<Option<Package>> {
    let Chosen { repository, name, version, architecture, sha256 } = chosen;
    let same = archive.named(name).iter().find(|row| {
        (&row.version, &row.architecture, &row.sha256) == (version, architecture, sha256)
            && id(archive, row.repository) == *repository
    });
    same.map(|row| archive.package(row)).transpose()
}

/// How many lines of dnf's words are shown.
const LINES: usize = 40;

/// dnf's words as they are shown: indented, each reason once although several problems may have it, and of very many the
/// first.
fn explain(words: &str) -> String {
    let mut seen = BTreeSet::new();
    // The request itself conflicts in every problem.
    let lines = words.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "- conflicting requests");
    let lines = lines.filter(|line| seen.insert(*line));
    let indented = |line: &str| format!("  {}{line}", if line.starts_with("- ") { "  " } else { "" });
    let mut lines: Vec<String> = lines.map(indented).collect();
    let more = lines.len().saturating_sub(LINES);
    lines.truncate(LINES);
    lines.extend((more > 0).then(|| format!("  and {more} lines more")));
    lines.join("\n")
}

#[cfg(test)]
#[path = "solve_tests.rs"]
mod tests;
