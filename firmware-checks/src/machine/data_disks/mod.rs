//! Disks of their own for the appliance's data folders, as the site names them (`[[disks]]`).
//!
//! A disk that is empty gets one ext4 file system over the whole of it, so that a hypervisor's larger disk needs no partition table
//! changed; it is mounted at the folder's path before the gate judges. Later boots know it by its label (`fl-NAME`) and by its UUID,
//! which the machine keeps in [`RECORD`], wherever the disk is plugged in. A disk that holds anything else is never written.
//!
//! A power cut at any moment is mended by the next boot, which decides by what is on the disk alone:
//!
//! 1. `mkfs.ext4` gives the label `fl.begun`. Until its superblock is written, the disk is as empty as before; after that it says that
//!    it was begun, and it was never mounted: it is made again.
//! 2. When all of it has reached the disk, it gets the folder's label, in one write of the superblock. Where that was torn, its
//!    checksum says so, and that it was never mounted: it is made again.
//! 3. Mounting, the record and growing change nothing that a later boot could mistake.

mod holds;
mod make;
mod select;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use self::holds::label;
pub use self::holds::{Candidate, Holds, survey};
pub use self::select::{Choice, Refusal, choose, folder};
use crate::facts::{Machine, ext4, mounts};
use crate::files;
use crate::requirements::DataFolder;
use crate::site::{DataDisk, Site};

/// The UUID of the file system of each data folder that was mounted on this machine: JSON, by the folder's name.
pub const RECORD: &str = "/var/lib/firstlight/data-disks.json";
/// What came in the way in this boot: JSON, by the folder's name.
pub const TROUBLE: &str = "/run/firstlight/data-disks.json";

/// The machine could not be looked at, or its record not be written.
#[derive(Debug, thiserror::Error)]
#[error("{doing}: {source}")]
pub struct Error {
    doing: String,
    source: io::Error,
}

fn failed(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
    move |source| Error { doing: doing.into(), source }
}

/// What was done for one data folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// It was mounted already.
    Before,
    /// It was mounted; what grew or was not recorded is a note.
    Mounted {
        /// The disk.
        disk: String,
        /// Whether the file system was made just now.
        made: bool,
        /// What did not succeed, and keeps nobody from using the folder.
        note: Option<String>,
    },
    /// Nothing may be done, or what was tried failed.
    Not(String),
}

/// What mounts a device at a folder.
pub type Mount<'a> = &'a dyn Fn(&Path, &Path) -> Result<(), make::Error>;

/// Mounts the disk of every data folder for which `site` names one, and makes the file system of those that are empty. The
/// outermost folder comes first.
///
/// # Errors
/// [`Error`]; what goes wrong with one folder alone is told in its place.
pub fn prepare(machine: &Machine, folders: &[DataFolder], site: &Site) -> Result<Vec<(String, Done)>, Error> {
    let done = prepare_with(machine, folders, site, &make::mount_at)?;
    let trouble: BTreeMap<&String, &String> = done
        .iter()
        .filter_map(|(name, done)| match done {
            Done::Not(why) | Done::Mounted { note: Some(why), .. } => Some((name, why)),
            _ => None,
        })
        .collect();
    let path = machine.path(TROUBLE);
    let kept = match trouble.is_empty() {
        true => files::remove(&path),
        false => {
            serde_json::to_vec(&trouble).map_err(io::Error::other).and_then(|text| files::replace(&path, &text, 0o644))
        }
    };
    kept.map_err(failed(format!("writing {TROUBLE}")))?;
    Ok(done)
}

fn prepare_with(
    machine: &Machine,
    folders: &[DataFolder],
    site: &Site,
    mount: Mount<'_>,
) -> Result<Vec<(String, Done)>, Error> {
    let depth = |wanted: &&DataDisk| folders.iter().find(|folder| folder.name == wanted.folder).map(|f| f.path.len());
    let mut wanted: Vec<&DataDisk> = site.disks.iter().collect();
    wanted.sort_by_key(depth);
    let mut all = Vec::new();
    for wanted in wanted {
        // Anew for each: what was made for one folder is no longer empty for the next.
        let disks = survey(machine).map_err(failed("looking for disks"))?;
        let choice = choose(machine, folders, &disks, wanted, &record(machine)?);
        let choice = choice.map_err(failed(format!("looking for the disk of `{}`", wanted.folder)))?;
        all.push((wanted.folder.clone(), act(machine, folders, &wanted.folder, choice, mount)));
    }
    Ok(all)
}

fn act(machine: &Machine, folders: &[DataFolder], name: &str, choice: Choice, mount: Mount<'_>) -> Done {
    let (disk, made) = match choice {
        Choice::Mounted(_) => return Done::Before,
        Choice::Refused(refusal) => return Done::Not(refusal.found),
        Choice::Mount(disk) => (disk.disk.name, false),
        Choice::Make(disk) => (disk.disk.name, true),
    };
    let Some(folder) = folders.iter().find(|folder| folder.name == name) else { return Done::Before };
    let (device, point) = (machine.path(&format!("/dev/{disk}")), machine.path(&folder.path));
    let mounted = if made { make::make(&device, &label(name)) } else { Ok(()) }
        .and_then(|()| make::check(&device))
        .and_then(|()| mount(&device, &point));
    if let Err(error) = mounted {
        return Done::Not(format!("{disk}: {error}"));
    }
    let recorded = remember(machine, name, &device).map_err(|error| error.to_string());
    let grown = if made { Ok(()) } else { make::grow(&device).map_err(|error| error.to_string()) };
    let labelled =
        if made { crate::selinux::restore(&[&folder.path]).map_err(|error| error.to_string()) } else { Ok(()) };
    let notes: Vec<String> = [recorded, grown, labelled].into_iter().filter_map(Result::err).collect();
    Done::Mounted { disk, made, note: (!notes.is_empty()).then(|| notes.join("; ")) }
}

/// Whether every data folder for which `site` names a disk is a mount point: else the platform would write elsewhere.
#[must_use]
pub fn all_mounted(machine: &Machine, folders: &[DataFolder], site: &Site) -> bool {
    let Ok(mounts) = mounts::all(machine) else { return site.disks.is_empty() };
    site.disks.iter().all(|wanted| {
        let folder = folders.iter().find(|folder| folder.name == wanted.folder);
        folder.is_some_and(|folder| mounts.iter().any(|mount| mount.point == Path::new(&folder.path)))
    })
}

/// The UUID of each data folder's file system, by the folder's name.
///
/// # Errors
/// The record is there and can't be read.
pub fn record(machine: &Machine) -> Result<BTreeMap<String, String>, Error> {
    match std::fs::read(machine.path(RECORD)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeMap::new()),
        read => read
            .and_then(|text| serde_json::from_slice(&text).map_err(io::Error::other))
            .map_err(failed(format!("reading {RECORD}"))),
    }
}

/// What came in the way when the disk of the folder `name` was last looked after.
#[must_use]
pub fn trouble(machine: &Machine, name: &str) -> Option<String> {
    let text = std::fs::read(machine.path(TROUBLE)).ok()?;
    serde_json::from_slice::<BTreeMap<String, String>>(&text).ok()?.remove(name)
}

/// Forgets which file system held the folder `name`. Whether there was one.
///
/// # Errors
/// The record can't be read or written.
pub fn forget(machine: &Machine, name: &str) -> Result<bool, Error> {
    let mut record = record(machine)?;
    let known = record.remove(name).is_some();
    if known {
        write(machine, &record)?;
    }
    Ok(known)
}

fn remember(machine: &Machine, name: &str, device: &Path) -> Result<(), Error> {
    let found = ext4::superblock(device).map_err(failed(format!("reading {}", device.display())))?;
    let mut record = record(machine)?;
    let uuid = found.map(|found| found.uuid).unwrap_or_default();
    if record.insert(name.to_owned(), uuid.clone()) == Some(uuid) { Ok(()) } else { write(machine, &record) }
}

fn write(machine: &Machine, record: &BTreeMap<String, String>) -> Result<(), Error> {
    let text = serde_json::to_vec_pretty(record).map_err(io::Error::other);
    text.and_then(|text| files::replace(&machine.path(RECORD), &text, 0o600))
        .map_err(failed(format!("writing {RECORD}")))
}
