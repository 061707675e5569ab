//! `firmware-checks machine`: what a boot does to the machine before anything can be judged.

use clap::{Args, Subcommand};

use super::{Outcome, Wrong};
use crate::appliance::Appliance;
use crate::gate;
use crate::machine::data_disks::{self, Done};
use crate::machine::grow::{self, Error};
use crate::machine::renew::{self, Renewed};
use crate::machine::{cluster_secrets, compose, given, images, ssh_keys};
use crate::selinux;
use crate::site;

/// Prepare this machine; the boot does it by itself.
#[derive(Args)]
pub struct Machine {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Grow the data partition and its file system to the end of the disk. Safe to repeat, and to interrupt.
    Grow,
    /// Mount the disks that the site names for data folders, and make the file systems of those that are empty. A disk that holds
    /// anything else is never written. Safe to repeat, and to interrupt.
    DataDisks {
        /// Forget which disk held this data folder, where it is lost, so that an empty one may take its place.
        #[arg(long, value_name = "FOLDER")]
        forget: Option<String>,
    },
    /// Make the machine's SSH host keys where they are not there whole. Safe to repeat, and to interrupt.
    SshKeys,
    /// Bring the ESP and the BIOS boot partition to the boot loader of the installed packages. Safe to repeat, and to interrupt.
    RenewBootLoader {
        /// Wait while packages are being changed.
        #[arg(long)]
        wait: bool,
    },
    /// Load the appliance's own container images where Docker does not have them whole. Safe to repeat, and to interrupt.
    LoadImages,
    /// Give containers what the recipe says of the site configuration, for root's eyes alone. Safe to repeat.
    GiveContainers,
    /// After a compose project has failed to start: take it down and start Docker anew, once in each boot. Does nothing
    /// where systemd says, by SERVICE_RESULT, that it ended well.
    MendCompose {
        /// The project.
        name: String,
    },
}

impl Machine {
    /// Does what was asked.
    ///
    /// # Errors
    /// The disk can't be read or written, or `resize2fs` or `ssh-keygen` failed.
    pub fn run(self) -> anyhow::Result<Outcome> {
        match self.action {
            Action::Grow => grow(),
            Action::DataDisks { forget: Some(name) } => forget_disk(&name),
            Action::DataDisks { forget: None } => data_disks(),
            Action::SshKeys => ssh_keys(),
            Action::RenewBootLoader { wait } => renew_boot_loader(wait),
            Action::LoadImages => load_images(),
            Action::GiveContainers => give_containers(),
            Action::MendCompose { name } => mend_compose(&name),
        }
    }
}

fn grow() -> anyhow::Result<Outcome> {
    match grow::grow() {
        Ok(grown) => {
            let what = if grown.table_written { "partition table written" } else { "partition table as it should be" };
            println!("{}: {what}, data has {} bytes", grown.disk.display(), grown.size);
            Ok(Outcome::Done)
        }
        Err(error @ (Error::DiskTooSmall { .. } | Error::NoTable { .. } | Error::NotLast { .. })) => {
            eprintln!("error: {error}");
            Ok(Outcome::NotReady)
        }
        Err(error) => Err(error.into()),
    }
}

fn data_disks() -> anyhow::Result<Outcome> {
    let machine = crate::facts::Machine::here();
    let Some(site) = site::status(machine.root()).site.filter(|site| !site.disks.is_empty()) else {
        println!("the site names no disk for data");
        return Ok(Outcome::Done);
    };
    let folders = Appliance::load(machine.root())?.requirements.data;
    if machine.path(gate::OPEN).exists() && !data_disks::all_mounted(&machine, &folders, &site) {
        let why = "the platform runs, and could write below what would be mounted: disks are mounted before it starts, at the next boot";
        return Err(Wrong(why.to_owned()).into());
    }
    let mut outcome = Outcome::Done;
    for (folder, done) in data_disks::prepare(&machine, &folders, &site)? {
        match done {
            Done::Before => println!("{folder}: mounted before"),
            Done::Mounted { disk, made, note } => {
                println!("{folder}: {disk} {}mounted", if made { "given a file system and " } else { "" });
                note.iter().for_each(|note| eprintln!("warning: {folder}: {note}"));
            }
            Done::Not(why) => {
                eprintln!("error: {folder}: {why}");
                outcome = Outcome::NotReady;
            }
        }
    }
    Ok(outcome)
}

fn forget_disk(name: &str) -> anyhow::Result<Outcome> {
    if !data_disks::forget(&crate::facts::Machine::here(), name)? {
        return Err(
            Wrong(format!("this machine knows of no disk that held `{name}`: see {}", data_disks::RECORD)).into()
        );
    }
    println!("{name}: forgotten; now sudo systemctl restart firstlight-data-disks");
    Ok(Outcome::Done)
}

fn ssh_keys() -> anyhow::Result<Outcome> {
    let folder = "/etc/ssh";
    for kind in ssh_keys::make(std::path::Path::new(folder))? {
        println!("made the SSH host key of kind {kind}");
    }
    selinux::restore(&[folder])?;
    Ok(Outcome::Done)
}

fn renew_boot_loader(wait: bool) -> anyhow::Result<Outcome> {
    let appliance = Appliance::load(std::path::Path::new("/"))?;
    let Renewed { record, written } = renew::renew(&appliance.boot, wait)?;
    let mut outcome = Outcome::Done;
    for (name, part) in record.parts() {
        match part {
            Ok(_) if written.contains(&name) => println!("{name}: renewed and read back"),
            Ok(_) => println!("{name}: as it should be"),
            Err(reason) => {
                eprintln!("error: {name}: {reason}");
                outcome = Outcome::NotReady;
            }
        }
    }
    Ok(outcome)
}

fn load_images() -> anyhow::Result<Outcome> {
    images::load()?;
    Ok(Outcome::Done)
}

fn give_containers() -> anyhow::Result<Outcome> {
    let root = std::path::Path::new("/");
    let appliance = Appliance::load(root)?;
    let site = site::status(root).site.unwrap_or_default();
    let machine = crate::facts::Machine::here();
    given::give(&machine, &site, &appliance.requirements.site)?;
    cluster_secrets::give(&machine, &appliance.platform, &site, &appliance.requirements.site)?;
    Ok(Outcome::Done)
}

fn mend_compose(name: &str) -> anyhow::Result<Outcome> {
    if std::env::var_os("SERVICE_RESULT").is_some_and(|result| result != "success") && compose::mend(name)? {
        println!("{name} could not start: it was taken down, and Docker starts anew");
    }
    Ok(Outcome::Done)
}
