//! The text above the login prompt keeps the verdict, and the address by which to reach the machine.

use std::io;
use std::process::{Command, Stdio};

use crate::facts::Machine;
use crate::files;
use crate::report::{AWAITS, Report, clean};

/// agetty (8) reads every `*.issue` in this folder.
const PATH: &str = "/run/issue.d/firstlight.issue";

/// Keeps the text up to date; whether it changed.
///
/// # Errors
/// The failing system call's.
pub fn issue(machine: &Machine, report: &Report) -> io::Result<bool> {
    let path = machine.path(PATH);
    let text = render(report);
    if std::fs::read_to_string(&path).is_ok_and(|old| old == text) {
        return Ok(false);
    }
    files::replace(&path, text.as_bytes(), 0o644)?;
    Ok(true)
}

/// The lines, in ASCII. agetty takes a backslash for an escape; doubled it stands for itself.
fn render(report: &Report) -> String {
    let addresses: Vec<&str> = report.addresses.iter().filter_map(|address| address.split('/').next()).collect();
    let reached = if addresses.is_empty() { "no address yet".to_owned() } else { addresses.join("  ") };
    // The next try's time would change the text, and redraw every prompt, with each try.
    let settled = Report { next_run: None, ..report.clone() };
    let lines = [
        format!("{} {} on {}    {}", report.appliance, report.version, report.base, reached),
        settled.headline(),
        if report.awaits_admin() { AWAITS } else { "Details: firmware-checks report" }.to_owned(),
    ];
    let mut text = String::from("\n");
    for line in lines {
        text.push_str(&clean(&line, true).replace('\\', "\\\\"));
        text.push('\n');
    }
    text.push('\n');
    text
}

/// Has every login prompt that nobody has typed at yet show the new text.
pub fn reload_logins() {
    let reloaded = Command::new("/sbin/agetty").arg("--reload").stdin(Stdio::null()).status();
    if let Err(error) = reloaded {
        eprintln!("renewing the login prompts: {error}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::{Gate, SCHEMA};

    fn report() -> Report {
        Report {
            schema: SCHEMA,
            ready: true,
            appliance: "hello".to_owned(),
            version: "1.0".to_owned(),
            base: "debian-13".to_owned(),
            hostname: "rack7".to_owned(),
            addresses: vec!["10.3.7.12/24".to_owned(), "2001:db8::12/64".to_owned()],
            time: jiff::Timestamp::UNIX_EPOCH,
            gate: Gate::Accepted,
            next_run: None,
            checks: Vec::new(),
        }
    }

    #[test]
    fn it_holds_the_verdict_and_the_address_and_is_written_once() {
        let root = tempfile::tempdir().unwrap();
        let machine = Machine::at(root.path());
        assert!(issue(&machine, &report()).unwrap());
        let text = std::fs::read_to_string(machine.path(PATH)).unwrap();
        assert!(text.contains("hello 1.0 on debian-13    10.3.7.12  2001:db8::12\nREADY: "), "{text}");
        let later = Report { time: "2026-11-21T14:02:51Z".parse().unwrap(), ..report() };
        assert!(!issue(&machine, &later).unwrap(), "nothing that it shows has changed");
        let moved = Report { addresses: Vec::new(), ..report() };
        assert!(issue(&machine, &moved).unwrap());
    }

    #[test]
    fn a_name_cannot_give_agetty_commands() {
        let odd = Report { appliance: "a\\d\x1b".to_owned(), ..report() };
        assert!(render(&odd).contains("a\\\\d\\\\x1b 1.0"), "{}", render(&odd));
    }
}
