//! What a sandboxed command sees as its file system.

use std::fs::{self, File};
use std::path::{Component, Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::{chdir, fchdir, pivot_root};

use super::{Bind, BindKind, Spec};

/// Device nodes that harm nobody; a user namespace may not make them, so they are the host's own.
const NODES: [&str; 6] = ["null", "zero", "full", "random", "urandom", "tty"];
/// Parts of `/proc` through which root reaches the host's kernel, even from a user namespace that maps it to itself.
const KERNEL: [&str; 5] = ["/proc/sys", "/proc/sysrq-trigger", "/proc/irq", "/proc/bus", "/proc/fs"];
/// Links of `/dev` that programs expect.
const LINKS: [(&str, &str); 5] = [
    ("/proc/self/fd", "/dev/fd"),
    ("/proc/self/fd/0", "/dev/stdin"),
    ("/proc/self/fd/1", "/dev/stdout"),
    ("/proc/self/fd/2", "/dev/stderr"),
    ("pts/ptmx", "/dev/ptmx"),
];

/// What [`super::Sandbox::new`] mounts upon, below the root folder.
const MOUNT_POINTS: [&str; 5] = ["proc", "sys", "dev", "run", "tmp"];
/// What [`super::Sandbox::of_tools`] mounts upon as well.
const OF_TOOLS: &str = "var/tmp";

const NONE: Option<&str> = None;

/// Makes `spec.root` the root of this process's mount namespace, with everything mounted, and `/` the working folder.
pub(super) fn enter(spec: &Spec) -> Result<(), String> {
    let binds = spec.binds.iter().map(resolve).collect::<Result<Vec<_>, _>>()?;
    step("keeping mounts private", mount(NONE, "/", NONE, MsFlags::MS_REC | MsFlags::MS_PRIVATE, NONE))?;
    step("binding the root folder", mount(Some(&spec.root), &spec.root, NONE, bind_flags(), NONE))?;
    let old = step("opening the host's root", open("/", OFlag::O_PATH | OFlag::O_DIRECTORY, Mode::empty()))?;
    step("entering the root folder", chdir(&spec.root))?;
    // The old root is stacked over the new one: `/` is the new root, and the old stays within reach of `old` only, so
    // that no symbolic link of the tree can lead a mount out of it.
    step("making it the root", pivot_root(".", "."))?;
    step("returning to the host's root", fchdir(&old))?;
    standard()?;
    if spec.read_only {
        let target = Path::new("/").join(OF_TOOLS);
        step("mounting /var/tmp", tmpfs(&target, MsFlags::MS_NOSUID | MsFlags::MS_NODEV, "mode=1777"))?;
    }
    for Bind { host, inside, kind } in &binds {
        let name = inside.display();
        mount_point(host, inside).map_err(|error| format!("making the mount point {name}: {error}"))?;
        bind(host, inside, *kind == BindKind::ReadOnly)
            .map_err(|error| format!("binding {} as {name}: {error}", host.display()))?;
        if *kind == BindKind::Root {
            second_root(inside).map_err(|error| format!("mounting below {name}: {error}"))?;
        }
    }
    step("releasing the host's root", mount(NONE, ".", NONE, MsFlags::MS_REC | MsFlags::MS_SLAVE, NONE))?;
    step("leaving the host's root", umount2(".", MntFlags::MNT_DETACH))?;
    step("entering the new root", chdir("/"))?;
    if spec.read_only { step("protecting the root folder", protect(Path::new("/"))) } else { Ok(()) }
}

fn step<T>(what: &str, result: nix::Result<T>) -> Result<T, String> {
    result.map_err(|error| format!("{what}: {error}"))
}

fn bind_flags() -> MsFlags {
    MsFlags::MS_BIND | MsFlags::MS_REC
}

/// The host's path without symbolic links, relative to the old root.
fn resolve(bind: &Bind) -> Result<Bind, String> {
    let host = bind.host.canonicalize().map_err(|error| format!("finding {}: {error}", bind.host.display()))?;
    let host = host.strip_prefix("/").map(|path| Path::new(".").join(path)).unwrap_or(host);
    let climbs = bind.inside.components().any(|part| part == Component::ParentDir);
    if !bind.inside.is_absolute() || climbs {
        return Err(format!("{} is not an absolute path without `..`", bind.inside.display()));
    }
    Ok(Bind { host, inside: bind.inside.clone(), kind: bind.kind })
}

/// The folders that a tools root must have.
pub(super) fn of_tools() -> impl Iterator<Item = &'static Path> {
    MOUNT_POINTS.into_iter().chain([OF_TOOLS]).map(Path::new)
}

/// `/proc`, `/sys`, `/dev`, `/run` and `/tmp`.
fn standard() -> Result<(), String> {
    for name in MOUNT_POINTS {
        make_folder(&Path::new("/").join(name)).map_err(|error| format!("making /{name}: {error}"))?;
    }
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    step("mounting /dev", tmpfs("/dev", MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC, "mode=755"))?;
    step("mounting /run", tmpfs("/run", quiet, "mode=755"))?;
    step("mounting /tmp", tmpfs("/tmp", quiet, "mode=1777"))?;
    step("mounting /sys", tmpfs("/sys", quiet | MsFlags::MS_RDONLY, "mode=555"))?;
    proc()?;
    dev()
}

/// What [`standard`] mounts, in the root folder at `inside` as well. None of its own symbolic links are followed: they would
/// be taken for the sandbox's.
fn second_root(inside: &Path) -> Result<(), String> {
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NODEV;
    for name in MOUNT_POINTS {
        let target = inside.join(name);
        if !fs::symlink_metadata(&target).is_ok_and(|metadata| metadata.is_dir()) {
            return Err(format!("{name} is not a folder"));
        }
        let from = Path::new("/").join(name);
        let mounted = match name {
            "run" => mount(Some("tmpfs"), &target, Some("tmpfs"), quiet, Some("mode=755")),
            "tmp" => mount(Some("tmpfs"), &target, Some("tmpfs"), quiet, Some("mode=1777")),
            _ => mount(Some(&from), &target, NONE, bind_flags(), NONE),
        };
        mounted.map_err(|error| format!("mounting {name}: {error}"))?;
    }
    Ok(())
}

fn tmpfs(target: impl AsRef<Path>, flags: MsFlags, options: &str) -> nix::Result<()> {
    mount(Some("tmpfs"), target.as_ref(), Some("tmpfs"), flags, Some(options))
}

fn proc() -> Result<(), String> {
    let flags = MsFlags::MS_NOSUID | MsFlags::MS_NODEV | MsFlags::MS_NOEXEC;
    match mount(Some("proc"), "/proc", Some("proc"), flags, NONE) {
        // In a container whose own /proc is partly hidden the kernel refuses a whole one; its own is as good.
        Err(Errno::EPERM) => {
            step("binding the container's /proc", mount(Some("./proc"), "/proc", NONE, bind_flags(), NONE))?
        }
        other => step("mounting /proc", other)?,
    }
    for path in KERNEL.into_iter().map(Path::new).filter(|path| path.exists()) {
        bind(path, path, true).map_err(|error| format!("protecting {}: {error}", path.display()))?;
    }
    Ok(())
}

fn dev() -> Result<(), String> {
    for node in NODES {
        let (host, inside) = (PathBuf::from("./dev").join(node), PathBuf::from("/dev").join(node));
        File::create(&inside).map_err(|error| format!("making {}: {error}", inside.display()))?;
        bind(&host, &inside, false).map_err(|error| format!("binding {}: {error}", inside.display()))?;
    }
    for folder in ["/dev/pts", "/dev/shm"] {
        make_folder(Path::new(folder)).map_err(|error| format!("making {folder}: {error}"))?;
    }
    let quiet = MsFlags::MS_NOSUID | MsFlags::MS_NOEXEC;
    let options = Some("newinstance,ptmxmode=0666,mode=0620,gid=5");
    step("mounting /dev/pts", mount(Some("devpts"), "/dev/pts", Some("devpts"), quiet, options))?;
    step("mounting /dev/shm", tmpfs("/dev/shm", quiet | MsFlags::MS_NODEV, "mode=1777"))?;
    for (target, link) in LINKS {
        std::os::unix::fs::symlink(target, link).map_err(|error| format!("making {link}: {error}"))?;
    }
    Ok(())
}

/// Binds `from` to `to`.
fn bind(from: &Path, to: &Path, read_only: bool) -> nix::Result<()> {
    mount(Some(from), to, NONE, bind_flags(), NONE)?;
    if read_only { protect(to) } else { Ok(()) }
}

/// Makes what is bound to `to` read-only. That must repeat the flags of the file system beneath, which a user namespace may
/// not drop (`mount_setattr(2)`, "locked").
fn protect(to: &Path) -> nix::Result<()> {
    let present = statvfs(to)?.flags();
    let kept = [
        (FsFlags::ST_NOSUID, MsFlags::MS_NOSUID),
        (FsFlags::ST_NODEV, MsFlags::MS_NODEV),
        (FsFlags::ST_NOEXEC, MsFlags::MS_NOEXEC),
        (FsFlags::ST_NOATIME, MsFlags::MS_NOATIME),
        (FsFlags::ST_NODIRATIME, MsFlags::MS_NODIRATIME),
        (FsFlags::ST_RELATIME, MsFlags::MS_RELATIME),
    ];
    let flags = kept.into_iter().filter(|(seen, _)| present.contains(*seen)).map(|(_, flag)| flag);
    let flags = flags.fold(MsFlags::MS_BIND | MsFlags::MS_REMOUNT | MsFlags::MS_RDONLY, |all, flag| all | flag);
    mount(NONE, to, NONE, flags, NONE)
}

/// A folder, or an empty file, at `inside`, as `host` is.
fn mount_point(host: &Path, inside: &Path) -> std::io::Result<()> {
    if inside.exists() {
        return Ok(());
    }
    if host.is_dir() {
        return fs::create_dir_all(inside);
    }
    if let Some(folder) = inside.parent() {
        fs::create_dir_all(folder)?;
    }
    File::create(inside).map(drop)
}

fn make_folder(path: &Path) -> std::io::Result<()> {
    match fs::create_dir(path) {
        Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}
