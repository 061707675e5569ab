//! A lock is all that a build is made of: it opens nothing else, takes the bytes from wherever they still are, does without
//! a network when told, and refuses what is not as it was locked.
//!
//! Builds run in a network namespace that has only a loopback device: what is not served there can't be reached.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use anyhow::{Context, Result, anyhow, ensure};
use end_to_end::{image, judge, mirror::Mirror};
use firstlight::archive::Package;
use firstlight::image::compare::compare;
use firstlight::lock::{self, Lock};
use firstlight::recipe::{self, Loaded};
use firstlight::store::Store;
use jiff::SignedDuration;
use nix::sched::{CloneFlags, unshare};

/// The shipped recipe, on the base of the image under test alone, with the lock of the image under test, in a folder of its own, and a cache without finished stages.
struct Bench {
    top: PathBuf,
    loaded: Loaded,
    lock: Lock,
}

impl Bench {
    fn new(name: &str) -> Result<Self> {
        image::hello()?;
        let top = image::scratch(name);
        if top.exists() {
            fs::remove_dir_all(&top)?;
        }
        fs::create_dir_all(top.join("cache"))?;
        for folder in ["recipes", "overlays"] {
            copy(&["-r"], &image::repository().join(folder), &top.join(folder))?;
        }
        let recipe = top.join("recipes/hello.toml");
        let text = fs::read_to_string(&recipe)?;
        let only = |line: &str| if line.starts_with("bases = ") { "bases = [\"debian-13\"]" } else { line }.to_owned();
        fs::write(&recipe, text.lines().map(only).collect::<Vec<_>>().join("\n"))?;
        let loaded = recipe::load(&top.join("recipes/hello.toml"), None)?;
        let lock = lock::read(&lock::path(&loaded), &loaded)?.context("the image under test has no lock")?;
        Ok(Self { top, loaded, lock })
    }

    fn packages(&self) -> Vec<Package> {
        let mut seen = BTreeSet::new();
        let all = self.lock.packages().into_iter().chain(self.lock.tools.clone());
        all.filter(|package| seen.insert(package.sha256.clone())).collect()
    }

    fn path(&self, package: &Package) -> String {
        format!("{}/{}", self.loaded.base.sources[package.source].archive, package.path)
    }

    /// Puts the file of `package` to `to` below `www/`.
    fn serve(&self, package: &Package, to: &str) -> Result<()> {
        let stored = Store::open(&image::cache())?.path(&package.sha256).context("not in the store")?;
        copy(&["-l"], &stored, &self.top.join("www").join(to))
    }

    /// Gives the bench's cache all downloads of the shared one but these.
    fn stock(&self, without: &[&Package]) -> Result<()> {
        copy(&["-al"], &image::cache().join("store"), &self.top.join("cache/store"))?;
        let store = Store::open(&self.top.join("cache"))?;
        for package in without {
            fs::remove_file(store.path(&package.sha256).context("not in the store")?)?;
        }
        Ok(())
    }

    /// Lets the base's snapshot service be at `url`, or lets it have none.
    fn snapshots(&self, url: Option<&str>) -> Result<()> {
        let path = self.top.join("recipes/bases/debian-13.toml");
        let text = fs::read_to_string(&path)?;
        let line = |line: &str| match (line.starts_with("snapshot = "), url) {
            (true, None) => String::new(),
            (true, Some(url)) => line.replace("https://snapshot.debian.org/archive", &format!("{url}/past")),
            (false, _) => line.to_owned(),
        };
        Ok(fs::write(&path, text.lines().map(line).collect::<Vec<_>>().join("\n"))?)
    }

    fn command(&self, verb: &str, words: &[&str]) -> Command {
        let mut command = image::command();
        command.env("FIRSTLIGHT_CACHE", self.top.join("cache")).arg(verb).arg(self.top.join("recipes/hello.toml"));
        command.args(words);
        if verb == "build" {
            command.arg("--out").arg(self.top.join("out"));
        }
        command
    }

    /// The verb must fail as the user's error (1) or not theirs (2), say each of `words`, and leave no image.
    fn refuses(&self, mut command: Command, status: i32, words: &[&str]) -> Result<()> {
        let output = command.output()?;
        let text = image::text(&output);
        ensure!(output.status.code() == Some(status), "{text}");
        for word in words {
            ensure!(text.contains(word), "`{word}` is not in: {text}");
        }
        let left: Vec<_> = fs::read_dir(self.top.join("out")).into_iter().flatten().flatten().collect();
        ensure!(left.is_empty(), "left behind: {left:?}");
        Ok(())
    }

    fn change(&self, name: &str, from: &str, to: &str) -> Result<()> {
        let path = self.top.join("recipes").join(name);
        let text = fs::read_to_string(&path)?;
        ensure!(text.contains(from), "{name} has no `{from}`");
        Ok(fs::write(path, text.replacen(from, to, 1))?)
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.top);
        }
    }
}

fn copy(how: &[&str], from: &Path, to: &Path) -> Result<()> {
    fs::create_dir_all(to.parent().context("no folder")?)?;
    let (from, to) = (from.display().to_string(), to.display().to_string());
    judge::run("cp", &[how, &["-T", &from, &to]].concat()).map(drop)
}

/// Runs `work` where only the loopback device is. Programs and servers that it starts are there, too.
fn alone<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let inside = || {
        unshare(CloneFlags::CLONE_NEWNET).context("a network namespace (as root)")?;
        judge::run("ip", &["link", "set", "lo", "up"])?;
        work()
    };
    std::thread::scope(|scope| scope.spawn(inside).join().map_err(|_| anyhow!("it panicked"))?)
}

fn image_of(output: &Output) -> Result<PathBuf> {
    ensure!(output.status.success(), "{}", image::text(output));
    Ok(PathBuf::from(String::from_utf8(output.stdout.clone())?.lines().last().context("no path")?))
}

fn digest(path: &Path) -> Result<String> {
    let line = judge::run("sha256sum", &["--", &path.display().to_string()])?;
    Ok(line.split_whitespace().next().unwrap_or_default().to_owned())
}

#[test]
fn a_locked_build_opens_no_url_that_is_not_in_the_lock() -> Result<()> {
    let bench = Bench::new("locked")?;
    let packages = bench.packages();
    // One package is gone from the mirrors, and only the snapshot of the day after has it. It is of an archive beside the one
    // that --mirror names: there, no other place would be asked.
    let moved = packages.iter().find(|package| package.source > 0).context("all is of the first archive")?;
    let day_after = bench.lock.released.checked_add(SignedDuration::from_hours(24))?.strftime("%Y%m%dT%H%M%SZ");
    let archive = &bench.loaded.base.sources[moved.source].archive;
    let past = format!("past/{archive}/{day_after}/{}", moved.path);
    bench.serve(moved, &past)?;
    let stay = packages.iter().filter(|package| *package != moved);
    stay.clone().try_for_each(|package| bench.serve(package, &format!("live/{}", bench.path(package))))?;

    let (output, requests) = alone(|| {
        let mirror = Mirror::serve(&bench.top.join("www"))?;
        bench.snapshots(Some(&mirror.url()))?;
        let live = format!("{}/live", mirror.url());
        let output = bench.command("build", &["--locked", "--mirror", &live]).output()?;
        Ok((output, mirror.requests()))
    })?;
    let built = image_of(&output)?;
    let asked: BTreeSet<&str> = requests.iter().map(|request| request.path.as_str()).collect();
    let locked =
        packages.iter().flat_map(|package| ["live", "also"].map(|top| format!("/{top}/{}", bench.path(package))));
    let mut locked: BTreeSet<String> = locked.collect();
    locked.insert(format!("/{past}"));
    let others: Vec<_> = asked.iter().filter(|path| !locked.contains(**path)).collect();
    ensure!(others.is_empty(), "asked for what is not in the lock: {others:?}");
    ensure!(asked.contains(format!("/{past}").as_str()), "the snapshot was not asked");
    ensure!(asked.len() >= packages.len(), "{} requests for {} packages", asked.len(), packages.len());
    let comparison = compare(&image::hello()?, &built)?;
    ensure!(comparison.same, "the image differs from the one that was built before:\n{comparison}");

    // The same once more without any network, from what the store has now.
    fs::remove_dir_all(bench.top.join("out"))?;
    let output = alone(|| Ok(bench.command("build", &["--locked", "--offline"]).output()?))?;
    ensure!(digest(&image_of(&output)?)? == digest(&image::hello()?)?, "offline, the image differs");
    Ok(())
}

#[test]
fn what_is_gone_or_other_than_locked_is_refused() -> Result<()> {
    let bench = Bench::new("refused")?;
    let missing = bench.lock.system.packages.iter().find(|package| package.name == "nano").context("no nano")?;
    bench.stock(&[missing])?;
    let file = missing.path.rsplit('/').next().context("no name")?;
    alone(|| {
        let offline = bench.command("build", &["--locked", "--offline"]);
        bench.refuses(offline, 2, &[file, "--offline", "not in the store", "hint"])?;
        let unlocked = bench.top.join("none.lock").display().to_string();
        let locking = bench.command("lock", &["--offline", "--lock-file", &unlocked]);
        bench.refuses(locking, 2, &["InRelease", "--offline", "hint"])?;

        let mirror = Mirror::serve(&bench.top.join("www"))?;
        bench.snapshots(None)?;
        let live = format!("{}/live", mirror.url());
        let gone = bench.command("build", &["--locked", "--mirror", &live]);
        bench.refuses(gone, 2, &[file, "404", "`firstlight lock --update`"])?;

        let place = bench.top.join("www/live").join(bench.path(missing));
        fs::create_dir_all(place.parent().context("no folder")?)?;
        fs::write(place, vec![0; usize::try_from(missing.size)?])?;
        let other = bench.command("build", &["--locked", "--mirror", &live]);
        bench.refuses(other, 2, &[file, "digest differs", &missing.sha256])
    })
}

#[test]
fn a_lock_that_is_missing_or_stale_is_told_and_one_that_is_old_can_be_compared() -> Result<()> {
    let bench = Bench::new("stale")?;
    bench.stock(&[])?;
    let none = bench.top.join("none.lock").display().to_string();
    let missing = bench.command("build", &["--locked", "--lock-file", &none]);
    bench.refuses(missing, 1, &["none.lock: there is no lock", "--locked", "hint: `firstlight lock "])?;
    ensure!(!Path::new(&none).exists(), "--locked wrote a lock");

    let path = lock::path(&bench.loaded);
    let before = fs::read(&path)?;
    let fits = bench.command("lock", &[]).output()?;
    ensure!(image::text(&fits).contains("fits its recipe") && fs::read(&path)? == before, "{}", image::text(&fits));

    // As if it had been made before an upgrade of nano.
    let nano = bench.lock.system.packages.iter().find(|package| package.name == "nano").context("no nano")?;
    let (version, other) = (&nano.version, "0".repeat(64));
    bench.change(
        "hello.debian-13.lock",
        &format!("name = \"nano\"\nversion = \"{version}\""),
        "name = \"nano\"\nversion = \"1.0\"",
    )?;
    bench.change("hello.debian-13.lock", &nano.sha256, &other)?;
    let old = fs::read(&path)?;
    let output = bench.command("lock", &["--diff"]).output()?;
    let told = image::text(&output);
    ensure!(output.status.success() && told.contains(&format!("upgraded   nano 1.0 -> {version}")), "{told}");
    ensure!(fs::read(&path)? == old, "--diff wrote the lock");
    let output = bench.command("lock", &["--update", "--json"]).output()?;
    let told: serde_json::Value = serde_json::from_slice(&output.stdout).with_context(|| image::text(&output))?;
    let names: Vec<_> = told["packages"].as_array().into_iter().flatten().map(|one| one["name"].clone()).collect();
    ensure!(names.contains(&"nano".into()) && told["written"] == true, "{told}");
    ensure!(
        lock::read(&path, &bench.loaded)?.context("no lock")?.system.packages.contains(nano),
        "it was not brought up to date"
    );

    bench.change("hello.toml", "packages = [\"base-files\"", "packages = [\"rsync\", \"base-files\"")?;
    for words in [&["--locked"][..], &[]] {
        let stale = bench.command("build", words);
        bench.refuses(
            stale,
            1,
            &["was made before this changed", "recipes/hello.toml: `images.firstlight/hello:1.packages`"],
        )?;
    }
    let output = bench.command("lock", &["--all"]).output()?;
    let told = image::text(&output);
    ensure!(output.status.success() && told.contains("added      rsync"), "{told}");
    ensure!(told.lines().any(|line| line == path.display().to_string()), "{told}");
    Ok(())
}
