//! Firmware, and what plays the machine.

use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::facts::boot::{self, SecureBoot, Started};
use crate::facts::hypervisor;
use crate::requirements::Boot;

const BOTH: &[Phase] = &[Phase::Admission, Phase::Acceptance];

/// The checks of this file.
pub const CHECKS: &[Check] = &[
    Check {
        id: "firmware.boot",
        title: "Boot firmware",
        phases: BOTH,
        after: &[],
        documentation: "Tells whether the machine was started by UEFI or by BIOS, and whether Secure Boot was enforced \
            down to the kernel, from the firmware's variables SecureBoot and SetupMode and shim's MokSBStateRT. Fails \
            where requirements.boot asks for uefi or secure and it was not so; otherwise it only reports.",
        applies: |_| true,
        run: started,
    },
    Check {
        id: "machine.kind",
        title: "Kind of machine",
        phases: BOTH,
        after: &[],
        documentation: "Tells bare metal from a virtual machine, and which hypervisor plays it, by the processor's own \
            word, by DMI names that no real machine has, and by the device tree. It only reports.",
        applies: |_| true,
        run: kind,
    },
];

fn started(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let asked = context.appliance.requirements.boot;
    let required = match asked {
        Boot::Any => "UEFI or BIOS",
        Boot::Uefi => "UEFI",
        Boot::Secure => "UEFI with Secure Boot",
    };
    let started = match boot::started(context.machine) {
        Ok(started) => started,
        // Whether it was UEFI is certain without the variables.
        Err(error) if asked != Boot::Secure => {
            return Ok(vec![Finding::pass(format!("UEFI (Secure Boot could not be read: {error})"), required)]);
        }
        Err(error) => {
            return Err(CouldNotRun::new(
                format!("reading the firmware's variables: {error}"),
                "sudo mount -t efivarfs efivarfs /sys/firmware/efi/efivars",
            ));
        }
    };
    let observed = match started {
        Started::Bios => "BIOS",
        Started::Uefi(SecureBoot::On) => "UEFI, Secure Boot on",
        Started::Uefi(SecureBoot::Off) => "UEFI, Secure Boot off",
        Started::Uefi(SecureBoot::SetupMode) => "UEFI, Secure Boot in setup mode (no platform key)",
        Started::Uefi(SecureBoot::ShimOff) => "UEFI, Secure Boot on, but shim verifies nothing",
    };
    let finding = match remedy(asked, started) {
        None => Finding::pass(observed, required),
        Some(remedy) => Finding::fail(observed, required, remedy),
    };
    Ok(vec![finding])
}

/// What to do where `started` is not what is asked.
fn remedy(asked: Boot, started: Started) -> Option<&'static str> {
    match (asked, started) {
        (Boot::Any, _) | (Boot::Uefi, Started::Uefi(_)) | (Boot::Secure, Started::Uefi(SecureBoot::On)) => None,
        (_, Started::Bios) => {
            Some("in the firmware setup switch to UEFI and CSM (legacy boot) off; the image boots both ways")
        }
        (_, Started::Uefi(SecureBoot::SetupMode)) => {
            Some("in the firmware setup restore the factory keys, then switch Secure Boot on")
        }
        (_, Started::Uefi(SecureBoot::ShimOff)) => {
            Some("run sudo mokutil --enable-validation, restart, and confirm it on the console")
        }
        (_, Started::Uefi(_)) => {
            Some("in the firmware setup switch Secure Boot on: sudo systemctl reboot --firmware-setup leads there")
        }
    }
}

fn kind(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let kind = hypervisor::kind(context.machine)
        .map_err(|error| CouldNotRun::new(format!("reading /proc/cpuinfo: {error}"), "see what mount says of /proc"))?;
    Ok(vec![Finding::pass(kind.to_string(), "bare metal or virtual")])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::State;
    use crate::facts::recorded::{Recorded, only};
    use crate::requirements::Requirements;

    const VARIABLES: &str = "/sys/firmware/efi/efivars";
    const GLOBAL: &str = "8be4df61-93ca-11d2-aa0d-00e098032b8c";
    const SHIM: &str = "605dab50-e046-4300-abb6-3dd810dd8b23";

    fn asks(boot: Boot) -> Requirements {
        Requirements { boot, ..Requirements::default() }
    }

    fn uefi(secure: u8, setup: u8) -> Recorded {
        Recorded::new()
            .file(&format!("{VARIABLES}/SecureBoot-{GLOBAL}"), [6, 0, 0, 0, secure])
            .file(&format!("{VARIABLES}/SetupMode-{GLOBAL}"), [6, 0, 0, 0, setup])
    }

    #[test]
    fn what_is_enforced_passes_and_what_is_not_fails() {
        let on = only(uefi(1, 0).run("firmware.boot", &asks(Boot::Secure), None));
        assert_eq!(on, Finding::pass("UEFI, Secure Boot on", "UEFI with Secure Boot"));
        let shim = uefi(1, 0).file(&format!("{VARIABLES}/MokSBStateRT-{SHIM}"), [6, 0, 0, 0, 1]);
        for machine in [uefi(0, 0), uefi(0, 1), uefi(1, 1), shim, Recorded::new()] {
            let finding = only(machine.run("firmware.boot", &asks(Boot::Secure), None));
            assert_eq!(finding.state, State::Fail, "{}", finding.observed);
            assert!(finding.remedy.is_some());
        }
    }

    #[test]
    fn bios_fails_where_uefi_is_asked_and_is_only_told_otherwise() {
        let bios = Recorded::new();
        assert_eq!(only(bios.run("firmware.boot", &asks(Boot::Uefi), None)).state, State::Fail);
        assert_eq!(only(bios.run("firmware.boot", &asks(Boot::Any), None)), Finding::pass("BIOS", "UEFI or BIOS"));
        assert_eq!(only(uefi(0, 0).run("firmware.boot", &asks(Boot::Uefi), None)).state, State::Pass);
    }

    #[test]
    fn without_the_variables_secure_boot_cannot_be_told_but_uefi_can() {
        let unmounted = Recorded::new().folder(VARIABLES);
        let error = unmounted.run("firmware.boot", &asks(Boot::Secure), None).unwrap_err();
        assert!(error.remedy.contains("sudo mount -t efivarfs"));
        assert_eq!(only(unmounted.run("firmware.boot", &asks(Boot::Uefi), None)).state, State::Pass);
        let damaged = uefi(1, 0).file(&format!("{VARIABLES}/SecureBoot-{GLOBAL}"), [1]);
        assert!(damaged.run("firmware.boot", &asks(Boot::Secure), None).is_err());
    }

    #[test]
    fn the_kind_of_machine_is_told_and_unknown_without_the_processors_word() {
        let virtual_machine =
            Recorded::new().file("/proc/cpuinfo", "flags\t: hypervisor\n").signature(b"KVMKVMKVM\0\0\0");
        assert_eq!(only(virtual_machine.run("machine.kind", &asks(Boot::Any), None)).observed, "KVM");
        assert!(Recorded::new().run("machine.kind", &asks(Boot::Any), None).is_err());
    }
}
