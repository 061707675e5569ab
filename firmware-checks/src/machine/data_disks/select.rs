//! Which disk a data folder gets, as a pure decision over what the machine's disks hold.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use super::holds::{Candidate, Holds, label};
use crate::facts::{Machine, mounts};
use crate::requirements::DataFolder;
use crate::site::DataDisk;

/// What is to be done for one `[[disks]]` of the site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// Nothing: it is mounted.
    Mounted(Candidate),
    /// Its file system is there, and is to be mounted.
    Mount(Candidate),
    /// The disk is empty, or was begun: it is to be given a file system.
    Make(Candidate),
    /// Nothing may be done.
    Refused(Refusal),
}

/// Why a data folder gets no disk, and what an admin can do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// What was found.
    pub found: String,
    /// What to do.
    pub remedy: String,
}

fn refused(found: String, remedy: String) -> Choice {
    Choice::Refused(Refusal { found, remedy })
}

const SITE: &str = "in site.toml, then sudo firmware-checks site import FOLDER";

/// The data folder that `wanted` is for.
///
/// # Errors
/// The appliance has none of this name.
pub fn folder<'a>(folders: &'a [DataFolder], wanted: &DataDisk) -> Result<&'a DataFolder, Refusal> {
    folders.iter().find(|folder| folder.name == wanted.folder).ok_or_else(|| {
        let names: Vec<&str> = folders.iter().map(|folder| folder.name.as_str()).collect();
        let known = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
        Refusal {
            found: format!("the appliance has no data folder `{}`; it has {known}", wanted.folder),
            remedy: format!("correct `folder` of [[disks]] {SITE}"),
        }
    })
}

/// The choice for `wanted`, of the machine's `disks`. `record` has the UUID of each folder's file system that was mounted on this machine.
///
/// # Errors
/// The table of mounts or the folder could not be read.
pub fn choose(
    machine: &Machine,
    folders: &[DataFolder],
    disks: &[Candidate],
    wanted: &DataDisk,
    record: &BTreeMap<String, String>,
) -> io::Result<Choice> {
    let folder = match folder(folders, wanted) {
        Ok(folder) => folder,
        Err(refusal) => return Ok(Choice::Refused(refusal)),
    };
    let wanted_label = label(&folder.name);
    let carries = |disk: &&Candidate| matches!(&disk.holds, Holds::Folder { label, .. } if *label == wanted_label);
    if let Some(mount) = mounts::all(machine)?.into_iter().rev().find(|mount| mount.point == Path::new(&folder.path)) {
        let ours = disks.iter().filter(carries).find(|disk| disk.number == mount.device);
        return Ok(match ours {
            Some(disk) => Choice::Mounted(disk.clone()),
            None => refused(
                format!("{} is a mount point of {} already", folder.path, mount.source),
                format!(
                    "take [[disks]] for `{}` out of site.toml and import it, or take {} out of /etc/fstab and restart; \
                    a mount point of the image itself grows with the disk below it",
                    folder.name, folder.path
                ),
            ),
        });
    }
    let meant: Vec<&Candidate> =
        disks.iter().filter(|disk| wanted.means(&disk.disk, &disk.names, disk.model.as_deref())).collect();
    let disk = match known(folder, disks, &meant, record) {
        Ok(Some(disk)) => disk,
        Ok(None) => match one(disks, &meant, carries) {
            Ok(disk) => disk,
            Err(refusal) => return Ok(Choice::Refused(refusal)),
        },
        Err(refusal) => return Ok(Choice::Refused(refusal)),
    };
    Ok(match may(machine, folder, disk, &wanted_label)? {
        Some(refusal) => Choice::Refused(refusal),
        None if carries(&disk) => Choice::Mount(disk.clone()),
        None => Choice::Make(disk.clone()),
    })
}

/// The disk that held the folder before, by the UUID of its file system: wherever it is plugged in now, and though the site's
/// words may fit it no longer, as a size does when a hypervisor has enlarged it. None where the machine has no record of one.
fn known<'a>(
    folder: &DataFolder,
    disks: &'a [Candidate],
    meant: &[&'a Candidate],
    record: &BTreeMap<String, String>,
) -> Result<Option<&'a Candidate>, Refusal> {
    let Some(recorded) = record.get(&folder.name) else { return Ok(None) };
    let is = |disk: &&Candidate| matches!(&disk.holds, Holds::Folder { uuid, .. } if uuid == recorded);
    let copies: Vec<&Candidate> = disks.iter().filter(is).collect();
    let both: Vec<&&Candidate> = meant.iter().filter(|disk| is(disk)).collect();
    match (copies.as_slice(), both.as_slice()) {
        (_, [disk]) => Ok(Some(disk)),
        ([disk], []) if meant.is_empty() => Ok(Some(disk)),
        ([disk], []) => Err(Refusal {
            found: format!("its data is on {}, and site.toml names {}", disk.told(), list(meant)),
            remedy: format!(
                "name {} {SITE}; or, to begin anew on the other: sudo firmware-checks machine data-disks --forget {}, \
                 and take {} out of the machine",
                disk.disk.name, folder.name, disk.disk.name
            ),
        }),
        ([], []) if meant.iter().any(|disk| matches!(disk.holds, Holds::Nothing | Holds::Begun)) => Err(Refusal {
            found: format!(
                "the disk that held it (file system {recorded}) is not there; site.toml names {}",
                list(meant)
            ),
            remedy: format!(
                "plug the disk in again; where it is lost: sudo firmware-checks machine data-disks --forget {}",
                folder.name
            ),
        }),
        ([], []) => Ok(None),
        _ => Err(several(&copies)),
    }
}

/// The one disk that the site means: of several, the one that carries the folder's own label.
fn one<'a>(
    disks: &'a [Candidate],
    meant: &[&'a Candidate],
    carries: impl Fn(&&Candidate) -> bool,
) -> Result<&'a Candidate, Refusal> {
    let carriers: Vec<&Candidate> = meant.iter().copied().filter(|disk| carries(disk)).collect();
    match (carriers.as_slice(), meant) {
        ([disk], _) | ([], [disk]) => Ok(disk),
        ([], []) => {
            let all: Vec<&Candidate> = disks.iter().collect();
            let found = format!("no disk is as site.toml says; there are {}", list(&all));
            let remedy =
                format!("plug it in, or correct `id`, `model` or `size` of [[disks]] {SITE}; ls -l /dev/disk/by-id");
            Err(Refusal { found, remedy })
        }
        _ => Err(several(if carriers.is_empty() { meant } else { &carriers })),
    }
}

fn several(disks: &[&Candidate]) -> Refusal {
    let found = format!("several disks are as site.toml says: {}", list(disks));
    Refusal { found, remedy: format!("name one of them by its `id` {SITE}") }
}

fn list(disks: &[&Candidate]) -> String {
    let told: Vec<String> = disks.iter().map(|disk| disk.told()).collect();
    if told.is_empty() { "none".to_owned() } else { told.join("; ") }
}

/// Why `disk` may not be used for `folder`, if it may not.
fn may(machine: &Machine, folder: &DataFolder, disk: &Candidate, label: &str) -> io::Result<Option<Refusal>> {
    let path =
        disk.names.first().map_or_else(|| format!("/dev/{}", disk.disk.name), |name| format!("/dev/disk/by-id/{name}"));
    let again = "sudo systemctl restart firstlight-data-disks";
    if let Some(point) = &disk.mounted {
        let remedy = format!("sudo umount {point}, and take its line out of /etc/fstab; then {again}");
        return Ok(Some(Refusal { found: format!("{} is mounted at {point}", disk.told()), remedy }));
    }
    match &disk.holds {
        Holds::Other(what) => {
            let remedy =
                format!("if its data may go: sudo wipefs -a {path}, then {again}; else name another disk {SITE}");
            let found = format!("{} is not empty: {what}; nothing was written to it", disk.disk.name);
            return Ok(Some(Refusal { found, remedy }));
        }
        Holds::Folder { label: other, .. } if other != label => {
            let remedy = format!("name another disk {SITE}; if its data may go: sudo wipefs -a {path}, then {again}");
            let found =
                format!("{} holds another data folder, labelled `{other}`; nothing was written to it", disk.disk.name);
            return Ok(Some(Refusal { found, remedy }));
        }
        _ => {}
    }
    let hidden = match machine.names(&folder.path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        names => names?,
    };
    let Some(first) = hidden.iter().find(|name| *name != "lost+found") else { return Ok(None) };
    let at = &folder.path;
    Ok(Some(Refusal {
        found: format!(
            "{at} holds files already ({first}{}), which the disk would hide",
            if hidden.len() > 1 { ", …" } else { "" }
        ),
        remedy: format!(
            "sudo mv {at} {at}.old; {again}; then copy what is needed: sudo cp -a {at}.old/. {at}/; or take [[disks]] for `{}` out {SITE}",
            folder.name
        ),
    }))
}
