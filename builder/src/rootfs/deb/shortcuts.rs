//! What maintainer scripts call while packages are configured, done in less time.
//!
//! Programs of the same names come first on `PATH`. What they leave undone is done beside configuring where it takes nothing
//! but what packages have unpacked ([`BESIDE`]), else once at the end ([`AT_THE_END`]), or, for systemd's units, together
//! (`shortcuts/deb-systemd-helper`). A script that calls a program by its full path gets the same, only later.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::parallel;
use crate::rootfs::Error;
use crate::rootfs::tree::Tree;
use crate::sandbox::{self, PATH, Sandbox};

/// Where the programs are seen inside.
const PROGRAMS: &str = "/run/firstlight/bin";
/// Where units are collected inside.
const UNITS: &str = "/run/firstlight/units";
const DEB_SYSTEMD_HELPER: Program =
    Program { path: "usr/bin/deb-systemd-helper", stand_in: include_bytes!("shortcuts/deb-systemd-helper") };
const MODULES: &str = "usr/lib/modules";

/// Programs that take only what packages have unpacked, and settings of the admin in a folder.
const BESIDE: [Beside; 2] = [
    Beside {
        program: Program { path: "usr/sbin/depmod", stand_in: include_bytes!("shortcuts/depmod") },
        settings: "etc/depmod.d",
        commands: |tree| {
            let mut commands = Vec::new();
            for kernel in tree.list(Path::new(MODULES))?.into_iter().filter_map(|name| name.into_string().ok()) {
                if is_there(tree, &format!("{MODULES}/{kernel}/modules.order"))? {
                    commands.push(vec!["depmod".to_owned(), kernel]);
                }
            }
            Ok(commands)
        },
    },
    Beside {
        program: Program { path: "usr/bin/systemd-hwdb", stand_in: include_bytes!("shortcuts/systemd-hwdb") },
        settings: "etc/udev/hwdb.d",
        commands: |_| Ok(vec![["systemd-hwdb", "--usr", "update"].map(str::to_owned).to_vec()]),
    },
];

/// Programs that would run several times, and run once at the end, beside each other: each kernel, and then a trigger, would make the
/// initramfs anew, and ca-certificates its bundle.
const AT_THE_END: [(Program, &[&str]); 2] = [
    (Program { path: "usr/sbin/update-initramfs", stand_in: LATER }, &["update-initramfs", "-c", "-k", "all"]),
    (Program { path: "usr/sbin/update-ca-certificates", stand_in: LATER }, &["update-ca-certificates"]),
];
const LATER: &[u8] = include_bytes!("shortcuts/later");

/// A program of the root, and what comes before it.
#[derive(Clone, Copy)]
struct Program {
    path: &'static str,
    stand_in: &'static [u8],
}

struct Beside {
    program: Program,
    /// Where files of packages come only when these are configured.
    settings: &'static str,
    commands: fn(&Tree) -> io::Result<Vec<Vec<String>>>,
}

/// The stand-ins of one root file system's programs.
pub(super) struct Shortcuts {
    folder: TempDir,
    beside: Vec<Vec<String>>,
}

impl Shortcuts {
    /// Those for the programs that are in `tree`, in a new folder in `work`.
    pub(super) fn new(work: &Path, tree: &Tree) -> io::Result<Self> {
        let mut this = Self { folder: TempDir::new_in(work)?, beside: Vec::new() };
        fs::create_dir(this.programs())?;
        fs::create_dir(this.units())?;
        this.put(DEB_SYSTEMD_HELPER, tree)?;
        for (program, _) in AT_THE_END {
            this.put(program, tree)?;
        }
        for Beside { program, settings, commands } in BESIDE {
            if tree.list(Path::new(settings))?.is_empty() && this.put(program, tree)? {
                this.beside.extend(commands(tree)?);
            }
        }
        Ok(this)
    }

    fn programs(&self) -> PathBuf {
        self.folder.path().join("bin")
    }

    fn units(&self) -> PathBuf {
        self.folder.path().join("units")
    }

    /// Whether the program is there, and now stood before.
    fn put(&self, program: Program, tree: &Tree) -> io::Result<bool> {
        if !is_there(tree, program.path)? {
            return Ok(false);
        }
        let path = self.programs().join(Path::new(program.path).file_name().unwrap_or_default());
        fs::write(&path, program.stand_in)?;
        fs::set_permissions(&path, Permissions::from_mode(0o755))?;
        Ok(true)
    }

    /// `sandbox` with the stand-ins.
    pub(super) fn before(&self, sandbox: &Sandbox) -> Sandbox {
        let sandbox = sandbox.clone().bind_ro(&self.programs(), PROGRAMS).bind(&self.units(), UNITS);
        sandbox.env("PATH", &format!("{PROGRAMS}:{PATH}"))
    }

    /// Runs in `sandbox`, which has no stand-ins, what may run while packages are configured.
    pub(super) fn run_beside(&self, sandbox: &Sandbox) -> Result<(), sandbox::Error> {
        self.beside
            .iter()
            .try_for_each(|command| sandbox.run(&command.iter().map(String::as_str).collect::<Vec<_>>()).map(drop))
    }

    /// Enables in `sandbox`, which has the stand-ins, the units that were collected.
    pub(super) fn enable_units(&self, sandbox: &Sandbox) -> Result<(), sandbox::Error> {
        let name = Path::new(DEB_SYSTEMD_HELPER.path).file_name().unwrap_or_default();
        if self.programs().join(name).exists() {
            sandbox.run(&["deb-systemd-helper", "flush"])?;
        }
        Ok(())
    }
}

/// Runs in `sandbox`, which has no stand-ins, what is to run once when all packages are configured.
pub(super) fn run_at_the_end(sandbox: &Sandbox, tree: &Tree) -> Result<(), Error> {
    let mut commands = Vec::new();
    for (program, command) in AT_THE_END {
        let path = Path::new(program.path);
        if is_there(tree, program.path).map_err(Error::io("looking for", path))? {
            commands.push(command);
        }
    }
    Ok(parallel::each(&commands, |command| sandbox.run(command).map(drop))?)
}

fn is_there(tree: &Tree, path: &str) -> io::Result<bool> {
    let stat = tree.find(Path::new(path))?.map(|place| place.stat()).transpose()?;
    Ok(stat.flatten().is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root(files: &[&str]) -> (TempDir, Tree) {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        let tree = Tree::open(root.path()).unwrap();
        (root, tree)
    }

    fn stood_before(shortcuts: &Shortcuts) -> Vec<String> {
        let entries = fs::read_dir(shortcuts.programs()).unwrap();
        let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn only_programs_that_are_there_are_stood_before() {
        let work = tempfile::tempdir().unwrap();
        let (_root, tree) = root(&["usr/bin/deb-systemd-helper", "usr/sbin/update-initramfs"]);
        let shortcuts = Shortcuts::new(work.path(), &tree).unwrap();
        assert_eq!(stood_before(&shortcuts), ["deb-systemd-helper", "update-initramfs"]);
        assert_eq!(shortcuts.beside, Vec::<Vec<String>>::new());
    }

    #[test]
    fn the_kernels_of_packages_are_looked_through_beside_configuring() {
        let work = tempfile::tempdir().unwrap();
        let kernel = ["usr/sbin/depmod", "usr/lib/modules/6.1/modules.order", "usr/lib/modules/other/README"];
        let (_root, tree) = root(&kernel);
        let shortcuts = Shortcuts::new(work.path(), &tree).unwrap();
        assert_eq!(shortcuts.beside, [["depmod", "6.1"]]);
        // What a package sets comes only when it is configured.
        let (_root, tree) = root(&[kernel.as_slice(), &["etc/depmod.d/a.conf.dpkg-new"]].concat());
        let shortcuts = Shortcuts::new(work.path(), &tree).unwrap();
        assert_eq!((shortcuts.beside.len(), stood_before(&shortcuts)), (0, Vec::new()));
    }

    #[test]
    fn stand_ins_are_programs_of_the_shell() {
        let stand_ins = BESIDE.iter().map(|beside| beside.program);
        for program in stand_ins.chain(AT_THE_END.map(|(program, _)| program)).chain([DEB_SYSTEMD_HELPER]) {
            let work = tempfile::tempdir().unwrap();
            let path = work.path().join("stand-in");
            fs::write(&path, program.stand_in).unwrap();
            let status = std::process::Command::new("sh").arg("-n").arg(&path).status().unwrap();
            assert!(status.success(), "{}", program.path);
        }
    }

    /// Runs the stand-in of deb-systemd-helper with each of `calls`, with the real one, its state and the collected units in a folder of this
    /// test; gives the exit status of each call, and what the real one was called with. It can't enable `bad.service`.
    fn helped(calls: &[&str], state: &[&str]) -> (Vec<i32>, String) {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let (real, called) = (at("real"), at("called"));
        let script = format!("#!/bin/sh\necho \"$*\" >>{}\ncase \"$*\" in *bad*) exit 1 ;; esac\n", called.display());
        fs::write(&real, script).unwrap();
        fs::set_permissions(&real, Permissions::from_mode(0o755)).unwrap();
        fs::create_dir(at("units")).unwrap();
        for path in state {
            fs::create_dir_all(at(path).parent().unwrap()).unwrap();
            fs::write(at(path), "").unwrap();
        }
        let text = String::from_utf8(DEB_SYSTEMD_HELPER.stand_in.to_vec()).unwrap();
        let text = text.replace("/usr/bin/deb-systemd-helper", &real.display().to_string());
        let text = text.replace("/var/lib/systemd/", &format!("{}/", folder.path().display()));
        fs::write(at("stand-in"), text.replace(UNITS, &at("units").display().to_string())).unwrap();
        let call = |words: &&str| {
            let mut command = std::process::Command::new("sh");
            command.arg(at("stand-in")).args(words.split(' ')).status().unwrap().code().unwrap()
        };
        (calls.iter().map(call).collect(), fs::read_to_string(called).unwrap_or_default())
    }

    #[test]
    fn units_are_enabled_together_and_what_has_nothing_to_do_is_not_called() {
        let unit = ["unmask a.service", "--quiet was-enabled a.service", "enable a.service"];
        let (status, called) =
            helped(&[unit.as_slice(), &["enable b.timer", "--user enable c.socket", "flush"]].concat(), &[]);
        assert_eq!(
            (status, called.as_str()),
            (vec![0; 6], "--system enable a.service b.timer\n--user enable c.socket\n")
        );
    }

    #[test]
    fn who_asks_for_more_finds_the_collected_units_enabled() {
        let (_, called) = helped(&["enable a.service", "debian-installed a.service", "flush"], &[]);
        assert_eq!(called, "--system enable a.service\ndebian-installed a.service\n");
    }

    #[test]
    fn a_unit_that_cannot_be_enabled_keeps_no_other_from_it() {
        let (status, called) = helped(&["enable bad.service", "enable b.service", "flush"], &[]);
        let each = "--system enable bad.service b.service\n--system enable bad.service\n--system enable b.service\n";
        assert_eq!((status, called.as_str()), (vec![0; 3], each));
    }

    #[test]
    fn what_was_masked_or_enabled_before_is_left_to_the_real_one() {
        let state = ["deb-systemd-helper-masked/a.service", "deb-systemd-helper-enabled/a.service.dsh-also"];
        let (_, called) = helped(&["unmask a.service", "--quiet was-enabled a.service"], &state);
        assert_eq!(called, "unmask a.service\n--quiet was-enabled a.service\n");
    }
}
