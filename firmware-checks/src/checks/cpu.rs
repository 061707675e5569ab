//! Processors.

use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::cpu_level::{CpuLevel, common_flags};
use crate::facts::{Machine, hypervisor};

/// The checks of this file.
pub const CHECKS: &[Check] = &[
    Check {
        id: "cpu.level",
        title: "Processor level",
        phases: &[Phase::Admission, Phase::Acceptance],
        after: &[],
        documentation: "Compares the flags that all processors have in /proc/cpuinfo with the level (x86-64-v2 …, System V \
            psABI) that the base's programs were compiled for. A missing one fails, by its name. Bases whose programs run on \
            every 64-bit processor are not asked.",
        applies: |appliance| appliance.cpu_level.is_some(),
        run: level,
    },
    Check {
        id: "cpu.cores",
        title: "Processor cores",
        phases: &[Phase::Admission, Phase::Acceptance],
        after: &[],
        documentation: "Counts the logical processors that the kernel has switched on, whatever a control group or \
            isolcpus leaves to this program. Fewer than requirements.cpu.minimum fail, fewer than recommended warn; \
            requirements.sizes asks by the site's concurrent_users.",
        applies: |appliance| appliance.requirements.cpu_for(None).is_some(),
        run: cores,
    },
];

const ONLINE: &str = "/sys/devices/system/cpu/online";
const PRESENT: &str = "/sys/devices/system/cpu/present";
const CPUINFO: &str = "/proc/cpuinfo";
/// What to look at where the kernel does not tell.
const LOOK: &str = "look at what the kernel says of its processors: lscpu; journalctl -k -b";

fn level(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let Some(asked) = context.appliance.cpu_level else {
        return Ok(vec![Finding::not_applicable("the base runs on every 64-bit processor")]);
    };
    let machine = context.machine;
    let text = machine.read(CPUINFO).map_err(|error| CouldNotRun::new(format!("reading {CPUINFO}: {error}"), LOOK))?;
    let flags = common_flags(&text).ok_or_else(|| CouldNotRun::new(format!("{CPUINFO} names no flags"), LOOK))?;
    let (found, required) = (CpuLevel::name_of(&flags), format!("{asked} for {}", context.appliance.base));
    let missing = asked.missing(&flags);
    if missing.is_empty() {
        return Ok(vec![Finding::pass(found, required)]);
    }
    let observed = format!("{found}; without {}", missing.join(" "));
    Ok(vec![Finding::fail(observed, required, other_processor(machine, asked))])
}

/// Where a processor of the level `wanted` comes from.
fn other_processor(machine: &Machine, wanted: CpuLevel) -> String {
    let real = wanted.processors();
    match hypervisor::kind(machine) {
        Ok(kind) if kind.is_virtual() => {
            let how = match kind.name() {
                "VMware" => "raise the EVC mode of its cluster or of the virtual machine",
                "Hyper-V" => "Set-VMProcessor NAME -CompatibilityForMigrationEnabled $false",
                "VirtualBox" => "VBoxManage modifyvm NAME --cpu-profile host",
                _ => "processor model `host` (libvirt: host-passthrough), or a named model with these flags",
            };
            format!(
                "shut the virtual machine down, let it have more of its host's processor ({}: {how}), and start it again; \
                 the host's own must have {wanted}, as {real} have",
                kind.name()
            )
        }
        _ => format!("use a machine with {wanted} ({real} have it), or an image of this appliance for another base"),
    }
}

fn cores(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let users = context.site.and_then(|site| site.concurrent_users);
    let Some(asked) = context.appliance.requirements.cpu_for(users) else {
        return Ok(vec![Finding::not_applicable("the appliance asks for no number of processors")]);
    };
    let machine = context.machine;
    let online = processors(machine, ONLINE)?;
    let count = u32::try_from(online.len()).unwrap_or(u32::MAX);
    let required = match asked.recommended {
        Some(recommended) => format!("{} (recommended {recommended})", asked.minimum),
        None => asked.minimum.to_string(),
    } + &context.appliance.requirements.reason(users);
    let observed = format!("{count} logical {}", if count == 1 { "processor" } else { "processors" });
    let finding = if count < asked.minimum {
        Finding::fail(observed, required, remedy(machine, &online, asked.minimum))
    } else if let Some(recommended) = asked.recommended.filter(|recommended| count < *recommended) {
        Finding::warn(observed, required, remedy(machine, &online, recommended))
    } else {
        Finding::pass(observed, required)
    };
    Ok(vec![finding])
}

fn processors(machine: &Machine, path: &str) -> Result<Vec<u32>, CouldNotRun> {
    let text = machine.read(path).map_err(|error| CouldNotRun::new(format!("reading {path}: {error}"), LOOK))?;
    list(&text).ok_or_else(|| CouldNotRun::new(format!("{path} is no list of processors: `{text}`"), LOOK))
}

/// A list in the kernel's form, such as `0-3,8`; never empty.
fn list(text: &str) -> Option<Vec<u32>> {
    let mut numbers = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
        // More than any kernel can be built for means that the text was something else.
        numbers.extend(Some(first..=last).filter(|_| first <= last && last < 1 << 16)?);
    }
    Some(numbers)
}

fn remedy(machine: &Machine, online: &[u32], wanted: u32) -> String {
    let mut off = machine.told(PRESENT).and_then(|text| list(&text)).unwrap_or_default();
    off.retain(|number| !online.contains(number));
    if !off.is_empty() {
        let numbers: Vec<String> = off.iter().map(u32::to_string).collect();
        return format!(
            "{} more are in the machine but switched off: sudo chcpu --enable {}; to keep them, take maxcpus= and nosmt off \
             the kernel's command line",
            off.len(),
            numbers.join(",")
        );
    }
    match hypervisor::kind(machine) {
        Ok(kind) if kind.is_virtual() => {
            format!(
                "shut the virtual machine down, give it {wanted} processors or more, and start it again ({})",
                kind.name()
            )
        }
        Ok(kind) => format!(
            "use a machine with {wanted} logical processors or more (this is {kind}), or switch on cores and \
             hyper-threading in its firmware setup"
        ),
        Err(_) => format!("use a machine with {wanted} logical processors or more"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::appliance::Appliance;
    use crate::check::State;
    use crate::cpu_level::tests::{NEHALEM, QEMU64};
    use crate::facts::recorded::{Recorded, appliance, only};
    use crate::requirements::{Count, Requirements};

    fn asks(minimum: u32, recommended: Option<u32>) -> Requirements {
        Requirements { cpu: Some(Count { minimum, recommended }), ..Requirements::default() }
    }

    fn machine(online: &str) -> Recorded {
        Recorded::new().file(ONLINE, online).file("/proc/cpuinfo", "flags\t: hypervisor\n")
    }

    #[test]
    fn enough_processors_pass() {
        let finding = only(machine("0-2,5\n").run("cpu.cores", &asks(4, Some(4)), None));
        assert_eq!(finding, Finding::pass("4 logical processors", "4 (recommended 4)"));
    }

    #[test]
    fn fewer_than_recommended_warn_and_fewer_than_the_least_fail() {
        let machine = machine("0\n");
        assert_eq!(only(machine.run("cpu.cores", &asks(1, Some(2)), None)).state, State::Warn);
        let finding = only(machine.run("cpu.cores", &asks(2, None), None));
        assert_eq!((finding.state, finding.observed.as_str()), (State::Fail, "1 logical processor"));
        assert!(finding.remedy.unwrap().contains("virtual machine down, give it 2 processors"));
    }

    #[test]
    fn processors_that_are_switched_off_are_named() {
        let finding = only(machine("0-1\n").file(PRESENT, "0-3\n").run("cpu.cores", &asks(4, None), None));
        assert!(finding.remedy.unwrap().contains("chcpu --enable 2,3"));
    }

    #[test]
    fn without_the_kernels_list_it_cannot_run() {
        assert!(Recorded::new().run("cpu.cores", &asks(1, None), None).unwrap_err().what.contains(ONLINE));
        for text in ["", "x", "3-1", "0-4294967295"] {
            assert!(machine(text).run("cpu.cores", &asks(1, None), None).is_err(), "{text}");
        }
    }

    /// What `cpu.level` says of a machine with `cpuinfo`, for a base that needs `asked`.
    fn judged(machine: &Recorded, asked: Option<CpuLevel>) -> Result<Vec<Finding>, CouldNotRun> {
        let appliance = Appliance { cpu_level: asked, ..appliance(&Requirements::default()) };
        let check = CHECKS.iter().find(|check| check.id == "cpu.level").unwrap();
        assert_eq!((check.applies)(&appliance), asked.is_some());
        let (machine, now, phase) = (machine.machine(), jiff::Timestamp::UNIX_EPOCH, Phase::Admission);
        (check.run)(&Context {
            appliance: &appliance,
            site: None,
            site_dir: std::path::Path::new("/none"),
            machine: &machine,
            now,
            phase,
        })
    }

    fn with_flags(flags: &[&str]) -> Recorded {
        let all =
            flags.iter().enumerate().map(|(number, flags)| format!("processor\t: {number}\nflags\t\t: {flags}\n\n"));
        Recorded::new().file(CPUINFO, all.collect::<String>())
    }

    #[test]
    fn the_level_passes_with_all_flags_and_fails_with_the_names_of_the_missing() {
        assert_eq!(
            only(judged(&with_flags(&[NEHALEM, NEHALEM]), Some(CpuLevel::V2))),
            Finding::pass("x86-64-v2", "x86-64-v2 for debian-13")
        );
        let old = only(judged(&with_flags(&[NEHALEM, QEMU64]), Some(CpuLevel::V2)));
        assert_eq!(
            (old.state, old.observed.as_str()),
            (State::Fail, "x86-64-v1; without popcnt sse4_1 sse4_2 ssse3"),
            "one old processor among new ones"
        );
        assert_eq!(only(judged(&with_flags(&[NEHALEM]), Some(CpuLevel::V3))).state, State::Fail);
    }

    #[test]
    fn what_is_done_about_a_level_depends_on_who_plays_the_machine() {
        let remedy = |machine: Recorded| only(judged(&machine, Some(CpuLevel::V2))).remedy.unwrap();
        let kvm = remedy(with_flags(&[QEMU64]).signature(b"KVMKVMKVM\0\0\0"));
        assert!(kvm.contains("host-passthrough") && kvm.contains("(KVM:"), "{kvm}");
        assert!(remedy(with_flags(&[QEMU64]).signature(b"VMwareVMware")).contains("EVC"));
        assert!(remedy(with_flags(&[QEMU64]).signature(b"Microsoft Hv")).contains("CompatibilityForMigration"));
        let metal = remedy(with_flags(&["fpu lm"]));
        assert!(metal.contains("Nehalem") && metal.contains("another base"), "{metal}");
    }

    #[test]
    fn without_flags_the_level_is_unknown() {
        assert!(judged(&Recorded::new(), Some(CpuLevel::V2)).unwrap_err().what.contains(CPUINFO));
        let arm = Recorded::new().file(CPUINFO, "processor\t: 0\nFeatures\t: fp asimd\n");
        assert!(judged(&arm, Some(CpuLevel::V2)).unwrap_err().what.contains("no flags"));
        assert_eq!(only(judged(&arm, None)).state, State::NotApplicable);
    }
}
