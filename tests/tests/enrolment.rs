//! A machine that got no site: the first one at its console chooses the admin's password, once, and goes on from there. It starts
//! in legacy BIOS, from a qcow2.

use std::time::Duration;

use anyhow::{Result, ensure};
use end_to_end::guest::{Guest, Settings, verdict};
use end_to_end::{firmware, image, ntp};
use firmware_checks::check::State;
use firmware_checks::report::Gate;

const BOOT: Duration = Duration::from_secs(420);
const SOON: Duration = Duration::from_secs(120);
const PASSWORD: &str = "correct horse battery";

#[test]
fn the_first_one_at_the_console_of_a_machine_without_a_site_chooses_the_password() -> Result<()> {
    ntp::serve()?;
    let mut guest = Guest::start(&Settings {
        name: "enrolment",
        image: &image::converted(&image::hello()?, "qcow2")?,
        site: None,
        arguments: firmware::BIOS,
        ports: &[],
        keep: true,
    })?;
    let report = guest.wait_for("a first verdict", BOOT, |report| report.gate == Gate::Shut)?;
    firmware::is(&report, "BIOS")?;
    ensure!(verdict(&report, "admin.login")?.state == State::Warn, "{report:#?}");
    ensure!(verdict(&report, "site.configuration")?.state == State::Fail, "{report:#?}");
    for waits in report.checks.iter().filter(|check| check.id.starts_with("tls.")) {
        ensure!(waits.state == State::Waiting && waits.observed.contains("site.configuration"), "{waits:?}");
    }
    let mut at = guest.wait_for_console("Nobody can log in yet", 0, SOON)?;
    at = guest.wait_for_console("login: ", at, SOON)?;

    let chosen = [
        ("admin", "New password: "),
        ("short", "too few"),
        (PASSWORD, "Once more: "),
        (PASSWORD, "The password is set"),
    ];
    at = say(&mut guest, at, &chosen)?;
    at = guest.wait_for_console("Password: ", at, SOON)?;
    at = say(&mut guest, at, &[(PASSWORD, "$ ")])?;

    let report = guest.wait_for("the report shows who enrolled", SOON, |report| {
        report.checks.iter().any(|check| check.id == "admin.login" && check.state == State::Pass)
    })?;
    let login = verdict(&report, "admin.login")?;
    ensure!(login.observed.contains("chosen at ttyS0"), "{login:?}");
    at = say(&mut guest, at, &[("sudo firmware-checks report | grep -c '^ FAIL'; echo shown=$?", "shown=0")])?;
    at = say(
        &mut guest,
        at,
        &[("sudo journalctl -b --no-pager | grep -c 'correct horse' | sed 's/^/told=/'", "told=0")],
    )?;

    // Once: the next one is asked for the password that there is.
    at = say(&mut guest, at, &[("exit", "login: "), ("admin", "Password: ")])?;
    let console = guest.console()?;
    ensure!(console.matches("Nobody can log in to this machine yet").count() == 1, "asked twice, at {at}:\n{console}");
    ensure!(!console.contains(PASSWORD), "the password was shown");
    Ok(())
}

/// Types each line and waits for what follows it on the console; from and to how many characters it has shown.
fn say(guest: &mut Guest, mut at: usize, lines: &[(&str, &str)]) -> Result<usize> {
    for (line, answer) in lines {
        // A terminal drops what comes before its question has been asked in full.
        std::thread::sleep(Duration::from_secs(1));
        guest.type_line(line)?;
        at = guest.wait_for_console(answer, at, SOON)?;
    }
    Ok(at)
}
