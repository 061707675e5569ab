//! Lets the commands of a sandbox ask for nothing to be written to the disk at once: what they make is made durable as a
//! whole, when it is finished, and lost as a whole before.
//!
//! dpkg and maintainer scripts call `fsync(2)` some five thousand times in a build. A filter (`seccomp(2)`) answers each
//! call of that kind with success. It is written out here, in eleven instructions, because crates that make filters set
//! `no_new_privs`, which would change what setuid programs do, and kill programs of another architecture.

use std::io;

use nix::libc::{self, sock_filter, sock_fprog};

/// The system calls.
const CALLS: [libc::c_long; 6] = [
    libc::SYS_fsync,
    libc::SYS_fdatasync,
    libc::SYS_sync,
    libc::SYS_syncfs,
    libc::SYS_msync,
    libc::SYS_sync_file_range,
];

/// `AUDIT_ARCH_…` of `linux/audit.h` for the numbers in [`CALLS`]; 0, which no program has, where it is not known.
const ARCHITECTURE: u32 = if cfg!(target_arch = "x86_64") {
    0xc000_003e
} else if cfg!(target_arch = "aarch64") {
    0xc000_00b7
} else {
    0
};

/// Where `struct seccomp_data` holds the number of the call and the architecture.
const NUMBER: u32 = 0;
const ARCH: u32 = 4;

/// The filter, in the language of the kernel's packet filter (`bpf`).
fn filter() -> Vec<sock_filter> {
    let statement = |code: u32, k: u32| jump(code, k, 0, 0);
    let load = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let answer = libc::BPF_RET | libc::BPF_K;
    let calls = CALLS.len() as u8;
    let mut program = vec![statement(load, ARCH), jump(equal, ARCHITECTURE, 0, calls + 1), statement(load, NUMBER)];
    // Each leads, where it is the call, behind the answer for all others.
    program.extend((0..calls).zip(CALLS).map(|(place, call)| jump(equal, call as u32, calls - place, 0)));
    program.push(statement(answer, libc::SECCOMP_RET_ALLOW));
    program.push(statement(answer, libc::SECCOMP_RET_ERRNO));
    program
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    sock_filter { code: code as u16, jt, jf, k }
}

/// Sets the filter for this process and all that it starts. Needs the rights of a user namespace's root.
///
/// # Errors
/// The system call's.
#[allow(unsafe_code)]
pub(super) fn enter() -> io::Result<()> {
    let mut program = filter();
    let length = u16::try_from(program.len()).map_err(io::Error::other)?;
    let program = sock_fprog { len: length, filter: program.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which outlives the call, and changes nothing of this process's memory.
    let done = unsafe {
        let flags = libc::SECCOMP_FILTER_FLAG_SPEC_ALLOW;
        libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, flags, &raw const program)
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter answers to a call.
    fn answer(architecture: u32, call: u32) -> u32 {
        let (program, mut place, mut loaded) = (filter(), 0, 0);
        loop {
            let instruction = program[place];
            let class = u32::from(instruction.code) & 7;
            place += 1;
            match class {
                libc::BPF_LD => loaded = if instruction.k == ARCH { architecture } else { call },
                libc::BPF_JMP if loaded == instruction.k => place += usize::from(instruction.jt),
                libc::BPF_JMP => place += usize::from(instruction.jf),
                _ => return instruction.k,
            }
        }
    }

    #[test]
    fn every_kind_of_sync_succeeds_and_all_else_is_the_kernels() {
        for call in CALLS {
            assert_eq!(answer(ARCHITECTURE, call as u32), libc::SECCOMP_RET_ERRNO, "{call}");
            assert_eq!(answer(ARCHITECTURE ^ 1, call as u32), libc::SECCOMP_RET_ALLOW, "{call}");
        }
        for call in [libc::SYS_read, libc::SYS_write, libc::SYS_openat, libc::SYS_rename] {
            assert_eq!(answer(ARCHITECTURE, call as u32), libc::SECCOMP_RET_ALLOW, "{call}");
        }
    }
}
