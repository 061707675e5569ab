//! The boot loader.

use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::machine::renew::{self, Part};

/// The checks of this file.
pub const CHECKS: &[Check] = &[Check {
    id: "boot.current",
    title: "Boot loader",
    phases: &[Phase::Admission, Phase::Acceptance],
    after: &[],
    documentation: "Compares the boot loader in the installed packages (shim, GRUB, MokManager; GRUB's modules for BIOS) with \
        what firstlight-boot-loader.service has read back from the ESP and the BIOS boot partition. Only warns: where a \
        partition could not be renewed, the machine boots what it booted before.",
    applies: |_| true,
    run: current,
}];

const REQUIRED: &str = "the installed packages' boot loader";
const RENEW: &str = "sudo firmware-checks machine renew-boot-loader";

fn current(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let installed = renew::installed(context.machine, &context.appliance.boot);
    Ok(match renew::recorded(context.machine) {
        Ok(recorded) => {
            let found = |name| recorded.parts().find(|(part, _)| *part == name).map(|(_, part)| part);
            let unseen = Err("nobody has looked at it".to_owned());
            let judge = |(name, installed)| judge(found(name).unwrap_or(&unseen), installed).about(name);
            installed.parts().map(judge).collect()
        }
        Err(error) => vec![Finding::warn(
            format!("not looked at since the machine was started: {error}"),
            REQUIRED,
            format!("{RENEW}; journalctl -u firstlight-boot-loader tells why it was not"),
        )],
    })
}

/// What the partition was found to hold, beside what is installed.
fn judge(recorded: &Part, installed: &Part) -> Finding {
    match (recorded, installed) {
        (_, Err(reason)) => Finding::warn(
            reason,
            REQUIRED,
            "sudo apt-get install --reinstall, or dnf reinstall, the package that has it",
        ),
        (Err(reason), _) => {
            Finding::warn(format!("not renewed: {reason}"), REQUIRED, format!("mend that, then {RENEW}"))
        }
        (Ok(recorded), Ok(installed)) if recorded == installed => Finding::pass("as installed", REQUIRED),
        _ => Finding::warn("of other packages than are installed now", REQUIRED, RENEW),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::boot_loader::esp::tests::program;
    use crate::boot_loader::{BootLoader, EARLY};
    use crate::check::State;
    use crate::facts::recorded::Recorded;
    use crate::machine::renew::Record;
    use crate::requirements::Requirements;

    /// A machine whose packages have `version` of everything.
    fn machine(version: &str) -> Recorded {
        let boot = BootLoader::sample();
        let programs = [boot.shim, boot.mok_manager, boot.grub];
        let machine = programs.iter().fold(Recorded::new(), |machine, path| machine.file(path, program(version)));
        let modules = ["boot.img", "normal.mod"].map(|name| format!("/usr/lib/grub/i386-pc/{name}"));
        modules.iter().fold(machine.file(EARLY, "early"), |machine, path| machine.file(path, version))
    }

    fn states(machine: &Recorded) -> Vec<(Option<String>, State)> {
        let findings = machine.run("boot.current", &Requirements::default(), None).unwrap();
        assert!(findings.iter().all(|finding| finding.remedy.is_some() == (finding.state != State::Pass)));
        findings.into_iter().map(|finding| (finding.subject, finding.state)).collect()
    }

    #[test]
    fn what_was_read_back_is_compared_with_what_is_installed_now() {
        let record = renew::installed(&machine("1").machine(), &BootLoader::sample());
        assert!(record.parts().count() == 2 && record.parts().all(|(_, part)| part.is_ok()));
        let told = |record: &Record, version: &str| {
            let text = serde_json::to_string(record).unwrap();
            states(&machine(version).file("/run/firstlight/boot-loader.json", text))
        };
        let both = |esp, bios| vec![(Some("esp".to_owned()), esp), (Some("bios".to_owned()), bios)];
        assert_eq!(told(&record, "1"), both(State::Pass, State::Pass));
        assert_eq!(told(&record, "2"), both(State::Warn, State::Warn));
        let failed = Record { esp: Err("mounted".to_owned()), ..record };
        assert_eq!(told(&failed, "1"), both(State::Warn, State::Pass));
    }

    #[test]
    fn a_machine_on_which_nobody_has_looked_is_warned_of() {
        assert_eq!(states(&machine("1")), [(None, State::Warn)]);
    }
}
