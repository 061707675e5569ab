//! Who may log in as `admin`.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::Path;

use nix::fcntl::{Flock, FlockArg};
use sha2::{Digest, Sha256};

use super::{Error, file_error, remove, text, write_as};
use crate::admin::{self, Account, NAME as ADMIN};
use crate::facts::Machine;

const BEGIN: &str = "# From site.toml: written at every boot, up to the line that ends this.";
const END: &str = "# End of what is from site.toml.";
/// The digest of the last hash that was set, so that a password which the admin changes on the machine stays.
const APPLIED: &str = "/var/lib/firstlight/site-password";

/// The admin's user and group numbers and home.
fn account(machine: &Machine) -> Result<Account, Error> {
    let found = admin::account(machine).map_err(file_error("/etc/passwd"))?;
    found.ok_or_else(|| Error::NoAdmin("/etc/passwd".into()))
}

/// Puts `keys` into the admin's `authorized_keys`, between two comment lines; other lines there are the admin's own.
pub(super) fn keys(machine: &Machine, keys: &[String]) -> Result<(), Error> {
    let Account { user, group, home } = match account(machine) {
        Err(Error::NoAdmin(_)) if keys.is_empty() => return Ok(()),
        found => found?,
    };
    let (folder, path) = (format!("{home}/.ssh"), format!("{home}/.ssh/authorized_keys"));
    let at = machine.path(&folder);
    if keys.is_empty() && !at.exists() {
        return Ok(());
    }
    if fs::symlink_metadata(&at).is_ok_and(|found| !found.is_dir()) {
        // It is the admin's to make, but not for root to follow.
        return Err(file_error(&folder)(io::Error::other("expected a folder, found something else")));
    }
    if !at.exists() {
        std::os::unix::fs::DirBuilderExt::mode(fs::DirBuilder::new().recursive(true), 0o700)
            .create(&at)
            .map_err(file_error(&folder))?;
        own(&at, user, group).map_err(file_error(&folder))?;
    }
    let content = with_block(&text(machine, &path)?, keys);
    if content.is_empty() {
        return remove(machine, &path);
    }
    write_as(machine, &path, &content, 0o600)?;
    own(&machine.path(&path), user, group).map_err(file_error(&path))
}

fn own(path: &Path, user: u32, group: u32) -> io::Result<()> {
    chown(path, Some(user), Some(group))
}

/// `old` with the block of the site's `keys` in place of the one that was there; without keys, without a block.
fn with_block(old: &str, keys: &[String]) -> String {
    let mut inside = false;
    let mut text = String::new();
    for line in old.lines() {
        inside |= line == BEGIN;
        if !inside {
            text += line;
            text.push('\n');
        }
        inside &= line != END;
    }
    if !keys.is_empty() {
        let keys: String = keys.iter().map(|key| format!("{}\n", key.trim())).collect();
        text += &format!("{BEGIN}\n{keys}{END}\n");
    }
    text
}

/// Sets the admin's password in shadow (5), once for each hash that the site gives. Without one, nothing changes.
pub(super) fn password(machine: &Machine, hash: Option<&str>) -> Result<(), Error> {
    const SHADOW: &str = "/etc/shadow";
    let Some(hash) = hash else { return Ok(()) };
    let digest = hex::encode(Sha256::digest(hash));
    if text(machine, APPLIED)?.trim() == digest {
        return Ok(());
    }
    // As lckpwdf (3) does, so that passwd (1) does not write at the same time.
    let lock = fs::File::create(machine.path("/etc/.pwd.lock")).map_err(file_error("/etc/.pwd.lock"))?;
    let _lock =
        Flock::lock(lock, FlockArg::LockExclusive).map_err(|(_, error)| file_error("/etc/.pwd.lock")(error.into()))?;
    let old = text(machine, SHADOW)?;
    let new = with_hash(&old, hash).ok_or_else(|| Error::NoAdmin(SHADOW.into()))?;
    let file = machine.path(SHADOW);
    let found = fs::metadata(&file).map_err(file_error(SHADOW))?;
    crate::files::replace_owned(&file, new.as_bytes(), found.mode() & 0o7777, (found.uid(), found.gid()))
        .map_err(file_error(SHADOW))?;
    write_as(machine, APPLIED, &format!("{digest}\n"), 0o600)
}

/// `shadow` with `hash` in the admin's line; nothing where there is no such line.
fn with_hash(shadow: &str, hash: &str) -> Option<String> {
    let mut set = false;
    let lines: String = shadow
        .lines()
        .map(|line| match line.split(':').collect::<Vec<_>>().as_mut_slice() {
            [ADMIN, password, ..] if !set => {
                set = true;
                let start = ADMIN.len() + 1;
                format!("{ADMIN}:{hash}{}\n", line.get(start + password.len()..).unwrap_or_default())
            }
            _ => format!("{line}\n"),
        })
        .collect();
    set.then_some(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::files::replace;

    fn machine() -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        let (user, group) = (nix::unistd::getuid(), nix::unistd::getgid());
        let passwd = format!("root:x:0:0::/root:/bin/sh\nadmin:x:{user}:{group}::/home/admin:/bin/bash\n");
        replace(&machine.path("/etc/passwd"), passwd.as_bytes(), 0o644).unwrap();
        replace(&machine.path("/etc/shadow"), b"root:*:20000:0:99999:7:::\nadmin:!:20000:0:99999:7:::\n", 0o640)
            .unwrap();
        (root, machine)
    }

    #[test]
    fn the_sites_keys_come_and_go_and_the_admins_own_stay() {
        let (_root, machine) = machine();
        let path = "/home/admin/.ssh/authorized_keys";
        keys(&machine, &["ssh-ed25519 AAAA one".into()]).unwrap();
        let mode = |path: &str| fs::metadata(machine.path(path)).unwrap().mode() & 0o7777;
        assert_eq!((mode("/home/admin/.ssh"), mode(path)), (0o700, 0o600));
        let own = format!("ssh-ed25519 BBBB mine\n{}\n", machine.read(path).unwrap());
        replace(&machine.path(path), own.as_bytes(), 0o600).unwrap();
        keys(&machine, &["ssh-ed25519 CCCC two".into()]).unwrap();
        let text = machine.read(path).unwrap();
        assert!(text.contains("BBBB") && text.contains("CCCC") && !text.contains("AAAA"), "{text}");
        keys(&machine, &[]).unwrap();
        assert_eq!(machine.read(path).unwrap(), "ssh-ed25519 BBBB mine");
    }

    #[test]
    fn a_link_in_place_of_the_folder_is_not_followed() {
        let (root, machine) = machine();
        fs::create_dir_all(machine.path("/home/admin")).unwrap();
        fs::create_dir(root.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(root.path().join("elsewhere"), machine.path("/home/admin/.ssh")).unwrap();
        assert!(keys(&machine, &["ssh-ed25519 AAAA".into()]).is_err());
        assert_eq!(fs::read_dir(root.path().join("elsewhere")).unwrap().count(), 0);
    }

    #[test]
    fn a_password_is_set_once_and_one_that_the_admin_chose_later_stays() {
        let (_root, machine) = machine();
        password(&machine, Some("$6$one")).unwrap();
        assert_eq!(machine.read("/etc/shadow").unwrap(), "root:*:20000:0:99999:7:::\nadmin:$6$one:20000:0:99999:7:::");
        assert_eq!(fs::metadata(machine.path("/etc/shadow")).unwrap().mode() & 0o7777, 0o640);
        let changed = machine.read("/etc/shadow").unwrap().replace("$6$one", "$y$own");
        replace(&machine.path("/etc/shadow"), changed.as_bytes(), 0o640).unwrap();
        password(&machine, Some("$6$one")).unwrap();
        assert!(machine.read("/etc/shadow").unwrap().contains("$y$own"));
        password(&machine, Some("$6$two")).unwrap();
        assert!(machine.read("/etc/shadow").unwrap().contains("admin:$6$two:"));
    }

    #[test]
    fn without_an_account_there_is_nothing_to_set() {
        assert_eq!(with_hash("root:*:1:::::\nadministrator:!:1:::::\n", "$6$x"), None);
    }
}
