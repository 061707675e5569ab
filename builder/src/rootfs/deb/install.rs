//! Installs packages by the target's own dpkg, on a host that needs none.
//!
//! The essential packages and what they depend on are laid out first, unregistered, so that there is a dpkg to run. It
//! then installs them in earnest, and after them the others in the order that apt chose, everything unpacked before
//! anything is configured as far as `Pre-Depends` lets it. What packages would have made several times is made once
//! ([`super::shortcuts`]).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;

use super::control::{self, Control, Set};
use super::inflate::{Inflating, Job};
use super::shortcuts::{self, Shortcuts};
use super::{PackageError, clean, extract, sources};
use crate::archive::{Package, Solution};
use crate::parallel::joined;
use crate::recipe::base::Base;
use crate::rootfs::Error;
use crate::rootfs::accounts::Accounts;
use crate::rootfs::item::Owners;
use crate::rootfs::overlay::EarlyFile;
use crate::rootfs::tree::{Owner, Tree, set_mode};
use crate::sandbox::Sandbox;

/// Where the packages are seen inside; on a tmpfs, so that it leaves no trace.
const DEBS: &str = "/run/firstlight/debs";
/// What the initramfs is made from, besides packages.
pub const EARLY: [&str; 4] =
    ["etc/default/amd64-microcode", "etc/default/intel-microcode", "etc/fstab", "etc/initramfs-tools"];
const APT_PARTIAL: [&str; 2] = ["var/cache/apt/archives/partial", "var/lib/apt/lists/partial"];
const POLICY: &str = "usr/sbin/policy-rc.d";
/// invoke-rc.d (8): 101 says that no action is allowed.
const NOTHING_STARTS: &[u8] = b"#!/bin/sh\nexit 101\n";

/// What [`install`] is to do.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The packages, in apt's order.
    pub solution: &'a Solution,
    /// Each package's verified file, in the same order.
    pub debs: &'a [PathBuf],
    /// The base, whose mirrors become the machine's own package sources.
    pub base: &'a Base,
    /// The names that were asked for; apt takes all others for installed because something needed them.
    pub requested: &'a BTreeSet<String>,
    /// What must be there before packages are configured. A package's configuration file of the same name gives way.
    pub early: &'a [EarlyFile],
    /// The file that everything the packages say is appended to.
    pub log: &'a Path,
    /// An empty folder for packages without their compression, each until it is unpacked.
    pub inflated: &'a Path,
}

impl Request<'_> {
    /// The name of the file of package `index`, as the archive gives it.
    fn file(&self, index: usize) -> &str {
        let path = &self.solution.packages[index].path;
        path.rsplit('/').next().unwrap_or(path)
    }

    fn job(&self, index: usize) -> Job {
        Job { deb: self.debs[index].clone(), to: self.inflated.join(self.file(index)) }
    }
}

/// Makes the empty folder `root` a root file system with exactly the packages of the request, in which dpkg and apt
/// find nothing amiss, nothing was started, and nothing tells of the host or of the time.
///
/// # Errors
/// [`Error`]; `root` is then of no use.
pub fn install(request: &Request<'_>, root: &Path) -> Result<(), Error> {
    let controls = request.debs.iter().map(|deb| control::read(deb)).collect::<Result<Vec<_>, _>>()?;
    let set = Set::new(&controls);
    let first = |index: &usize| controls[*index].essential;
    let essential = set.closure((0..controls.len()).filter(first));
    let essential: Vec<usize> = essential.into_iter().collect();
    let rest = (0..controls.len()).filter(|index| !essential.contains(index));
    let order: Vec<usize> = essential.iter().copied().chain(rest).collect();
    let jobs: Vec<Job> = order.iter().map(|index| request.job(*index)).collect();
    Inflating::during(&jobs, |inflating| {
        let wait = |index: usize| order.iter().position(|one| *one == index).map_or(Ok(()), |job| inflating.wait(job));
        install_inflated(
            request,
            &Packages { controls: &controls, set: &set, essential: &essential, wait: &wait },
            root,
        )
    })
}

/// The packages that are installed, by their number in the request.
struct Packages<'a> {
    controls: &'a [Control],
    set: &'a Set<'a>,
    essential: &'a [usize],
    /// Waits until one has been inflated.
    wait: &'a dyn Fn(usize) -> Result<(), PackageError>,
}

fn install_inflated(request: &Request<'_>, packages: &Packages<'_>, root: &Path) -> Result<(), Error> {
    let Packages { controls, set, essential, wait } = *packages;
    let tree = Tree::open(root).map_err(Error::io("opening the root folder", root))?;
    lay_out(request, packages, root, &tree)?;
    let dpkg = Dpkg::new(request, root, wait);
    dpkg.unpack(essential, &["--force-depends"])?;
    dpkg.run(&["--configure", "--pending"])?;
    install_rest(&dpkg, controls, set, essential)?;
    tree.remove(Path::new(POLICY)).map_err(Error::io("removing", Path::new(POLICY)))?;
    sources::write(request.base, &tree)?;
    mark_automatic(request, controls, essential, &tree)?;
    give_to_apt(&tree)?;
    let (sandbox, in_there) = (&dpkg.sandbox, &tree);
    thread::scope(|scope| {
        let last = scope.spawn(|| shortcuts::run_at_the_end(sandbox, in_there));
        verify(sandbox, request.solution, in_there).and(joined(last))
    })?;
    clean::after_install(&tree)
}

/// Extracts the essential packages, and writes what dpkg and maintainer scripts must find.
fn lay_out(request: &Request<'_>, packages: &Packages<'_>, root: &Path, tree: &Tree) -> Result<(), Error> {
    let Packages { controls, essential, wait, .. } = *packages;
    let extract = |index: &usize| {
        wait(*index)?;
        extract::extract(&request.job(*index).to, root, Owners::Keep)
    };
    extract::merge_usr(root)?;
    // Through what base-files brings others may have paths.
    let is_base = |index: &&usize| controls[**index].package == "base-files";
    essential.iter().filter(is_base).try_for_each(extract)?;
    essential.iter().filter(|index| !is_base(index)).try_for_each(extract)?;
    let files = [("var/lib/dpkg/status", b"".as_slice(), 0o644), (POLICY, NOTHING_STARTS, 0o755)].into_iter();
    let files = files.map(|(path, content, mode)| (Path::new(path), content, mode));
    let early = request.early.iter().map(|file| (file.path.as_path(), file.content.as_slice(), file.mode));
    for (path, content, mode) in files.chain(early) {
        tree.write(path, content, mode, Owner::ROOT).map_err(Error::io("writing", path))?;
    }
    Ok(())
}

/// Unpacks what is left in apt's order. Where a package's `Pre-Depends` asks for one that is only unpacked, that one
/// is configured first, with what it needs.
fn install_rest(dpkg: &Dpkg<'_>, controls: &[Control], set: &Set<'_>, done: &[usize]) -> Result<(), Error> {
    let mut configured: BTreeSet<usize> = done.iter().copied().collect();
    let mut unpacked = configured.clone();
    let mut batch = Vec::new();
    for index in (0..controls.len()).filter(|index| !done.contains(index)) {
        let wanted = set.closure(set.satisfying(&controls[index].pre_depends));
        let ready = |index: &usize| set.closure([*index]).is_subset(&unpacked);
        let wanted: Vec<usize> = wanted.difference(&configured).copied().filter(ready).collect();
        if !wanted.is_empty() {
            dpkg.unpack(&std::mem::take(&mut batch), &[])?;
            let names: Vec<String> = wanted.iter().map(|index| dpkg.name(*index)).collect();
            let words = ["--no-triggers", "--configure"].into_iter().chain(names.iter().map(String::as_str));
            dpkg.run(&words.collect::<Vec<_>>())?;
            configured.extend(wanted);
        }
        batch.push(index);
        unpacked.insert(index);
    }
    dpkg.unpack(&batch, &[])?;
    dpkg.configure_all()
}

/// Tells apt (`apt-mark(8)`) which packages are there only because others need them, so that `apt autoremove` on the
/// machine knows them, as it would had apt itself installed them upon the essential ones.
fn mark_automatic(request: &Request<'_>, controls: &[Control], essential: &[usize], tree: &Tree) -> Result<(), Error> {
    let native = &request.base.architecture;
    let mark = |name: &str| format!("Package: {name}\nArchitecture: {native}\nAuto-Installed: 1\n\n");
    let others = (0..controls.len()).filter(|index| !essential.contains(index));
    let names: BTreeSet<&str> = others.map(|index| controls[index].package.as_str()).collect();
    let marks: String = names.into_iter().filter(|name| !request.requested.contains(*name)).map(mark).collect();
    let path = Path::new("var/lib/apt/extended_states");
    tree.write(path, marks.as_bytes(), 0o644, Owner::ROOT).map_err(Error::io("writing", path))
}

/// Leaves the folders of unfinished downloads as apt leaves them when it has downloaded something: to the account that it
/// downloads by, and to nobody else.
fn give_to_apt(tree: &Tree) -> Result<(), Error> {
    let accounts = Accounts::load(tree).map_err(Error::io("reading accounts below", Path::new("etc")))?;
    let Some(uid) = accounts.users.get("_apt") else { return Ok(()) };
    for path in APT_PARTIAL.map(Path::new) {
        let give = || {
            let folder = tree.make_folders(path)?;
            Owner { uid: *uid, gid: 0 }.set(&folder)?;
            set_mode(&folder, 0o700)
        };
        give().map_err(Error::io("giving apt", path))?;
    }
    Ok(())
}

/// The target's dpkg in a sandbox.
struct Dpkg<'a> {
    sandbox: Sandbox,
    request: &'a Request<'a>,
    wait: &'a dyn Fn(usize) -> Result<(), PackageError>,
}

impl<'a> Dpkg<'a> {
    fn new(request: &'a Request<'a>, root: &Path, wait: &'a dyn Fn(usize) -> Result<(), PackageError>) -> Self {
        let released = request.solution.released.as_second().to_string();
        let sandbox = Sandbox::new(root).log(request.log).env("SOURCE_DATE_EPOCH", &released);
        Self { sandbox: sandbox.bind_ro(request.inflated, DEBS), request, wait }
    }

    fn run(&self, words: &[&str]) -> Result<(), Error> {
        // --force-confold: an early file stays as it is. The log would tell the time.
        let first = ["dpkg", "--force-unsafe-io", "--force-confold", "--log=/dev/null"];
        self.sandbox.run(&first.iter().chain(words).copied().collect::<Vec<_>>())?;
        Ok(())
    }

    /// Configures everything, by [`Shortcuts`].
    fn configure_all(&self) -> Result<(), Error> {
        let tree = Tree::open(self.sandbox.root()).map_err(Error::io("opening", self.sandbox.root()))?;
        let shortcuts = Shortcuts::new(self.request.inflated, &tree);
        let shortcuts = &shortcuts.map_err(Error::io("writing programs to", self.request.inflated))?;
        let plain = &self.sandbox;
        thread::scope(|scope| {
            let beside = scope.spawn(|| shortcuts.run_beside(plain));
            let dpkg = Self { sandbox: shortcuts.before(plain), ..*self };
            let configured = dpkg.run(&["--configure", "--pending"]);
            let enabled = configured.and_then(|()| Ok(shortcuts.enable_units(&dpkg.sandbox)?));
            let beside = joined(beside);
            enabled.and(Ok(beside?))
        })
    }

    fn unpack(&self, which: &[usize], options: &[&str]) -> Result<(), Error> {
        if which.is_empty() {
            return Ok(());
        }
        which.iter().try_for_each(|index| (self.wait)(*index))?;
        let debs: Vec<String> = which.iter().map(|index| format!("{DEBS}/{}", self.request.file(*index))).collect();
        let words = options.iter().copied().chain(["--no-triggers", "--unpack"]);
        self.run(&words.chain(debs.iter().map(String::as_str)).collect::<Vec<_>>())?;
        for path in which.iter().map(|index| self.request.job(*index).to) {
            fs::remove_file(&path).map_err(Error::io("removing", &path))?;
        }
        Ok(())
    }

    fn name(&self, index: usize) -> String {
        let package = &self.request.solution.packages[index];
        match package.architecture.as_str() {
            "all" => package.name.clone(),
            architecture => format!("{}:{architecture}", package.name),
        }
    }
}

/// dpkg and apt find nothing amiss, and what is installed is what was to be.
fn verify(sandbox: &Sandbox, solution: &Solution, tree: &Tree) -> Result<(), Error> {
    let audit = sandbox.run(&["dpkg", "--audit"])?;
    if !audit.trim_ascii().is_empty() {
        return Err(Error::Audit(String::from_utf8_lossy(&audit).into_owned()));
    }
    if solution.packages.iter().any(|package| package.name == "apt") {
        let no_cache = ["-o", "Dir::Cache::pkgcache=", "-o", "Dir::Cache::srcpkgcache="];
        sandbox.run(&[&["apt-get", "-q"], no_cache.as_slice(), &["check"]].concat())?;
    }
    let path = Path::new("var/lib/dpkg/status");
    let status = tree.read(path).map_err(Error::io("reading", path))?.unwrap_or_default();
    compare(&installed(&String::from_utf8_lossy(&status)), solution)
}

/// Name and architecture to version and status, of each package that dpkg knows.
fn installed(status: &str) -> BTreeMap<(String, String), (String, String)> {
    let paragraph = |paragraph: &str| {
        let mut fields = control::fields(paragraph);
        let mut take = |name: &str| fields.remove(name).unwrap_or_default();
        ((take("package"), take("architecture")), (take("version"), take("status")))
    };
    status.split("\n\n").filter(|text| !text.trim().is_empty()).map(paragraph).collect()
}

fn compare(installed: &BTreeMap<(String, String), (String, String)>, solution: &Solution) -> Result<(), Error> {
    let mut rest = installed.clone();
    let mut wrong = Vec::new();
    for package in &solution.packages {
        let Package { name, version, architecture, .. } = package;
        match rest.remove(&(name.clone(), architecture.clone())) {
            Some((found, status)) if found == *version && status == "install ok installed" => {}
            Some((found, status)) => wrong.push(format!("{name} {version}: found {found}, `{status}`")),
            None => wrong.push(format!("{name} {version}: not installed")),
        }
    }
    wrong.extend(rest.into_iter().map(|((name, _), (version, _))| format!("{name} {version}: was not asked for")));
    if wrong.is_empty() { Ok(()) } else { Err(Error::OtherPackages(wrong)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn solution() -> Solution {
        let package = |name: &str, version: &str| Package {
            name: name.to_owned(),
            version: version.to_owned(),
            architecture: "amd64".to_owned(),
            source: 0,
            path: format!("pool/main/{name}_1%3a2.deb"),
            size: 1,
            installed_size: 1,
            sha256: String::new(),
            essential: false,
        };
        Solution { packages: vec![package("a", "1"), package("b", "2")], released: jiff::Timestamp::UNIX_EPOCH }
    }

    #[test]
    fn each_difference_to_what_was_to_be_installed_is_told() {
        let status = |b: &str| {
            format!("Package: a\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1\n\nPackage: b\n{b}\n")
        };
        let told = |text: &str| match compare(&installed(text), &solution()) {
            Err(Error::OtherPackages(wrong)) => wrong,
            _ => Vec::new(),
        };
        let good = status("Status: install ok installed\nArchitecture: amd64\nVersion: 2\n");
        assert_eq!(told(&good), Vec::<String>::new());
        let half = status("Status: install ok half-configured\nArchitecture: amd64\nVersion: 2\n");
        assert_eq!(told(&half), ["b 2: found 2, `install ok half-configured`"]);
        let old = status("Status: install ok installed\nArchitecture: amd64\nVersion: 1.9\n");
        assert_eq!(told(&old), ["b 2: found 1.9, `install ok installed`"]);
        let more = good + "\nPackage: c\nStatus: install ok installed\nArchitecture: all\nVersion: 3\n";
        assert_eq!(told(&more), ["c 3: was not asked for"]);
        assert_eq!(told(""), ["a 1: not installed", "b 2: not installed"]);
    }
}
