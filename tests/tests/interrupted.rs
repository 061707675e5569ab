//! A build that is killed, starved or doubled: nothing that it leaves is ever taken for finished.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use end_to_end::image;

/// A cache with the shared downloads but without finished stages, so that every stage has to work.
fn cache_without_stages(name: &str) -> Result<PathBuf> {
    let cache = image::scratch(name);
    if cache.exists() {
        fs::remove_dir_all(&cache)?;
    }
    fs::create_dir_all(&cache)?;
    let copied = Command::new("cp").arg("-al").arg(image::cache().join("store")).arg(cache.join("store")).status()?;
    ensure!(copied.success(), "cp -al of the store");
    Ok(cache)
}

fn build(cache: &Path, out: &Path) -> Command {
    let mut command = image::command();
    command.env("FIRSTLIGHT_CACHE", cache).args(["build", "recipes/hello.toml", "--out"]).arg(out);
    command
}

fn files(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = fs::read_dir(folder)
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

fn digest(path: &Path) -> Result<String> {
    end_to_end::judge::run("sha256sum", &["--", &path.display().to_string()])
        .map(|line| line.split_whitespace().next().unwrap_or_default().to_owned())
}

#[test]
#[ignore = "of more than an hour for all on a slow machine; run by `./make.sh test-all`"]
fn a_build_that_was_killed_in_any_stage_is_followed_by_a_good_one() -> Result<()> {
    let good = digest(&image::hello()?)?;
    let cache = cache_without_stages("killed")?;
    let out = image::scratch("killed-out");
    // One kill for each stage that the build tells of on its way, some time into it.
    for (stage, pause) in [("locked", 0), ("locked", 3), ("fetched", 4), ("fetched", 15), ("root", 1), ("root", 4)] {
        let log = image::scratch("killed.log");
        let _ = fs::remove_dir_all(&out);
        let mut child = build(&cache, &out)
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?)
            .spawn()
            .context("starting firstlight")?;
        let started = Instant::now();
        let told = |text: &str| text.lines().any(|line| line.trim_start().starts_with(stage));
        while child.try_wait()?.is_none() && !told(&fs::read_to_string(&log)?) {
            ensure!(
                started.elapsed() < Duration::from_secs(300),
                "`{stage}` was never told:\n{}",
                fs::read_to_string(&log)?
            );
            std::thread::sleep(Duration::from_millis(20));
        }
        std::thread::sleep(Duration::from_secs(pause));
        child.kill()?;
        child.wait()?;
        let left = files(&out);
        ensure!(left.iter().all(|name| name.starts_with('.')), "killed after `{stage}`: {left:?}");
    }
    let output = build(&cache, &out).output()?;
    ensure!(output.status.success(), "the build after the kills: {}", image::text(&output));
    let built = PathBuf::from(String::from_utf8(output.stdout)?.lines().last().context("no path")?);
    ensure!(digest(&image::repository().join(built))? == good, "the image differs from an undisturbed one");
    ensure!(files(&out).len() == 1, "unfinished images of killed builds are still there: {:?}", files(&out));
    fs::remove_dir_all(&out)?;
    fs::remove_dir_all(&cache)?;
    Ok(())
}

#[test]
fn two_builds_at_once_do_not_disturb_each_other() -> Result<()> {
    let good = digest(&image::hello()?)?;
    let cache = cache_without_stages("doubled")?;
    let outs = [image::scratch("doubled-1"), image::scratch("doubled-2")];
    let children = outs.iter().map(|out| {
        let _ = fs::remove_dir_all(out);
        build(&cache, out).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()
    });
    let children = children.collect::<std::io::Result<Vec<_>>>()?;
    for (child, out) in children.into_iter().zip(&outs) {
        let output = child.wait_with_output()?;
        ensure!(output.status.success(), "{}", image::text(&output));
        let name = files(out).into_iter().find(|name| name.ends_with(".raw")).context("no image")?;
        ensure!(digest(&out.join(name))? == good, "the image differs from an undisturbed one");
        fs::remove_dir_all(out)?;
    }
    fs::remove_dir_all(&cache)?;
    Ok(())
}

#[test]
fn a_full_disk_is_told_and_leaves_nothing() -> Result<()> {
    image::hello()?;
    let out = image::scratch("full");
    let _ = fs::remove_dir_all(&out);
    fs::create_dir_all(&out)?;
    let mount = Command::new("mount").args(["-t", "tmpfs", "-o", "size=64m", "tmpfs"]).arg(&out).status()?;
    ensure!(mount.success(), "mounting a small tmpfs (as root)");
    let output = build(&image::cache(), &out).output();
    let left = files(&out);
    let unmounted = Command::new("umount").arg(&out).status()?;
    let output = output?;
    ensure!(unmounted.success(), "umount");
    ensure!(!output.status.success(), "a build onto a full disk succeeded");
    let text = image::text(&output);
    ensure!(text.contains("no space left in") && text.contains("hint"), "{text}");
    ensure!(left.is_empty(), "left behind: {left:?}");
    Ok(())
}
