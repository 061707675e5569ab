//! The set of packages that apt itself would choose: asked from the distribution's own apt, on the verified indices.
//!
//! apt is given its indices as if it had updated them, an empty dpkg status and no configuration but ours, and simulates an
//! installation. It neither needs a network nor verifies anything: that was done when the archive was opened, and its
//! answer is only accepted as far as it names packages of these indices.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::archive::Archive;
use super::index::is_name;
use crate::archive::{Error, Package, Result, Solution, Wanted};
use crate::sandbox::Sandbox;

/// Where apt finds its state in the sandbox.
const INSIDE: &str = "/run/firstlight-apt";

/// Precedes apt's exit status in what the script gives.
const STATUS: &str = "firstlight: apt-get's status: ";

/// What apt would install on an empty system, in the order in which it would unpack it. apt is run from `tools_root`.
///
/// # Errors
/// A name is unknown, the packages can't be installed together, or apt can't be run.
pub fn solve(archive: &Archive, tools_root: &Path, wanted: &Wanted) -> Result<Solution> {
    solve_with(archive, wanted, INSIDE, |state, arguments| {
        let mut sandbox = Sandbox::of_tools(tools_root).env("APT_CONFIG", &format!("{INSIDE}/apt.conf"));
        for (name, path) in &state.files {
            sandbox = sandbox.bind_ro(path, &format!("{INSIDE}/{name}"));
        }
        // apt explains itself on both streams, and the explanation of a failure is what matters.
        let script = format!("apt-get \"$@\" 2>&1; echo \"{STATUS}$?\"");
        let mut command = vec!["sh", "-c", &script, "apt-get"];
        command.extend(arguments);
        let output = sandbox.run(&command)?;
        Ok(String::from_utf8_lossy(&output).into_owned())
    })
}

/// The files that apt is to find: name below its folder, path on the host.
struct State {
    files: Vec<(String, PathBuf)>,
    /// Holds those that were made for it.
    _folder: tempfile::TempDir,
}

/// `run` gives what apt wrote, with a last line of [`STATUS`] and its exit status.
fn solve_with(
    archive: &Archive,
    wanted: &Wanted,
    inside: &str,
    run: impl FnOnce(&State, &[&str]) -> Result<String>,
) -> Result<Solution> {
    let mut names = if wanted.essential { archive.essential() } else { Vec::new() };
    for name in wanted.packages {
        if !is_name(name) || !archive.knows(name) {
            return Err(archive.unknown(name));
        }
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    if names.is_empty() {
        return Ok(Solution { packages: Vec::new(), released: archive.released() });
    }
    let state = prepare(archive, inside)?;
    let recommends = if wanted.recommends { "--install-recommends" } else { "--no-install-recommends" };
    let mut arguments = vec!["--simulate", "--quiet", "--assume-yes", recommends, "install"];
    arguments.extend(names.iter().map(String::as_str));
    let output = run(&state, &arguments)?;
    let (output, status) = output.rsplit_once(STATUS).unwrap_or((&output, "missing"));
    if status.trim() != "0" {
        return Err(refusal(archive, output));
    }
    let packages = output.lines().filter(|line| line.starts_with("Inst ")).map(|line| chosen(archive, line));
    Ok(Solution { packages: packages.collect::<Result<_>>()?, released: archive.released() })
}

/// Lays out apt's state: configuration, sources, an empty status and the indices as `apt-get update` would have left them.
fn prepare(archive: &Archive, inside: &str) -> Result<State> {
    let folder = tempfile::tempdir().map_err(Error::io("making a folder in", std::env::temp_dir()))?;
    let mut files = Vec::new();
    let mut add = |name: String, content: &str| -> Result<()> {
        let path = folder.path().join(name.replace('/', "_"));
        fs::write(&path, content).map_err(Error::io("writing", &path))?;
        files.push((name, path));
        Ok(())
    };
    let mut sources = String::new();
    for (number, suite) in archive.suites.iter().enumerate() {
        let listed = archive.indices.iter().filter(|located| located.suite == number);
        let mut components: Vec<&str> = listed.filter_map(|located| located.path.split('/').next()).collect();
        components.dedup();
        // The indices were verified; [trusted=yes] keeps apt from asking for a signature that it is not given.
        let _ = writeln!(
            sources,
            "deb [trusted=yes arch={}] http://{}/archive {} {}",
            archive.architecture,
            host(suite.source),
            suite.name,
            components.join(" ")
        );
        add(format!("lists/{}_Release", list_name(suite.source, &suite.name)), &suite.text)?;
    }
    add("sources.list".to_owned(), &sources)?;
    add("status".to_owned(), "")?;
    add("apt.conf".to_owned(), &configuration(inside, &archive.architecture))?;
    for located in &archive.indices {
        let suite = &archive.suites[located.suite];
        let name = format!("lists/{}_{}", list_name(suite.source, &suite.name), located.path.replace('/', "_"));
        files.push((name, located.file.clone()));
    }
    Ok(State { files, _folder: folder })
}

/// A name that can't be anyone's (RFC 6761 §6.4): nothing is ever fetched from it.
fn host(source: usize) -> String {
    format!("source{source}.invalid")
}

/// How apt names the files of a suite in its lists: the URL without its scheme, slashes turned into underscores.
fn list_name(source: usize, suite: &str) -> String {
    format!("{}_archive_dists_{}", host(source), suite.replace('/', "_"))
}

/// Ubuntu's phased updates are chosen for all or, by older apts, by a draw from the machine's id: an image has none.
fn configuration(inside: &str, architecture: &str) -> String {
    format!(
        "Dir \"{inside}/\";\n\
         Dir::Etc::main \"/dev/null\";\n\
         Dir::Etc::parts \"/dev/null\";\n\
         Dir::Etc::sourcelist \"{inside}/sources.list\";\n\
         Dir::Etc::sourceparts \"/dev/null\";\n\
         Dir::Etc::preferences \"/dev/null\";\n\
         Dir::Etc::preferencesparts \"/dev/null\";\n\
         Dir::State \"{inside}/\";\n\
         Dir::State::lists \"{inside}/lists/\";\n\
         Dir::State::status \"{inside}/status\";\n\
         Dir::State::extended_states \"{inside}/extended_states\";\n\
         Dir::Cache \"{inside}/cache/\";\n\
         Dir::Cache::pkgcache \"\";\n\
         Dir::Cache::srcpkgcache \"\";\n\
         Dir::Log \"/dev/null\";\n\
         APT::Architecture \"{architecture}\";\n\
         APT::Architectures {{ \"{architecture}\"; }};\n\
         APT::Install-Suggests \"false\";\n\
         APT::Get::Always-Include-Phased-Updates \"true\";\n\
         APT::Sandbox::User \"root\";\n\
         Acquire::Languages \"none\";\n\
         Debug::NoLocking \"true\";\n"
    )
}

/// `Inst libc6 (2.41-12 Debian:13.7/stable [amd64])`, sometimes with `[]` or names in brackets after it.
fn chosen(archive: &Archive, line: &str) -> Result<Package> {
    let unmapped = || Error::Unmapped { program: "apt", answer: line.to_owned() };
    let (name, version, architecture) = parse_inst(line).ok_or_else(unmapped)?;
    for place in archive.named(name) {
        let package = archive.package(*place)?;
        if package.version == version && package.architecture == architecture {
            return Ok(package);
        }
    }
    Err(unmapped())
}

fn parse_inst(line: &str) -> Option<(&str, &str, &str)> {
    let rest = line.strip_prefix("Inst ")?;
    let (name, rest) = rest.split_once(' ')?;
    let (_, rest) = rest.split_once('(')?;
    let (inner, _) = rest.split_once(')')?;
    let (version, rest) = inner.split_once(' ')?;
    let architecture = rest.rsplit_once('[')?.1.strip_suffix(']')?;
    Some((name.split(':').next()?, version, architecture))
}

/// Why apt refused.
fn refusal(archive: &Archive, output: &str) -> Error {
    let lacking = |line: &str| {
        let name = line.strip_prefix("E: Package '")?.strip_suffix("' has no installation candidate")?;
        archive.named(name).is_empty().then(|| name.to_owned())
    };
    let Some(name) = output.lines().find_map(lacking) else {
        return Error::Unsatisfiable { program: "apt", explanation: explain(output) };
    };
    let providers: BTreeSet<&str> = archive.providers(&name).map(|(place, _)| archive.name(place)).collect();
    Error::Virtual { providers: providers.into_iter().map(str::to_owned).collect(), name }
}

/// What of apt's output explains its failure.
fn explain(output: &str) -> String {
    let noise = [
        "Reading ",
        "Building ",
        "Solving dependencies",
        "NOTE: ",
        "      apt-get needs",
        "      Keep also",
        "      so don't",
        // Nothing is held on an empty system.
        "E: Unable to correct problems",
    ];
    // What a second solver says of the same packages, indented below this announcement.
    let announced = "E: The following information from --solver 3.0 may provide additional context:\n";
    let (first, second) = output.split_once(announced).unwrap_or((output, ""));
    let second = second.lines().map(|line| line.strip_prefix("   ").unwrap_or(line));
    let lines = first.lines().chain(second).map(str::trim_end).filter(|line| !line.is_empty());
    let lines = lines.filter(|line| !noise.iter().any(|start| line.starts_with(start)));
    let mut text: Vec<String> = lines.map(|line| format!("  {line}")).collect();
    // The explanation comes last; a long list of packages before it explains nothing.
    let start =
        text.iter().position(|line| line.contains("unmet dependencies")).unwrap_or(text.len().saturating_sub(40));
    text.drain(..start);
    text.join("\n")
}

#[cfg(test)]
#[path = "solve_tests.rs"]
mod tests;
