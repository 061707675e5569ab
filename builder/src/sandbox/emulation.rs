//! Programs of another architecture than this host's: run by QEMU's user-mode emulation, which the kernel calls for them
//! (`binfmt_misc`, kernel documentation, `admin-guide/binfmt-misc.rst`).
//!
//! Where the host has that set up, nothing is left to do. Else it is set up here, for this process's user namespace alone: the
//! kernel (since Linux 6.7) lets each have formats of its own, and forgets them with it.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use firmware_checks::architecture::Architecture;
use nix::fcntl::{OFlag, open};
use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sys::stat::Mode;
use object::elf;

use super::Sandbox;
use crate::stage::{self, Temporary};
use crate::static_program::{self, machine};

/// Programs of another architecture can't be run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Nothing that would run them is installed.
    #[error(
        "this host can't run programs for {}, and has no emulator for them: looked for {places}\n  hint: install \
         qemu-user-static (Debian 12, Ubuntu, Fedora) or qemu-user (Debian 13 and later), or build on a machine of that \
         architecture",
        architecture.name()
    )]
    NoEmulator {
        /// The architecture.
        architecture: Architecture,
        /// Where emulators were looked for.
        places: String,
    },
    /// The kernel does not call the emulator.
    #[error(
        "having the kernel call {} for programs of {}: {source}\n  hint: kernels before 6.7 let only the host's root do \
         that: install binfmt-support (or systemd) beside the emulator, and see that /proc/sys/fs/binfmt_misc has it with flag F",
        emulator.display(), architecture.name()
    )]
    Kernel {
        /// The emulator.
        emulator: PathBuf,
        /// The architecture.
        architecture: Architecture,
        /// Why.
        source: io::Error,
    },
    /// The emulator was called, and failed.
    #[error("a program for {} that does nothing, run by {}", architecture.name(), emulator.display())]
    Fails {
        /// The emulator.
        emulator: PathBuf,
        /// The architecture.
        architecture: Architecture,
        /// How it failed.
        source: super::Error,
    },
    /// There is no place to try.
    #[error("making a folder to try a program for {} in", architecture.name())]
    Folder {
        /// The architecture.
        architecture: Architecture,
        /// Why.
        source: stage::Error,
    },
    /// The program that is tried could not be laid.
    #[error("laying a program for {} to try: {source}", architecture.name())]
    Lay {
        /// The architecture.
        architecture: Architecture,
        /// Why.
        source: io::Error,
    },
}

/// The architecture of sandboxes' programs, where they are emulated.
static EMULATED: OnceLock<Architecture> = OnceLock::new();

/// What keeps the formats of this process's user namespace: the file system that holds them.
static FORMATS: Mutex<Option<OwnedFd>> = Mutex::new(None);

/// Sees to it that sandboxes run programs for `architecture`. Must run in the user namespace of [`super::userns::enter`].
///
/// # Errors
/// [`Error`].
pub fn ready(architecture: Architecture) -> Result<(), Error> {
    if architecture == Architecture::HERE {
        return Ok(());
    }
    // Several threads may ask at once.
    let mut formats = FORMATS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let _ = EMULATED.set(architecture);
    if formats.is_some() || tried(architecture)?.is_ok() {
        return Ok(());
    }
    let places = places(architecture);
    let emulator = places
        .iter()
        .find(|path| fs::read(path).is_ok_and(|program| static_program::judge(&program, Architecture::HERE).is_ok()));
    let emulator = emulator.cloned().ok_or_else(|| Error::NoEmulator {
        architecture,
        places: places.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
    })?;
    let folder = Temporary::new_in(&std::env::temp_dir());
    let folder = folder.map_err(|source| Error::Folder { architecture, source })?;
    let registered = register(folder.path(), &format_of(architecture, &emulator));
    let held = registered.map_err(|source| Error::Kernel { emulator: emulator.clone(), architecture, source })?;
    tried(architecture)?.map_err(|source| Error::Fails { emulator, architecture, source })?;
    *formats = Some(held);
    Ok(())
}

/// The environment variable that says which processor is emulated, where one is: the least that distributions compile for. Its
/// `max` would sign each pointer that a program asks to have signed, which takes far longer (a loop of bash: 60 s in place of 3).
pub(super) fn processor() -> Option<(&'static str, &'static str)> {
    let model = match EMULATED.get()? {
        // EL 9 is compiled for x86-64-v2.
        Architecture::X86_64 => "Nehalem",
        Architecture::Aarch64 => "cortex-a72",
    };
    Some(("QEMU_CPU", model))
}

/// Where distributions have the emulator. It must be static: inside a sandbox none of the host's libraries are there.
fn places(architecture: Architecture) -> [PathBuf; 2] {
    let name = architecture.name();
    [format!("/usr/bin/qemu-{name}-static").into(), format!("/usr/bin/qemu-{name}").into()]
}

/// Has `line` registered in the file system of formats, which is mounted at `folder` for that moment only. It lives as long as
/// what is given back.
fn register(folder: &Path, line: &str) -> io::Result<OwnedFd> {
    let none: Option<&str> = None;
    mount(Some("binfmt_misc"), folder, Some("binfmt_misc"), MsFlags::MS_NOSUID, none)?;
    let registered = open(folder, OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC, Mode::empty())
        .map_err(io::Error::from)
        .and_then(|held| fs::write(folder.join("register"), line).map(|()| held));
    umount2(folder, MntFlags::MNT_DETACH)?;
    registered
}

/// What the kernel is told: programs whose header is an ELF program's for `architecture` are run by `emulator`, which it opens
/// now (`F`), so that it need not be in a sandbox, and which is told the name that the program was called by (`P`).
fn format_of(architecture: Architecture, emulator: &Path) -> String {
    let escaped = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    // The system's byte may be any; a program may be relocatable (ET_DYN) or not (ET_EXEC).
    let mut mask = [0xff; 20];
    (mask[7], mask[16]) = (0, 0xfe);
    let (magic, mask) = (escaped(&header(architecture)[..20]), escaped(&mask));
    format!(":firstlight-{}:M:0:{magic}:{mask}:{}:PF", architecture.name(), emulator.display())
}

/// Whether a program for `architecture` runs in a sandbox.
fn tried(architecture: Architecture) -> Result<Result<(), super::Error>, Error> {
    let folder = Temporary::new_in(&std::env::temp_dir());
    let folder = folder.map_err(|source| Error::Folder { architecture, source })?;
    lay(&folder.path().join("nothing"), &program(architecture))
        .map_err(|source| Error::Lay { architecture, source })?;
    Ok(Sandbox::new(folder.path()).run(&["/nothing"]).map(drop))
}

fn lay(path: &Path, program: &[u8]) -> io::Result<()> {
    fs::write(path, program)?;
    fs::set_permissions(path, Permissions::from_mode(0o755))?;
    File::open(path)?.sync_all()
}

/// The whole of a program that ends at once, with success.
fn program(architecture: Architecture) -> Vec<u8> {
    let code: &[u8] = match architecture {
        // mov eax, SYS_exit; xor edi, edi; syscall
        Architecture::X86_64 => &[0xb8, 60, 0, 0, 0, 0x31, 0xff, 0x0f, 0x05],
        // mov x0, 0; mov x8, SYS_exit; svc 0
        Architecture::Aarch64 => &[0x00, 0x00, 0x80, 0xd2, 0xa8, 0x0b, 0x80, 0xd2, 0x01, 0x00, 0x00, 0xd4],
    };
    [header(architecture).as_slice(), code].concat()
}

/// Where [`program`] is loaded.
const ADDRESS: u64 = 0x40_0000;
/// Bytes of an ELF header, and of it with one program header.
const HEADER: u64 = 64;
const HEADERS: u64 = 120;

/// The header of an ELF program with one segment, and that segment's (System V ABI, "Object Files" and "Program Loading").
fn header(architecture: Architecture) -> Vec<u8> {
    let mut bytes = b"\x7fELF\x02\x01\x01".to_vec();
    bytes.resize(16, 0);
    let half = |value: u16| value.to_le_bytes();
    bytes.extend([half(elf::ET_EXEC.0), half(machine(architecture).0)].concat());
    bytes.extend(1_u32.to_le_bytes());
    // Where it starts; where its program headers are; no sections.
    bytes.extend([ADDRESS + HEADERS, HEADER, 0].map(u64::to_le_bytes).concat());
    bytes.extend(0_u32.to_le_bytes());
    bytes.extend([64, 56, 1, 0, 0, 0].map(half).concat());
    bytes.extend([elf::PT_LOAD.0, (elf::PF_R | elf::PF_X).0].map(u32::to_le_bytes).concat());
    // From the file's start, at this address, this long: more than there is does not matter within a page.
    let length = HEADERS + 16;
    bytes.extend([0, ADDRESS, ADDRESS, length, length, 0x1_0000].map(u64::to_le_bytes).concat());
    bytes
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn the_program_that_is_tried_is_static_and_ends_well() {
        for architecture in Architecture::ALL {
            assert_eq!(static_program::judge(&program(architecture), architecture), Ok(()));
        }
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("nothing");
        lay(&path, &program(Architecture::HERE)).unwrap();
        assert!(Command::new(&path).status().unwrap().success());
    }

    #[test]
    fn the_kernel_is_told_of_the_header_alone() {
        let line = format_of(Architecture::Aarch64, Path::new("/usr/bin/qemu-aarch64-static"));
        let zeros = r"\x00".repeat(9);
        assert_eq!(
            line,
            format!(
                r":firstlight-aarch64:M:0:\x7f\x45\x4c\x46\x02\x01\x01{zeros}\x02\x00\xb7\x00:\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff:/usr/bin/qemu-aarch64-static:PF"
            )
        );
        // The kernel takes no line of more bytes.
        assert!(line.len() < 1920);
    }
}
