//! The root file system as the packages make it is that of mmdebstrap, path by path, but for what
//! `tree/differences.toml` names with its reason.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::image;
use end_to_end::tree::{self, Differences};
use firstlight::recipe::{self, Loaded};
use firstlight::rootfs::archive;
use firstlight::rootfs::deb::install::EARLY;
use serde::Deserialize;

const RECIPE: &str = "recipes/hello.toml";

/// What may differ: nothing else.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Listed {
    difference: Vec<Difference>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Difference {
    /// A path; `*` in its last name stands for any part of that name.
    path: String,
    /// As `end_to_end::tree` words it.
    what: BTreeSet<String>,
    reason: String,
}

/// As `build --json` describes a build.
#[derive(Deserialize)]
struct Built {
    root_archive: PathBuf,
    released: jiff::Timestamp,
}

#[test]
fn the_tree_is_that_of_mmdebstrap_but_for_what_is_listed() -> Result<()> {
    ensure!(nix::unistd::geteuid().is_root(), "owners and device nodes are compared as root");
    let folder = image::scratch("tree");
    let (ours, theirs) = (folder.join("ours"), folder.join("theirs"));
    for tree in [&ours, &theirs] {
        if tree.exists() {
            fs::remove_dir_all(tree)?;
        }
        fs::create_dir_all(tree)?;
    }
    let built = build(&folder)?;
    archive::restore(&built.root_archive, &ours).context("laying out our tree")?;
    mmdebstrap(&recipe::load(&image::repository().join(RECIPE), None)?, &built, &folder, &theirs)?;
    let listed: Listed = toml::from_str(include_str!("tree/differences.toml"))?;
    let wrong = judge_differences(&tree::differences(&ours, &theirs)?, &listed);
    ensure!(wrong.is_empty(), "see {} and tests/tests/tree/differences.toml:\n{}", folder.display(), wrong.join("\n"));
    fs::remove_dir_all(&ours)?;
    fs::remove_dir_all(&theirs)?;
    Ok(())
}

fn build(folder: &Path) -> Result<Built> {
    let out = folder.join("image");
    let output = image::command().args(["build", "--json", RECIPE, "--out"]).arg(&out).output()?;
    ensure!(output.status.success(), "{}", image::text(&output));
    fs::remove_dir_all(&out)?;
    let stdout = String::from_utf8(output.stdout)?;
    Ok(serde_json::from_str(stdout.lines().next().context("nothing was printed")?)?)
}

/// The same packages from the same archive into `theirs`, with the files that must be there before the initramfs is made,
/// and with the same idea of the time.
fn mmdebstrap(loaded: &Loaded, built: &Built, folder: &Path, theirs: &Path) -> Result<()> {
    let early = folder.join("early");
    for file in firstlight::build::overlays::load(loaded)?.iter().flat_map(|overlay| overlay.early(&EARLY)) {
        let path = early.join(&file.path);
        fs::create_dir_all(path.parent().context("no folder")?)?;
        fs::write(&path, &file.content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(file.mode))?;
    }
    // Packages of an earlier run, so that only new ones are downloaded. mmdebstrap runs hooks by `sh -c`, `$1` is its root.
    let debs = folder.join("debs");
    fs::create_dir_all(&debs)?;
    let (early, debs) = (early.display(), debs.display());
    let (cached, inside) = (format!("find {debs} -name '*.deb' -exec"), r#""$1"/var/cache/apt/archives"#);
    let hooks = [
        format!("--setup-hook=mkdir -p {inside} && {cached} cp -lt {inside} {{}} +"),
        format!("--essential-hook=cp -rT {early} \"$1\""),
        // Where mmdebstrap keeps the option for dpkg.
        "--customize-hook=rm \"$1/etc/dpkg/dpkg.cfg.d/99mmdebstrap\"".to_owned(),
        format!("--customize-hook={cached} rm {{}} + && cp -lt {debs} {inside}/*.deb"),
    ];
    let keyring = loaded.keyring();
    let mut suites =
        loaded.base.sources.iter().flat_map(|source| source.suites.iter().map(move |suite| (source, suite)));
    let first = suites.clone().next().context("a base without suites")?.1;
    let lines = suites.by_ref().map(|(source, suite)| {
        let (mirror, components) = (image::upstream(), source.components.join(" "));
        format!("deb [signed-by={}] {mirror}/{} {suite} {components}", keyring.display(), source.archive)
    });
    let output = Command::new("mmdebstrap")
        .args(["--variant=essential", "--format=directory", "--mode=root"])
        .args(["--skip=download/empty", "--skip=essential/unlink"])
        // As the product's: an early file stays as it is.
        .arg("--dpkgopt=force-confold")
        .arg(format!("--include={}", loaded.packages().join(",")))
        .args(hooks)
        .arg(first)
        .arg(theirs)
        .args(lines)
        .env("SOURCE_DATE_EPOCH", built.released.as_second().to_string())
        .output()
        .context("starting mmdebstrap")?;
    ensure!(output.status.success(), "mmdebstrap: {}", image::text(&output));
    Ok(())
}

/// Each difference that is not listed, and each that is listed but is none any more.
fn judge_differences(found: &Differences, listed: &Listed) -> Vec<String> {
    let mut wrong = Vec::new();
    for (path, what) in found {
        let words = |word: &&&str| !listed.difference.iter().any(|one| one.covers(path) && one.what.contains(**word));
        wrong.extend(what.iter().filter(words).map(|word| format!("{path}: {word}: not listed")));
    }
    for one in &listed.difference {
        let seen: BTreeSet<&str> =
            found.iter().filter(|(path, _)| one.covers(path)).flat_map(|(_, what)| what.iter().copied()).collect();
        let gone = one.what.iter().filter(|word| !seen.contains(word.as_str()));
        wrong.extend(gone.map(|word| format!("{}: {word}: listed, but does not differ so", one.path)));
        if one.reason.trim().is_empty() {
            wrong.push(format!("{}: without a reason", one.path));
        }
    }
    wrong
}

impl Difference {
    fn covers(&self, path: &str) -> bool {
        let split =
            |path: &str| path.rsplit_once('/').map_or((String::new(), path.to_owned()), |(a, b)| (a.into(), b.into()));
        let ((folder, pattern), (of, name)) = (split(&self.path), split(path));
        folder == of
            && match pattern.split_once('*') {
                Some((start, end)) => {
                    name.len() >= start.len() + end.len() && name.starts_with(start) && name.ends_with(end)
                }
                None => pattern == name,
            }
    }
}

#[test]
fn the_list_can_neither_hide_nor_keep_anything() {
    let list = r#"
        [[difference]]
        path = "etc/ssh/key_*"
        what = ["only theirs"]
        reason = "each machine's own"
        [[difference]]
        path = "etc/gone"
        what = ["mode"]
        reason = "it was so once"
    "#;
    let listed: Listed = toml::from_str(list).unwrap();
    let of = |paths: &[(&str, &'static str)]| -> Differences {
        paths.iter().map(|(path, what)| ((*path).to_owned(), BTreeSet::from([*what]))).collect()
    };
    let wrong = |paths: &[(&str, &'static str)]| judge_differences(&of(paths), &listed);
    assert_eq!(wrong(&[("etc/ssh/key_a", "only theirs"), ("etc/gone", "mode")]), Vec::<String>::new());
    assert_eq!(wrong(&[("etc/ssh/key_a", "only theirs")]), ["etc/gone: mode: listed, but does not differ so"]);
    let more = wrong(&[("etc/ssh/key_a", "only theirs"), ("etc/gone", "mode"), ("etc/ssh/key_d/x", "only theirs")]);
    assert_eq!(more, ["etc/ssh/key_d/x: only theirs: not listed"]);
    let other = wrong(&[("etc/ssh/key_a", "only theirs"), ("etc/gone", "content")]);
    assert_eq!(other, ["etc/gone: content: not listed", "etc/gone: mode: listed, but does not differ so"]);
}
