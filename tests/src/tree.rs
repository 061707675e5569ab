//! Two trees of files side by side.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// How paths differ: each with everything that differs in it. The words are `only ours`, `only theirs`, `kind`, `mode`,
/// `owner`, `link`, `xattr`, `order of lines` and `content`.
pub type Differences = BTreeMap<String, BTreeSet<&'static str>>;

#[derive(PartialEq, Eq)]
enum Kind {
    Folder,
    File,
    Link(PathBuf),
    /// Major and minor number together.
    Device(u64),
    Other,
}

struct Entry {
    path: PathBuf,
    kind: Kind,
    mode: u32,
    owner: (u32, u32),
    size: u64,
    /// Of a file with several names, the one that was met first.
    first: Option<PathBuf>,
    attributes: BTreeMap<OsString, Vec<u8>>,
}

/// What differs between the trees `ours` and `theirs`: kind, mode, owner, target of a symbolic link, names of one file,
/// extended attributes (file capabilities are one) and content. Times do not count.
///
/// # Errors
/// Something can't be read.
pub fn differences(ours: &Path, theirs: &Path) -> Result<Differences> {
    let (ours, theirs) = (read(ours)?, read(theirs)?);
    let mut all = Differences::new();
    for (path, entry) in &ours {
        let found =
            theirs.get(path).map_or_else(|| Ok(BTreeSet::from(["only ours"])), |their| compare(entry, their))?;
        if !found.is_empty() {
            all.insert(path.display().to_string(), found);
        }
    }
    for path in theirs.keys().filter(|path| !ours.contains_key(*path)) {
        all.insert(path.display().to_string(), BTreeSet::from(["only theirs"]));
    }
    Ok(all)
}

fn read(root: &Path) -> Result<BTreeMap<PathBuf, Entry>> {
    let mut entries = BTreeMap::new();
    let mut linked = BTreeMap::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        let listed = fs::read_dir(root.join(&folder)).with_context(|| format!("listing {}", folder.display()))?;
        let mut names = listed.map(|entry| Ok(entry?.file_name())).collect::<Result<Vec<_>>>()?;
        names.sort();
        for name in names {
            let inside = folder.join(name);
            let mut entry = entry(root.join(&inside)).with_context(|| format!("reading {}", inside.display()))?;
            let metadata = fs::symlink_metadata(&entry.path)?;
            if entry.kind == Kind::File && metadata.nlink() > 1 {
                entry.first = Some(linked.entry(metadata.ino()).or_insert_with(|| inside.clone()).clone());
            }
            if entry.kind == Kind::Folder {
                folders.push(inside.clone());
            }
            entries.insert(inside, entry);
        }
    }
    Ok(entries)
}

fn entry(path: PathBuf) -> Result<Entry> {
    let metadata = fs::symlink_metadata(&path)?;
    let of = metadata.file_type();
    let kind = if of.is_dir() {
        Kind::Folder
    } else if of.is_file() {
        Kind::File
    } else if of.is_symlink() {
        Kind::Link(fs::read_link(&path)?)
    } else if of.is_char_device() || of.is_block_device() {
        Kind::Device(metadata.rdev())
    } else {
        Kind::Other
    };
    let mut attributes = BTreeMap::new();
    for name in xattr::list(&path)? {
        attributes.insert(name.clone(), xattr::get(&path, &name)?.unwrap_or_default());
    }
    let (mode, owner, size) = (metadata.mode() & 0o7777, (metadata.uid(), metadata.gid()), metadata.len());
    Ok(Entry { path, kind, mode, owner, size, first: None, attributes })
}

fn compare(ours: &Entry, theirs: &Entry) -> Result<BTreeSet<&'static str>> {
    let mut found = BTreeSet::new();
    match (&ours.kind, &theirs.kind) {
        (Kind::Link(our), Kind::Link(their)) if our != their => _ = found.insert("link"),
        (Kind::Link(_), Kind::Link(_)) => {}
        (our, their) if our != their => _ = found.insert("kind"),
        (Kind::File, Kind::File) => found.extend(content(ours, theirs)?),
        _ => {}
    }
    if ours.first != theirs.first {
        found.insert("link");
    }
    if ours.mode != theirs.mode {
        found.insert("mode");
    }
    if ours.owner != theirs.owner {
        found.insert("owner");
    }
    if ours.attributes != theirs.attributes {
        found.insert("xattr");
    }
    Ok(found)
}

fn content(ours: &Entry, theirs: &Entry) -> Result<Option<&'static str>> {
    if ours.size != theirs.size {
        return Ok(Some("content"));
    }
    let (our, their) = (fs::read(&ours.path)?, fs::read(&theirs.path)?);
    if our == their {
        return Ok(None);
    }
    let sorted = |bytes: &[u8]| {
        let mut lines: Vec<Vec<u8>> = bytes.split(|byte| *byte == b'\n').map(<[u8]>::to_vec).collect();
        lines.sort();
        lines
    };
    Ok(Some(if sorted(&our) == sorted(&their) { "order of lines" } else { "content" }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn every_kind_of_difference_is_found_and_equal_trees_have_none() {
        let trees = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        for tree in &trees {
            let path = |name: &str| tree.path().join(name);
            fs::create_dir(path("folder")).unwrap();
            for name in ["content", "mode", "order", "xattr", "kind", "linked", "folder/same"] {
                fs::write(path(name), "a\nb\n").unwrap();
            }
            symlink("there", path("link")).unwrap();
        }
        let [ours, theirs] = [trees[0].path(), trees[1].path()];
        assert_eq!(differences(ours, theirs).unwrap(), Differences::new());
        fs::write(ours.join("content"), "a\nc\n").unwrap();
        fs::write(ours.join("order"), "b\na\n").unwrap();
        fs::write(ours.join("folder/ours"), "").unwrap();
        fs::write(theirs.join("theirs"), "").unwrap();
        fs::set_permissions(ours.join("mode"), fs::Permissions::from_mode(0o4755)).unwrap();
        xattr::set(ours.join("xattr"), "user.test", b"x").unwrap();
        fs::remove_file(ours.join("kind")).unwrap();
        fs::create_dir(ours.join("kind")).unwrap();
        fs::set_permissions(ours.join("kind"), fs::Permissions::from_mode(0o644)).unwrap();
        fs::remove_file(ours.join("link")).unwrap();
        symlink("elsewhere", ours.join("link")).unwrap();
        fs::hard_link(ours.join("linked"), ours.join("folder/second")).unwrap();
        let found = differences(ours, theirs).unwrap();
        let told: Vec<String> = found.iter().map(|(path, what)| format!("{path} {what:?}")).collect();
        let expected = [
            r#"content {"content"}"#,
            r#"folder/ours {"only ours"}"#,
            r#"folder/second {"only ours"}"#,
            r#"kind {"kind"}"#,
            r#"link {"link"}"#,
            r#"linked {"link"}"#,
            r#"mode {"mode"}"#,
            r#"order {"order of lines"}"#,
            r#"theirs {"only theirs"}"#,
            r#"xattr {"xattr"}"#,
        ];
        assert_eq!(told, expected);
    }
}
