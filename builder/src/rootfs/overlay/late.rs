//! Which files of an overlay may be laid last of all, upon the finished file system: those that nothing on the way there
//! reads. Changing one of them makes no root file system anew.

use std::path::{Path, PathBuf};

use super::{Entry, Overlay};
use crate::rootfs::{clean, deb, rpm};

/// Where overlays put what programs read on the machine alone.
const LATE: [&str; 4] = ["etc", "opt", "usr/local", "usr/share"];

/// What is read below [`LATE`] while the image is made: by dynamic loaders, by systemctl and the scripts that it calls, by
/// systemd-sysusers, and for the labels of SELinux. What packages are configured by is early anyway.
const READ: [&str; 19] = [
    "etc/alternatives",
    "etc/dracut.conf",
    "etc/group",
    "etc/gshadow",
    "etc/init.d",
    "etc/insserv.conf",
    "etc/ld.so.cache",
    "etc/ld.so.conf",
    "etc/ld.so.conf.d",
    "etc/ld.so.preload",
    "etc/login.defs",
    "etc/nsswitch.conf",
    "etc/os-release",
    "etc/passwd",
    "etc/rc.d",
    "etc/selinux",
    "etc/shadow",
    "etc/systemd",
    "etc/sysusers.d",
];

/// A file to be laid last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LateFile {
    /// Its path below the root.
    pub path: PathBuf,
    /// What it holds.
    pub content: Vec<u8>,
    /// Permission bits; it is root's.
    pub mode: u32,
}

/// Takes from `overlays`, which are laid in their order, the files that may be laid last, sorted by path. What stays removes
/// what packages have at their places.
#[must_use]
pub fn split(mut overlays: Vec<Overlay>) -> (Vec<Overlay>, Vec<LateFile>) {
    let mut late = std::collections::BTreeMap::new();
    for number in 0..overlays.len() {
        let paths: Vec<PathBuf> = overlays[number].entries.keys().cloned().collect();
        for path in paths {
            // Where overlays do not agree on what it is, each lays its own, as ever.
            if !overlays.iter().filter(|one| one.entries.contains_key(&path)).all(|one| one.may_wait(&path)) {
                continue;
            }
            let mode = overlays[number].entries.get(&path).map(|entry| overlays[number].mode(&path, entry));
            let overlay = &mut overlays[number];
            if let (Some(mode), Some(Entry::File { content, .. })) =
                (mode, overlay.entries.insert(path.clone(), Entry::Later))
            {
                overlay.declared.remove(&path);
                late.insert(path.clone(), LateFile { path, content, mode });
            }
        }
    }
    (overlays, late.into_values().collect())
}

impl Overlay {
    /// Whether this is a file that nothing reads before the machine does, and root's. One that was taken already is.
    fn may_wait(&self, path: &Path) -> bool {
        let is_file = matches!(self.entries.get(path), Some(Entry::File { .. } | Entry::Later));
        let is_roots = self.declared.get(path).is_none_or(|one| one.owner.is_none() && one.group.is_none());
        is_file && is_roots && is_read_by_nobody(path)
    }
}

fn is_read_by_nobody(path: &Path) -> bool {
    let is_run_level = |path: &Path| {
        let folder = path.strip_prefix("etc").ok().and_then(|rest| rest.iter().next()?.to_str());
        folder.is_some_and(|name| name.starts_with("rc") && name.ends_with(".d"))
    };
    // debugfs is told paths in lines, and finds what is quoted.
    let is_plain = path.to_str().is_some_and(|path| !path.contains(['"', '\n', '\\']));
    is_plain
        && LATE.iter().any(|start| path.starts_with(start))
        && !READ.iter().chain(&deb::install::EARLY).chain(&rpm::install::EARLY).any(|start| path.starts_with(start))
        && !is_run_level(path)
        && !clean::removes(path)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use serde_json::json;

    use super::*;

    fn overlay(files: &[(&str, &str)]) -> Overlay {
        let folder = tempfile::tempdir().unwrap();
        for (path, content) in files {
            let path = folder.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, content).unwrap();
        }
        Overlay::load(folder.path(), &json!({})).unwrap()
    }

    fn paths(late: &[LateFile]) -> Vec<&str> {
        late.iter().map(|file| file.path.to_str().unwrap()).collect()
    }

    #[test]
    fn only_what_nothing_reads_on_the_way_is_laid_last() {
        let waits = ["etc/motd", "etc/ssh/sshd_config.d/a.conf", "opt/a/b", "usr/local/bin/a", "usr/share/a/b"];
        let stays = [
            "etc/passwd",
            "etc/systemd/system/a.service",
            "etc/sysusers.d/a.conf",
            "etc/init.d/a",
            "etc/rc2.d/S01a",
            "etc/initramfs-tools/conf.d/a",
            "etc/fstab",
            "etc/machine-id",
            "etc/ssh/ssh_host_rsa_key",
            "usr/lib/systemd/system/a.service",
            "usr/bin/a",
            "srv/a",
            "etc/a\"b",
        ];
        let files: Vec<(&str, &str)> = waits.iter().chain(&stays).map(|path| (*path, "x")).collect();
        let (structure, late) = split(vec![overlay(&files)]);
        assert_eq!(paths(&late), waits);
        for path in stays {
            assert!(matches!(structure[0].entries[Path::new(path)], Entry::File { .. }), "{path}");
        }
    }

    #[test]
    fn the_last_overlay_holds_and_what_is_left_does_not_tell_the_content() {
        let of = |one: &str, two: &str| split(vec![overlay(&[("etc/a", one)]), overlay(&[("etc/a", two)])]);
        let ((structure, late), (other, _)) = (of("1", "2"), of("3", "4"));
        assert_eq!(late, [LateFile { path: "etc/a".into(), content: b"2".to_vec(), mode: 0o644 }]);
        let digests = |overlays: &[Overlay]| overlays.iter().map(Overlay::digest).collect::<Vec<_>>();
        assert_eq!(digests(&structure), digests(&other));
        assert_ne!(digests(&structure)[0], overlay(&[("etc/b", "1")]).digest());
    }

    #[test]
    fn what_is_somebody_elses_or_a_link_in_one_overlay_is_laid_with_the_rest() {
        let link = overlay(&[]);
        let mut link = link;
        link.entries.insert("etc/a".into(), Entry::Link("b".into()));
        let declared = "[paths.\"etc/b\"]\nowner = \"x\"\n[paths.\"etc/c\"]\nmode = \"0600\"\n";
        let owned = overlay(&[("etc/b", ""), ("etc/c", ""), ("overlay.toml", declared)]);
        let (_, late) = split(vec![overlay(&[("etc/a", "")]), link, owned]);
        assert_eq!(late, [LateFile { path: "etc/c".into(), content: Vec::new(), mode: 0o600 }]);
    }
}
