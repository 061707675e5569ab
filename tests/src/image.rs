//! The image under test: built once from the real archive and then shared, as a user's cache would do.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use anyhow::{Context, Result, bail, ensure};

use crate::judge;

/// The top folder of the repository.
#[must_use]
pub fn repository() -> PathBuf {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR"));
    tests.parent().unwrap_or(tests).to_owned()
}

/// The program under test.
#[must_use]
pub fn firstlight() -> PathBuf {
    repository().join("target/release/firstlight")
}

/// A folder for what this run leaves to look at: in `target/e2e/`, in the folder of the test program that asks.
#[must_use]
pub fn scratch(name: &str) -> PathBuf {
    let program = std::env::current_exe().ok().and_then(|path| Some(path.file_stem()?.to_str()?.to_owned()));
    // Cargo adds a digest to the name.
    let program = program.as_deref().map_or("", |program| program.rsplit_once('-').map_or(program, |(name, _)| name));
    scratches().join(program).join(name)
}

fn scratches() -> PathBuf {
    repository().join("target/e2e")
}

/// The cache that the tests share with `./make.sh image`.
#[must_use]
pub fn cache() -> PathBuf {
    std::env::var_os("FIRSTLIGHT_CACHE").map_or_else(|| repository().join("target/cache"), PathBuf::from)
}

/// `firstlight` with the shared cache.
#[must_use]
pub fn command() -> Command {
    let mut command = Command::new(firstlight());
    command.env("FIRSTLIGHT_CACHE", cache()).current_dir(repository());
    command
}

/// Where the image of `recipes/hello.toml` is, which all test programs share.
#[must_use]
pub fn hellos_folder() -> PathBuf {
    scratches().join("image")
}

/// `recipes/hello.toml` as an image.
///
/// # Errors
/// It could not be built.
pub fn hello() -> Result<PathBuf> {
    static IMAGE: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    IMAGE
        .get_or_init(|| build(Path::new("recipes/hello.toml"), &hellos_folder()).map_err(|error| format!("{error:#}")))
        .clone()
        .map_err(anyhow::Error::msg)
}

/// Builds `recipe` into `out` and answers the path that the build's last line names.
///
/// # Errors
/// The build's own error.
pub fn build(recipe: &Path, out: &Path) -> Result<PathBuf> {
    let output = command().arg("build").arg(recipe).arg("--out").arg(out).output().context("starting firstlight")?;
    ensure!(output.status.success(), "building {}: {}", recipe.display(), text(&output));
    let stdout = String::from_utf8(output.stdout)?;
    let Some(last) = stdout.lines().last() else { bail!("the build printed nothing on standard output") };
    Ok(repository().join(last))
}

/// Copies what a build takes into the new folder `top`: the programs, recipes and overlays.
///
/// # Errors
/// Something can't be copied.
pub fn lay_out(top: &Path) -> Result<()> {
    let programs = ["target/release/firstlight", "target/x86_64-unknown-linux-gnu/release/firmware-checks"];
    for path in ["recipes", "overlays"].iter().chain(&programs) {
        let to = top.join(path);
        fs::create_dir_all(to.parent().context("no folder")?)?;
        let (from, to) = (repository().join(path).display().to_string(), to.display().to_string());
        judge::run("cp", &["-rT", &from, &to])?;
    }
    Ok(())
}

/// The raw image `raw` in another format, beside it.
///
/// # Errors
/// The program's own.
pub fn converted(raw: &Path, format: &str) -> Result<PathBuf> {
    let output = command().args(["convert", "--format", format]).arg(raw).output().context("starting firstlight")?;
    ensure!(output.status.success(), "converting {}: {}", raw.display(), text(&output));
    Ok(String::from_utf8(output.stdout)?.trim_end().into())
}

/// Everything that a program printed, for an error message.
#[must_use]
pub fn text(output: &Output) -> String {
    format!("{}\n{}{}", output.status, String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// The server of the real Debian archive: that of this host's own apt sources, else one of Debian's mirrors; without
/// the archive's folder and without a slash at the end.
#[must_use]
pub fn upstream() -> String {
    let listed = Command::new("apt-get").args(["indextargets", "--format", "$(ORIGIN) $(REPO_URI)"]).output();
    let listed = listed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    // The origin of others is longer, such as `Debian Backports`.
    let debians = listed.lines().filter_map(|line| line.strip_prefix("Debian ")).filter(|uri| !uri.contains(' '));
    let own = debians.filter_map(|uri| uri.trim_end_matches('/').strip_suffix("/debian")).next();
    own.unwrap_or("http://ftp.de.debian.org").to_owned()
}
