//! `firmware-checks site cloud`: the configuration that a cloud hands over by its metadata service.

use std::path::Path;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::Context;

use super::{Outcome, site as verb};
use crate::facts::Machine;
use crate::files;
use crate::site::cloud::{Cloud, Error, Service, unpack};
use crate::site::import::{self, Done, Offer};
use crate::site::{self, wipe};

/// How long the network may take to come up.
const PATIENCE: Duration = Duration::from_secs(180);
/// The pause between two questions.
const PAUSE: Duration = Duration::from_secs(2);
/// Azure was told that this machine is ready; once is enough.
const REPORTED: &str = "/var/lib/firstlight/reported-ready";

/// Never fails the boot: what went wrong is kept where the report finds it.
///
/// # Errors
/// That could not be kept.
pub(super) fn run() -> anyhow::Result<Outcome> {
    let (root, machine) = (Path::new("/"), Machine::here());
    let Some(cloud) = Cloud::of(&machine) else { return Ok(Outcome::Done) };
    let service = Service::of(cloud);
    let mut notes: Vec<String> = site::status(root).error.into_iter().collect();
    match patiently(|| service.user_data()) {
        Ok(None) => println!("{} hands over no site configuration", cloud.name()),
        Ok(Some(data)) => match take(root, cloud, &data) {
            Ok(Done::Imported { from }) => {
                println!("the site configuration was imported from {from}");
                notes.extend(verb::put_into_effect(root));
                if let Err(error) = verb::reload() {
                    notes.push(format!("{error:#}; what changed in the network holds from the next boot"));
                }
            }
            Ok(Done::Same | Done::Nothing) => {}
            Err(error) => notes.push(format!("what {} hands over: {error:#}", cloud.name())),
        },
        Err(error) => notes.push(error.to_string()),
    }
    if !machine.path(REPORTED).exists() {
        match patiently(|| service.report_ready()) {
            Ok(()) => {
                files::replace(&machine.path(REPORTED), b"", 0o644).with_context(|| format!("writing {REPORTED}"))?
            }
            Err(error) => notes.push(error.to_string()),
        }
    }
    verb::keep(&notes)?;
    Ok(Outcome::Done)
}

fn take(root: &Path, cloud: Cloud, data: &[u8]) -> anyhow::Result<Done> {
    let folder = verb::private_folder()?;
    unpack(data, folder.path())?;
    let offer = Offer { name: cloud.name().to_owned(), own: false, folder: folder.path().to_path_buf() };
    let done = import::at_boot(root, std::slice::from_ref(&offer))?;
    // The secrets go before their folder does.
    wipe::wipe(folder.path())?;
    Ok(done)
}

/// Asks until there is an answer, as long as it may still come.
fn patiently<T>(ask: impl Fn() -> Result<T, Error>) -> Result<T, Error> {
    let start = Instant::now();
    loop {
        match ask() {
            Err(error) if error.passing && start.elapsed() < PATIENCE => sleep(PAUSE),
            answered => return answered,
        }
    }
}
