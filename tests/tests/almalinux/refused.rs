//! Packages that are not what their vendor signed: each is refused by its name, and no image is made.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use end_to_end::mirror::Mirror;
use end_to_end::rpm_distribution::RpmDistribution;
use end_to_end::rpm_distribution::key::Key;
use end_to_end::{image, judge};

use crate::bench::Bench;

/// A repository without a signature of its own, as EL's are: only the package's own tells.
const REPOSITORY: &str = "almalinux/9/extras/x86_64/os";
/// One of its packages.
const PACKAGE: &str = "feature-gzip";

#[test]
fn a_package_that_its_vendor_did_not_sign_is_refused() -> Result<()> {
    let distribution = RpmDistribution::made()?;
    let served = tempfile::tempdir_in(image::repository().join("target"))?;
    // By links, of which those of what is changed are cut first.
    judge::run(
        "cp",
        &["-al", &format!("{}/.", distribution.folder().display()), &served.path().display().to_string()],
    )?;
    let bench = Bench::with("almalinux-unsigned", &distribution, Mirror::serve(served.path())?)?;
    let folder = served.path().join(REPOSITORY);
    let package = package(&folder)?;
    let good = fs::read(&package)?;
    let other = Key::make("Somebody else <else@firstlight.invalid>")?;
    let unsigned = || judge::run("rpmsign", &["--delsign", &package.display().to_string()]).map(drop);
    let flipped = || {
        let mut bytes = good.clone();
        let at = bytes.len() - 40;
        bytes[at] ^= 1;
        Ok(fs::write(&package, bytes)?)
    };
    let cases: [(&str, &dyn Fn() -> Result<()>); 3] = [
        ("its header is not signed", &unsigned),
        ("unknown key", &|| other.sign_packages(std::slice::from_ref(&package))),
        ("the digest of its payload", &flipped),
    ];
    for (words, change) in cases {
        fs::remove_file(&package)?;
        fs::write(&package, &good)?;
        change()?;
        // The list of packages says of it what is true: nothing else is wrong.
        judge::run("createrepo_c", &["--quiet", "--no-database", &folder.display().to_string()])?;
        refused(&bench, words)?;
        // The store keeps what has the digest that the list says; that it was downloaded already makes it no better.
        refused(&bench, words)?;
    }
    Ok(fs::remove_dir_all(&bench.folder)?)
}

fn package(repository: &Path) -> Result<PathBuf> {
    let folder = repository.join("Packages/f");
    let mut paths = fs::read_dir(&folder)?.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    paths.retain(|path| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(PACKAGE)));
    paths.pop().with_context(|| format!("no {PACKAGE} in {}", folder.display()))
}

/// A build ends with `words` and the package's name, and there is no image.
fn refused(bench: &Bench, words: &str) -> Result<()> {
    let out = bench.folder.join("out");
    let _ = fs::remove_dir_all(&out);
    let _ = fs::remove_file(bench.folder.join("almalinux.almalinux-9.lock"));
    let output = image::command().args(["build", "--out"]).arg(&out).arg(&bench.recipe).output()?;
    let said = image::text(&output);
    ensure!(!output.status.success(), "{words}: it was built: {said}");
    for word in [words, PACKAGE] {
        ensure!(said.contains(word), "`{word}` is not in {said}");
    }
    ensure!(!said.contains("panicked"), "{said}");
    let left = fs::read_dir(&out).map(Iterator::count).unwrap_or(0);
    ensure!(left == 0, "{words}: {left} files were left in the output folder");
    Ok(())
}
