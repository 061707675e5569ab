//! Debian's files under the paths of EL9, each with the RPM package that gets it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Component, Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use globset::GlobSet;

use super::catalogue::{Catalogue, Entry, globs};
use super::debian::Debian;
use crate::judge;

/// What a package holds.
#[derive(Debug, Default)]
pub struct Content {
    /// Folders, files and links, without the leading slash.
    pub paths: BTreeSet<PathBuf>,
    /// Those of them that are folders.
    pub folders: BTreeSet<PathBuf>,
    /// Whether an ELF file is among them.
    pub elf: bool,
    /// Whether it brings a shared library that programs are linked with.
    pub library: bool,
}

/// Lays the files of all packages below `trees`, a folder for each kind of payload, and says what is in which package.
/// `own` holds, in a folder for each package, the files that are not Debian's.
///
/// # Errors
/// A file belongs to no package, or to two.
pub fn regroup(
    catalogue: &Catalogue,
    debian: &BTreeMap<String, Debian>,
    own: &Path,
    work: &Path,
) -> Result<BTreeMap<String, Content>> {
    let mut mover = Mover { catalogue, work, drop: globs(&catalogue.drop)?, contents: BTreeMap::new() };
    for name in catalogue.packages.keys() {
        mover.contents.insert(name.clone(), Content::default());
    }
    let unpacked = work.join("unpacked");
    for package in debian.values() {
        let folder = unpacked.join(&package.name);
        fs::create_dir_all(&folder)?;
        judge::run("dpkg-deb", &["--extract", &package.deb.display().to_string(), &folder.display().to_string()])?;
        mover.take(package, &folder).with_context(|| format!("the Debian package {}", package.name))?;
    }
    fs::remove_dir_all(&unpacked)?;
    for (name, entry) in &catalogue.packages {
        for (path, mode) in &entry.folders {
            mover.folder(name, Path::new(path), Path::new("/usr"))?;
            let mode = u32::from_str_radix(mode, 8).with_context(|| format!("the mode of {path}"))?;
            fs::set_permissions(mover.tree(name).join(path), Permissions::from_mode(mode))?;
        }
        for (link, target) in &entry.links {
            let path = mover.place(name, Path::new(link))?;
            let _ = fs::remove_file(&path);
            symlink(target, &path).with_context(|| format!("linking {}", path.display()))?;
        }
        let folder = own.join(name);
        if folder.is_dir() {
            mover.lay(name, &folder).with_context(|| format!("the files of {name}"))?;
        }
    }
    for (name, entry) in &catalogue.packages {
        if let Some(script) = &entry.prepare {
            mover.prepare(name, script, &entry.made).with_context(|| format!("preparing {name}"))?;
        }
    }
    Ok(mover.contents)
}

struct Mover<'a> {
    catalogue: &'a Catalogue,
    work: &'a Path,
    drop: GlobSet,
    contents: BTreeMap<String, Content>,
}

/// An RPM package as the home of a Debian package's files.
struct Home<'a> {
    name: &'a str,
    take: Option<GlobSet>,
    drop: GlobSet,
}

impl Mover<'_> {
    /// Distributes the files of one Debian package.
    fn take(&mut self, package: &Debian, folder: &Path) -> Result<()> {
        let catalogue = self.catalogue;
        let mut homes = Vec::new();
        for (name, entry) in catalogue.packages.iter().filter(|(_, entry)| entry.debian.contains(&package.name)) {
            let take = (!entry.take.is_empty()).then(|| globs(&entry.take)).transpose()?;
            homes.push(Home { name, take, drop: globs(&entry.drop)? });
        }
        homes.sort_by_key(|home| (home.take.is_none(), Reverse(home.take.as_ref().map_or(0, GlobSet::len))));
        for inside in listing(folder)? {
            let from = folder.join(&inside);
            let to = self.renamed(&inside);
            if fs::symlink_metadata(&from)?.is_dir() || self.drop.is_match(&to) {
                continue;
            }
            let home = homes.iter().find(|home| home.take.as_ref().is_none_or(|take| take.is_match(&to)));
            let home = home.with_context(|| format!("/{} belongs to no package", to.display()))?;
            if !home.drop.is_match(&to) {
                self.move_file(home.name, &from, &inside, &to, folder)?;
            }
        }
        // Folders that packages own although nothing is in them.
        let bulk = homes.last().context("no RPM package")?;
        for inside in listing(folder)?.into_iter().rev() {
            let (from, to) = (folder.join(&inside), self.renamed(&inside));
            let empty = from.is_dir() && !from.is_symlink() && fs::read_dir(&from)?.next().is_none();
            if empty && !self.drop.is_match(&to) && !bulk.drop.is_match(&to) && !self.parents_elsewhere(&to) {
                self.folder(bulk.name, &to, &from)?;
            }
        }
        Ok(())
    }

    /// Whether another folder's renaming took this one's content away.
    fn parents_elsewhere(&self, to: &Path) -> bool {
        self.contents.values().any(|content| content.folders.contains(to))
    }

    fn move_file(&mut self, home: &str, from: &Path, inside: &Path, to: &Path, folder: &Path) -> Result<()> {
        if let Some(parent) = inside.parent() {
            self.folder(home, to.parent().unwrap_or(Path::new("")), &folder.join(parent))?;
        }
        let target = fs::read_link(from).ok().map(|target| self.retarget(inside, to, &target));
        if target.as_deref() == to.file_name().map(Path::new) {
            // A link from one folder of libraries into the other, which are one here.
            return Ok(());
        }
        let place = self.place(home, to)?;
        ensure!(fs::symlink_metadata(&place).is_err(), "/{} comes a second time", to.display());
        if let Some(target) = target {
            symlink(target, &place)?;
            return Ok(());
        }
        self.note(home, from, to)?;
        fs::rename(from, &place).with_context(|| format!("moving {}", to.display()))
    }

    /// Makes the folder `to`, and those above it, with the mode of `like`.
    fn folder(&mut self, home: &str, to: &Path, like: &Path) -> Result<()> {
        if to.as_os_str().is_empty() {
            return Ok(());
        }
        if let (Some(above), Some(like)) = (to.parent(), like.parent()) {
            self.folder(home, above, like)?;
        }
        let place = self.tree(home).join(to);
        if !place.is_dir() {
            fs::create_dir_all(&place)?;
            let mode = fs::metadata(like)?.permissions().mode() & 0o7777;
            fs::set_permissions(&place, Permissions::from_mode(mode))?;
        }
        let content = self.contents.entry(home.to_owned()).or_default();
        content.paths.insert(to.to_owned());
        content.folders.insert(to.to_owned());
        Ok(())
    }

    /// Copies the files below `folder`, over what may be there.
    fn lay(&mut self, home: &str, folder: &Path) -> Result<()> {
        for inside in listing(folder)? {
            let from = folder.join(&inside);
            if fs::symlink_metadata(&from)?.is_dir() {
                self.folder(home, &inside, &from)?;
                continue;
            }
            let place = self.place(home, &inside)?;
            let _ = fs::remove_file(&place);
            match fs::read_link(&from) {
                Ok(target) => symlink(target, &place)?,
                Err(_) => drop(fs::copy(&from, &place)?),
            }
        }
        Ok(())
    }

    /// Runs `script` with the tree as its root; what it has `made` is the package's, and what it removed is not.
    fn prepare(&mut self, home: &str, script: &str, made: &[String]) -> Result<()> {
        let tree = self.tree(home);
        judge::run("chroot", &[&tree.display().to_string(), "/bin/bash", "-e", "-c", script])?;
        let content = self.contents.entry(home.to_owned()).or_default();
        content.paths.retain(|path| fs::symlink_metadata(tree.join(path)).is_ok());
        content.folders.retain(|path| tree.join(path).is_dir());
        for top in made.iter().map(Path::new) {
            ensure!(tree.join(top).exists(), "the script has not made /{}", top.display());
            content.paths.insert(top.to_owned());
            if !tree.join(top).is_dir() {
                continue;
            }
            content.folders.insert(top.to_owned());
            for inside in listing(&tree.join(top))? {
                let path = top.join(inside);
                if fs::symlink_metadata(tree.join(&path))?.is_dir() {
                    content.folders.insert(path.clone());
                }
                content.paths.insert(path);
            }
        }
        Ok(())
    }

    /// Where the file `to` of a package lies; it is the package's from now on.
    fn place(&mut self, home: &str, to: &Path) -> Result<PathBuf> {
        let place = self.tree(home).join(to);
        let parent = place.parent().context("no folder")?;
        fs::create_dir_all(parent).with_context(|| format!("making {}", parent.display()))?;
        self.contents.entry(home.to_owned()).or_default().paths.insert(to.to_owned());
        Ok(place)
    }

    fn tree(&self, home: &str) -> PathBuf {
        let payload = self.catalogue.packages.get(home).map_or_else(Default::default, |entry: &Entry| entry.payload);
        self.work.join(format!("{payload:?}"))
    }

    fn note(&mut self, home: &str, from: &Path, to: &Path) -> Result<()> {
        let mut magic = [0; 4];
        let elf = fs::File::open(from)?.read(&mut magic)? == 4 && magic == *b"\x7fELF";
        let content = self.contents.entry(home.to_owned()).or_default();
        content.elf |= elf;
        let name = to.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        content.library |= elf && to.parent() == Some(Path::new("usr/lib64")) && name.contains(".so");
        Ok(())
    }

    /// The path that EL9 has for Debian's.
    fn renamed(&self, inside: &Path) -> PathBuf {
        let longest = self.catalogue.rename.iter().filter(|(from, _)| inside.starts_with(from));
        match longest.max_by_key(|(from, _)| from.len()) {
            Some((from, to)) => match inside.strip_prefix(from) {
                Ok(rest) if rest.as_os_str().is_empty() => PathBuf::from(to),
                Ok(rest) => Path::new(to).join(rest),
                Err(_) => inside.to_owned(),
            },
            None => inside.to_owned(),
        }
    }

    /// What a link has to say at its new place.
    fn retarget(&self, inside: &Path, to: &Path, target: &Path) -> PathBuf {
        if let Ok(absolute) = target.strip_prefix("/") {
            return Path::new("/").join(self.renamed(absolute));
        }
        let there = normal(&inside.parent().unwrap_or(Path::new("")).join(target));
        let renamed = self.renamed(&there);
        if to == inside && renamed == there {
            return target.to_owned();
        }
        relative(to.parent().unwrap_or(Path::new("")), &renamed)
    }
}

/// `path` without `.` and `..`.
fn normal(path: &Path) -> PathBuf {
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            Component::Normal(name) => plain.push(name),
            _ => {}
        }
    }
    plain
}

/// How `to` is called from within `folder`.
fn relative(folder: &Path, to: &Path) -> PathBuf {
    let shared = folder.components().zip(to.components()).take_while(|(left, right)| left == right).count();
    let up = folder.components().skip(shared).map(|_| Component::ParentDir);
    up.chain(to.components().skip(shared)).collect()
}

/// Everything below `folder`, each folder before its content.
fn listing(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut all = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(inside) = folders.pop() {
        for entry in fs::read_dir(folder.join(&inside))? {
            let entry = entry?;
            let path = inside.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                folders.push(path.clone());
            }
            all.push(path);
        }
    }
    if all.iter().any(|path| path.to_str().is_none()) {
        bail!("{} holds a name that is not UTF-8", folder.display());
    }
    all.sort();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_lead_to_the_same_file_after_it_and_they_have_moved() {
        let rename = BTreeMap::from([("usr/lib/x86_64-linux-gnu".to_owned(), "usr/lib64".to_owned())]);
        let catalogue = Catalogue { rename, ..Catalogue::default() };
        let mover =
            Mover { catalogue: &catalogue, work: Path::new(""), drop: GlobSet::empty(), contents: BTreeMap::new() };
        for (link, target, expected) in [
            ("usr/lib/x86_64-linux-gnu/liba.so", "liba.so.1", "liba.so.1"),
            ("usr/lib/x86_64-linux-gnu/liba.so", "../../share/a", "../share/a"),
            ("usr/lib64/ld.so.2", "../lib/x86_64-linux-gnu/ld.so.2", "ld.so.2"),
            ("usr/bin/a", "/usr/lib/x86_64-linux-gnu/a", "/usr/lib64/a"),
            ("usr/bin/a", "../lib/a", "../lib/a"),
        ] {
            let (link, target) = (Path::new(link), Path::new(target));
            assert_eq!(mover.retarget(link, &mover.renamed(link), target), Path::new(expected), "{link:?}");
        }
    }
}
