//! An archive that lies, breaks off, stalls or is out of date: a clear error and nothing left, or a good end all the
//! same.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Result, ensure};
use end_to_end::image;
use end_to_end::mirror::{Fault, Mirror};

/// The real archive, fetched once, file by file, as it is asked for.
fn real_archive() -> Result<Mirror> {
    let upstream = image::upstream();
    let fetch = move |path: &str, file: &Path| {
        let mut curl = Command::new("curl");
        curl.args(["--fail", "--silent", "--location", "--output"]).arg(file).arg(format!("{upstream}{path}"));
        if curl.status()?.success() { Ok(()) } else { Err(io::ErrorKind::NotFound.into()) }
    };
    let folder = image::scratch("mirror");
    fs::create_dir_all(&folder)?;
    Ok(Mirror::relay(&folder, Box::new(fetch))?)
}

/// A mirror before the real archive, with a cache of its own that starts empty. What the mirror has fetched once is
/// shared by the tests.
struct Bench {
    mirror: Mirror,
    cache: PathBuf,
    out: PathBuf,
    /// Not there before, so that the archive is asked.
    lock: PathBuf,
}

impl Bench {
    fn new(name: &str) -> Result<Self> {
        let mirror = real_archive()?;
        let (cache, out) = (image::scratch(&format!("{name}-cache")), image::scratch(&format!("{name}-out")));
        for folder in [&cache, &out] {
            if folder.exists() {
                fs::remove_dir_all(folder)?;
            }
        }
        let lock = cache.join("hello.lock");
        Ok(Self { mirror, cache, out, lock })
    }

    fn firstlight(&self, verb: &str) -> Result<Output> {
        let mut command = image::command();
        command.env("FIRSTLIGHT_CACHE", &self.cache).args([verb, "recipes/hello.toml", "--mirror", &self.mirror.url()]);
        command.arg("--lock-file").arg(&self.lock);
        if verb == "build" {
            command.arg("--out").arg(&self.out);
        }
        Ok(command.output()?)
    }

    /// The verb must fail with each of `words` in what it says, and leave no image.
    fn refuses(&self, verb: &str, words: &[&str]) -> Result<()> {
        let output = self.firstlight(verb)?;
        let text = image::text(&output);
        ensure!(!output.status.success(), "it succeeded: {text}");
        for word in words {
            ensure!(text.to_lowercase().contains(&word.to_lowercase()), "`{word}` is not in: {text}");
        }
        ensure!(!text.contains("panicked"), "{text}");
        let left = fs::read_dir(&self.out).map(Iterator::count).unwrap_or(0);
        ensure!(left == 0, "{left} files were left in the output folder");
        Ok(())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        for folder in [&self.cache, &self.out] {
            // Looked at again by the next run, which makes it anew.
            let _ = fs::remove_dir_all(folder);
        }
    }
}

#[test]
fn a_flipped_bit_in_the_signed_release_is_found() -> Result<()> {
    let bench = Bench::new("flip-release")?;
    bench.mirror.fail("dists/trixie/InRelease", Fault::FlipBit(300), 99);
    bench.refuses("plan", &["InRelease", "signature"])
}

#[test]
fn a_flipped_bit_in_an_index_is_found() -> Result<()> {
    let bench = Bench::new("flip-index")?;
    bench.mirror.fail("dists/trixie/main/binary-amd64", Fault::FlipBit(5000), 99);
    bench.refuses("plan", &["digest differs", "expected sha256"])
}

#[test]
fn a_flipped_bit_in_a_package_is_found() -> Result<()> {
    let bench = Bench::new("flip-package")?;
    bench.mirror.fail("/nftables_", Fault::FlipBit(4000), 99);
    bench.refuses("build", &["nftables_", "digest differs", "nothing was kept"])
}

#[test]
fn a_missing_package_is_told_and_not_asked_for_again() -> Result<()> {
    let bench = Bench::new("missing")?;
    bench.mirror.fail("/nftables_", Fault::Status(404), 99);
    bench.refuses("build", &["nftables_", "404"])?;
    let asked = bench.mirror.requests().iter().filter(|request| request.path.contains("/nftables_")).count();
    ensure!(asked == 1, "a 404 was asked for {asked} times");
    Ok(())
}

#[test]
fn what_passes_is_waited_out_and_what_broke_off_is_resumed() -> Result<()> {
    let bench = Bench::new("passing")?;
    bench.mirror.fail("dists/trixie/InRelease", Fault::Status(503), 1);
    bench.mirror.fail("dists/trixie/main/binary-amd64", Fault::Truncate(1_000_000), 1);
    let output = bench.firstlight("plan")?;
    ensure!(output.status.success(), "{}", image::text(&output));
    let resumed = bench.mirror.requests().iter().any(|request| request.from.is_some_and(|from| from >= 900_000));
    ensure!(resumed, "the broken download began anew: {:#?}", bench.mirror.requests());
    Ok(())
}

#[test]
fn a_mirror_that_is_down_is_given_up_with_its_name() -> Result<()> {
    let bench = Bench::new("down")?;
    bench.mirror.fail("dists/", Fault::Status(503), 99);
    bench.refuses("plan", &["503", "InRelease", "hint"])
}

#[test]
fn an_expired_release_is_refused() -> Result<()> {
    let bench = Bench::new("expired")?;
    // Debian's security suite promises a week; three weeks from now what it says today is too old to be trusted.
    let firstlight = image::firstlight().display().to_string();
    let output = Command::new("faketime")
        .args(["+21 days", &firstlight, "plan", "recipes/hello.toml", "--mirror", &bench.mirror.url()])
        .arg("--lock-file")
        .arg(&bench.lock)
        .env("FIRSTLIGHT_CACHE", &bench.cache)
        .current_dir(image::repository())
        .output()?;
    let text = image::text(&output);
    ensure!(!output.status.success(), "{text}");
    for word in ["it was valid until", "InRelease", "hint"] {
        ensure!(text.contains(word), "`{word}` is not in: {text}");
    }
    Ok(())
}
