//! A file of an overlay that nothing reads while the image is made: changing it makes neither root file system nor disk anew,
//! and the image has the bytes that it would have had from nothing.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use end_to_end::{image, judge};
use firstlight::image::compare::compare;

/// Of Firstlight's own overlay; root's, 0644.
const FILE: &str = "etc/locale.conf";

/// The shipped recipe with its lock and overlays in a folder of its own.
struct Bench(PathBuf);

impl Bench {
    fn new() -> Result<Self> {
        let top = image::scratch("late");
        let _ = fs::remove_dir_all(&top);
        fs::create_dir_all(&top)?;
        for folder in ["recipes", "overlays"] {
            let from = image::repository().join(folder).display().to_string();
            judge::run("cp", &["-r", &from, &top.display().to_string()])?;
        }
        Ok(Self(top))
    }

    /// Builds the recipe, and gives the image with what was told.
    fn build(&self, out: &str) -> Result<(PathBuf, String)> {
        let (recipe, out) = (self.0.join("recipes/hello.toml"), self.0.join(out));
        let mut command = image::command();
        command.args(["build", "--locked", "--offline"]).arg(&recipe).arg("--out").arg(&out);
        let output = command.output().context("starting firstlight")?;
        ensure!(output.status.success(), "{}", image::text(&output));
        let path = String::from_utf8(output.stdout.clone())?.lines().last().context("no image")?.into();
        Ok((path, image::text(&output)))
    }
}

fn same_bytes(one: &Path, other: &Path) -> Result<()> {
    judge::run("cmp", &[&one.display().to_string(), &other.display().to_string()]).map(drop)
}

#[test]
fn a_changed_file_is_laid_onto_the_disk_that_is_there_and_nothing_tells() -> Result<()> {
    let good = image::hello()?;
    let bench = Bench::new()?;
    let file = bench.0.join("overlays/base").join(FILE);
    let before = fs::read(&file)?;

    fs::write(&file, "LANG=C.UTF-8\nLC_COLLATE=C\n")?;
    let (changed, told) = bench.build("changed")?;
    ensure!(!told.contains("configured"), "the root file system was made anew:\n{told}");
    let comparison = compare(&good, &changed)?;
    let places: Vec<_> = comparison.differences.iter().map(|one| (one.place.as_str(), one.path.as_deref())).collect();
    ensure!(places == [("root", Some("/etc/locale.conf"))] && comparison.more == 0, "{comparison}");
    judge::disk(&changed, &bench.0)?;
    let at = format!("{}?offset={}", changed.display(), judge::partition(&changed, "root")?.start);
    ensure!(
        judge::debugfs(Path::new(&at), &format!("cat /{FILE}"))?.contains("LC_COLLATE"),
        "the file has not its new content"
    );

    fs::write(&file, before)?;
    let (again, told) = bench.build("again")?;
    ensure!(!told.contains("configured"), "the root file system was made anew:\n{told}");
    same_bytes(&good, &again)?;

    // More than the room that was left for such files.
    let large = bench.0.join("overlays/base/etc/large");
    fs::write(&large, vec![7; 17 << 20])?;
    let (enlarged, told) = bench.build("large")?;
    ensure!(told.contains("configured"), "there was room for 17 MiB:\n{told}");
    judge::disk(&enlarged, &bench.0)?;
    fs::remove_file(large)?;

    // What systemctl reads is no such file.
    let unit = bench.0.join("overlays/base/usr/lib/systemd/system/platform.target");
    fs::write(&unit, fs::read_to_string(&unit)? + "\n# changed\n")?;
    let (_, told) = bench.build("unit")?;
    ensure!(told.contains("configured"), "the root file system was not made anew:\n{told}");
    fs::remove_dir_all(&bench.0)?;
    Ok(())
}
