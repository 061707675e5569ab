//! Memory.

use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::facts::memory::{Memory, memory};
use crate::facts::{Machine, hypervisor};
use crate::units::Size;

/// The checks of this file.
pub const CHECKS: &[Check] = &[Check {
    id: "memory.total",
    title: "Physical memory",
    phases: &[Phase::Admission, Phase::Acceptance],
    after: &[],
    documentation: "Adds up the memory modules in the firmware's table (DMI). Where there is none, or it can't be true \
        of what the kernel has, it takes the kernel's MemTotal and an allowance for what firmware and kernel keep: \
        1/32 and 256 MiB. Less than requirements.memory.minimum fails, less than recommended warns; requirements.sizes asks by the site's \
        concurrent_users. Modules are sold \
        by binary sizes: a machine of `64 GB` has 64 GiB, which are 68.7 GB, and meets a minimum of 64 GB and of 64 GiB.",
    applies: |appliance| appliance.requirements.memory_for(None).is_some(),
    run: total,
}];

fn total(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let users = context.site.and_then(|site| site.concurrent_users);
    let Some(asked) = context.appliance.requirements.memory_for(users) else {
        return Ok(vec![Finding::not_applicable("the appliance asks for no amount of memory")]);
    };
    let machine = context.machine;
    let found = memory(machine)
        .map_err(|error| CouldNotRun::new(format!("reading /proc/meminfo: {error}"), "see what mount says of /proc"))?;
    let required = match asked.recommended {
        Some(recommended) => format!("{} (recommended {recommended})", asked.minimum),
        None => asked.minimum.to_string(),
    } + &context.appliance.requirements.reason(users);
    let observed = observed(found, asked.minimum);
    let physical = found.physical();
    let finding = if physical < asked.minimum.bytes() {
        Finding::fail(observed, required, remedy(machine, asked.minimum))
    } else if let Some(recommended) = asked.recommended.filter(|recommended| physical < recommended.bytes()) {
        Finding::warn(observed, required, remedy(machine, recommended))
    } else {
        Finding::pass(observed, required)
    };
    Ok(vec![finding])
}

fn observed(found: Memory, unit: Size) -> String {
    let (physical, usable) = (unit.like(found.physical()), unit.like(found.usable));
    match found.installed {
        Some(_) => format!("{physical} built in ({usable} usable)"),
        None => format!(
            "{physical}: {usable} usable and at most {} that firmware and kernel keep",
            unit.like(Memory::allowance(found.usable))
        ),
    }
}

fn remedy(machine: &Machine, wanted: Size) -> String {
    let arguments = machine.told("/proc/cmdline").unwrap_or_default();
    if let Some(limit) = arguments.split_ascii_whitespace().find(|argument| argument.starts_with("mem=")) {
        return format!("take {limit} off the kernel's command line: it hides memory from the kernel");
    }
    match hypervisor::kind(machine) {
        Ok(kind) if kind.is_virtual() => {
            format!(
                "shut the virtual machine down, give it {wanted} of memory or more, and start it again ({})",
                kind.name()
            )
        }
        Ok(kind) => format!(
            "build in memory up to {wanted} (this is {kind}); `sudo dmidecode --type memory`, where it is installed, tells \
             which slots are empty"
        ),
        Err(_) => format!("use a machine with {wanted} of memory or more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::State;
    use crate::facts::recorded::{Recorded, only};
    use crate::facts::smbios::tests::device;
    use crate::requirements::{Amount, Requirements};

    const TABLE: &str = "/sys/firmware/dmi/tables/DMI";

    fn asks(minimum: &str, recommended: Option<&str>) -> Requirements {
        let recommended = recommended.map(|text| text.parse().unwrap());
        Requirements { memory: Some(Amount { minimum: minimum.parse().unwrap(), recommended }), ..Default::default() }
    }

    fn machine(kib: u64) -> Recorded {
        let recorded = Recorded::new().file("/proc/meminfo", format!("MemTotal:       {kib} kB\nMemFree: 1 kB\n"));
        recorded.file("/proc/cpuinfo", "flags\t: hypervisor\n")
    }

    #[test]
    fn the_firmwares_table_counts_where_there_is_one() {
        let recorded = machine(2_014_400).file(TABLE, device(2048, 0));
        let finding = only(recorded.run("memory.total", &asks("2 GiB", None), None));
        assert_eq!(finding, Finding::pass("2 GiB built in (1.9 GiB usable)", "2 GiB"));
    }

    #[test]
    fn a_sixty_four_gb_machine_meets_sixty_four_of_either_kind() {
        let table = [device(0x7fff, 32 << 10), device(0x7fff, 32 << 10)].concat();
        for with_table in [true, false] {
            for minimum in ["64 GB", "64 GiB"] {
                let recorded = machine(65_730_000);
                let recorded = if with_table { recorded.file(TABLE, &table) } else { recorded };
                let finding = only(recorded.run("memory.total", &asks(minimum, None), None));
                assert_eq!(finding.state, State::Pass, "{finding:?}");
            }
        }
    }

    #[test]
    fn less_than_recommended_warns_and_less_than_the_least_fails() {
        let recorded = machine(2_014_400).file(TABLE, device(2048, 0));
        assert_eq!(only(recorded.run("memory.total", &asks("2 GB", Some("4 GB")), None)).state, State::Warn);
        let finding = only(recorded.run("memory.total", &asks("4 GB", None), None));
        assert_eq!(finding.state, State::Fail);
        assert!(finding.remedy.unwrap().contains("give it 4 GB of memory"));
    }

    #[test]
    fn a_table_that_promises_what_the_kernel_never_got_is_not_believed() {
        let recorded = machine(2_014_400).file(TABLE, device(0x7fff, 64 << 10));
        let finding = only(recorded.run("memory.total", &asks("64 GB", None), None));
        assert_eq!(finding.state, State::Fail);
        assert!(finding.observed.contains("usable and at most"), "{}", finding.observed);
    }

    #[test]
    fn without_the_kernels_word_it_cannot_run() {
        let nothing = Recorded::new().file(TABLE, device(2048, 0));
        assert!(nothing.run("memory.total", &asks("1 GB", None), None).unwrap_err().what.contains("/proc/meminfo"));
        let odd = Recorded::new().file("/proc/meminfo", "MemFree: 1 kB\n");
        assert!(odd.run("memory.total", &asks("1 GB", None), None).is_err());
    }
}
