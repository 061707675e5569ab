//! Making a cache smaller: what is of no use first, then what was not used for the longest time, and nothing that a
//! running build uses.

use std::fs;
use std::io;
use std::path::Path;

use jiff::Timestamp;

use super::{Error, Item, Kind, list, workplaces};
use crate::stage::{self, Entry};
use crate::store;

/// What may stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    /// All that is of use.
    Useful,
    /// So many bytes on the disk.
    Bytes(u64),
    /// What was used since then.
    UsedSince(Timestamp),
}

/// What became of a cache.
#[derive(Clone, Debug, Default)]
pub struct Pruned {
    /// What was removed, or would be.
    pub removed: Vec<Item>,
    /// What should have been, but is in use.
    pub in_use: Vec<Item>,
}

/// Makes the cache `cache` smaller. With `dry_run` it only says what it would remove.
///
/// # Errors
/// Something can't be removed or locked; what came before it is removed.
pub fn prune(cache: &Path, limit: Limit, dry_run: bool) -> Result<Pruned, Error> {
    let items = list(cache);
    let store = store::seize(cache).map_err(Error::io("locking the store below", cache))?;
    let mut total: u64 = items.iter().map(|item| item.size.on_disk).sum();
    let mut pruned = Pruned::default();
    for item in items {
        let useless = matches!(item.kind, Kind::Unfinished | Kind::Outdated);
        let goes = useless
            || match limit {
                Limit::Useful => false,
                Limit::Bytes(keep) => total > keep,
                Limit::UsedSince(since) => item.used.is_none_or(|used| used < since),
            };
        if !goes {
            continue;
        }
        let free = match item.kind {
            Kind::Download | Kind::Partial => store.is_some(),
            Kind::Stage => {
                let entry = Entry::at(item.path.clone());
                if dry_run { entry.is_unused()? } else { stage::remove_unused(&entry)? }
            }
            Kind::Outdated => unlocked(&item.path).map_err(Error::io("locking", &item.path))?,
            Kind::Unfinished => true,
        };
        if !free {
            pruned.in_use.push(item);
            continue;
        }
        if !dry_run {
            remove(&item)?;
        }
        total = total.saturating_sub(item.size.on_disk);
        pruned.removed.push(item);
    }
    if !dry_run {
        workplaces(cache).iter().for_each(|folder| stage::sweep(folder));
    }
    Ok(pruned)
}

/// Removes what is not removed by other means.
fn remove(item: &Item) -> Result<(), Error> {
    let removed = match item.kind {
        Kind::Stage | Kind::Unfinished => return Ok(()),
        Kind::Outdated => fs::remove_dir_all(&item.path),
        Kind::Download | Kind::Partial => fs::remove_file(&item.path),
    };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("removing", &item.path)(error)),
        _ => Ok(()),
    }
}

/// Whether no file in the folder is locked, as those of running builds of an older format would be.
fn unlocked(folder: &Path) -> io::Result<bool> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let is_lock = path.extension().is_some_and(|end| end == "lock" || end == "owner");
        if is_lock && fs::File::open(&path)?.try_lock().is_err() {
            return Ok(false);
        }
    }
    Ok(true)
}
