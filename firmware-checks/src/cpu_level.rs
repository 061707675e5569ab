//! Levels of 64-bit x86 processors, as the System V psABI for AMD64 (version 1.0, table 3.1) defines them.

use std::collections::BTreeSet;
use std::fmt;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A level; each has what those below it have. The first, `x86-64-v1`, is what every 64-bit processor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
pub enum CpuLevel {
    /// Processors since about 2009.
    #[serde(rename = "x86-64-v2")]
    V2,
    /// Processors since about 2013, with AVX2.
    #[serde(rename = "x86-64-v3")]
    V3,
    /// Processors with AVX-512.
    #[serde(rename = "x86-64-v4")]
    V4,
}

/// What each level adds, in the words of `/proc/cpuinfo` (the kernel's `cpufeatures.h`): SSE3 is `pni`, LZCNT is `abm`, and
/// OSXSAVE shows as `xsave`.
const ADDED: [(CpuLevel, &[&str]); 3] = [
    (CpuLevel::V2, &["cx16", "lahf_lm", "pni", "popcnt", "sse4_1", "sse4_2", "ssse3"]),
    (CpuLevel::V3, &["abm", "avx", "avx2", "bmi1", "bmi2", "f16c", "fma", "movbe", "xsave"]),
    (CpuLevel::V4, &["avx512bw", "avx512cd", "avx512dq", "avx512f", "avx512vl"]),
];

impl CpuLevel {
    /// What a processor of this level has and one with `flags` lacks, in the words of `/proc/cpuinfo`.
    #[must_use]
    pub fn missing(self, flags: &BTreeSet<&str>) -> Vec<&'static str> {
        let wanted = ADDED.iter().filter(|(level, _)| *level <= self).flat_map(|(_, added)| *added);
        wanted.copied().filter(|flag| !flags.contains(flag)).collect()
    }

    /// The highest level of a processor with `flags`, such as `x86-64-v2`.
    #[must_use]
    pub fn name_of(flags: &BTreeSet<&str>) -> String {
        let levels = ADDED.iter().map(|(level, _)| *level);
        let highest = levels.take_while(|level| level.missing(flags).is_empty()).last();
        highest.map_or_else(|| "x86-64-v1".to_owned(), |level| level.to_string())
    }

    /// Which real processors have it.
    #[must_use]
    pub fn processors(self) -> &'static str {
        match self {
            Self::V2 => "Intel's since Nehalem (2008) and AMD's since Bulldozer and Jaguar (2011)",
            Self::V3 => "Intel's since Haswell (2013) and AMD's since Excavator (2015)",
            Self::V4 => "Intel's Xeon since Skylake (2017) and AMD's since Zen 4 (2022)",
        }
    }
}

impl fmt::Display for CpuLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V2 => "x86-64-v2",
            Self::V3 => "x86-64-v3",
            Self::V4 => "x86-64-v4",
        })
    }
}

/// The flags that every processor of `cpuinfo` (`/proc/cpuinfo`) has; `None` where it names no flags.
#[must_use]
pub fn common_flags(cpuinfo: &str) -> Option<BTreeSet<&str>> {
    let lines = cpuinfo.lines().filter_map(|line| line.split_once(':').filter(|(key, _)| key.trim_end() == "flags"));
    let sets = lines.map(|(_, flags)| flags.split_ascii_whitespace().collect::<BTreeSet<_>>());
    sets.reduce(|one, other| one.intersection(&other).copied().collect())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Flags as Linux 6.1 shows them: of QEMU's model `qemu64`, `Nehalem`, `Haswell`, and of an AMD EPYC of the fourth generation.
    pub(crate) const QEMU64: &str = "fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse \
        sse2 syscall nx lm nopl cpuid pni cx16 hypervisor lahf_lm svm 3dnowprefetch vmmcall";
    pub(crate) const NEHALEM: &str = "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr \
        sse sse2 ss syscall nx lm constant_tsc rep_good nopl cpuid pni ssse3 cx16 sse4_1 sse4_2 x2apic popcnt hypervisor lahf_lm";
    const HASWELL: &str = "fpu vme de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 \
        ss syscall nx lm nopl cpuid pni pclmulqdq ssse3 fma cx16 pcid sse4_1 sse4_2 x2apic movbe popcnt aes xsave avx f16c \
        rdrand hypervisor lahf_lm abm fsgsbase bmi1 avx2 smep bmi2 erms invpcid xsaveopt";
    const GENOA: &str = "fpu vme sse sse2 nx lm pni pclmulqdq ssse3 fma cx16 sse4_1 sse4_2 movbe popcnt aes xsave avx f16c lahf_lm \
        abm bmi1 avx2 smep bmi2 avx512f avx512dq avx512cd sha_ni avx512bw avx512vl";

    #[test]
    fn recorded_processors_have_the_levels_that_they_are_known_for() {
        for (flags, level) in
            [(QEMU64, "x86-64-v1"), (NEHALEM, "x86-64-v2"), (HASWELL, "x86-64-v3"), (GENOA, "x86-64-v4")]
        {
            assert_eq!(CpuLevel::name_of(&flags.split_whitespace().collect()), level);
        }
        let missing = |level: CpuLevel, flags: &str| level.missing(&flags.split_whitespace().collect());
        assert_eq!(missing(CpuLevel::V2, QEMU64), ["popcnt", "sse4_1", "sse4_2", "ssse3"]);
        assert_eq!(missing(CpuLevel::V3, &HASWELL.replace(" avx2", "")), ["avx2"]);
        assert_eq!(missing(CpuLevel::V4, NEHALEM).len(), 14);
        // A hole below counts, whatever is above it.
        let holed = GENOA.replace(" popcnt", "");
        assert_eq!(CpuLevel::name_of(&holed.split_whitespace().collect()), "x86-64-v1");
    }

    #[test]
    fn what_one_processor_lacks_the_machine_lacks() {
        let text =
            format!("processor\t: 0\nflags\t\t: {NEHALEM}\nvmx flags\t: vnmi\n\nprocessor\t: 1\nflags\t\t: {QEMU64}\n");
        let flags = common_flags(&text).unwrap();
        assert!(flags.contains("sse2") && !flags.contains("popcnt") && !flags.contains("vnmi"));
        assert_eq!(common_flags("processor\t: 0\nFeatures\t: fp asimd\n"), None);
    }

    #[test]
    fn its_name_is_the_same_in_a_base_and_in_a_report() {
        for (level, _) in ADDED {
            assert_eq!(serde_json::to_value(level).unwrap(), level.to_string());
        }
    }
}
