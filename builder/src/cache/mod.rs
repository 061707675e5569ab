//! What lies in a cache folder, how large it is, and when it was last used.

mod prune;
mod verify;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use jiff::Timestamp;
use serde::Serialize;

use crate::neighbours;
use crate::stage::{self, Entry, Judged, Size, Thorough};
use crate::store;
pub use prune::{Limit, Pruned, prune};
pub use verify::{Bad, Verified, verify};

/// Something in a cache could not be removed or locked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A file or folder.
    #[error("{doing} {}: {source}", path.display())]
    Io {
        /// In gerunds, such as `removing`.
        doing: &'static str,
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A stage.
    #[error(transparent)]
    Stage(#[from] stage::Error),
}

impl Error {
    fn io(doing: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}

/// What something in a cache is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A whole download.
    Download,
    /// The beginning of one.
    Partial,
    /// A finished stage.
    Stage,
    /// What a killed build has left.
    Unfinished,
    /// What only an older Firstlight could use.
    Outdated,
}

/// One thing in a cache.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What it is.
    pub kind: Kind,
    /// Where it lies.
    pub path: PathBuf,
    /// How large it is.
    #[serde(flatten)]
    pub size: Size,
    /// When it was last used, where that can be told.
    pub used: Option<Timestamp>,
    /// When it was made, of a stage.
    pub made: Option<Timestamp>,
    /// What it is in a few words, of a stage.
    pub about: String,
}

impl Item {
    fn new(kind: Kind, path: PathBuf) -> Self {
        let metadata = fs::symlink_metadata(&path);
        let used = metadata.and_then(|metadata| metadata.modified()).ok().and_then(timestamp);
        Self { kind, size: stage::size(&path), path, used, made: None, about: String::new() }
    }

    fn stage(entry: &Entry) -> Self {
        let record = match entry.judge(Thorough::AsNeeded) {
            Judged::Good(record) => Some(record),
            Judged::Absent | Judged::Bad(_) => None,
        };
        let about = record.as_ref().map_or_else(|| "damaged".to_owned(), |record| record.about.clone());
        let used = entry.last_used().and_then(timestamp);
        let item = Self::new(Kind::Stage, entry.folder().to_owned());
        Self { used, made: record.map(|record| record.made), about, ..item }
    }

    /// The last part of its path.
    #[must_use]
    pub fn name(&self) -> String {
        self.path.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

fn timestamp(time: SystemTime) -> Option<Timestamp> {
    Timestamp::try_from(time).ok()
}

/// Everything in the cache `cache` that can be told apart: first what is of no use to anyone, then the rest, by last use.
#[must_use]
pub fn list(cache: &Path) -> Vec<Item> {
    let mut items: Vec<Item> = downloads(cache).into_iter().map(|path| Item::new(Kind::Download, path)).collect();
    let partial = children(&store::below(cache).join("partial"));
    items.extend(partial.into_iter().map(|path| Item::new(Kind::Partial, path)));
    items.extend(stages(cache).iter().map(Item::stage));
    items.sort_by_key(|item| item.used);
    let dead = workplaces(cache).into_iter().flat_map(|folder| stage::dead(&folder));
    let useless = dead.map(|path| Item::new(Kind::Unfinished, path));
    let outdated = outdated(cache).into_iter().map(|path| Item::new(Kind::Outdated, path));
    useless.chain(outdated).chain(items).collect()
}

/// The cache of another user in the same folder.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Other {
    /// Where it lies.
    pub path: PathBuf,
    /// Whether its stages are used.
    pub trusted: bool,
    /// How large it is, as far as that can be seen.
    #[serde(flatten)]
    pub size: Size,
}

/// The caches of other users beside `cache`.
#[must_use]
pub fn others(cache: &Path) -> Vec<Other> {
    let inside = |folder: &Path| ["store", "stages"].map(|name| stage::size(&folder.join(name)));
    let others = neighbours::of(cache).into_iter().map(|one| {
        let size = inside(&one.folder).into_iter().fold(Size::default(), |total, size| total + size);
        Other { path: one.folder, trusted: one.trusted, size }
    });
    others.filter(|other| other.size != Size::default()).collect()
}

/// The entries of the folder, sorted; none where there is no such folder.
fn children(folder: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = fs::read_dir(folder).into_iter().flatten().flatten().map(|one| one.path()).collect();
    found.sort();
    found
}

fn downloads(cache: &Path) -> Vec<PathBuf> {
    children(&store::below(cache).join("sha256")).iter().flat_map(|folder| children(folder)).collect()
}

fn stages(cache: &Path) -> Vec<Entry> {
    let is_stage = |path: &PathBuf| {
        let name = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.rsplit_once('-'));
        name.is_some_and(|(_, digest)| digest.len() == 64) && path.is_dir()
    };
    children(&stage::below(cache)).into_iter().filter(is_stage).map(Entry::at).collect()
}

/// Where builds work on what is not finished.
fn workplaces(cache: &Path) -> [PathBuf; 2] {
    [stage::below(cache), cache.join("work")]
}

/// Folders of formats that came before this one's.
fn outdated(cache: &Path) -> Vec<PathBuf> {
    let older = |path: &PathBuf, format: u32| {
        let number = path.file_name().and_then(|name| name.to_str()).and_then(|name| name.strip_prefix('v'));
        number.and_then(|number| number.parse::<u32>().ok()).is_some_and(|number| number < format)
    };
    let below = |name: &str, format: u32| {
        children(&cache.join(name)).into_iter().filter(move |path| older(path, format)).collect::<Vec<_>>()
    };
    [below("stages", stage::FORMAT), below("store", store::FORMAT)].concat()
}

#[cfg(test)]
mod tests;
