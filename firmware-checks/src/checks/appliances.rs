//! The shipped recipes' own thresholds, on machines that were made up.

use crate::check::State;
use crate::facts::recorded::{Recorded, only};
use crate::requirements::Requirements;

const GB: u64 = 1_000_000_000;

fn cht() -> Requirements {
    let recipe: toml::Table = toml::from_str(include_str!("../../../recipes/cht.toml")).unwrap();
    recipe["requirements"].clone().try_into().unwrap()
}

/// A virtual machine of this many processors, MiB of memory and bytes of data.
fn machine(processors: &str, mebibytes: u64, data: u64) -> Recorded {
    Recorded::new()
        .file("/sys/devices/system/cpu/online", processors)
        .file("/proc/cpuinfo", "flags\t: fpu hypervisor\n")
        .file("/proc/meminfo", format!("MemTotal: {} kB\n", mebibytes * 1024))
        .disk("vda", "195312500\n")
        .partition("vda", "vda5", "254:5")
        .file("/sys/devices/vda/vda5/size", "195312500\n")
        .mount("254:5", "/srv", "ext4", "/dev/vda5")
        .folder("/srv")
        .space("/srv", data, data)
}

#[test]
fn a_machine_below_what_the_community_health_toolkit_needs_is_told_precisely() {
    let small = machine("0\n", 1_900, 40 * GB);
    let told = |id: &str| {
        let finding = only(small.run(id, &cht(), None));
        assert_eq!(finding.state, State::Fail, "{finding:?}");
        (finding.observed, finding.required)
    };
    assert_eq!(told("cpu.cores"), ("1 logical processor".to_owned(), "2".to_owned()));
    assert_eq!(told("disk.size"), ("/srv: 40 GB".to_owned(), "50 GB".to_owned()));
    let (observed, required) = told("memory.total");
    assert!(observed.contains("1.8 GiB usable") && required == "4 GiB", "{observed}, {required}");
}

#[test]
fn a_machine_of_its_minimums_passes() {
    let enough = machine("0-1\n", 3_900, 50 * GB);
    for id in ["cpu.cores", "memory.total", "disk.size"] {
        let finding = only(enough.run(id, &cht(), None));
        assert_eq!(finding.state, State::Pass, "{finding:?}");
    }
}
