//! What RPMs' features have made of the root file system.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use end_to_end::judge;

use crate::bench::{built, file_system};

#[test]
fn every_feature_of_rpm_has_had_its_effect() -> Result<()> {
    let root = file_system(&built()?.image, "root")?;
    let content = |path: &str| judge::debugfs(&root, &format!("cat {path}"));
    // Scriptlets in their order, and triggers: on another package, on each package's files, on those of the whole transaction.
    for (path, expected) in
        [("/var/lib/features/order", "pre\npost\nposttrans\n"), ("/var/lib/feature-triggers/package", "feature-new\n")]
    {
        let found = content(path)?;
        ensure!(found == expected, "{path}: {found:?} in place of {expected:?}");
    }
    // What is required by a rich dependency, an alternative, a path, under an old name; and what is not: a condition that does not hold,
    // a recommendation, what was made obsolete.
    let features = "/usr/share/features";
    let there = ["by-path", "either", "gzip", "new", "owned", "rich"];
    for name in there {
        ensure!(is_there(&root, &format!("{features}/{name}"))?, "{name} is not there");
        let told = content("/var/lib/feature-triggers/transaction")?;
        ensure!(told.contains(&format!("{features}/{name}\n")), "the trigger was not told of {name}: {told}");
        let told = content("/var/lib/feature-triggers/files")?;
        ensure!(told.contains(&format!("{features}/{name}\n")), "the trigger was not told of {name}: {told}");
    }
    for name in ["never", "old", "weak"] {
        ensure!(!is_there(&root, &format!("{features}/{name}"))?, "{name} is there");
    }
    links_and_owners(&root)
}

fn links_and_owners(root: &Path) -> Result<()> {
    let stat = |path: &str| judge::debugfs(root, &format!("stat {path}"));
    let inode = |path: &str| -> Result<String> {
        let text = stat(path)?;
        ensure!(text.contains("Links: 3"), "{path}: {text}");
        Ok(text.split_whitespace().nth(1).context("no inode")?.to_owned())
    };
    let inodes = ["first", "second", "third"].map(|name| inode(&format!("/usr/share/features/links/{name}")));
    let [first, second, third] = inodes;
    let (first, second, third) = (first?, second?, third?);
    ensure!(first == second && second == third, "{first} {second} {third}");
    // cap_chown and cap_net_bind_service, permitted and effective, in the revision without a user namespace (linux/capability.h).
    let capability = judge::debugfs(root, "ea_get -x /usr/bin/feature-capability security.capability")?;
    let bytes: String = capability.chars().filter(|character| !character.is_whitespace()).collect();
    ensure!(bytes.contains("0100000201040000000000000000000000000000"), "{capability}");
    // A ghost file is what a scriptlet made of it; and a file has the owner that its package says. bin is 1 in EL.
    for (path, words) in [
        ("/var/lib/features/order", ["Mode:  0640", "User:     0", "Group:     1"]),
        ("/usr/share/features/owned", ["Mode:  0600", "User:     1", "Group:     1"]),
    ] {
        let text = stat(path)?;
        for word in words {
            ensure!(text.contains(word), "{path}: no `{word}` in {text}");
        }
    }
    Ok(())
}

fn is_there(root: &Path, path: &str) -> Result<bool> {
    Ok(judge::debugfs(root, &format!("stat {path}"))?.contains("Inode:"))
}
