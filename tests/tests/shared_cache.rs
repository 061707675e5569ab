//! One cache folder for root and two ordinary users: what one has, the others need not download, and nobody stands in
//! another's way or is led astray.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use anyhow::{Context, Result, ensure};
use end_to_end::account::Account;
use end_to_end::{image, judge};
use firstlight::stage;

/// A cache folder of root's with this mode and group, gone when this value is.
struct Shared {
    folder: tempfile::TempDir,
    lock: PathBuf,
}

impl Shared {
    fn make(mode: u32, group: &str) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().display().to_string();
        judge::run("chgrp", &[group, &path])?;
        fs::set_permissions(folder.path(), Permissions::from_mode(mode))?;
        let shared = Self { lock: image::scratch("shared.lock"), folder };
        // Root's downloads, of before this test.
        let own = shared.folder.path().join("store");
        judge::run("cp", &["-al", &image::cache().join("store").display().to_string(), &own.display().to_string()])?;
        Ok(shared)
    }

    /// `firstlight` with this cache.
    fn firstlight(&self, mut command: Command, arguments: &[&str]) -> Command {
        command.arg("--cache").arg(self.folder.path()).args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn plan(&self, command: Command, recipe: &Path) -> Command {
        let mut command = self.firstlight(command, &["plan", "--lock-file"]);
        // There is none: the plan asks apt, in the tools root, both of which are stages.
        command.arg(&self.lock).arg(recipe);
        command
    }

    /// The stages of the user whose folder is called `name`.
    fn stages(&self, name: &str) -> Vec<String> {
        let entries = fs::read_dir(stage::below(&self.folder.path().join(name)));
        entries.into_iter().flatten().flatten().map(|one| one.file_name().to_string_lossy().into_owned()).collect()
    }
}

fn done(output: &Output) -> Result<String> {
    ensure!(output.status.success(), "{}", image::text(output));
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(!told.contains("warning"), "{told}");
    Ok(String::from_utf8(output.stdout.clone())?)
}

fn number(account: &Account) -> Result<String> {
    Ok(judge::run("id", &["-u", account.name])?.trim().to_owned())
}

#[test]
#[ignore = "of more than an hour for all on a slow machine; run by `./make.sh test-all`"]
fn users_share_a_cache_as_far_as_they_trust_each_other() -> Result<()> {
    image::hello()?;
    let users = [Account::make("firstlight-e2e-a")?, Account::make("firstlight-e2e-b")?];
    let group = users[0].name;
    judge::run("usermod", &["--append", "--groups", group, users[1].name])?;
    let laid_out = users.iter().map(Account::lay_out).collect::<Result<Vec<_>>>()?;
    let root_recipe = image::repository().join("recipes/hello.toml");
    // A group that may replace each other's files, and users who may not.
    for (mode, trusted) in [(0o2775, true), (0o3775, false)] {
        let shared = Shared::make(mode, group)?;
        let kind = if trusted { "member" } else { "user" };
        let by_root = done(&shared.plan(Command::new(image::firstlight()), &root_recipe).output()?)?;
        let roots = shared.stages(&format!("{kind}-0"));
        ensure!(roots.iter().any(|name| name.starts_with("tools-")), "root made no stages: {roots:?}");

        // Both at once, and what a killed build of root's left beside.
        let left = stage::below(&shared.folder.path().join(format!("{kind}-0"))).join("firstlight-work-dead");
        fs::create_dir(&left)?;
        fs::write(left.with_extension("owner"), "")?;
        let children = users.iter().zip(&laid_out).map(|(user, top)| {
            let command = user.command(&top.join("target/release/firstlight"));
            shared.plan(command, &top.join("recipes/hello.toml")).spawn().context("starting setpriv")
        });
        for (child, user) in children.collect::<Result<Vec<_>>>()?.into_iter().zip(&users) {
            let output = child.wait_with_output()?;
            ensure!(done(&output)? == by_root, "{} plans otherwise: {}", user.name, image::text(&output));
            ensure!(!image::text(&output).contains(" new"), "{} downloaded: {}", user.name, image::text(&output));
            let own = shared.stages(&format!("{kind}-{}", number(user)?));
            ensure!(own.is_empty() == trusted, "mode {mode:o}: {} made {own:?}", user.name);
        }

        let cache = users[0].command(&laid_out[0].join("target/release/firstlight"));
        let told = done(&shared.firstlight(cache, &["cache", "--json"]).output()?)?;
        let told: serde_json::Value = serde_json::from_str(&told)?;
        let root_folder = shared.folder.path().join(format!("{kind}-0"));
        let others = told["others"].as_array().context("no others")?;
        let root = others.iter().find(|other| other["path"] == root_folder.display().to_string());
        ensure!(root.context("root's is not shown")?["trusted"] == trusted, "{told:#}");

        let prune = users[0].command(&laid_out[0].join("target/release/firstlight"));
        done(&shared.firstlight(prune, &["cache", "prune", "--keep", "0 B"]).output()?)?;
        ensure!(shared.stages(&format!("{kind}-0")).len() >= roots.len(), "a user pruned what is root's");
        let own = shared.folder.path().join(format!("{kind}-{}/store/v1/sha256", number(&users[0])?));
        let kept = walk(&own);
        ensure!(kept.is_empty(), "pruning to nothing left {kept:?}");
    }
    Ok(())
}

/// The files below a folder.
fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
