//! The accounts of a tree, from its own passwd (5) and group (5).

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::tree::Tree;

/// Names and their numbers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Accounts {
    /// Users.
    pub users: BTreeMap<String, u32>,
    /// Groups.
    pub groups: BTreeMap<String, u32>,
}

impl Accounts {
    /// Reads the accounts of `tree`, never those of the host.
    ///
    /// # Errors
    /// The system call's; files that are missing have no accounts.
    pub fn load(tree: &Tree) -> io::Result<Self> {
        let read = |path: &str| Ok::<_, io::Error>(ids(&tree.read(Path::new(path))?.unwrap_or_default()));
        Ok(Self { users: read("etc/passwd")?, groups: read("etc/group")? })
    }
}

/// The first and the third field of each line.
fn ids(text: &[u8]) -> BTreeMap<String, u32> {
    let line = |line: &str| {
        let mut fields = line.split(':');
        Some((fields.next()?.to_owned(), fields.nth(1)?.parse().ok()?))
    };
    String::from_utf8_lossy(text).lines().filter_map(line).collect()
}
