//! The user namespace, as root and as an ordinary user. Not a libtest binary: a namespace is entered before any thread.
//!
//! As root it also plays an ordinary user, the first of `/etc/subuid`, and one without subordinate ids, `nobody`.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use firmware_checks::architecture::Architecture;
use firstlight::rootfs::deb::extract::extract_all;
use firstlight::rootfs::item::Owners;
use firstlight::sandbox::{self, Sandbox, emulation, userns};

/// The word that makes this program the one under test.
const INSIDE: &str = "--inside";
/// The word that makes it enter a second namespace from within the first.
const TWICE: &str = "--twice";

fn main() {
    sandbox::init_if_asked();
    let arguments: Vec<String> = std::env::args().collect();
    if arguments.get(1).is_some_and(|word| word == INSIDE) {
        if let Err(error) = userns::enter() {
            eprintln!("{error}");
            std::process::exit(1);
        }
        return inside(Path::new(&arguments[2]));
    }
    if arguments.get(1).is_some_and(|word| word == TWICE) {
        userns::enter().unwrap();
        let output = Command::new(&arguments[0]).arg(INSIDE).arg(&arguments[2]).output().unwrap();
        return expect_success(&output);
    }
    let caller = nix::unistd::geteuid();
    let work = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
    // The folder that cargo built into may be closed to other users.
    let program = work.path().join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    expect_success(&run(Command::new(&program), &work.path().join("own"), None));
    if caller.is_root() {
        let (uid, gid) = subordinate_user();
        expect_success(&run(as_user(&program, uid, gid), &work.path().join("user"), Some((uid, gid))));
        expect_success(&run_as(TWICE, as_user(&program, uid, gid), &work.path().join("twice"), Some((uid, gid))));
        let refused = run(as_user(&program, 65534, 65534), &work.path().join("nobody"), Some((65534, 65534)));
        let told = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(!refused.status.success(), "nobody was let in");
        assert!(told.contains("gives `nobody` 0 subordinate ids") && told.contains("hint: sudo usermod"), "{told}");
    }
    println!("user namespaces: ok");
}

/// What must hold in the namespace. `root` is an empty folder of the caller's.
fn inside(root: &Path) {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap();
    let mapped: u64 = map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum();
    assert_eq!(mapped, 65536, "{map}");
    assert_eq!((nix::unistd::getuid().as_raw(), nix::unistd::getgid().as_raw()), (0, 0));
    assert_eq!(fs::metadata(root).unwrap().uid(), 0, "the caller's files are root's inside");
    fs::write(root.join("file"), "").unwrap();
    chown(root.join("file"), Some(65534), Some(42)).unwrap();
    assert_eq!(fs::metadata(root.join("file")).unwrap().uid(), 65534);
    for (target, link) in [("usr/bin", "bin"), ("usr/lib", "lib"), ("usr/lib64", "lib64"), ("usr/sbin", "sbin")] {
        std::os::unix::fs::symlink(target, root.join(link)).unwrap();
    }
    let sandbox = Sandbox::new(root).bind_ro(Path::new("/usr"), "/usr");
    let answer =
        sandbox.run(&["sh", "-c", "id -u; stat -c %u:%g /file; chown 7 /file; echo > /proc/sys/vm/swappiness"]);
    assert!(answer.unwrap_err().to_string().contains("Read-only"), "the host's kernel can be set");
    assert_eq!(fs::metadata(root.join("file")).unwrap().uid(), 7);
    assert_eq!(sandbox.run(&["uname", "-n"]).unwrap(), b"localhost\n");
    // Programs of another architecture are run, and only this namespace knows of it.
    let other = Architecture::ALL.into_iter().find(|one| *one != Architecture::HERE).unwrap();
    let known = || fs::read_dir("/proc/sys/fs/binfmt_misc").map(|all| all.flatten().count()).unwrap_or_default();
    let before = known();
    emulation::ready(other).unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)));
    assert_eq!(known(), before);
    // Threads may come after entering.
    extract_all(&[], root, Owners::Root).unwrap();
    fs::remove_file(root.join("file")).unwrap();
}

fn run(program: Command, root: &Path, owner: Option<(u32, u32)>) -> Output {
    run_as(INSIDE, program, root, owner)
}

fn run_as(word: &str, mut program: Command, root: &Path, owner: Option<(u32, u32)>) -> Output {
    fs::create_dir(root).unwrap();
    if let Some((uid, gid)) = owner {
        chown(root, Some(uid), Some(gid)).unwrap();
    }
    program.arg(word).arg(root).output().unwrap()
}

fn expect_success(output: &Output) {
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn as_user(program: &Path, uid: u32, gid: u32) -> Command {
    let mut command = Command::new("setpriv");
    command.args([format!("--reuid={uid}"), format!("--regid={gid}"), "--clear-groups".to_owned()]).arg(program);
    command
}

/// The first user with subordinate ids that has an account.
fn subordinate_user() -> (u32, u32) {
    let text = fs::read_to_string("/etc/subuid").unwrap_or_default();
    let user = text.lines().filter_map(|line| nix::unistd::User::from_name(line.split(':').next()?).ok()?).next();
    let user = user.unwrap_or_else(|| {
        let file = PathBuf::from("/etc/subuid");
        panic!("{} names no user to play; add one: useradd --create-home firstlight-test", file.display())
    });
    (user.uid.as_raw(), user.gid.as_raw())
}
