//! rpm's database, made to tell nothing of when it was made: rpm before 4.20 takes a package's time of installation from
//! the clock, whatever `SOURCE_DATE_EPOCH` says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use crate::archive::rpm_header::Header;
use crate::archive::{Package, Solution};
use crate::rootfs::Error;
use crate::rootfs::tree::{Owner, Tree};
use crate::sandbox::Sandbox;

const INSTALLTIME: u32 = 1008;
const FILESTATES: u32 = 1029;
const INSTALLTID: u32 = 1128;
/// `RPMFILE_STATE_NORMAL` and `RPMFILE_STATE_NETSHARED`.
const NORMAL: u8 = 0;
const NETSHARED: u8 = 3;

/// Name, version as in a lock, and architecture, one package to a line.
const INSTALLED: &str = "%{NAME} %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE} %{ARCH}\\n";

/// The database of a root file system, used by the rpm of a tools root.
pub(super) struct Database<'a> {
    /// Of the tools root, with the root file system at `target`. Without a log: what is exported is no text.
    pub(super) sandbox: Sandbox,
    pub(super) target: &'a str,
}

impl Database<'_> {
    /// Writes it anew from its own headers, all installed at `released` (seconds since 1970). Needs `work`, an empty folder.
    pub(super) fn settle(&self, tree: &Tree, released: i64, work: &Path) -> Result<(), Error> {
        let headers = self.run(&["rpmdb", "--exportdb"])?;
        let settled = settled(&headers, released).map_err(Error::io("reading rpm's database below", Path::new("/")))?;
        for path in self.files(tree)? {
            tree.remove(&path).map_err(Error::io("removing", &path))?;
        }
        let file = work.join("headers");
        let written = File::create_new(&file).and_then(|mut file| file.write_all(&settled));
        written.map_err(Error::io("writing", &file))?;
        let script = r#"exec rpmdb --root "$0" --importdb < /run/firstlight/headers"#;
        self.sandbox.clone().bind_ro(&file, "/run/firstlight/headers").run(&["sh", "-c", script, self.target])?;
        self.run(&["rpmdb", "--verifydb"])?;
        Ok(())
    }

    /// What is installed is what was to be.
    pub(super) fn verify(&self, solution: &Solution) -> Result<(), Error> {
        let installed = self.run(&["rpm", "--query", "--all", "--noplugins", "--queryformat", INSTALLED])?;
        compare(&String::from_utf8_lossy(&installed), solution)
    }

    /// Removes what programs that use the database leave beside it, once it is empty: sqlite's journal and its index, and
    /// rpm's lock. Without them only who may write there could read a database that says that it has such a journal, so it no
    /// longer says so: the first root who changes it makes them again.
    pub(super) fn close(&self, tree: &Tree) -> Result<(), Error> {
        for path in self.files(tree)? {
            let ends = |ending| path.as_os_str().as_encoded_bytes().ends_with(ending);
            if ends(b"-wal")
                && tree.read(&path).map_err(Error::io("reading", &path))?.is_some_and(|text| !text.is_empty())
            {
                let source = io::Error::other("it holds what should be in the database by now");
                return Err(Error::io("closing rpm's database by its journal", &path)(source));
            }
            if [b"-wal".as_slice(), b"-shm", b".rpm.lock"].into_iter().any(ends) {
                tree.remove(&path).map_err(Error::io("removing", &path))?;
            } else if ends(b".sqlite") {
                let content = tree.read(&path).map_err(Error::io("reading", &path))?.unwrap_or_default();
                let content = without_journal(content);
                tree.write(&path, &content, 0o644, Owner::ROOT).map_err(Error::io("writing", &path))?;
            }
        }
        Ok(())
    }

    /// The files in the folder that rpm says is its database.
    fn files(&self, tree: &Tree) -> Result<Vec<PathBuf>, Error> {
        let folder = PathBuf::from(String::from_utf8_lossy(&self.run(&["rpm", "--eval", "%_dbpath"])?).trim());
        let names = tree.list(&folder).map_err(Error::io("listing", &folder))?;
        Ok(names.into_iter().map(|name| folder.join(name)).collect())
    }

    fn run(&self, command: &[&str]) -> Result<Vec<u8>, Error> {
        let (program, rest) = command.split_first().unwrap_or((&"rpm", &[]));
        Ok(self.sandbox.run(&[&[*program, "--root", self.target], rest].concat())?)
    }
}

/// Lets a database of sqlite, whose write-ahead log is empty, be one that has none (The Database File Format, 1.3.3: the
/// versions for writing and reading are 2 with such a log and 1 without). Any other file stays as it is.
fn without_journal(mut database: Vec<u8>) -> Vec<u8> {
    if database.starts_with(b"SQLite format 3\0")
        && let Some(versions @ [2, 2]) = database.get_mut(18..20)
    {
        versions.copy_from_slice(&[1, 1]);
    }
    database
}

/// The headers of a database, all installed at `released`, and nothing left aside: what rpm took for shared over a network is as any
/// other file.
fn settled(mut headers: &[u8], released: i64) -> io::Result<Vec<u8>> {
    let time = u32::try_from(released).map_err(io::Error::other)?;
    let mut settled = Vec::with_capacity(headers.len());
    while let Some(mut header) = Header::read(&mut headers)? {
        header.set_numbers(INSTALLTIME, time);
        header.set_numbers(INSTALLTID, time);
        header.replace_chars(FILESTATES, NETSHARED, NORMAL);
        settled.extend_from_slice(header.bytes());
    }
    Ok(settled)
}

fn compare(installed: &str, solution: &Solution) -> Result<(), Error> {
    let mut wanted: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for Package { name, version, architecture, .. } in &solution.packages {
        wanted.entry((name, architecture)).or_default().insert(version);
    }
    let mut found: BTreeMap<(&str, &str), BTreeSet<&str>> = BTreeMap::new();
    for line in installed.lines() {
        let mut words = line.split(' ');
        if let (Some(name), Some(version), Some(architecture)) = (words.next(), words.next(), words.next()) {
            let version = version.strip_prefix("0:").unwrap_or(version);
            found.entry((name, architecture)).or_default().insert(version);
        }
    }
    let mut wrong = Vec::new();
    let listed = |versions: &BTreeSet<&str>| versions.iter().copied().collect::<Vec<_>>().join(", ");
    for (key @ (name, architecture), versions) in &wanted {
        match found.remove(key) {
            Some(found) if found == *versions => {}
            Some(found) => wrong.push(format!("{name}.{architecture} {}: found {}", listed(versions), listed(&found))),
            None => wrong.push(format!("{name}.{architecture} {}: not installed", listed(versions))),
        }
    }
    let others = found.iter().map(|((name, architecture), versions)| (name, architecture, listed(versions)));
    wrong.extend(
        others.map(|(name, architecture, versions)| format!("{name}.{architecture} {versions}: was not asked for")),
    );
    if wrong.is_empty() { Ok(()) } else { Err(Error::OtherPackages(wrong)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::archive::rpm_header::tests::header;

    #[test]
    fn a_settled_database_tells_one_time_and_shares_nothing() {
        let package = |time: u32, states: &[u8]| {
            let time = time.to_be_bytes();
            header(&[(INSTALLTIME, 4, 1, &time), (INSTALLTID, 4, 1, &time), (FILESTATES, 1, 3, states)])
        };
        let exported = [package(1_700_000_001, &[0, 3, 1]), package(1_700_000_002, &[3, 3, 3])].concat();
        let expected = [package(1_000, &[0, 0, 1]), package(1_000, &[0, 0, 0])].concat();
        assert_eq!(settled(&exported, 1_000).unwrap(), expected);
        settled(&exported[..exported.len() - 1], 1_000).unwrap_err();
    }

    #[test]
    fn a_closed_database_needs_no_journal_and_another_file_stays_as_it_is() {
        let file = |start: &[u8], versions: [u8; 2]| [start, &versions, b"more"].concat();
        let (sqlite, other) = (b"SQLite format 3\0\x10\0", b"of another program");
        assert_eq!(without_journal(file(sqlite, [2, 2])), file(sqlite, [1, 1]));
        for kept in [file(sqlite, [1, 1]), file(other, [2, 2]), sqlite.to_vec()] {
            assert_eq!(without_journal(kept.clone()), kept);
        }
    }

    #[test]
    fn each_difference_to_what_was_to_be_installed_is_told() {
        let package =
            |name: &str, version: &str| Package { architecture: "x86_64".to_owned(), ..Package::named(name, version) };
        let packages = vec![package("a", "1:1-1.el9"), package("b", "2-1"), package("b", "3-1")];
        let solution = Solution { packages, released: jiff::Timestamp::UNIX_EPOCH };
        let told = |text: &str| match compare(text, &solution) {
            Err(Error::OtherPackages(wrong)) => wrong,
            _ => Vec::new(),
        };
        let good = "b 0:3-1 x86_64\na 1:1-1.el9 x86_64\nb 2-1 x86_64\n";
        assert_eq!(told(good), Vec::<String>::new());
        assert_eq!(told("a 1-1.el9 x86_64\nb 2-1 x86_64\nb 3-1 x86_64\n"), ["a.x86_64 1:1-1.el9: found 1-1.el9"]);
        assert_eq!(told("a 1:1-1.el9 x86_64\nb 2-1 x86_64\n"), ["b.x86_64 2-1, 3-1: found 2-1"]);
        let more = format!("{good}c 1-1 noarch\n");
        assert_eq!(told(&more), ["c.noarch 1-1: was not asked for"]);
    }
}
