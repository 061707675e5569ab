//! An ordinary user's build gives root's bytes, and leaves nothing that the user can't remove.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use end_to_end::{image, judge};

const NAME: &str = "firstlight-e2e";
/// Where `useradd` looks for free subordinate ids, beyond those of real users.
const IDS: &str = "2000000000-2000065535";

/// An account with subordinate ids and a home folder; gone when this value is.
struct Account {
    home: PathBuf,
}

impl Account {
    fn make() -> Result<Self> {
        ensure!(nix::unistd::geteuid().is_root(), "only root can make the account that this test builds as");
        // In the system's folder for what is temporary: every folder above it must let the account pass.
        let home = std::env::temp_dir().join(NAME);
        let account = Self { home };
        // Of a run that was killed.
        account.remove();
        fs::create_dir(&account.home)?;
        let home = account.home.display().to_string();
        judge::run("useradd", &["--no-create-home", "--home-dir", &home, "--shell", "/bin/sh", NAME])?;
        // useradd may have given ids of its own choice; then these are more than enough.
        judge::run("usermod", &["--add-subuids", IDS, "--add-subgids", IDS, NAME])?;
        judge::run("chown", &[NAME, &home])?;
        Ok(account)
    }

    /// `program` as this user, with nothing of root's environment.
    fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("setpriv");
        command.args(["--reuid", NAME, "--regid", NAME, "--clear-groups", "--reset-env", "--"]).arg(program);
        command.current_dir(&self.home);
        command
    }

    fn remove(&self) {
        let _ = Command::new("userdel").arg(NAME).output();
        let _ = fs::remove_dir_all(&self.home);
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        self.remove();
    }
}

/// Copies what a build takes to where the account can read it: the programs, recipes and overlays, and the downloads.
fn lay_out(account: &Account) -> Result<PathBuf> {
    let top = account.home.join("firstlight");
    let repository = image::repository();
    let programs = ["target/release/firstlight", "target/x86_64-unknown-linux-gnu/release/firmware-checks"];
    for path in ["recipes", "overlays"].iter().chain(&programs) {
        let to = top.join(path);
        fs::create_dir_all(to.parent().context("no folder")?)?;
        let (from, to) = (repository.join(path).display().to_string(), to.display().to_string());
        judge::run("cp", &["-rT", &from, &to])?;
    }
    let cache = account.home.join("cache");
    fs::create_dir(&cache)?;
    let store = image::cache().join("store").display().to_string();
    judge::run("cp", &["-r", &store, &cache.display().to_string()])?;
    judge::run("chown", &["-R", NAME, &account.home.display().to_string()])?;
    Ok(top)
}

fn digest(path: &Path) -> Result<String> {
    let line = judge::run("sha256sum", &["--", &path.display().to_string()])?;
    Ok(line.split_whitespace().next().unwrap_or_default().to_owned())
}

#[test]
fn an_ordinary_user_builds_the_same_bytes_and_can_remove_them() -> Result<()> {
    let good = digest(&image::hello()?)?;
    let account = Account::make()?;
    let top = lay_out(&account)?;
    let (cache, out) = (account.home.join("cache"), account.home.join("out"));
    let mut build = account.command(&top.join("target/release/firstlight"));
    build.arg("build").arg(top.join("recipes/hello.toml")).arg("--cache").arg(&cache).arg("--out").arg(&out);
    let output = build.output().context("starting setpriv")?;
    ensure!(output.status.success(), "{}", image::text(&output));
    let path = String::from_utf8(output.stdout)?.lines().last().context("no path")?.to_owned();
    ensure!(digest(Path::new(&path))? == good, "{path} differs from root's {}", image::hello()?.display());

    for folder in [&cache, &out] {
        let removed = account.command(Path::new("rm")).arg("-rf").arg(folder).output()?;
        ensure!(removed.status.success(), "{}", image::text(&removed));
        let gone = fs::symlink_metadata(folder).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        ensure!(gone, "{} is still there", folder.display());
    }
    Ok(())
}
