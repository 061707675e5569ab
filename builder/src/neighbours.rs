//! One cache folder for several users: where each one's own things lie, and whose of the others' are believed.
//!
//! A folder that is one user's alone is that user's cache. In one that others may write, too, each user has a cache
//! of their own, named by the user's number; nobody writes into another's, so nothing that one does, or leaves behind
//! when killed, stands in another's way. What the others have is taken from there:
//! - Downloads are copied, whoever brought them, and only if the copy has the digest that was asked for.
//! - Stages are used where they lie if the folder says that its users trust each other: it is root's or one's own, a
//!   group may write it, and it is not sticky, so that any of them could replace anything of the others' anyway. Each
//!   one's cache is then named `member-NUMBER`. In a sticky folder (mode 1777, or 3775), where it is named
//!   `user-NUMBER`, stages are used by those alone who made them.

use std::fs::{self, DirBuilder, Metadata, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use nix::unistd::{getegid, geteuid};

/// How the cache of one user is named where the users of a folder trust each other.
const MEMBER: &str = "member-";
/// How it is named where they do not.
const USER: &str = "user-";

/// No folder of the user's own can be had.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing that lies there can be believed.
    #[error(
        "{}: everybody may replace what others put there (mode {mode:04o})\n  hint: chmod +t lets each user have a cache \
         of their own in it", folder.display()
    )]
    Open {
        /// The folder.
        folder: PathBuf,
        /// Its mode.
        mode: u32,
    },
    /// Somebody else has made what should be the user's own.
    #[error("{}: expected a folder of the user {expected}, found {found}", folder.display())]
    Foreign {
        /// The folder.
        folder: PathBuf,
        /// The user's number.
        expected: u32,
        /// What is there instead.
        found: String,
    },
    /// It can't be made or looked at.
    #[error("{doing} {}: {source}\n  hint: choose another folder with --cache or FIRSTLIGHT_CACHE", path.display())]
    Io {
        /// In gerunds, such as `making the folder`.
        doing: &'static str,
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

/// Whose a cache folder is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// One user's alone.
    Private,
    /// That of users who trust each other.
    Together,
    /// That of users who do not.
    Apart,
    /// Everybody's, and everything in it, too.
    Open,
}

impl Kind {
    /// That of a folder with this mode, owner and group, for the user `me`.
    fn of(mode: u32, owner: u32, group: u32, me: u32) -> Self {
        let (sticky, by_group, by_all) = (mode & 0o1000 != 0, mode & 0o020 != 0, mode & 0o002 != 0);
        match () {
            () if by_all && !sticky => Self::Open,
            // A group with its user's number is that user's alone, and umask 002 is usual with it.
            () if owner == me && !by_all && (!by_group || group == owner) => Self::Private,
            () if by_group && !sticky && (owner == me || owner == 0) => Self::Together,
            () => Self::Apart,
        }
    }
}

/// The calling user's own cache in the cache folder `top`; both are made where they are missing. Must be called before
/// a user namespace is entered, since users look alike in there.
///
/// # Errors
/// [`Error`].
pub fn own(top: &Path) -> Result<PathBuf, Error> {
    let failed = |doing: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| Error::Io { doing, path, source }
    };
    let make = |path: &Path| {
        let made = DirBuilder::new().recursive(true).mode(0o755).create(path);
        made.map_err(failed("making the folder", path))
    };
    make(top)?;
    let metadata = fs::metadata(top).map_err(failed("looking at", top))?;
    let (mode, me) = (metadata.mode() & 0o7777, geteuid().as_raw());
    let name = match Kind::of(mode, metadata.uid(), metadata.gid(), me) {
        Kind::Private => return Ok(top.to_owned()),
        Kind::Open => return Err(Error::Open { folder: top.to_owned(), mode }),
        Kind::Together => format!("{MEMBER}{me}"),
        Kind::Apart => format!("{USER}{me}"),
    };
    let own = top.join(name);
    if fs::symlink_metadata(&own).is_err() {
        make(&own)?;
        // What is made below it must belong to the user's own group, since others are unknown in a user namespace, and
        // owners can't be given to files of an unknown group.
        let settle = || {
            let mode = fs::metadata(&own)?.mode() & 0o777;
            chown(&own, None, Some(getegid().as_raw()))?;
            fs::set_permissions(&own, Permissions::from_mode(mode))
        };
        settle().map_err(failed("setting group and mode of", &own))?;
    }
    let found = fs::symlink_metadata(&own).map_err(failed("looking at", &own))?;
    match foreign(&found, me) {
        Some(found) => Err(Error::Foreign { folder: own, expected: me, found }),
        None => Ok(own),
    }
}

/// What is there instead of a folder of the user `me`'s own.
fn foreign(found: &Metadata, me: u32) -> Option<String> {
    match () {
        () if !found.is_dir() => Some("something else".into()),
        () if found.uid() != me => Some(format!("one of the user {}", found.uid())),
        () => None,
    }
}

/// Another cache in the same shared folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its folder.
    pub folder: PathBuf,
    /// Whether its stages are believed.
    pub trusted: bool,
}

/// The other caches in the shared folder that `own` gave its answer from, sorted by name; none for a cache that is not
/// shared.
#[must_use]
pub fn of(own: &Path) -> Vec<Neighbour> {
    let name = |path: &Path| path.file_name().and_then(|name| name.to_str()).unwrap_or_default().to_owned();
    let is = |name: &str, kind: &str| name.strip_prefix(kind).is_some_and(|number| number.parse::<u32>().is_ok());
    let member = is(&name(own), MEMBER);
    let Some(top) = own.parent().filter(|_| member || is(&name(own), USER)) else { return Vec::new() };
    let mut folders: Vec<PathBuf> = fs::read_dir(top).into_iter().flatten().flatten().map(|one| one.path()).collect();
    folders.retain(|folder| folder != own && (is(&name(folder), MEMBER) || is(&name(folder), USER)));
    folders.retain(|folder| fs::symlink_metadata(folder).is_ok_and(|found| found.is_dir()));
    folders.sort();
    let others = folders.into_iter().map(|folder| Neighbour { trusted: member && is(&name(&folder), MEMBER), folder });
    // What was there before the folder was shared, or while it was another user's alone.
    others.chain([Neighbour { folder: top.to_owned(), trusted: false }]).collect()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_folder_says_whose_it_is() {
        let (me, group) = (1000, 50);
        assert_eq!(Kind::of(0o755, me, group, me), Kind::Private);
        assert_eq!(Kind::of(0o775, me, me, me), Kind::Private, "the user's private group");
        assert_eq!(Kind::of(0o775, me, group, me), Kind::Together);
        assert_eq!(Kind::of(0o2775, 0, group, me), Kind::Together);
        assert_eq!(Kind::of(0o3775, 0, group, me), Kind::Apart);
        assert_eq!(Kind::of(0o1777, 0, 0, me), Kind::Apart);
        assert_eq!(Kind::of(0o2775, 1001, group, me), Kind::Apart, "its owner is not root");
        assert_eq!(Kind::of(0o755, 1001, 1001, 0), Kind::Apart, "root in a user's folder");
        assert_eq!(Kind::of(0o777, me, me, me), Kind::Open);
    }

    fn folder(mode: u32) -> tempfile::TempDir {
        let top = tempfile::tempdir().unwrap();
        fs::set_permissions(top.path(), fs::Permissions::from_mode(mode)).unwrap();
        top
    }

    #[test]
    fn each_user_has_a_folder_in_a_shared_one() {
        let (private, shared, open) = (folder(0o755), folder(0o3777), folder(0o777));
        assert_eq!(own(private.path()).unwrap(), private.path());
        assert_eq!(of(private.path()), []);
        let mine = own(shared.path()).unwrap();
        assert_eq!(mine, shared.path().join(format!("user-{}", geteuid())));
        assert_eq!(fs::metadata(&mine).unwrap().mode() & 0o6000, 0, "its group is inherited");
        assert!(own(open.path()).unwrap_err().to_string().contains("mode 0777"));

        for name in ["user-7", "member-8", "user-x", "store"] {
            fs::create_dir(shared.path().join(name)).unwrap();
        }
        symlink("user-7", shared.path().join("user-9")).unwrap();
        let neighbour = |name: &str, trusted| Neighbour { folder: shared.path().join(name), trusted };
        assert_eq!(of(&mine), [neighbour("member-8", false), neighbour("user-7", false), neighbour("", false)]);
        let member = shared.path().join("member-1");
        assert_eq!(of(&member)[0], neighbour("member-8", true));
        assert!(of(&member)[1..].iter().all(|one| !one.trusted));
    }

    #[test]
    fn what_another_put_in_the_place_of_ones_own_is_refused() {
        let shared = folder(0o1777);
        symlink("/tmp", shared.path().join(format!("user-{}", geteuid()))).unwrap();
        assert!(own(shared.path()).unwrap_err().to_string().contains("found something else"));
    }
}
