//! The sandbox, with the host's own `/usr` as the root's. Needs root, or a user with subordinate ids.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use firstlight::sandbox::{Error, Sandbox, folders_of_tools, set_program};

/// A root with the host's programs, which are seen read-only.
fn root() -> (tempfile::TempDir, Sandbox) {
    set_program(env!("CARGO_BIN_EXE_firstlight"));
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    for (target, link) in [("usr/bin", "bin"), ("usr/lib", "lib"), ("usr/lib64", "lib64"), ("usr/sbin", "sbin")] {
        symlink(target, folder.path().join(link)).unwrap();
    }
    let sandbox = Sandbox::new(folder.path()).bind_ro(Path::new("/usr"), "/usr");
    (folder, sandbox)
}

fn shell(sandbox: &Sandbox, script: &str) -> String {
    String::from_utf8(sandbox.run(&["sh", "-c", script]).unwrap()).unwrap()
}

#[test]
fn nothing_of_the_host_is_seen() {
    let (_folder, sandbox) = root();
    assert_eq!(shell(&sandbox, "uname -n; id -u; pwd; umask"), "localhost\n0\n/\n0022\n");
    assert_eq!(shell(&sandbox, "ls /run /tmp /sys"), "/run:\n\n/sys:\n\n/tmp:\n");
    assert_eq!(shell(&sandbox, "ls /sys/class/net /home /etc 2>/dev/null; grep -c . /proc/net/dev"), "3\n");
    assert!(!shell(&sandbox, "env | sort | cut -d= -f1 | tr '\\n' ' '").contains("CARGO"));
    let mounted =
        shell(&sandbox, "cut -d' ' -f5 /proc/self/mountinfo | grep -v -e ^/dev -e ^/proc | sort | tr '\\n' ' '");
    assert_eq!(mounted, "/ /run /sys /tmp /usr ");
    assert!(shell(&sandbox, "ps -e -o pid= | wc -l").trim().parse::<u32>().unwrap() < 6);
}

#[test]
fn devices_work_and_the_hosts_kernel_cannot_be_set() {
    let (_folder, sandbox) = root();
    assert_eq!(shell(&sandbox, "echo x > /dev/null; head -c 3 /dev/zero | od -An -tx1"), " 00 00 00\n");
    assert_eq!(shell(&sandbox, "test -c /dev/ptmx && test -L /dev/fd && stat -c %a /dev/shm"), "1777\n");
    let touched = sandbox.run(&["sh", "-c", "cat /proc/sys/vm/swappiness > /proc/sys/vm/swappiness"]).unwrap_err();
    assert!(touched.to_string().contains("Read-only"), "{touched}");
}

#[test]
fn binds_are_read_only_or_not_as_was_said() {
    let (_folder, sandbox) = root();
    let host = tempfile::tempdir().unwrap();
    fs::write(host.path().join("a.deb"), "deb").unwrap();
    let sandbox = sandbox.bind_ro(&host.path().join("a.deb"), "/run/debs/a_1%3a2.deb").bind(host.path(), "/mnt");
    assert_eq!(shell(&sandbox, "cat /run/debs/*; echo new > /mnt/b"), "deb");
    assert_eq!(fs::read_to_string(host.path().join("b")).unwrap(), "new\n");
    assert!(sandbox.run(&["sh", "-c", "echo >> '/run/debs/a_1%3a2.deb'"]).is_err());
    assert!(sandbox.run(&["touch", "/usr/x"]).is_err());
}

#[test]
fn a_link_of_the_tree_leads_no_bind_out_of_it() {
    let (folder, sandbox) = root();
    let outside = tempfile::tempdir().unwrap();
    symlink(outside.path(), folder.path().join("way")).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    let refused = sandbox.bind_ro(file.path(), "/way/trap").run(&["true"]).unwrap_err();
    assert!(refused.to_string().contains("making the mount point /way/trap"), "{refused}");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
}

#[test]
fn an_error_names_program_status_and_last_words() {
    let (_folder, sandbox) = root();
    let log = tempfile::NamedTempFile::new().unwrap();
    let sandbox = sandbox.log(log.path());
    let failed = sandbox.run(&["sh", "-c", "seq 1000; echo 'no such thing' >&2; exit 7"]).unwrap_err();
    assert!(matches!(&failed, Error::Failed { stderr, .. } if stderr == "no such thing\n"), "{failed:?}");
    assert!(failed.to_string().starts_with("`sh` ended with exit status 7 in the sandbox of "), "{failed}");
    let log = fs::read_to_string(log.path()).unwrap();
    assert!(log.contains("\n1000\n") && log.contains("no such thing"), "{log}");
    let killed = sandbox.run(&["sh", "-c", "kill -SEGV $$"]).unwrap_err();
    assert!(killed.to_string().contains("was killed by SIGSEGV"), "{killed}");
    let missing = sandbox.run(&["no-such-program"]).unwrap_err();
    assert!(matches!(missing, Error::NotStarted { .. }), "{missing:?}");
    let gone = Sandbox::new(Path::new("/no/such/root")).run(&["true"]).unwrap_err();
    assert!(gone.to_string().contains("binding the root folder: ENOENT"), "{gone}");
}

#[test]
fn a_tools_root_stays_as_it_is() {
    let (folder, _) = root();
    for inside in folders_of_tools() {
        fs::create_dir_all(folder.path().join(inside)).unwrap();
    }
    fs::create_dir(folder.path().join("etc")).unwrap();
    let sandbox = Sandbox::of_tools(folder.path()).bind_ro(Path::new("/usr"), "/usr");
    let script = "for at in /etc/a /a /var/a; do (echo x > $at) 2>/dev/null && echo $at; done
        for at in /run/a /tmp/a /var/tmp/a; do echo x > $at && echo $at; done";
    assert_eq!(shell(&sandbox, script), "/run/a\n/tmp/a\n/var/tmp/a\n");
    for inside in folders_of_tools().chain([Path::new("etc")]) {
        assert_eq!(fs::read_dir(folder.path().join(inside)).unwrap().count(), 0, "{inside:?}");
    }
}

#[test]
fn what_a_command_leaves_running_is_killed() {
    let (_folder, sandbox) = root();
    let begun = Instant::now();
    assert_eq!(shell(&sandbox, "sleep 4321 & echo started"), "started\n");
    assert!(begun.elapsed() < Duration::from_secs(20));
}

/// The other half of [`a_killed_builder_leaves_nothing_running`]: it runs this very test in a process of its own.
#[test]
#[ignore = "started by the test below"]
fn a_builder_to_be_killed() {
    let (_folder, sandbox) = root();
    println!("{}", shell(&sandbox, "echo up >&2; exec sleep 98765"));
}

#[test]
fn a_killed_builder_leaves_nothing_running() {
    let sleeping = || {
        let found = Command::new("pgrep").args(["-fx", "sleep 98765"]).output().unwrap();
        String::from_utf8(found.stdout).unwrap().lines().count()
    };
    // Who is killed can't tidy up; its root folder goes with this one.
    let folder = tempfile::tempdir().unwrap();
    let mut builder = Command::new(std::env::current_exe().unwrap())
        .args(["--ignored", "--exact", "a_builder_to_be_killed"])
        .env("TMPDIR", folder.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the command to start", || sleeping() == 1);
    builder.kill().unwrap();
    builder.wait().unwrap();
    wait_for("the command to be killed", || sleeping() == 0);
}

fn wait_for(what: &str, mut holds: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(30);
    while !holds() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_second_root_has_the_systems_folders_and_keeps_what_is_not_in_them() {
    let (_folder, sandbox) = root();
    let second = tempfile::tempdir().unwrap();
    for (target, link) in [("usr/bin", "bin"), ("usr/lib", "lib"), ("usr/lib64", "lib64"), ("usr/sbin", "sbin")] {
        symlink(target, second.path().join(link)).unwrap();
    }
    for name in ["proc", "sys", "dev", "run", "tmp", "usr"] {
        fs::create_dir(second.path().join(name)).unwrap();
    }
    let sandbox = sandbox.bind_root(second.path(), "/run/target");
    let within = sandbox.clone().bind_ro(Path::new("/usr"), "/run/target/usr");
    let script = "chroot /run/target sh -c 'echo x > /dev/null && touch /run/a /tmp/b /kept && cat /proc/self/comm'";
    assert_eq!(shell(&within, script), "cat\n");
    assert!(second.path().join("kept").exists());
    assert!(!second.path().join("run/a").exists() && !second.path().join("tmp/b").exists());
    fs::remove_dir(second.path().join("proc")).unwrap();
    symlink("/proc", second.path().join("proc")).unwrap();
    let error = sandbox.run(&["true"]).unwrap_err().to_string();
    assert!(error.contains("/run/target") && error.contains("proc is not a folder"), "{error}");
}
