//! The static `firmware-checks` that goes into every image.

use std::path::{Path, PathBuf};

use firmware_checks::architecture::Architecture;

use crate::static_program;

/// The program can't be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is none where it is looked for.
    #[error(
        "no firmware-checks for an image for {name}: looked for {places}\n  hint: compile it statically, by `./make.sh checks \
         {name}`, or name it in FIRSTLIGHT_CHECKS",
        name = architecture.name()
    )]
    Missing {
        /// The image's architecture.
        architecture: Architecture,
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
    #[error("{}: {what}\n  hint: it must be a static program for {}, since it runs in every distribution's image and in an empty container", path.display(), architecture.name())]
    Unfit {
        /// The image's architecture.
        architecture: Architecture,
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
}

/// What Rust calls the platform that the program is compiled for.
fn target(architecture: Architecture) -> String {
    format!("{}-unknown-linux-gnu", architecture.name())
}

/// Where it is looked for: the file that `FIRSTLIGHT_CHECKS` names, else beside the running program — in the build tree
/// (`target/x86_64-unknown-linux-gnu/release`) or in an installation (`libexec/firstlight/x86_64-unknown-linux-gnu`).
fn places(architecture: Architecture) -> Vec<PathBuf> {
    if let Some(named) = std::env::var_os("FIRSTLIGHT_CHECKS") {
        return vec![named.into()];
    }
    let program = std::env::current_exe().unwrap_or_default();
    let above = program.parent().and_then(Path::parent).unwrap_or(Path::new("/usr"));
    let target = target(architecture);
    vec![
        above.join(&target).join("release/firmware-checks"),
        above.join("libexec/firstlight").join(&target).join("firmware-checks"),
    ]
}

/// The program's bytes, for an image of `architecture`.
///
/// # Errors
/// It is not there, can't be read, or would not run in an image.
pub fn read(architecture: Architecture) -> Result<Vec<u8>, Error> {
    let places = places(architecture);
    let path = places.iter().find(|path| path.is_file()).ok_or_else(|| Error::Missing {
        architecture,
        places: places.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", "),
    })?;
    let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.clone(), source })?;
    static_program::judge(&bytes, architecture).map_err(|what| Error::Unfit {
        architecture,
        path: path.clone(),
        what,
    })?;
    Ok(bytes)
}
