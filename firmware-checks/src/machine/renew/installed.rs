//! What the packages have, and whether they are at rest.

use std::fs::File;
use std::io;
use std::path::Path;
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use sha2::{Digest, Sha256};

use crate::architecture::Architecture;
use crate::boot_loader::esp::{self, Files};
use crate::boot_loader::{BootLoader, EARLY, bios};
use crate::command;
use crate::facts::Machine;

/// The locks of apt, dpkg and rpm (`fcntl` locks): who changes packages holds one of them.
const LOCKS: &[&str] = &["/var/lib/dpkg/lock-frontend", "/var/lib/dpkg/lock", "/var/lib/rpm/.rpm.lock"];
/// How names end, or what they have in them, that dpkg and rpm give files which are not yet in their place.
const UNFINISHED: &[&str] = &[".dpkg-new", ".dpkg-tmp", ";"];
/// Compares what files hold with what the database says of them, and nothing else; ends with a failure where that differs.
const RPM_VERIFY: &[&str] = &[
    "--verify",
    "--noconfig",
    "--noghost",
    "--nodeps",
    "--noscripts",
    "--nomtime",
    "--nomode",
    "--nouser",
    "--nogroup",
    "--file",
];
/// `dpkg --audit` reads one file; a busy machine takes its time.
const AUDIT: Duration = Duration::from_secs(60);

/// What is to lie on the ESP, as the packages of `machine` have it.
pub(super) fn for_esp(machine: &Machine, boot: &BootLoader) -> Result<Files, String> {
    let read = |path: &str| std::fs::read(machine.path(path));
    esp::files(boot, Architecture::HERE, &early(machine)?, &read).map_err(|error| error.to_string())
}

/// GRUB's files for BIOS in `folder`, as the packages of `machine` have them.
pub(super) fn for_bios(machine: &Machine, folder: &str) -> Result<bios::Installed, String> {
    let told = |error: io::Error| format!("reading GRUB's modules in {folder}: {error}");
    let names = machine.names(folder).map_err(told)?;
    if let Some(name) = names.iter().find(|name| UNFINISHED.iter().any(|part| name.contains(part))) {
        return Err(format!("{folder}/{name}: an upgrade was interrupted; finish it"));
    }
    let read = |name: &str| std::fs::read(machine.path(&format!("{folder}/{name}")));
    bios::Installed::read(names, &early(machine)?, &read).map_err(told)
}

fn early(machine: &Machine) -> Result<String, String> {
    std::fs::read_to_string(machine.path(EARLY)).map_err(|error| format!("reading {EARLY}: {error}"))
}

/// What stands for `files`: SHA-256 in lower-case hexadecimal.
pub(super) fn digest(files: &Files) -> String {
    let mut hash = Sha256::new();
    for bytes in files.iter().flat_map(|(path, content)| [path.as_bytes(), content]) {
        hash.update((bytes.len() as u64).to_le_bytes());
        hash.update(bytes);
    }
    hex::encode(hash.finalize())
}

/// Whether nobody changes packages just now; with `wait`, waits until then.
pub(super) fn at_rest(machine: &Machine, wait: bool) -> io::Result<bool> {
    for path in LOCKS {
        let file = match File::options().read(true).write(true).open(machine.path(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        // Had for a moment, and given back when the file is closed: nobody's upgrade is to wait for this.
        let lock = if wait { FcntlArg::F_SETLKW(&whole_file()) } else { FcntlArg::F_SETLK(&whole_file()) };
        match fcntl(&file, lock) {
            Ok(_) => {}
            Err(Errno::EACCES | Errno::EAGAIN) => return Ok(false),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}

/// A lock of a whole file.
fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// An error where packages of the boot loader are half installed: nothing is made of the files of two versions.
pub(super) fn whole(boot: &BootLoader) -> Result<(), String> {
    if Path::new("/var/lib/dpkg/status").exists() {
        return match command::run("dpkg", &["--audit"], AUDIT) {
            Ok(said) if said.trim().is_empty() => Ok(()),
            Ok(_) => {
                Err("packages are half installed: sudo dpkg --configure -a, then sudo apt-get -f install".to_owned())
            }
            Err(error) => Err(format!("whether packages are half installed: {error}")),
        };
    }
    // rpm lays all files of a transaction before its database forgets the old ones: what it says of them is other than they are.
    let module = boot.bios_modules.as_ref().map(|folder| format!("{folder}/normal.mod"));
    let files = [boot.shim.as_str(), &boot.mok_manager, &boot.grub].into_iter().chain(module.as_deref());
    let files: Vec<&str> = files.collect();
    match command::run("rpm", &[RPM_VERIFY, &files].concat(), AUDIT) {
        Ok(_) => Ok(()),
        Err(error) => {
            let (said, files) = (error.brief(), files.join(" "));
            Err(format!(
                "packages of the boot loader are not whole ({said}): sudo rpm --verify --file {files} says what differs; \
                 sudo dnf reinstall $(rpm --query --file {files}) lays them anew"
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot_loader::esp::tests::program;
    use crate::facts::recorded::Recorded;

    #[test]
    fn an_interrupted_upgrade_of_the_modules_is_seen() {
        let folder = "/usr/lib/grub/i386-pc";
        let modules = |names: &[&str]| {
            let machine = Recorded::new().file(EARLY, "early");
            let add = |machine: Recorded, name: &&str| machine.file(&format!("{folder}/{name}"), "x");
            names.iter().fold(machine, add)
        };
        assert!(for_bios(&modules(&["boot.img", "normal.mod"]).machine(), folder).is_ok());
        for left in ["normal.mod.dpkg-new", "normal.mod.dpkg-tmp", "normal.mod;6740a1b2"] {
            let error = for_bios(&modules(&["boot.img", left]).machine(), folder).unwrap_err();
            assert!(error.contains(left) && error.contains("interrupted"), "{error}");
        }
        assert!(for_bios(&Recorded::new().machine(), folder).unwrap_err().contains("/usr/lib/grub/i386-pc"));
    }

    #[test]
    fn who_holds_a_lock_of_the_package_manager_is_seen_and_waited_for() {
        let machine = Recorded::new().file(LOCKS[0], "").file(LOCKS[2], "");
        let machine = machine.machine();
        assert!(at_rest(&machine, false).unwrap() && at_rest(&machine, true).unwrap());
        // A lock of an open file, which a process's own lock respects too.
        let held = File::options().read(true).write(true).open(machine.path(LOCKS[2])).unwrap();
        fcntl(&held, FcntlArg::F_OFD_SETLK(&whole_file())).unwrap();
        assert!(!at_rest(&machine, false).unwrap());
        let free = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                std::thread::sleep(Duration::from_millis(300));
                free.store(true, std::sync::atomic::Ordering::SeqCst);
                drop(held);
            });
            assert!(at_rest(&machine, true).unwrap());
        });
        assert!(free.into_inner() && at_rest(&machine, false).unwrap());
    }

    #[test]
    fn the_digest_is_of_names_and_contents() {
        let files = |path: &str, text: &str| Files::from([(path.to_owned(), program(text))]);
        let of = [files("a", "1"), files("b", "1"), files("a", "2")].map(|files| digest(&files));
        assert!(of[0] != of[1] && of[0] != of[2] && of[1] != of[2]);
        assert_eq!(of[0], digest(&files("a", "1")));
    }
}
