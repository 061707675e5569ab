//! Takes out of a tree what dpkg, apt and maintainer scripts leave behind.

use crate::rootfs::tree::Tree;
use crate::rootfs::{Error, clean};

/// Logs, locks, caches, and copies of what was before the last change.
const LEFT_BEHIND: [&str; 11] = [
    "var/cache/apt/*.bin",
    "var/cache/apt/archives/lock",
    "var/cache/debconf/*-old",
    "var/lib/apt/lists/lock",
    "var/lib/dpkg/*-old",
    "var/lib/dpkg/lock*",
    "var/lib/dpkg/triggers/Lock",
    "var/log/alternatives.log",
    "var/log/apt/*",
    "var/log/bootstrap.log",
    "var/log/dpkg.log",
];

/// Removes it, with what tools of every family leave behind.
pub(super) fn after_install(tree: &Tree) -> Result<(), Error> {
    clean::remove(tree, &LEFT_BEHIND)?;
    clean::after_install(tree)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn logs_and_copies_go_and_the_status_stays() {
        let root = tempfile::tempdir().unwrap();
        for file in ["var/lib/dpkg/status", "var/lib/dpkg/status-old", "var/log/apt/eipp.log.xz", "etc/shadow-"] {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "x").unwrap();
        }
        after_install(&Tree::open(root.path()).unwrap()).unwrap();
        let is_there = |file: &str| root.path().join(file).exists();
        assert!(is_there("var/lib/dpkg/status"));
        let gone = ["var/lib/dpkg/status-old", "var/log/apt/eipp.log.xz", "etc/shadow-"];
        assert!(!gone.into_iter().any(is_there));
    }
}
