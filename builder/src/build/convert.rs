//! The formats beside the raw image: converted from it, where they do not lie there already.

use std::path::Path;
use std::time::Instant;

use serde::Serialize;

use super::record::Records;
use crate::image::{self, Artifact, Format};
use crate::progress::{self, Progress};
use crate::recipe::Fingerprint;

/// An image in a format to which the raw one was converted.
#[derive(Clone, Debug, Serialize)]
pub struct Converted {
    /// Which.
    pub format: Format,
    /// The file.
    #[serde(flatten)]
    pub image: Artifact,
}

/// Converts the raw image `raw` to `format`, beside it, unless that lies there already.
///
/// # Errors
/// It could not be converted, or the record in the cache folder `cache` not be written.
pub fn convert(raw: &Artifact, format: Format, cache: &Path, progress: &Progress) -> anyhow::Result<Converted> {
    let identity = Fingerprint::new("firstlight conversion 1")
        .field("builder", env!("CARGO_PKG_VERSION"))
        .field("format", format.extension())
        .field("image", &raw.sha256)
        .finish();
    let out = raw.path.with_extension(format.extension());
    let records = Records::new(cache);
    let tell = |image: &Artifact, how: &str| {
        format!("{}  {}  sha256:{}{how}", image.path.display(), progress::bytes(image.size), image.sha256)
    };
    if let Some(image) = records.unchanged::<Artifact>(&identity, &out) {
        progress.stage("format", tell(&image, " (unchanged)"));
        return Ok(Converted { format, image });
    }
    let started = Instant::now();
    let image = image::convert(&raw.path, format, &out)?;
    if let Some(before) = records.keep(&identity, &image)? {
        progress.warn(format!("the same image gave sha256:{before} in this format before"));
    }
    progress.stage_timed("format", tell(&image, ""), started.elapsed());
    Ok(Converted { format, image })
}
