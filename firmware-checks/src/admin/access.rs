//! Whether anybody can log in as `admin`, by passwd (5), shadow (5) and sshd's `authorized_keys`.

use std::fs;
use std::io;

use crate::facts::Machine;

/// The account's name.
pub const NAME: &str = "admin";

/// The account as passwd (5) has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// User number.
    pub user: u32,
    /// Group number.
    pub group: u32,
    /// Home folder, as on the machine itself.
    pub home: String,
}

/// What lets somebody log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Access {
    /// Whether a password opens the account at the console.
    pub password: bool,
    /// How many keys open it over SSH.
    pub keys: usize,
}

impl Access {
    /// Whether there is no way in.
    #[must_use]
    pub fn none(self) -> bool {
        !self.password && self.keys == 0
    }
}

/// The account; none where passwd (5) has no such line.
///
/// # Errors
/// `/etc/passwd` can't be read.
pub fn account(machine: &Machine) -> io::Result<Option<Account>> {
    let passwd = text(machine, "/etc/passwd")?;
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
    Ok(fields.filter(|fields| fields.first() == Some(&NAME)).find_map(|fields| {
        let (user, group) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
        Some(Account { user, group, home: (*fields.get(5)?).to_owned() })
    }))
}

/// What lets somebody log in as `admin`.
///
/// # Errors
/// A file can't be read, with its name; or there is no such account.
pub fn access(machine: &Machine) -> io::Result<Access> {
    let account = account(machine)?.ok_or_else(|| missing("/etc/passwd"))?;
    let shadow = text(machine, "/etc/shadow")?;
    let mut fields = shadow.lines().map(|line| line.split(':'));
    let hash = fields.find_map(|mut fields| (fields.next() == Some(NAME)).then(|| fields.next().unwrap_or_default()));
    let hash = hash.ok_or_else(|| missing("/etc/shadow"))?;
    let keys = text(machine, &format!("{}/.ssh/authorized_keys", account.home))?;
    Ok(Access {
        // What begins so is no hash of any password; an empty field asks for none (shadow (5)).
        password: !hash.starts_with(['!', '*']),
        keys: keys.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')).count(),
    })
}

fn missing(file: &str) -> io::Error {
    io::Error::other(format!("the account `{NAME}` is not in {file}"))
}

/// The text of `path`; empty where it is not there.
fn text(machine: &Machine, path: &str) -> io::Result<String> {
    match fs::read(machine.path(path)) {
        Ok(bytes) => Ok(String::from_utf8_lossy(&bytes).into_owned()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(String::new()),
        Err(error) => Err(io::Error::new(error.kind(), format!("reading {path}: {error}"))),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A machine whose admin has `hash` in shadow, and `keys` as `authorized_keys`.
    pub(in crate::admin) fn machine(hash: &str, keys: Option<&str>) -> (tempfile::TempDir, Machine) {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        let write = |path: &str, text: &str| crate::files::replace(&machine.path(path), text.as_bytes(), 0o600);
        write("/etc/passwd", "root:x:0:0::/root:/bin/bash\nadmin:x:1000:1000::/home/admin:/bin/bash\n").unwrap();
        write("/etc/shadow", &format!("root:*:1:0:99999:7:::\nadmin:{hash}:1:0:99999:7:::\n")).unwrap();
        if let Some(keys) = keys {
            write("/home/admin/.ssh/authorized_keys", keys).unwrap();
        }
        (root, machine)
    }

    fn found(hash: &str, keys: Option<&str>) -> Access {
        access(&machine(hash, keys).1).unwrap()
    }

    #[test]
    fn a_locked_password_and_a_file_without_keys_let_nobody_in() {
        for hash in ["!", "!*", "*", "!$y$j9T$salt$hash"] {
            assert!(found(hash, None).none(), "{hash}");
            assert!(found(hash, Some("# nobody yet\n\n")).none(), "{hash}");
        }
    }

    #[test]
    fn a_password_or_a_key_is_a_way_in() {
        assert_eq!(found("$y$j9T$salt$hash", None), Access { password: true, keys: 0 });
        assert_eq!(found("", None), Access { password: true, keys: 0 });
        let keys = Some("# mine\nssh-ed25519 AAAA me\nrestrict ssh-rsa BBBB\n");
        assert_eq!(found("!", keys), Access { password: false, keys: 2 });
    }

    #[test]
    fn a_machine_without_the_account_is_told_from_one_that_nobody_can_enter() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        assert!(access(&machine).unwrap_err().to_string().contains("not in /etc/passwd"));
    }
}
