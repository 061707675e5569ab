//! Takes out of a tree what tells of the time or the host it was made on, and what must be each machine's own.

use std::path::Path;

use super::Error;
use super::tree::{Owner, Tree};

/// Files that tools of every distribution leave behind: locks, caches, and copies of what was before the last change.
const LEFT_BEHIND: [&str; 10] = [
    "etc/.pwd.lock",
    "etc/group-",
    "etc/gshadow-",
    "etc/passwd-",
    "etc/shadow-",
    "etc/subgid-",
    "etc/subuid-",
    "var/cache/ldconfig/aux-cache",
    "var/lib/dbus/machine-id",
    "var/log/fontconfig.log",
];

/// Keys and seeds that a thousand machines must not share.
const EACH_MACHINES_OWN: [&str; 3] =
    ["etc/ssh/ssh_host_*", "var/lib/systemd/credential.secret", "var/lib/systemd/random-seed"];

/// Removes what tools leave behind, whichever the family of the packages.
pub(super) fn after_install(tree: &Tree) -> Result<(), Error> {
    remove(tree, &LEFT_BEHIND)?;
    each_machines_own(tree)
}

/// Removes what must be each machine's own, and leaves `/etc/machine-id` empty: systemd then writes one on the first
/// boot without taking it for the first of an unconfigured system (machine-id (5)), which would ask for a locale.
pub(super) fn each_machines_own(tree: &Tree) -> Result<(), Error> {
    remove(tree, &EACH_MACHINES_OWN)?;
    let path = Path::new("etc/machine-id");
    tree.write(path, b"", 0o644, Owner::ROOT).map_err(Error::io("writing", path))
}

/// Removes the files of `patterns`, in whose last part `*` stands for any part of a name.
pub(super) fn remove(tree: &Tree, patterns: &[&str]) -> Result<(), Error> {
    for pattern in patterns {
        let (folder, pattern) = pattern.rsplit_once('/').unwrap_or(("", pattern));
        let folder = Path::new(folder);
        for name in tree.list(folder).map_err(Error::io("listing", folder))? {
            if name.to_str().is_some_and(|name| matches(name, pattern)) {
                let path = folder.join(name);
                tree.remove(&path).map_err(Error::io("removing", &path))?;
            }
        }
    }
    Ok(())
}

/// Whether a file at `path` would be removed or emptied.
pub(super) fn removes(path: &Path) -> bool {
    let folder = path.parent().unwrap_or(Path::new(""));
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    LEFT_BEHIND.iter().chain(&EACH_MACHINES_OWN).chain(&["etc/machine-id"]).any(|pattern| {
        let (place, pattern) = pattern.rsplit_once('/').unwrap_or(("", pattern));
        folder == Path::new(place) && matches(name, pattern)
    })
}

fn matches(name: &str, pattern: &str) -> bool {
    match pattern.split_once('*') {
        Some((start, end)) => name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end),
        None => name == pattern,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn keys_seeds_and_logs_go_and_their_neighbours_stay() {
        let root = tempfile::tempdir().unwrap();
        let files = ["etc/ssh/ssh_host_rsa_key", "etc/ssh/ssh_config", "etc/shadow-", "etc/shadow", "etc/machine-id"];
        for file in files.iter().chain(&["var/lib/dbus/machine-id", "var/cache/ldconfig/aux-cache"]) {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        after_install(&Tree::open(root.path()).unwrap()).unwrap();
        let is_there = |file: &str| root.path().join(file).exists();
        assert!(["etc/ssh/ssh_config", "etc/shadow"].into_iter().all(is_there));
        let gone =
            ["etc/ssh/ssh_host_rsa_key", "etc/shadow-", "var/lib/dbus/machine-id", "var/cache/ldconfig/aux-cache"];
        assert!(!gone.into_iter().any(is_there));
        assert_eq!(fs::read(root.path().join("etc/machine-id")).unwrap(), b"");
    }
}
