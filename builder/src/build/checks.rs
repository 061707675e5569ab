//! The static `firmware-checks` that goes into every image.

use std::path::{Path, PathBuf};

use object::elf;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};

/// The program can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none where it is looked for.
    #[error(
        "no firmware-checks for the image: looked for {places}\n  hint: compile it with `cargo build --release \
         -p firmware-checks --target x86_64-unknown-linux-gnu` (statically: see make.sh), or name it in FIRSTLIGHT_CHECKS"
    )]
    Missing {
        /// The places.
        places: String,
    },
    /// It could not be read.
    #[error("reading {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It would not run in an image.
    #[error("{}: {what}\n  hint: it must be a static program for x86-64, since it runs in every distribution's image and in an empty container", path.display())]
    Unfit {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// Where it is looked for: the file that `FIRSTLIGHT_CHECKS` names, else beside the running program — in the build tree
/// (`target/x86_64-unknown-linux-gnu/release`) or in an installation (`libexec/firstlight`).
fn places() -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("FIRSTLIGHT_CHECKS") {
        return vec![named.into()];
    }
    let program = std::env::current_exe().unwrap_or_default();
    let above = program.parent().and_then(Path::parent).unwrap_or(Path::new("/usr"));
    vec![
        above.join("x86_64-unknown-linux-gnu/release/firmware-checks"),
        above.join("libexec/firstlight/firmware-checks"),
    ]
}

/// The program's bytes.
///
/// # Errors
/// It is not there, can't be read, or would not run in an image.
pub fn read() -> Result<Vec<u8>, Error> {
    let places = places();
    let path = places.iter().find(|path| path.is_file()).ok_or_else(|| Error::Missing {
        places: places.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
    })?;
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.clone(), source })?;
    fit(&bytes).map_err(|what| Error::Unfit { path: path.clone(), what })?;
    Ok(bytes)
}

/// An ELF program for x86-64 that names no interpreter: nothing outside it is needed to start it.
fn fit(bytes: &[u8]) -> Result<(), String> {
    let file =
        ElfFile64::<object::Endianness>::parse(bytes).map_err(|error| format!("not a 64-bit ELF program: {error}"))?;
    let endian = file.endian();
    let header = file.elf_header();
    if header.e_machine(endian) != elf::EM_X86_64 {
        return Err("it is for another processor".into());
    }
    let interpreter = |segment: &&elf::ProgramHeader64<object::Endianness>| segment.p_type(endian) == elf::PT_INTERP;
    match file.elf_program_headers().iter().find(interpreter) {
        Some(_) => Err("it is linked dynamically".into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dynamic_program_and_a_script_are_refused() {
        let own = std::fs::read("/proc/self/exe").unwrap();
        assert_eq!(fit(&own).unwrap_err(), "it is linked dynamically");
        assert!(fit(b"#!/bin/sh\n").unwrap_err().starts_with("not a 64-bit ELF"));
    }
}
