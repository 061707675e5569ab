//! Renews the ESP and the BIOS boot partition when the packages that their boot loaders come from were upgraded.
//!
//! The packages lay their files into the root file system only; nothing of theirs writes the two partitions. This looks once in
//! each boot and after each upgrade whether the partitions hold what is installed, and brings them up to date, each by the
//! write of one sector. What came of it is a [`Record`], which the check `boot.current` reads.

mod bios;
mod esp;
mod installed;

use std::fs::File;
use std::io;
use std::path::Path;
use std::process::Command;

use serde::{Deserialize, Serialize};

use super::place::Place;
use crate::boot_loader::bios::command;
use crate::boot_loader::{BootLoader, EARLY};
use crate::facts::Machine;
use crate::files;

/// Where the record lies on the machine, until it is switched off.
const RECORD: &str = "/run/firstlight/boot-loader.json";
/// The folder of both, and of what is only there for a moment.
const FOLDER: &str = "/run/firstlight";
/// Held by who renews.
const LOCK: &str = "/run/firstlight/boot-loader.lock";
/// How often packages may change while they are looked at, before that is told.
const TRIES: usize = 5;

/// What a partition holds: SHA-256, in lower-case hexadecimal, of what is installed and was read back from it; or why it could not
/// be brought to that.
pub type Part = Result<String, String>;

/// What came of the newest renewal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The ESP.
    pub esp: Part,
    /// The BIOS boot partition, where there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bios: Option<Part>,
}

impl Record {
    /// Neither partition of a machine with the boot loader `boot` was renewed, both for the same reason.
    fn neither(boot: &BootLoader, reason: &str) -> Self {
        let failed = || Err(reason.to_owned());
        Self { esp: failed(), bios: boot.bios_modules.as_ref().map(|_| failed()) }
    }

    /// The partitions that there are, by name.
    pub fn parts(&self) -> impl Iterator<Item = (&'static str, &Part)> {
        std::iter::once(("esp", &self.esp)).chain(self.bios.as_ref().map(|bios| ("bios", bios)))
    }
}

/// What a renewal did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// What the partitions hold now.
    pub record: Record,
    /// The names of those that were written.
    pub written: Vec<&'static str>,
}

/// What stands for the installed files of each partition's boot loader; or why they can't be had.
#[must_use]
pub fn installed(machine: &Machine, boot: &BootLoader) -> Record {
    let esp = installed::for_esp(machine, boot).map(|files| installed::digest(&files));
    let digest = |folder: &String| installed::for_bios(machine, folder).map(|files| files.digest().to_owned());
    Record { esp, bios: boot.bios_modules.as_ref().map(digest) }
}

/// The record of the newest renewal in this boot.
///
/// # Errors
/// It is not there, or can't be read.
pub fn recorded(machine: &Machine) -> io::Result<Record> {
    Ok(serde_json::from_str(&machine.read(RECORD)?)?)
}

/// Brings the ESP and the BIOS boot partition of this machine to what is installed, and keeps a record of it. Where packages are
/// just being changed, with `wait` it waits until they no longer are; else it leaves everything as it is, and says so in the record.
///
/// # Errors
/// The record can't be written, or the locks of the package manager can't be asked for.
pub fn renew(boot: &BootLoader, wait: bool) -> io::Result<Renewed> {
    let machine = Machine::here();
    std::fs::create_dir_all(FOLDER)?;
    let lock = File::create(LOCK)?;
    lock.lock()?;
    let mut written = Vec::new();
    for _ in 0..TRIES {
        let record = if installed::at_rest(&machine, wait)? {
            once(&machine, boot, &mut written)
        } else {
            Record::neither(boot, "packages are being changed just now; it is renewed when that is done")
        };
        files::replace(Path::new(RECORD), &serde_json::to_vec_pretty(&record)?, 0o644)?;
        // An upgrade may have come by meanwhile, and what starts this is not heard while this runs.
        let now = installed(&machine, boot);
        if record.parts().zip(now.parts()).all(|((_, part), (_, now))| part.is_err() || part == now) {
            return Ok(Renewed { record, written });
        }
    }
    Err(io::Error::other("the packages of the boot loader were changed again and again"))
}

fn once(machine: &Machine, boot: &BootLoader, written: &mut Vec<&'static str>) -> Record {
    let place = match Place::of_root(machine.root()) {
        Ok(place) => place,
        Err(error) => return Record::neither(boot, &error.to_string()),
    };
    let mut note = |name, part: Result<(bool, String), String>| {
        part.map(|(wrote, digest)| {
            if wrote {
                written.push(name);
            }
            digest
        })
    };
    let esp = note("esp", renew_esp(machine, boot, &place));
    let bios = boot.bios_modules.as_ref().map(|modules| note("bios", renew_bios(machine, boot, modules, &place)));
    Record { esp, bios }
}

fn renew_esp(machine: &Machine, boot: &BootLoader, place: &Place) -> Result<(bool, String), String> {
    let files = installed::for_esp(machine, boot)?;
    let partition = place.named("esp").map_err(|error| error.to_string())?;
    let wrote = esp::renew(&partition.device, &files, || installed::whole(boot)).map_err(|error| error.to_string())?;
    Ok((wrote, installed::digest(&files)))
}

fn renew_bios(machine: &Machine, boot: &BootLoader, modules: &str, place: &Place) -> Result<(bool, String), String> {
    let files = installed::for_bios(machine, modules)?;
    let partition = place.named("bios").map_err(|error| error.to_string())?;
    let place = bios::Place { disk: &place.disk, start: partition.start, size: partition.size };
    let make = || {
        installed::whole(boot)?;
        let core = make_core(boot, modules)?;
        let now = installed::for_bios(machine, modules)?;
        let same = now.digest() == files.digest();
        same.then_some(core).ok_or_else(|| "GRUB's modules were changed while they were read".to_owned())
    };
    let wrote = bios::renew(place, &files, make).map_err(|error| error.to_string())?;
    Ok((wrote, files.digest().to_owned()))
}

/// A core image of the installed `modules`. It goes through a file: grub-mkimage syncs what it writes, which a pipe refuses.
fn make_core(boot: &BootLoader, modules: &str) -> Result<Vec<u8>, String> {
    let told = |error: io::Error| format!("making a file in {FOLDER}: {error}");
    let out = tempfile::Builder::new().prefix("core.img-").tempfile_in(FOLDER).map_err(told)?;
    let words = command(boot, modules, EARLY);
    let mut make = Command::new(words[0]);
    make.args(&words[1..]).arg("-o").arg(out.path());
    let output = make.output().map_err(|error| format!("{}: {error}", words[0]))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
        return Err(format!("{}: {}: {said}", words[0], output.status));
    }
    std::fs::read(out.path()).map_err(|error| format!("{}: {error}", out.path().display()))
}
