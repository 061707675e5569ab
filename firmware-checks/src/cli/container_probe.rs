//! `firmware-checks container-probe`: what the check `platform.container` runs inside a container.

use std::path::Path;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::cli::Outcome;

/// Answer from inside a container: the nonce and what the kernel shows there, as one line of JSON.
#[derive(Args)]
pub struct ContainerProbe {
    /// Any word; it comes back in the answer.
    nonce: String,
}

/// The answer from inside a container.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub struct Answer {
    /// The word that was given.
    pub nonce: String,
    /// This process's number: 1 in a PID namespace of its own.
    pub pid: u32,
    /// The type of the file system at `/`, such as `overlay`; empty where the kernel does not say.
    pub root: String,
    /// Names of the network interfaces that it sees.
    pub interfaces: Vec<String>,
}

impl Answer {
    /// What this process sees.
    #[must_use]
    pub fn here(nonce: String) -> Self {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap_or_default();
        let mut interfaces: Vec<String> = std::fs::read_dir(Path::new("/sys/class/net"))
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect();
        interfaces.sort();
        Self { nonce, pid: std::process::id(), root: root_type(&mounts).to_owned(), interfaces }
    }
}

/// The type of the last file system mounted at `/` in the text of `/proc/self/mounts` (fstab (5)).
fn root_type(mounts: &str) -> &str {
    mounts
        .lines()
        .filter_map(|line| {
            let mut fields = line.split(' ').skip(1);
            (fields.next()? == "/").then(|| fields.next()).flatten()
        })
        .next_back()
        .unwrap_or_default()
}

impl ContainerProbe {
    /// Prints the answer.
    ///
    /// # Errors
    /// It could not be written as JSON.
    pub fn run(self) -> anyhow::Result<Outcome> {
        println!("{}", serde_json::to_string(&Answer::here(self.nonce))?);
        Ok(Outcome::Done)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_root_is_what_was_mounted_there_last() {
        let mounts = "rootfs / rootfs rw 0 0\noverlay / overlay rw 0 0\nproc /proc proc rw 0 0\n";
        assert_eq!(root_type(mounts), "overlay");
        assert_eq!(root_type("proc /proc proc rw 0 0\n"), "");
    }

    #[test]
    fn the_answer_survives_its_line_of_json() {
        let answer = Answer::here("4f".to_owned());
        let line = serde_json::to_string(&answer).unwrap();
        assert!(!line.contains('\n'));
        assert_eq!(serde_json::from_str::<Answer>(&line).unwrap(), answer);
    }
}
