//! The packages that the base names: that they exist, that the tools root can be made of them, and that the distribution's own
//! solver would install each set that an image may have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use super::{Line, State, Subject, Wrong, below};
use crate::archive::{self, Archive, Package, Solution, Wanted};
use crate::progress::bytes;
use crate::recipe::schema::Target;
use crate::stage::Stages;
use crate::tools;

/// What every tools root must have: file systems are made by it.
const TOOL: &str = "usr/sbin/mke2fs";

/// What was found.
pub(super) struct Found {
    pub lines: Vec<Line>,
    /// The packages of an image for servers without a platform, where there can be one.
    pub system: Option<Solution>,
    /// Of each source that any solution has packages of, the smallest.
    pub samples: BTreeMap<usize, Package>,
}

impl Found {
    fn sample(&mut self, solution: &Solution) {
        for package in &solution.packages {
            let sample = self.samples.entry(package.source).or_insert_with(|| package.clone());
            if package.size < sample.size {
                sample.clone_from(package);
            }
        }
    }
}

/// A list of the base's, with its key.
struct Named<'a> {
    key: String,
    names: &'a [String],
}

/// Looks for the packages in `archive`.
pub(super) fn lines(subject: &Subject<'_>, archive: &Archive, stages: &Stages) -> Found {
    let base = subject.base;
    let named = |key: String, names| Named { key, names };
    let kernels: Vec<Named<'_>> =
        base.kernel.iter().map(|(target, names)| named(format!("kernel.{}", target_name(*target)), names)).collect();
    let platforms: Vec<Named<'_>> =
        base.platforms.iter().map(|(kind, names)| named(format!("platforms.{kind}"), names)).collect();
    let (packages, tools) = (named("packages".to_owned(), &base.packages), named("tools".to_owned(), &base.tools));
    let all = [&packages, &tools].into_iter().chain(&kernels).chain(&platforms);
    let lines = all.flat_map(|list| unknown(subject, archive, list)).collect();
    let mut found = Found { lines, system: None, samples: BTreeMap::new() };
    let wrong: BTreeSet<String> = found.lines.iter().map(|line| line.what.clone()).collect();
    let right = |list: &Named<'_>| !wrong.contains(&list.key);
    if !right(&packages) || !right(&tools) {
        return found;
    }
    let root = match tools_root(subject, archive, stages) {
        Ok((line, root)) => {
            found.lines.push(line);
            root
        }
        Err(line) => {
            found.lines.push(line);
            return found;
        }
    };
    let solver = Solver { subject, archive, stages, root: &root };
    let mut kernel: &[String] = &[];
    for list in kernels.iter().filter(|list| right(list)) {
        let solved = solver.solve(list, &[]);
        found.lines.push(solver.line(list, &solved, kernels_of));
        if let Ok(solution) = solved {
            found.sample(&solution);
            if found.system.is_none() {
                (kernel, found.system) = (list.names, Some(solution));
            }
        }
    }
    for list in platforms.iter().filter(|list| right(list)) {
        let solved = solver.solve(list, kernel);
        found.lines.push(solver.line(list, &solved, |solution| {
            format!("{} packages, {}", solution.packages.len(), bytes(solution.download_size()))
        }));
        if let Ok(solution) = solved {
            found.sample(&solution);
        }
    }
    found
}

/// The distribution's own solver.
struct Solver<'a> {
    subject: &'a Subject<'a>,
    archive: &'a Archive,
    stages: &'a Stages,
    root: &'a Path,
}

impl Solver<'_> {
    /// What it would install for the packages of every image, those of a list, and `more`.
    fn solve(&self, list: &Named<'_>, more: &[String]) -> archive::Result<Solution> {
        let mut names: Vec<String> = Vec::new();
        for name in self.subject.base.packages.iter().chain(list.names).chain(more) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        let wanted = Wanted { packages: &names, recommends: false, essential: true };
        archive::solve_once(self.archive, self.root, &wanted, self.stages, self.subject.workshop.progress)
    }

    fn line(&self, list: &Named<'_>, solved: &archive::Result<Solution>, tell: impl Fn(&Solution) -> String) -> Line {
        match solved {
            Ok(solution) => Line::ok(list.key.as_str(), tell(solution)),
            Err(error) => Wrong::of(error, self.subject.now).line(list.key.as_str()),
        }
    }
}

fn target_name(target: Target) -> &'static str {
    match target {
        Target::Metal => "metal",
        Target::Cloud => "cloud",
        Target::Both => "both",
    }
}

/// A line for each name that no package has.
fn unknown(subject: &Subject<'_>, archive: &Archive, list: &Named<'_>) -> Vec<Line> {
    let errors = list.names.iter().filter_map(|name| archive.newest(name).err());
    errors.map(|error| Wrong::of(&error, subject.now).line(list.key.as_str())).collect()
}

/// The kernels of a solution, by the names that kernels have in both families.
fn kernels_of(solution: &Solution) -> String {
    let kernel = |name: &str| name.starts_with("linux-image") || name.starts_with("kernel-core");
    let kernels = solution.packages.iter().filter(|package| kernel(&package.name));
    let told: Vec<String> = kernels.map(|package| format!("{} {}", package.name, package.version)).collect();
    let size = bytes(solution.download_size());
    format!("{} of {} packages, {size}", told.join(", "), solution.packages.len())
}

/// The tools root, made and looked into.
fn tools_root(subject: &Subject<'_>, archive: &Archive, stages: &Stages) -> Result<(Line, PathBuf), Line> {
    let workshop = subject.workshop;
    let packages =
        archive.closure(&subject.base.tools).map_err(|error| Wrong::of(&error, subject.now).line("tools"))?;
    let made = tools::root(&packages, &archive.downloads(&packages), &subject.larder(), stages, workshop.progress);
    let root = made.map_err(|error| Wrong::of_tools(&error, subject.now).line("tools"))?;
    if below(&root, TOOL).exists() || below(&root, "sbin/mke2fs").exists() {
        let size = packages.iter().map(|package| package.size).sum();
        return Ok((Line::ok("tools", format!("{} packages, {}", packages.len(), bytes(size))), root));
    }
    Err(Line {
        state: State::Fail,
        what: "tools".to_owned(),
        found: format!("{} packages without mke2fs", packages.len()),
        expected: Some(format!("one with /{TOOL}")),
        hint: Some("add `e2fsprogs` to `tools`".to_owned()),
    })
}
