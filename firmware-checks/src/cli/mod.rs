//! The command line: one file for each verb.

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::machine::level;

mod clock;
mod cloud;
mod console;
pub mod container_probe;
mod enrol;
mod firewall;
mod list;
mod machine;
mod report;
mod run;
mod serve;
mod site;
mod waive;
mod watch;

/// Whether this machine meets what its appliance requires.
#[derive(Parser)]
#[command(name = "firmware-checks", version, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Subcommand)]
enum Verb {
    Run(run::Run),
    Report(report::Report),
    Watch(watch::Watch),
    List(list::List),
    Waive(waive::Waive),
    Clock(clock::Clock),
    Serve(serve::Serve),
    Console(console::Console),
    Firewall(firewall::Firewall),
    ContainerProbe(container_probe::ContainerProbe),
    Machine(machine::Machine),
    Enrol(enrol::Enrol),
    Site(site::Site),
}

/// What a verb came to; the exit code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Done, or ready: 0.
    Done,
    /// The machine is not ready, or what the user gave is not right: 1.
    NotReady,
    /// It could not be told: 2.
    CouldNotTell,
}

impl From<Outcome> for ExitCode {
    fn from(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Done => Self::SUCCESS,
            Outcome::NotReady => Self::from(1),
            Outcome::CouldNotTell => Self::from(2),
        }
    }
}

/// What the user gave is not right: turns an error into exit code 1 where it stands in the error's chain.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Wrong(pub String);

/// Reads the arguments, does what they say, and tells errors on standard error: each cause after what was being
/// done, and exit code 1 where a [`Wrong`] is among them, else 2.
#[must_use]
pub fn main() -> ExitCode {
    if std::env::args_os().next().is_some_and(|name| name == level::PROGRAM) {
        let Err(error) = level::run();
        eprintln!("error: starting the initramfs: {error}");
        return Outcome::CouldNotTell.into();
    }
    let done = match Arguments::parse().verb {
        Verb::Run(verb) => verb.run(),
        Verb::Report(verb) => verb.run(),
        Verb::Watch(verb) => verb.run(),
        Verb::List(verb) => verb.run(),
        Verb::Waive(verb) => verb.run(),
        Verb::Clock(verb) => verb.run(),
        Verb::Serve(verb) => verb.run(),
        Verb::Console(verb) => verb.run(),
        Verb::Firewall(verb) => verb.run(),
        Verb::ContainerProbe(verb) => verb.run(),
        Verb::Machine(verb) => verb.run(),
        Verb::Enrol(verb) => verb.run(),
        Verb::Site(verb) => verb.run(),
    };
    match done {
        Ok(outcome) => outcome.into(),
        Err(error) => {
            eprintln!("error: {error:#}");
            let wrong = error.chain().any(|cause| cause.is::<Wrong>());
            if wrong { Outcome::NotReady.into() } else { Outcome::CouldNotTell.into() }
        }
    }
}
