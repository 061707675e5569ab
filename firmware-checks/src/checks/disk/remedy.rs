//! What this admin does about a file system that is too small.

use super::place::Place;
use crate::facts::block::{self, Disk};
use crate::facts::{Machine, hypervisor};
use crate::requirements::DataFolder;
use crate::units::{Size, Unit};

/// What to do about a mount point without its file system.
pub(super) fn mount(point: &str) -> String {
    format!(
        "sudo mount {point}; where that fails, sudo dmesg and findmnt --fstab say why, and sudo blkid which file systems there are"
    )
}

/// What to do about a file system that can't be written.
pub(super) fn read_only(place: &Place) -> String {
    let point = place.point();
    format!(
        "see what broke it: sudo dmesg; then sudo umount {point}, sudo fsck {}, sudo mount {point}",
        place.mount.source
    )
}

/// What to do about a disk that turns.
pub(super) fn solid(machine: &Machine, turning: &Disk) -> String {
    let solid =
        |disk: &Disk| machine.told(&format!("/sys/block/{}/queue/rotational", disk.name)).as_deref() == Some("0");
    let free = block::unused(machine).unwrap_or_default().into_iter().find(solid);
    let with = free.map_or_else(
        || "a solid-state drive".to_owned(),
        |disk| format!("{}, which is solid-state and empty", disk.name),
    );
    format!(
        "write the image to {with}, in place of {}; where the controller hides what it has, see its own setup",
        turning.name
    )
}

/// How the file system of `folder` gets larger than `wanted`.
pub(super) fn larger(machine: &Machine, folder: &DataFolder, place: &Place, wanted: Size) -> String {
    let disk = block::disk_under(machine, &place.mount.device).ok().flatten();
    if let Some(disk) = &disk {
        let rest = block::unpartitioned(machine, disk).ok().flatten().unwrap_or_default();
        // Less than that is what alignment and table take anyhow, and no help.
        if rest >= 1 << 30 && place.space.size.saturating_add(rest) >= wanted.bytes() {
            return format!(
                "{} of /dev/{} are not partitioned: sudo firmware-checks machine grow; where that fails, journalctl -b -u firstlight-grow",
                told(rest),
                disk.name
            );
        }
    }
    let unused = block::unused(machine).unwrap_or_default();
    if let Some(unused) = unused.first().filter(|unused| unused.bytes >= wanted.bytes()) {
        return use_disk(machine, folder, place, unused);
    }
    let name = disk.map_or_else(|| place.mount.source.clone(), |disk| format!("/dev/{}", disk.name));
    match hypervisor::kind(machine) {
        Ok(kind) if kind.is_virtual() => {
            format!(
                "let the hypervisor enlarge the disk {name} until {} has {wanted}, then sudo firmware-checks machine grow",
                place.point()
            )
        }
        _ => format!(
            "no unused disk was found: build in one of more than {wanted}, or install on a larger disk than {name}"
        ),
    }
}

/// How there comes to be `wanted` free space for `folder`.
pub(super) fn emptier(machine: &Machine, folder: &DataFolder, place: &Place, wanted: Size) -> String {
    let needed = place.space.size.saturating_sub(place.space.available).saturating_add(wanted.bytes());
    let larger = larger(machine, folder, place, wanted.like(needed));
    let point = place.point();
    format!("see what fills it: sudo du -xh --max-depth=2 {point} | sort -h | tail; or {larger}")
}

/// How `folder` comes to lie on a disk that nobody uses.
fn use_disk(machine: &Machine, folder: &DataFolder, place: &Place, unused: &Disk) -> String {
    let DataFolder { name, path, .. } = folder;
    let begins = format!("/dev/{} ({}, empty) is not used", unused.name, told(unused.bytes));
    let empty = machine.names(path).map_or(true, |names| names.is_empty());
    let id = block::names(machine, unused).into_iter().next().or_else(|| unused.identifier.clone());
    // What is mounted there already, or holds files, is not mounted over: that is done by hand.
    if let Some(id) = id.filter(|_| empty && place.point() != *path) {
        return format!(
            "{begins}: add [[disks]] with folder = \"{name}\" and id = \"{id}\" to site.toml, then sudo firmware-checks site import FOLDER"
        );
    }
    let disk = block::lasting_path(machine, unused);
    let begins = format!("{begins}: sudo mkfs.ext4 {disk}");
    if place.point() == *path {
        return format!(
            "{begins}; in /etc/fstab put {disk} in the place of the first field of the line for {path}; restart"
        );
    }
    format!(
        "{begins}; move away what is in {path}; echo '{disk} {path} ext4 nofail 0 2' | sudo tee -a /etc/fstab; sudo mkdir -p {path}; sudo mount {path}"
    )
}

/// A disk's size as its maker prints it.
fn told(bytes: u64) -> Size {
    let units = [Unit::TB, Unit::GB, Unit::MB];
    let unit = units.into_iter().find(|unit| bytes >= unit.bytes()).unwrap_or(Unit::B);
    Size::new(1, unit).like(bytes)
}
