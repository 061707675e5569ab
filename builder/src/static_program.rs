//! Programs that need nothing outside themselves to be started: what goes into an image, and what is called from sandboxes.

use firmware_checks::architecture::Architecture;
use object::elf::{self, Machine};
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};

/// The machine field of an ELF program (System V ABI, `e_machine`).
#[must_use]
pub fn machine(architecture: Architecture) -> Machine {
    match architecture {
        Architecture::X86_64 => elf::EM_X86_64,
        Architecture::Aarch64 => elf::EM_AARCH64,
    }
}

/// Judges whether `bytes` are an ELF program for `architecture` that names no interpreter.
///
/// # Errors
/// What they are instead.
pub fn judge(bytes: &[u8], architecture: Architecture) -> Result<(), String> {
    let file =
        ElfFile64::<object::Endianness>::parse(bytes).map_err(|error| format!("not a 64-bit ELF program: {error}"))?;
    let endian = file.endian();
    if file.elf_header().e_machine(endian) != machine(architecture) {
        return Err("it is for another processor".into());
    }
    match file.elf_program_headers().iter().find(|segment| segment.p_type(endian) == elf::PT_INTERP) {
        Some(_) => Err("it is linked dynamically".into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_a_script_and_one_for_other_machines_are_refused() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(judge(&own, Architecture::HERE).unwrap_err(), "it is linked dynamically");
        let other = Architecture::ALL.into_iter().find(|one| *one != Architecture::HERE).unwrap();
        assert_eq!(judge(&own, other).unwrap_err(), "it is for another processor");
        assert!(judge(b"#!/bin/sh\n", Architecture::HERE).unwrap_err().starts_with("not a 64-bit ELF"));
    }
}
