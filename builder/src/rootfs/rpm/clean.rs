//! Takes out of a tree what rpm and scriptlets leave behind.

use crate::rootfs::tree::Tree;
use crate::rootfs::{Error, clean};

/// Logs, locks and caches.
const LEFT_BEHIND: [&str; 5] = [
    // It would have the machine label its files anew, and restart.
    ".autorelabel",
    "run/.autorelabel",
    "var/lib/selinux/*.LOCK",
    "var/log/dnf*",
    "var/log/hawkey.log",
];

/// Removes it, with what tools of every family leave behind.
pub(super) fn after_install(tree: &Tree) -> Result<(), Error> {
    clean::remove(tree, &LEFT_BEHIND)?;
    clean::after_install(tree)
}
