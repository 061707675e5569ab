//! `firmware-checks site`: import the site configuration and put it into effect.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};

use super::{Outcome, Wrong};
use crate::facts::Machine;
use crate::files;
use crate::selinux;
use crate::site::cloud::unpack;
use crate::site::import::{self, Done, Offer, Refused};
use crate::site::medium::{self, Format, Kind, Medium, Mounted};
use crate::site::{self, apply, bundle, wipe};

/// Where putting a configuration into effect may make new files, each with a label of its own.
const LABELLED: [&str; 9] = [
    "/etc/.pwd.lock",
    "/etc/docker",
    "/etc/firstlight",
    "/etc/hostname",
    "/etc/hosts",
    "/etc/profile.d",
    "/etc/systemd",
    "/home/admin",
    "/var/lib/firstlight",
];
/// How long a boot waits for udev, so that a stick is seen.
const SETTLE: Duration = Duration::from_secs(10);

/// More than any cloud hands over.
const MOST: u64 = 1 << 20;

/// Bring the site configuration onto this machine.
#[derive(Args)]
pub struct Site {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
enum Action {
    /// Take the configuration from a folder or a device; without one, from the medium labelled SITE.
    ///
    /// It replaces what the machine has, and the network, host name and accounts change at once where they can, else at
    /// the next boot.
    Import {
        /// A folder that holds site.toml, or a device such as /dev/sdb1.
        #[arg(conflicts_with = "boot")]
        path: Option<PathBuf>,
        /// As the boot does it: a machine that has a configuration keeps it.
        #[arg(long)]
        boot: bool,
    },
    /// Take the configuration that the cloud hands over in which this machine is, by the firmware's word; the boot does it by
    /// itself, for a machine without one. Elsewhere it does nothing.
    Cloud,
}

impl Site {
    /// Does what was asked.
    ///
    /// # Errors
    /// [`Wrong`] where the configuration is not valid or none was found; else what the system refused.
    pub fn run(self) -> anyhow::Result<Outcome> {
        match self.action {
            Action::Import { boot: true, .. } => boot(),
            Action::Import { path, boot: false } => by_word(path.as_deref()),
            Action::Cloud => super::cloud::run(),
        }
    }
}

/// A medium that is mounted, as an offer.
struct Open {
    medium: Medium,
    offer: Offer,
    mounted: Mounted,
    /// What a cloud's medium held in one file.
    _unpacked: Option<tempfile::TempDir>,
}

impl Open {
    /// Nothing where a cloud's medium holds nothing for us.
    fn new(medium: Medium) -> anyhow::Result<Option<Self>> {
        let mounted = Mounted::new(&medium, false)?;
        let name = medium.device.display().to_string();
        let Some(file) = medium.kind.user_data() else {
            let offer = Offer { name, own: medium.own, folder: mounted.folder().to_path_buf() };
            return Ok(Some(Self { medium, offer, mounted, _unpacked: None }));
        };
        let mut data = Vec::new();
        match File::open(mounted.folder().join(file)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            opened => opened.and_then(|user_data| user_data.take(MOST).read_to_end(&mut data)).context(file)?,
        };
        if data.is_empty() {
            return Ok(None);
        }
        let unpacked = private_folder()?;
        unpack(&data, unpacked.path()).context(file)?;
        let offer = Offer { name, own: false, folder: unpacked.path().to_path_buf() };
        Ok(Some(Self { medium, offer, mounted, _unpacked: Some(unpacked) }))
    }
}

/// A folder in memory that only root can enter, gone with the value.
pub(super) fn private_folder() -> io::Result<tempfile::TempDir> {
    let parent = Path::new("/run/firstlight");
    std::fs::create_dir_all(parent)?;
    tempfile::Builder::new().prefix(".site-").tempdir_in(parent)
}

/// Never fails the boot: what went wrong is kept where the report finds it.
fn boot() -> anyhow::Result<Outcome> {
    let root = Path::new("/");
    let mut notes = Vec::new();
    medium::settle(SETTLE);
    if let Err(error) = bundle::tidy(&import::directory(root)) {
        notes.push(format!("tidying {}: {error}", site::DIRECTORY));
    }
    let mut open = Vec::new();
    match medium::find() {
        Err(error) => notes.push(format!("looking for media labelled {}: {error}", site::LABEL)),
        Ok(media) => {
            for found in media {
                let name = found.device.display().to_string();
                match Open::new(found) {
                    Ok(opened) => open.extend(opened),
                    Err(error) => notes.push(format!("reading the medium {name}: {error:#}")),
                }
            }
        }
    }
    let offers: Vec<Offer> = open.iter().map(|opened| opened.offer.clone()).collect();
    match import::at_boot(root, &offers) {
        Ok(Done::Imported { from }) => println!("the site configuration was imported from {from}"),
        Ok(Done::Same | Done::Nothing) => {}
        Err(refused) => notes.push(refused.to_string()),
    }
    notes.extend(finish(root, open));
    keep(&notes)?;
    Ok(Outcome::Done)
}

fn by_word(path: Option<&Path>) -> anyhow::Result<Outcome> {
    let root = Path::new("/");
    let (open, offer) = match path {
        Some(folder) if folder.is_dir() => {
            (Vec::new(), Offer { name: folder.display().to_string(), own: false, folder: folder.to_path_buf() })
        }
        Some(device) => {
            let known = medium::find()?.into_iter().find(|medium| medium.device == device);
            let plain = || Medium { device: device.to_path_buf(), own: false, kind: Kind::Site, format: Format::Fat };
            let nothing = || Wrong(format!("{} holds no site configuration", device.display()));
            opened(known.unwrap_or_else(plain))?.ok_or_else(nothing)?
        }
        None => {
            let mut holding = Vec::new();
            for medium in medium::find()? {
                holding.extend(opened(medium)?.filter(|(_, offer)| bundle::offered(&offer.folder)));
            }
            match holding.len() {
                1 => holding.remove(0),
                0 => return Err(Wrong(format!("no medium labelled {} holds a site configuration", site::LABEL)).into()),
                _ => {
                    let names = holding.iter().map(|(_, offer)| offer.name.clone()).collect();
                    return Err(Wrong(Refused::Several { names }.to_string()).into());
                }
            }
        }
    };
    match import::by_word(root, &offer) {
        Ok(Done::Imported { from }) => println!("the site configuration was imported from {from}"),
        Ok(_) => println!("{} holds the site configuration that this machine has", offer.name),
        Err(error @ Refused::Write { .. }) => return Err(error.into()),
        Err(refused) => return Err(Wrong(refused.to_string()).into()),
    }
    let notes = finish(root, open);
    keep(&notes)?;
    notes.iter().for_each(|note| eprintln!("warning: {note}"));
    if let Err(error) = reload() {
        eprintln!("warning: {error:#}; what changed in the network holds from the next boot");
    }
    Ok(Outcome::Done)
}

fn opened(medium: Medium) -> anyhow::Result<Option<(Vec<Open>, Offer)>> {
    let name = medium.device.display().to_string();
    let open = Open::new(medium).with_context(|| format!("reading the medium {name}"))?;
    Ok(open.map(|open| {
        let offer = open.offer.clone();
        (vec![open], offer)
    }))
}

/// Takes what was imported off the image's own partition, and puts it into effect. Gives what could not be done.
fn finish(root: &Path, open: Vec<Open>) -> Vec<String> {
    let mut notes = Vec::new();
    for Open { medium, offer, mounted, .. } in open {
        let may = import::may_wipe(root, &offer);
        drop(mounted);
        if may && let Err(error) = wipe_medium(&medium) {
            notes.push(format!("wiping the imported configuration from {}: {error}", medium.device.display()));
        }
    }
    notes.extend(put_into_effect(root));
    notes
}

/// Puts what was imported into effect. Gives what could not be done.
pub(super) fn put_into_effect(root: &Path) -> Vec<String> {
    let Some(site) = site::status(root).site else { return Vec::new() };
    let errors = apply::apply(&Machine::here(), &site);
    let labelled = selinux::restore(&LABELLED).err().map(|error| format!("labelling what was written: {error}"));
    errors.iter().map(ToString::to_string).chain(labelled).collect()
}

fn wipe_medium(medium: &Medium) -> io::Result<()> {
    // A cut within an earlier wiping leaves a FAT that is marked as dirty, which no later mount takes back. Where the image
    // has no fsck.vfat, the mark stays; the files go all the same.
    let _ = std::process::Command::new("fsck.vfat")
        .arg("-a")
        .arg(&medium.device)
        .stdout(std::process::Stdio::null())
        .status();
    let mounted = Mounted::new(medium, true)?;
    wipe::wipe(mounted.folder())?;
    nix::unistd::syncfs(File::open(mounted.folder())?)?;
    Ok(())
}

/// Keeps `notes` for the report, or that there are none.
pub(super) fn keep(notes: &[String]) -> anyhow::Result<()> {
    let path = Path::new(site::ERROR);
    if notes.is_empty() {
        return files::remove(path).with_context(|| format!("removing {}", site::ERROR));
    }
    notes.iter().for_each(|note| eprintln!("{note}"));
    files::replace(path, (notes.join("\n\n") + "\n").as_bytes(), 0o644)
        .with_context(|| format!("writing {}", site::ERROR))
}

/// Tells the running services of their new files.
pub(super) fn reload() -> anyhow::Result<()> {
    for arguments in [["networkctl", "reload"].as_slice(), &["systemctl", "try-restart", "systemd-timesyncd.service"]] {
        let status = std::process::Command::new(arguments[0]).args(&arguments[1..]).status();
        let status = status.with_context(|| format!("running {}", arguments.join(" ")))?;
        anyhow::ensure!(status.success(), "{} ended with {status}", arguments.join(" "));
    }
    Ok(())
}
