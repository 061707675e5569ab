//! `firmware-checks machine`: what a boot does to the machine before anything can be judged.

use clap::{Args, Subcommand};

use super::Outcome;
use crate::machine::grow::{self, Error};

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
}

impl Machine {
    /// Does what was asked.
    ///
    /// # Errors
    /// The disk can't be read or written, or `resize2fs` failed.
    pub fn run(self) -> anyhow::Result<Outcome> {
        match self.action {
            Action::Grow => grow(),
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
