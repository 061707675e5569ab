//! `firstlight convert`: a raw image in another format, for one that changed after it was built.

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context;
use clap::Args;

use super::BadInput;
use crate::build::Converted;
use crate::image::{self, ConvertError, Format};
use crate::progress::{self, Progress};

/// Convert a raw image to other formats, such as one into which `firstlight site put` has written a site; a line on standard output
/// for each
///
/// `firstlight build --format` does the same for an image that it builds. What comes out follows from the image's bytes alone.
#[derive(Debug, Args)]
pub(super) struct Convert {
    /// The raw disk image
    image: PathBuf,
    /// The format; may be given several times
    #[arg(long = "format", value_enum, value_name = "FORMAT", required = true)]
    formats: Vec<Format>,
    /// The folder for what comes out [default: the image's]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Describe each as JSON on standard output, on one line before its path
    #[arg(long)]
    json: bool,
}

impl Convert {
    pub(super) fn run(self) -> anyhow::Result<ExitCode> {
        let progress = Progress::new();
        let beside = match &self.out {
            Some(folder) => folder.join(self.image.file_name().unwrap_or_default()),
            None => self.image.clone(),
        };
        for format in self.formats {
            let started = Instant::now();
            let out = beside.with_extension(format.extension());
            let converted = image::convert(&self.image, format, &out).map_err(by_category);
            let image = converted.with_context(|| format!("converting {}", self.image.display()))?;
            let told = format!("{}  {}  sha256:{}", out.display(), progress::bytes(image.size), image.sha256);
            progress.stage_timed("format", told, started.elapsed());
            if self.json {
                println!("{}", serde_json::to_string(&Converted { format, image })?);
            }
            println!("{}", out.display());
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A file that is not there, or no image, is the user's to mend.
fn by_category(error: ConvertError) -> anyhow::Error {
    match &error {
        ConvertError::NotRaw { .. } | ConvertError::Read { .. } => BadInput(error.to_string()).into(),
        ConvertError::Write(_) => error.into(),
    }
}
