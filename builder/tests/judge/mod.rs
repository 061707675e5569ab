//! The judge of a choice of packages: the distribution's own apt, in a root that mmdebstrap made, on the lists that it
//! fetched and verified itself. Nothing of Firstlight's has touched that root, its indices or its programs.
//!
//! The apt of Debian 13 and not the host's: its solver is of another version, and where the two differ,
//! the one that the image's admin will use is right. mmdebstrap takes the packages by their names only (`extract`), so
//! that no maintainer script runs and dpkg's status stays empty, as it is when an image is begun.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use firstlight::archive::{Archive, Package};
use firstlight::recipe::base::Base;

/// An empty folder below `target/`. It stays after the tests, since what a static holds is never dropped; the next run
/// empties it.
pub fn empty_folder(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if folder.exists() {
        fs::remove_dir_all(&folder).unwrap();
    }
    fs::create_dir_all(&folder).unwrap();
    folder
}

pub struct Judge {
    root: PathBuf,
}

/// The packages, `name=version`; or apt's explanation, without what it tells of its progress.
pub type Verdict = Result<BTreeSet<String>, String>;

/// All that a system needs, told by apt itself. apt counts itself among them, the distribution does not.
const ESSENTIAL: &str = "?and(?essential,?not(?exact-name(apt)))";

impl Judge {
    /// Lays out the root from the mirrors that `archive` was found at. Needs root and mmdebstrap.
    pub fn new(base: &Base, keyring: &str, archive: &Archive) -> Self {
        let root = empty_folder("judge");
        let mut command = Command::new("mmdebstrap");
        command.args(["--quiet", "--mode=root", "--format=directory", "--variant=extract", "--skip=cleanup/apt"]);
        command.args(["--include=apt,base-files,dpkg,libc-bin", "--architectures=amd64", "trixie"]).arg(&root);
        for (number, source) in base.sources.iter().enumerate() {
            let package = Package { source: number, path: String::new(), ..archive.newest("bash").unwrap() };
            let mirror = archive.downloads(&[package]).remove(0).urls.remove(0);
            for suite in &source.suites {
                let components = source.components.join(" ");
                command.arg(format!("deb [signed-by={keyring}] {mirror} {suite} {components}"));
            }
        }
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { root }
    }

    fn apt(&self, program: &str, arguments: &[&str]) -> (bool, String) {
        let mut command = Command::new("chroot");
        command.arg(&self.root).args([program, "-q"]).args(arguments);
        let output = command.env("LC_ALL", "C.UTF-8").output().unwrap();
        let told = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(told).unwrap())
    }

    /// The names of all packages of its lists, sorted.
    pub fn names(&self) -> Vec<String> {
        let (listed, told) = self.apt("apt-cache", &["pkgnames"]);
        assert!(listed, "{told}");
        let names: BTreeSet<&str> = told.lines().collect();
        names.into_iter().map(str::to_owned).collect()
    }

    /// What apt would install of `names` on an empty system, without recommended packages.
    pub fn choose(&self, names: &[String], essential: bool) -> Verdict {
        let mut arguments = vec!["--simulate", "--no-install-recommends", "install"];
        arguments.extend(essential.then_some(ESSENTIAL));
        arguments.extend(names.iter().map(String::as_str));
        let (possible, told) = self.apt("apt-get", &arguments);
        if !possible {
            return Err(told);
        }
        let words =
            told.lines().filter(|line| line.starts_with("Inst ")).map(|line| line.split(' ').collect::<Vec<_>>());
        Ok(words.map(|words| format!("{}={}", words[1], words[2].trim_start_matches('('))).collect())
    }
}
