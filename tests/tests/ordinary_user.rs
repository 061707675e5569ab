//! An ordinary user's build gives root's bytes, and leaves nothing that the user can't remove.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use end_to_end::account::Account;
use end_to_end::{image, judge};

/// The downloads, where the account can take them from.
fn downloads(account: &Account) -> Result<PathBuf> {
    let cache = account.home.join("cache");
    fs::create_dir(&cache)?;
    let store = image::cache().join("store").display().to_string();
    judge::run("cp", &["-r", &store, &cache.display().to_string()])?;
    judge::run("chown", &["-R", account.name, &cache.display().to_string()])?;
    Ok(cache)
}

fn digest(path: &Path) -> Result<String> {
    let line = judge::run("sha256sum", &["--", &path.display().to_string()])?;
    Ok(line.split_whitespace().next().unwrap_or_default().to_owned())
}

#[test]
fn an_ordinary_user_builds_the_same_bytes_and_can_remove_them() -> Result<()> {
    let good = digest(&image::hello()?)?;
    let account = Account::make("firstlight-e2e")?;
    let (top, cache, out) = (account.lay_out()?, downloads(&account)?, account.home.join("out"));
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
