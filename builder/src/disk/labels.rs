//! SELinux labels: chosen by the image's own rules, and written into the file systems when they are made.
//!
//! A user namespace may not set `security.selinux` on a file system of the host, so mke2fs finds none to copy. The
//! distribution's setfiles says which label each file gets, as it would when relabelling; its debugfs writes them.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use walkdir::WalkDir;

use super::debugfs::{self, Debugfs};
use super::layout::Partition;
use crate::sandbox::{self, Sandbox};

/// Whether there is SELinux, and which policy (`selinux_config(5)`).
const CONFIG: &str = "etc/selinux/config";
/// Where mke2fs puts what fsck finds: in every file system, though in no package.
const LOST_AND_FOUND: &str = "lost+found";
/// Where the files are seen by the tools.
const TARGET: &str = "/run/target";
/// Where the root folder, with the policy in it, is seen by the tools.
const POLICY: &str = "/run/policy";

/// Labels could not be chosen or written.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file of the root file system could not be read or made.
    #[error("{doing} {path}: {source}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The policy that is configured is not there.
    #[error(
        "{CONFIG} of the root file system asks for the SELinux policy `{0}`, and there is no \
         /etc/selinux/{0}/contexts/files/file_contexts\n  hint: name the package that has it, such as selinux-policy-{0}, in the base"
    )]
    NoPolicy(String),
    /// A program failed.
    #[error("{doing}: {source}")]
    Tool {
        /// What was being done.
        doing: &'static str,
        /// The program's own words.
        source: sandbox::Error,
    },
    /// Labels were not written.
    #[error("{doing}: {source}")]
    Debugfs {
        /// What was being done.
        doing: &'static str,
        /// Why.
        source: debugfs::Error,
    },
    /// A label was not understood, or can't be written.
    #[error("{doing}: {words}")]
    Words {
        /// What was being done.
        doing: &'static str,
        /// What was said.
        words: String,
    },
}

/// The labels of a root file system, by path below it; of every file, `/` and `/lost+found` included.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Labels(BTreeMap<PathBuf, String>);

/// The policy of the root file system `root`, if it has SELinux switched on; there is then a `lost+found`, so that it is measured
/// and labelled with everything else.
pub(super) fn policy(root: &Path) -> Result<Option<String>, Error> {
    let path = root.join(CONFIG);
    let text = match fs::read_to_string(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other.map_err(|source| Error::Io { doing: "reading", path, source })?,
    };
    let Some(policy) = configured(&text) else { return Ok(None) };
    if !root.join(file_contexts(&policy)).is_file() {
        return Err(Error::NoPolicy(policy));
    }
    let path = root.join(LOST_AND_FOUND);
    let made = fs::create_dir_all(&path).and_then(|()| fs::set_permissions(&path, Permissions::from_mode(0o700)));
    made.map_err(|source| Error::Io { doing: "making", path, source })?;
    Ok(Some(policy))
}

fn file_contexts(policy: &str) -> String {
    format!("etc/selinux/{policy}/contexts/files/file_contexts")
}

/// The policy's name, where SELinux is not switched off.
fn configured(text: &str) -> Option<String> {
    let value = |key: &str| {
        let mut values =
            text.lines().rev().filter_map(|line| line.trim().strip_prefix(key)?.trim_start().strip_prefix('='));
        values.next().map(str::trim)
    };
    let on = matches!(value("SELINUX"), Some("enforcing" | "permissive"));
    value("SELINUXTYPE").filter(|policy| on && !policy.is_empty() && !policy.contains('/')).map(str::to_owned)
}

impl Labels {
    /// The labels that `policy` gives to the files of `root`, by the setfiles of `tools`. What the policy leaves to chance gets its folder's
    /// label, as it would when it is made on a running machine.
    pub(super) fn choose(root: &Path, policy: &str, tools: &Path) -> Result<Self, Error> {
        let mut said = ask(root, root, policy, tools, &[])?;
        // Several names of one file may have several labels: the first name counts, whichever is found first.
        let linked = linked(root)?;
        let names: Vec<&Path> = linked.values().flatten().map(PathBuf::as_path).collect();
        if !names.is_empty() {
            let each = ask(root, root, policy, tools, &names)?;
            for names in linked.values() {
                let label = names.iter().find_map(|name| each.get(name)).cloned();
                let label = label.map(|label| names.iter().map(move |name| (name.clone(), label.clone())));
                said.extend(label.into_iter().flatten());
            }
        }
        let mut labels = BTreeMap::new();
        for inside in walk(root)? {
            let above = || inside.parent().and_then(|above| labels.get(above)).cloned();
            if let Some(label) = said.remove(&inside).or_else(above) {
                labels.insert(inside, label);
            }
        }
        if labels.is_empty() {
            return Err(Error::Words { doing: "choosing SELinux labels", words: "setfiles gave none".to_owned() });
        }
        Ok(Self(labels))
    }

    /// Writes them into the root file system in `partition` of `image`, by the debugfs of `tools`.
    pub(super) fn write(
        &self,
        tools: &Path,
        image: &Path,
        partition: &Partition,
        time: Timestamp,
    ) -> Result<(), Error> {
        write(tools, image, partition, time, self.0.iter().map(|(path, label)| (path.as_path(), label.as_str())))
    }

    /// The labels of an otherwise empty file system that is mounted at `mount_point`, a path below the root file system `root`: of its top
    /// folder and of its `lost+found`, as `policy` has them there.
    pub(super) fn choose_empty(root: &Path, policy: &str, tools: &Path, mount_point: &Path) -> Result<Self, Error> {
        let doing = "making";
        let like = tempfile::tempdir().map_err(|source| Error::Io { doing, path: std::env::temp_dir(), source })?;
        let path = like.path().join(mount_point).join(LOST_AND_FOUND);
        fs::create_dir_all(&path).map_err(|source| Error::Io { doing, path, source })?;
        let said = ask(root, like.path(), policy, tools, &[])?;
        let inside = |(path, label): (PathBuf, String)| Some((path.strip_prefix(mount_point).ok()?.to_owned(), label));
        Ok(Self(said.into_iter().filter_map(inside).collect()))
    }
}

/// What setfiles would change below `files` by the policy in `root`, all of it or only `names`: as no file has a label, that is every
/// label.
fn ask(
    root: &Path,
    files: &Path,
    policy: &str,
    tools: &Path,
    names: &[&Path],
) -> Result<BTreeMap<PathBuf, String>, Error> {
    let doing = "choosing SELinux labels";
    let contexts = format!("{POLICY}/{}", file_contexts(policy));
    let list: String = names.iter().map(|name| format!("{TARGET}/{}\0", name.display())).collect();
    let file = tempfile::NamedTempFile::new().and_then(|file| fs::write(file.path(), &list).map(|()| file));
    let file = file.map_err(|source| Error::Io { doing, path: std::env::temp_dir(), source })?;
    let mut command = vec!["setfiles", "-n", "-v", "-m", "-F", "-r", TARGET];
    command.extend(if names.is_empty() {
        [&contexts, TARGET].to_vec()
    } else {
        ["-0", "-f", "/run/names", &contexts].to_vec()
    });
    let sandbox = Sandbox::of_tools(tools).bind_ro(root, POLICY).bind_ro(files, TARGET);
    let sandbox = sandbox.bind_ro(file.path(), "/run/names");
    let said = sandbox.run(&command).map_err(|source| Error::Tool { doing, source })?;
    parse(&String::from_utf8_lossy(&said)).map_err(|words| Error::Words { doing, words })
}

/// The paths, below the root, and labels in the words of `setfiles -n -v`.
fn parse(said: &str) -> Result<BTreeMap<PathBuf, String>, String> {
    const START: &str = "Would relabel ";
    let mut labels = BTreeMap::new();
    // A name may hold a line feed.
    let text = format!("\n{said}");
    for line in text.trim_end().split(&format!("\n{START}")).skip(1) {
        let parts = || {
            let (path, label) = line.rsplit_once(" to ")?;
            let (path, _) = path.rsplit_once(" from ")?;
            Some((path.strip_prefix(TARGET)?.trim_start_matches('/'), label))
        };
        let (path, label) = parts().ok_or_else(|| format!("setfiles said `{START}{line}`, which is not understood"))?;
        labels.insert(PathBuf::from(path), label.to_owned());
    }
    Ok(labels)
}

/// Every path below `root`, itself first, a folder before what it holds.
fn walk(root: &Path) -> Result<Vec<PathBuf>, Error> {
    let mut paths = Vec::new();
    for entry in WalkDir::new(root).sort_by_file_name() {
        let entry = entry.map_err(|error| listing(root, error))?;
        paths.push(entry.path().strip_prefix(root).unwrap_or(entry.path()).to_owned());
    }
    Ok(paths)
}

/// The files that have several names, each with its names.
fn linked(root: &Path) -> Result<BTreeMap<(u64, u64), BTreeSet<PathBuf>>, Error> {
    let mut linked: BTreeMap<_, BTreeSet<PathBuf>> = BTreeMap::new();
    for entry in WalkDir::new(root) {
        let entry = entry.map_err(|error| listing(root, error))?;
        let metadata = entry.metadata().map_err(|error| listing(root, error))?;
        if metadata.nlink() > 1 && !metadata.is_dir() {
            let inside = entry.path().strip_prefix(root).unwrap_or(entry.path());
            linked.entry((metadata.dev(), metadata.ino())).or_default().insert(inside.to_owned());
        }
    }
    Ok(linked)
}

fn listing(root: &Path, error: walkdir::Error) -> Error {
    let path = error.path().unwrap_or(root).to_owned();
    Error::Io { doing: "listing", path, source: error.into() }
}

fn write<'a>(
    tools: &Path,
    image: &Path,
    partition: &Partition,
    time: Timestamp,
    labels: impl Iterator<Item = (&'a Path, &'a str)>,
) -> Result<(), Error> {
    let doing = "writing SELinux labels";
    let commands = commands(labels).map_err(|words| Error::Words { doing, words })?;
    Debugfs { tools, image, partition, time }.run(&commands, None).map_err(|source| Error::Debugfs { doing, source })
}

/// debugfs's own words for setting labels: a line for each, in double quotes what may hold spaces.
fn commands<'a>(labels: impl Iterator<Item = (&'a Path, &'a str)>) -> Result<String, String> {
    let mut commands = String::new();
    for (path, label) in labels {
        let path = path.to_str().filter(|path| !path.contains('\n'));
        let path = path.ok_or("a file's name is not UTF-8 or holds a line feed, which debugfs can't be told")?;
        let _ = writeln!(commands, "ea_set \"/{}\" security.selinux \"{label}\"", path.replace('"', "\"\""));
    }
    Ok(commands)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_names_the_policy_unless_selinux_is_off() {
        let on = "# SELINUX= can take\nSELINUX=enforcing\nSELINUXTYPE=targeted\n";
        assert_eq!(configured(on).as_deref(), Some("targeted"));
        assert_eq!(configured(&on.replace("=enforcing", " = permissive")).as_deref(), Some("targeted"));
        assert_eq!(configured(&on.replace("enforcing", "disabled")), None);
        assert_eq!(configured("SELINUX=enforcing\n"), None);
    }

    #[test]
    fn labels_are_read_whatever_a_name_holds() {
        let said = "Would relabel /run/target from <no context> to a:b:root_t:s0\n\
                    Would relabel /run/target/etc/x from y to z from (null) to a:b:etc_t:s0\n\
                    Would relabel /run/target/new\nline from (null) to a:b:c_t:s0\n";
        let read = parse(said).unwrap();
        let expected = [("", "root_t"), ("etc/x from y to z", "etc_t"), ("new\nline", "c_t")];
        let expected = expected.map(|(path, kind)| (PathBuf::from(path), format!("a:b:{kind}:s0")));
        assert_eq!(read, BTreeMap::from(expected));
        parse("Would relabel /elsewhere from x to y\n").unwrap_err();
    }

    #[test]
    fn commands_quote_names_and_refuse_what_has_no_quote() {
        let set = |path| commands([(Path::new(path), "u:r:t:s0")].into_iter());
        assert_eq!(set("a \"b\"").unwrap(), "ea_set \"/a \"\"b\"\"\" security.selinux \"u:r:t:s0\"\n");
        set("a\nb").unwrap_err();
    }
}
