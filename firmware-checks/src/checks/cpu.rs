//! Processors.

use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::facts::{Machine, hypervisor};

/// The checks of this file.
pub const CHECKS: &[Check] = &[Check {
    id: "cpu.cores",
    title: "Processor cores",
    phases: &[Phase::Admission, Phase::Acceptance],
    after: &[],
    documentation: "Counts the logical processors that the kernel has switched on, whatever a control group or \
        isolcpus leaves to this program. Fewer than requirements.cpu.minimum fail, fewer than recommended warn.",
    applies: |appliance| appliance.requirements.cpu.is_some(),
    run: cores,
}];

const ONLINE: &str = "/sys/devices/system/cpu/online";
const PRESENT: &str = "/sys/devices/system/cpu/present";

fn cores(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let Some(asked) = context.appliance.requirements.cpu else {
        return Ok(vec![Finding::not_applicable("the appliance asks for no number of processors")]);
    };
    let machine = context.machine;
    let online = processors(machine, ONLINE)?;
    let count = u32::try_from(online.len()).unwrap_or(u32::MAX);
    let required = match asked.recommended {
        Some(recommended) => format!("{} (recommended {recommended})", asked.minimum),
        None => asked.minimum.to_string(),
    };
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
    let look = "look at what the kernel says of its processors: lscpu; journalctl -k -b";
    let text = machine.read(path).map_err(|error| CouldNotRun::new(format!("reading {path}: {error}"), look))?;
    list(&text).ok_or_else(|| CouldNotRun::new(format!("{path} is no list of processors: `{text}`"), look))
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
    use crate::check::State;
    use crate::facts::recorded::{Recorded, only};
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
}
