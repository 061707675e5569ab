//! Whether the machine is real, and who plays it where it is not.
//!
//! Clouds sell real machines under the same DMI names as virtual ones, and some laptops' makers sell hypervisors too:
//! so the processor's word comes first, and DMI only where it names what no real machine is called.

use std::fmt;
use std::io;

use super::Machine;

/// What the machine is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A real machine, with its maker and model where the firmware says so.
    Metal {
        /// Such as `Dell Inc. PowerEdge R650`; empty where nothing is known.
        model: String,
    },
    /// A virtual machine.
    Virtual {
        /// The hypervisor.
        hypervisor: String,
        /// What it calls the machine; empty where nothing is known.
        model: String,
    },
}

impl Kind {
    /// Whether it is a virtual machine.
    #[must_use]
    pub fn is_virtual(&self) -> bool {
        matches!(self, Self::Virtual { .. })
    }
}

impl Kind {
    /// What it is, without the model: for a sentence.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Metal { .. } => "bare metal",
            Self::Virtual { hypervisor, .. } => hypervisor,
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (kind, model) = match self {
            Self::Metal { model } => ("bare metal", model),
            Self::Virtual { hypervisor, model } => (hypervisor.as_str(), model),
        };
        f.write_str(kind)?;
        if model.is_empty() { Ok(()) } else { write!(f, " ({model})") }
    }
}

/// What a signature of CPUID leaf 0x40000000 stands for.
const SIGNATURES: &[(&[u8; 12], &str)] = &[
    (b"KVMKVMKVM\0\0\0", "KVM"),
    (b"TCGTCGTCGTCG", "QEMU, emulated"),
    (b"VMwareVMware", "VMware"),
    (b"Microsoft Hv", "Hyper-V"),
    (b"XenVMMXenVMM", "Xen"),
    (b"VBoxVBoxVBox", "VirtualBox"),
    (b"bhyve bhyve ", "bhyve"),
    (b"prl hyperv  ", "Parallels"),
    (b" lrpepyh vr ", "Parallels"),
    (b"ACRNACRNACRN", "ACRN"),
    (b"QNXQVMBSQG\0\0", "QNX"),
    (b"Jailhouse\0\0\0", "Jailhouse"),
];

/// A maker and a beginning of a model in DMI that no real machine has; an empty one stands for any.
const NEVER_REAL: &[(&str, &str, &str)] = &[
    ("QEMU", "", "QEMU"),
    ("Red Hat", "KVM", "KVM"),
    ("innotek GmbH", "", "VirtualBox"),
    ("Oracle Corporation", "VirtualBox", "VirtualBox"),
    ("VMware, Inc.", "", "VMware"),
    ("Microsoft Corporation", "Virtual Machine", "Hyper-V"),
    ("Xen", "HVM domU", "Xen"),
    ("Parallels", "", "Parallels"),
    ("BHYVE", "", "bhyve"),
    ("FreeBSD", "BHYVE", "bhyve"),
    ("Bochs", "", "Bochs"),
    ("Apple Inc.", "Apple Virtualization", "Apple Virtualization"),
];

/// What the machine is.
///
/// # Errors
/// `/proc/cpuinfo` could not be read.
pub fn kind(machine: &Machine) -> io::Result<Kind> {
    let processor = machine.read("/proc/cpuinfo")?;
    let vendor = machine.told("/sys/class/dmi/id/sys_vendor").unwrap_or_default();
    let product = machine.told("/sys/class/dmi/id/product_name").unwrap_or_default();
    let named = |name: &str| Kind::Virtual { hypervisor: name.to_owned(), model: model(machine, &vendor, &product) };
    if machine.told("/sys/hypervisor/type").as_deref() == Some("xen") {
        // Xen's first domain drives the real machine's hardware, whatever the processor says of a hypervisor.
        let first = machine.told("/proc/xen/capabilities").is_some_and(|text| text.contains("control_d"));
        return Ok(if first { Kind::Metal { model: model(machine, &vendor, &product) } } else { named("Xen") });
    }
    if let Some(name) = by_dmi(&vendor, &product) {
        // Under QEMU the processor tells what QEMU runs on.
        let accelerator = by_signature(machine).filter(|_| name == "QEMU");
        return Ok(named(accelerator.unwrap_or(name)));
    }
    if flagged(&processor) {
        return Ok(named(by_signature(machine).unwrap_or("a hypervisor that gives no name")));
    }
    if let Some(name) = by_device_tree(machine) {
        return Ok(named(&name));
    }
    // Processors other than x86's have no flag for it; there this cloud marks its real machines.
    if vendor == "Amazon EC2" && !processor.contains("\nflags") && !product.contains("metal") {
        return Ok(named("KVM (Nitro)"));
    }
    Ok(Kind::Metal { model: model(machine, &vendor, &product) })
}

/// Whether the kernel found a hypervisor by the processor's word (CPUID leaf 1, bit 31 of ECX).
fn flagged(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|line| line.split_ascii_whitespace().any(|flag| flag == "hypervisor"))
}

fn by_signature(machine: &Machine) -> Option<&'static str> {
    let signature = machine.kernel().hypervisor_signature()?;
    SIGNATURES.iter().find(|(known, _)| **known == signature).map(|(_, name)| *name)
}

fn by_dmi(vendor: &str, product: &str) -> Option<&'static str> {
    let fits = |(maker, model, _): &&(&str, &str, &str)| {
        let maker_fits = vendor == *maker || (model.is_empty() && vendor.starts_with(&format!("{maker} ")));
        maker_fits && product.starts_with(model)
    };
    NEVER_REAL.iter().find(fits).map(|(.., name)| *name)
}

fn by_device_tree(machine: &Machine) -> Option<String> {
    let compatible = |path: &str| machine.told(path).unwrap_or_default();
    let hypervisor = compatible("/proc/device-tree/hypervisor/compatible");
    match hypervisor.split('\0').next().unwrap_or_default() {
        "linux,kvm" => return Some("KVM".to_owned()),
        "xen" => return Some("Xen".to_owned()),
        "" if hypervisor.contains("xen") => return Some("Xen".to_owned()),
        "" => {}
        other => return Some(other.to_owned()),
    }
    let board = compatible("/proc/device-tree/compatible");
    board.split('\0').any(|name| name == "linux,dummy-virt" || name.starts_with("qemu,")).then(|| "QEMU".to_owned())
}

/// Maker and model, without the words that stand in for them where nobody filled them in.
fn model(machine: &Machine, vendor: &str, product: &str) -> String {
    const EMPTY: [&str; 5] =
        ["To Be Filled By O.E.M.", "System manufacturer", "System Product Name", "Default string", "Not Specified"];
    let words: Vec<&str> =
        [vendor, product].into_iter().filter(|word| !word.is_empty() && !EMPTY.contains(word)).collect();
    if words.is_empty() {
        let tree = machine.told("/proc/device-tree/model").unwrap_or_default();
        return tree.trim_end_matches('\0').to_owned();
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::recorded::Recorded;

    const X86: &str = "processor\t: 0\nflags\t\t: fpu sse2\n";
    const GUEST: &str = "processor\t: 0\nflags\t\t: fpu sse2 hypervisor\n";
    const ARM: &str = "processor\t: 0\nFeatures\t: fp asimd\n";

    fn machine(cpuinfo: &str, vendor: &str, product: &str) -> Recorded {
        Recorded::new()
            .file("/proc/cpuinfo", cpuinfo)
            .file("/sys/class/dmi/id/sys_vendor", vendor)
            .file("/sys/class/dmi/id/product_name", product)
    }

    fn told(recorded: &Recorded) -> String {
        kind(&recorded.machine()).unwrap().to_string()
    }

    #[test]
    fn real_machines_of_makers_that_also_make_virtual_ones_stay_real() {
        assert_eq!(
            told(&machine(X86, "Microsoft Corporation", "Surface Pro")),
            "bare metal (Microsoft Corporation Surface Pro)"
        );
        assert_eq!(told(&machine(X86, "Amazon EC2", "m5.metal")), "bare metal (Amazon EC2 m5.metal)");
        assert_eq!(told(&machine(ARM, "Amazon EC2", "m6g.metal")), "bare metal (Amazon EC2 m6g.metal)");
        assert_eq!(told(&machine(X86, "Xenon Systems", "R1")), "bare metal (Xenon Systems R1)");
        assert_eq!(told(&machine(X86, "System manufacturer", "System Product Name")), "bare metal");
    }

    #[test]
    fn the_first_domain_of_xen_is_the_real_machine() {
        let guest = machine(GUEST, "Xen", "HVM domU").file("/sys/hypervisor/type", "xen\n");
        assert_eq!(told(&guest), "Xen (Xen HVM domU)");
        let first = machine(GUEST, "Dell Inc.", "R650").file("/sys/hypervisor/type", "xen\n");
        assert_eq!(told(&first.file("/proc/xen/capabilities", "control_d\n")), "bare metal (Dell Inc. R650)");
    }

    #[test]
    fn qemu_is_told_by_what_it_runs_on() {
        let qemu = || machine(GUEST, "QEMU", "Standard PC");
        assert_eq!(told(&qemu().signature(b"KVMKVMKVM\0\0\0")), "KVM (QEMU Standard PC)");
        assert_eq!(told(&qemu().signature(b"TCGTCGTCGTCG")), "QEMU, emulated (QEMU Standard PC)");
        assert_eq!(told(&machine(X86, "QEMU", "hidden")), "QEMU (QEMU hidden)");
    }

    #[test]
    fn a_cloud_is_told_by_its_processor_and_a_board_by_its_device_tree() {
        let cloud = machine(GUEST, "Hetzner", "vServer").signature(b"KVMKVMKVM\0\0\0");
        assert_eq!(told(&cloud), "KVM (Hetzner vServer)");
        assert_eq!(told(&machine(GUEST, "", "")), "a hypervisor that gives no name");
        let board =
            Recorded::new().file("/proc/cpuinfo", ARM).file("/proc/device-tree/compatible", "linux,dummy-virt\0");
        assert_eq!(told(&board), "QEMU");
        let board = Recorded::new().file("/proc/cpuinfo", ARM).file("/proc/device-tree/model", "Raspberry Pi 5\0");
        assert_eq!(told(&board), "bare metal (Raspberry Pi 5)");
    }
}
