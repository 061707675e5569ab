//! Installs packages by the distribution's own rpm, which is run from the tools root upon the empty root folder: all in one
//! transaction, whose order is rpm's, with scriptlets and triggers.

use std::path::{Path, PathBuf};

use super::clean;
use super::database::Database;
use crate::archive::Solution;
use crate::rootfs::Error;
use crate::rootfs::overlay::EarlyFile;
use crate::rootfs::tree::{Owner, Tree, set_mode};
use crate::sandbox::Sandbox;

/// What the kernel's scriptlets go by: how its initramfs is made, its boot loader entry, and what else is done with it.
pub const EARLY: [&str; 4] = ["etc/dracut.conf.d", "etc/kernel", "etc/machine-info", "usr/lib/kernel/install.d"];

/// A machine's id while scriptlets run: without one systemd's would draw one by chance, by which others then name files.
const MACHINE_ID: (&str, &[u8]) = ("etc/machine-id", b"11111111111111111111111111111111\n");
/// Where the root folder is seen by the tools.
const TARGET: &str = "/run/target";
/// Where the packages are seen; on a tmpfs, so that it leaves no trace.
const PACKAGES: &str = "/run/packages";
/// Folders that are mounted upon while scriptlets run, and their modes (Filesystem Hierarchy Standard 3.0): what rpm would give
/// to them, it gives to what is mounted there.
const MOUNTED: [(&str, u32); 5] = [("dev", 0o755), ("proc", 0o555), ("run", 0o755), ("sys", 0o555), ("tmp", 0o1777)];
/// Of those, which rpm must leave alone: a user namespace may not change them.
const LEFT_ALONE: &str = "_netsharedpath /proc:/sys";
/// What rpm says of a scriptlet that went wrong. For all but those before a package it is no more than a warning.
const FAILED: &str = "scriptlet failed";

/// What [`install`] is to do.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The packages.
    pub solution: &'a Solution,
    /// Each package's verified file.
    pub files: &'a [PathBuf],
    /// The tools root.
    pub tools: &'a Path,
    /// What must be there before packages are configured.
    pub early: &'a [EarlyFile],
    /// The file that everything the packages say is appended to.
    pub log: &'a Path,
    /// An empty folder for what is needed on the way.
    pub work: &'a Path,
}

/// Makes the empty folder `root` a root file system with exactly the packages of the request, each scriptlet carried
/// out, nothing started, and nothing that tells of the host or of the time.
///
/// # Errors
/// [`Error`]; `root` is then of no use.
pub fn install(request: &Request<'_>, root: &Path) -> Result<(), Error> {
    let tree = Tree::open(root).map_err(Error::io("opening the root folder", root))?;
    lay_out(request, &tree)?;
    let released = request.solution.released.as_second();
    let sandbox =
        Sandbox::of_tools(request.tools).env("SOURCE_DATE_EPOCH", &released.to_string()).bind_root(root, TARGET);
    let database = Database { sandbox: sandbox.clone(), target: TARGET };
    transact(request, &sandbox.log(request.log))?;
    database.settle(&tree, released, request.work)?;
    database.verify(request.solution)?;
    database.close(&tree)?;
    clean::after_install(&tree)
}

/// What must be there before the first package.
fn lay_out(request: &Request<'_>, tree: &Tree) -> Result<(), Error> {
    for (name, mode) in MOUNTED {
        let path = Path::new(name);
        let made = tree.make_folders(path).and_then(|folder| set_mode(folder, mode));
        made.map_err(Error::io("making", path))?;
    }
    let early = request.early.iter().map(|file| (file.path.as_path(), file.content.as_slice(), file.mode));
    for (path, content, mode) in early.chain([(Path::new(MACHINE_ID.0), MACHINE_ID.1, 0o444)]) {
        tree.write(path, content, mode, Owner::ROOT).map_err(Error::io("writing", path))?;
    }
    Ok(())
}

fn transact(request: &Request<'_>, sandbox: &Sandbox) -> Result<(), Error> {
    let folder = common(request.files);
    let inside = |file: &PathBuf| {
        let path = file.strip_prefix(&folder).unwrap_or(file);
        Path::new(PACKAGES).join(path).display().to_string()
    };
    let files: Vec<String> = request.files.iter().map(inside).collect();
    // rpm's words are wanted, and a sandbox gives those on standard output. Plugins would talk to the host's systemd and SELinux.
    let mut command = vec!["sh", "-c", r#"exec rpm "$@" 2>&1"#, "rpm", "--root", TARGET];
    command.extend(["--install", "--verbose", "--noplugins", "--nosignature", "--define", LEFT_ALONE]);
    command.extend(files.iter().map(String::as_str));
    let words = sandbox.clone().bind_ro(&folder, PACKAGES).run(&command)?;
    let words = String::from_utf8_lossy(&words);
    let failed: Vec<String> = words.lines().filter(|line| line.contains(FAILED)).map(str::to_owned).collect();
    if failed.is_empty() { Ok(()) } else { Err(Error::Scriptlets { failed, log: request.log.to_owned() }) }
}

/// The deepest folder that holds all `files`.
fn common(files: &[PathBuf]) -> PathBuf {
    let mut folder = files.first().and_then(|file| file.parent()).unwrap_or(Path::new("/"));
    while !files.iter().all(|file| file.starts_with(folder)) {
        folder = folder.parent().unwrap_or(Path::new("/"));
    }
    folder.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_deepest_common_folder_holds_all_files() {
        let files = ["/a/store/12/34", "/a/store/12/35", "/a/store/77/88"].map(PathBuf::from);
        assert_eq!(common(&files), Path::new("/a/store"));
        assert_eq!(common(&files[..2]), Path::new("/a/store/12"));
    }
}
