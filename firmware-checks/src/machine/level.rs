//! The first program of a machine whose base needs more of a processor than every one has.
//!
//! On less than that not even the initramfs runs: EL 9's C library ends each program, systemd first, and the kernel panics without a
//! word of why. So this static program comes before it, as the kernel's `rdinit`, from an archive of its own behind the
//! initramfs. Where the processor is enough, or can't be told, it becomes what would have been first.

use std::convert::Infallible;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use serde::{Deserialize, Serialize};

use crate::cpu_level::{CpuLevel, common_flags};

/// Its path in the initramfs, by which it knows what it is to do, and the file with what it needs to know.
pub const PROGRAM: &str = "/firstlight-level";
/// See [`Wanted`].
pub const WANTED: &str = "/firstlight-level.json";
/// What the kernel runs first in an initramfs, where it is told nothing else.
const INIT: &str = "/init";
/// How often it is told: whoever looks at a serial port later must see it, too.
const AGAIN: Duration = Duration::from_secs(60);

/// What the machine needs.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Wanted {
    /// The least level.
    pub level: CpuLevel,
    /// What needs it, such as `hello 1.0 on almalinux-9`.
    pub by: String,
}

/// Becomes [`INIT`], or tells on all consoles what the processor lacks, and stays.
///
/// # Errors
/// There is no [`INIT`].
pub fn run() -> io::Result<Infallible> {
    if let Ok(Some(lines)) = told() {
        // Without it there is no device to tell it to.
        let _ = mount(Some("devtmpfs"), "/dev", Some("devtmpfs"), MsFlags::empty(), None::<&str>);
        loop {
            tell(&lines);
            thread::sleep(AGAIN);
        }
    }
    Err(Command::new(INIT).args(std::env::args_os().skip(1)).exec())
}

/// What this machine's admin is to be told, if anything.
fn told() -> io::Result<Option<Vec<String>>> {
    let wanted: Wanted = serde_json::from_slice(&fs::read(WANTED)?)?;
    let proc = Path::new("/proc");
    fs::create_dir_all(proc)?;
    mount(Some("proc"), proc, Some("proc"), MsFlags::empty(), None::<&str>)?;
    let cpuinfo = fs::read_to_string("/proc/cpuinfo");
    umount2(proc, MntFlags::empty())?;
    Ok(judge(&wanted, &cpuinfo?))
}

/// The lines for a machine that lacks something; few enough for the kernel, which takes ten at once.
fn judge(wanted: &Wanted, cpuinfo: &str) -> Option<Vec<String>> {
    let flags = common_flags(cpuinfo)?;
    let missing = wanted.level.missing(&flags);
    let Wanted { level, by } = wanted;
    (!missing.is_empty()).then(|| {
        vec![
            format!("FAIL  cpu.level  {by} can't run on this processor"),
            format!("      found      {}; without {}", CpuLevel::name_of(&flags), missing.join(" ")),
            format!("      required   {level}: {} have it", level.processors()),
            "      do         on a virtual machine: give it its host's processor (QEMU, libvirt, Proxmox: host; VMware: a".to_owned(),
            "                 higher EVC mode; Hyper-V: no processor compatibility); else take another machine, or an".to_owned(),
            "                 image for another base. Nothing was changed on the disk; switch the machine off".to_owned(),
        ]
    })
}

/// Writes the lines into the kernel's log, at the level that every console shows.
fn tell(lines: &[String]) {
    for line in lines {
        let mut record = String::new();
        let _ = write!(record, "<0>{line}");
        if fs::write("/dev/kmsg", &record).is_err() {
            println!("{line}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cpu_level::tests::{NEHALEM, QEMU64};

    #[test]
    fn what_is_missing_is_told_in_few_lines_and_what_is_enough_or_unknown_is_let_by() {
        let wanted = Wanted { level: CpuLevel::V2, by: "hello 1.0 on almalinux-9".to_owned() };
        let of = |flags: &str| judge(&wanted, &format!("processor\t: 0\nflags\t\t: {flags}\n"));
        assert_eq!((of(NEHALEM), judge(&wanted, "processor\t: 0\n")), (None, None));
        let lines = of(QEMU64).unwrap();
        assert!(lines.len() < 10 && lines.iter().all(|line| line.len() <= 110), "{lines:#?}");
        let text = lines.join("\n");
        for words in
            ["hello 1.0 on almalinux-9", "x86-64-v1; without popcnt sse4_1 sse4_2 ssse3", "required   x86-64-v2"]
        {
            assert!(text.contains(words), "{words} is not in {text}");
        }
    }
}
