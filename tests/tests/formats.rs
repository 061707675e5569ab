//! The formats beside the raw image, in the eyes of QEMU's own tools and zstd; machines of other tests boot from them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result, ensure};
use end_to_end::site::TestSite;
use end_to_end::{image, judge};
use serde_json::Value;

/// Format, ending, and QEMU's name where it reads the format.
const FORMATS: &[(&str, &str, Option<&str>)] =
    &[("qcow2", "qcow2", Some("qcow2")), ("vhd", "vhd", Some("vpc")), ("zst", "raw.zst", None)];

fn words<'a>(verb: &'a [&'a str]) -> impl Iterator<Item = &'a str> {
    verb.iter().copied().chain(FORMATS.iter().flat_map(|(format, ..)| ["--format", format]))
}

fn succeeded(output: Output) -> Result<(Vec<PathBuf>, String)> {
    ensure!(output.status.success(), "{}", image::text(&output));
    let told = image::text(&output);
    Ok((String::from_utf8(output.stdout)?.lines().map(PathBuf::from).collect(), told))
}

/// The hello image in all formats, in the folder of its own.
fn build(out: &Path) -> Result<(Vec<PathBuf>, String)> {
    let verb = words(&["build", "recipes/hello.toml", "--locked", "--offline"]);
    succeeded(image::command().args(verb).arg("--out").arg(out).output()?)
}

#[test]
fn another_format_is_only_converted_and_holds_the_same_disk() -> Result<()> {
    let raw = image::hello()?;
    let folder = image::scratch("formats");
    let _ = fs::remove_dir_all(&folder);
    // The raw image lies there already: nothing but the conversion is left to do.
    let (made, told) = build(&image::hellos_folder())?;
    ensure!(told.contains("(unchanged)") && !told.contains("configured") && !told.contains("     disk "), "{told}");
    let expected: Vec<PathBuf> =
        std::iter::once(raw.clone()).chain(FORMATS.iter().map(|(_, ending, _)| raw.with_extension(ending))).collect();
    ensure!(made == expected, "{made:?}");
    for ((_, ending, of_qemu), path) in FORMATS.iter().zip(&made[1..]) {
        match of_qemu {
            Some(name) => same_disk(&raw, name, path)?,
            None => same_bytes(&raw, path)?,
        }
        ensure!(fs::metadata(path)?.len() <= fs::metadata(&raw)?.len() + 512, "{ending}");
    }

    // All of it is there: a second run does nothing; and elsewhere the same bytes come out.
    let (again, told) = build(&image::hellos_folder())?;
    ensure!(again == made && told.matches("(unchanged)").count() == made.len(), "{told}");
    let (elsewhere, _) = build(&folder)?;
    for (one, other) in made.iter().zip(&elsewhere) {
        judge::run("cmp", &[&one.display().to_string(), &other.display().to_string()])?;
    }
    ensure!(fs::read_dir(&folder)?.count() == made.len(), "something unfinished was left");
    a_changed_image_can_be_converted(&elsewhere[0])?;
    fs::remove_dir_all(folder)?;
    Ok(())
}

/// QEMU finds nothing wrong with `image`, and in it the disk `raw`.
fn same_disk(raw: &Path, format: &str, image: &Path) -> Result<()> {
    let (raw_path, image) = (raw.display().to_string(), image.display().to_string());
    let info: Value =
        serde_json::from_str(&judge::run("qemu-img", &["info", "-f", format, "--output", "json", &image])?)?;
    ensure!(info["virtual-size"] == fs::metadata(raw)?.len(), "{info}");
    if format == "qcow2" {
        let check = judge::run("qemu-img", &["check", "-f", format, &image])?;
        ensure!(check.contains("No errors were found"), "{check}");
        ensure!(info["format-specific"]["data"]["compression-type"] == "zstd", "{info}");
    }
    let compared = judge::run("qemu-img", &["compare", "-f", "raw", "-F", format, &raw_path, &image])?;
    ensure!(compared.contains("identical"), "{compared}");
    Ok(())
}

/// zstd finds its checksums right, and the file is `raw` again.
fn same_bytes(raw: &Path, image: &Path) -> Result<()> {
    let script = "set -o pipefail; zstd -q --test \"$1\" && zstd -q -dc \"$1\" | cmp - \"$0\"";
    judge::run("bash", &["-c", script, &raw.display().to_string(), &image.display().to_string()]).map(drop)
}

/// A site is put into the raw image; what is converted then has it. What is no raw image is refused.
fn a_changed_image_can_be_converted(raw: &Path) -> Result<()> {
    let before = fs::read(raw.with_extension("qcow2"))?;
    let site = TestSite::make(&image::scratch("formats/site"))?;
    succeeded(image::command().args(["site", "put"]).arg(raw).arg(&site.folder).output()?)?;
    let out = image::scratch("formats/changed");
    let convert = |image: &Path| {
        image::command().args(["convert", "--format", "qcow2", "--json", "--out"]).arg(&out).arg(image).output()
    };
    let output = convert(raw)?;
    let (lines, _) = succeeded(output)?;
    let (json, path) = (lines[0].to_str().context("no JSON")?, &lines[1]);
    let told: Value = serde_json::from_str(json)?;
    ensure!(told["format"] == "qcow2" && told["path"] == path.to_str().unwrap_or_default(), "{told}");
    same_disk(raw, "qcow2", path)?;
    ensure!(fs::read(path)? != before, "the site is not in it");

    let refused = convert(path)?;
    let said = image::text(&refused);
    ensure!(refused.status.code() == Some(1) && said.contains("is a qcow2 image; expected a raw image"), "{said}");
    ensure!(fs::read_dir(&out)?.count() == 1, "something was left");
    Ok(())
}
