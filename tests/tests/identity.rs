//! One lock gives one image, to the byte, whoever builds it, where and when; and where two differ, it is told which file.

use std::fs;
use std::io::{self, BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, SystemTime};

use anyhow::{Context, Result, ensure};
use end_to_end::account::Account;
use end_to_end::guest::{Guest, Settings};
use end_to_end::site::TestSite;
use end_to_end::{image, judge, ntp};
use firmware_checks::report::Gate;
use firstlight::image::compare::compare;

/// Programs that a builder might take from the host, and must not: those of the tools root decide the bytes.
const HOST_TOOLS: [&str; 12] = [
    "apt-get",
    "chpasswd",
    "debugfs",
    "dpkg",
    "dpkg-deb",
    "grub-mkimage",
    "ldconfig",
    "mke2fs",
    "mkfs.ext4",
    "mkfs.vfat",
    "tar",
    "tune2fs",
];

fn digest(path: &Path) -> Result<String> {
    let line = judge::run("sha256sum", &["--", &path.display().to_string()])?;
    Ok(line.split_whitespace().next().unwrap_or_default().to_owned())
}

/// Fails with the partitions and files that differ.
fn same(good: &Path, other: &Path) -> Result<()> {
    let comparison = compare(good, other)?;
    ensure!(comparison.same, "{} and {} differ:\n{comparison}", good.display(), other.display());
    Ok(())
}

fn images(folder: &Path) -> Result<Vec<String>> {
    let names = fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
    let mut names = names.collect::<io::Result<Vec<_>>>()?;
    names.sort();
    Ok(names)
}

/// The second build of `--rebuild-check` has nothing of the first but the downloads, works on disk with one core, umask
/// 077, another time zone, locale and host name. While it goes on, the first image is changed in one place.
#[test]
fn a_second_build_is_the_same_and_a_change_in_the_first_is_found() -> Result<()> {
    let good = image::hello()?;
    let out = image::scratch("identity");
    let _ = fs::remove_dir_all(&out);
    let mut build = image::command();
    build
        .args(["build", "recipes/hello.toml", "--locked", "--offline", "--rebuild-check", "--json", "--out"])
        .arg(&out);
    let mut child = build.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("starting firstlight")?;
    let mut told = Vec::new();
    let first = out.join(good.file_name().context("no name")?);
    let changed = until_the_second(&mut child, &mut told).and_then(|sha256| {
        same(&good, &first)?;
        ensure!(sha256 == digest(&first)?, "the build told sha256:{sha256}");
        change(&first)
    });
    if changed.is_err() {
        child.kill()?;
    }
    let rest = BufReader::new(child.stderr.take().context("no stderr")?).lines().collect::<io::Result<Vec<_>>>()?;
    told.extend(rest);
    let output = child.wait_with_output()?;
    changed?;
    let told = told.join("\n");
    ensure!(output.status.code() == Some(2), "{}\n{told}", output.status);
    ensure!(told.contains("\n  root /etc/passwd: mode 100600 in the first, 100644 in the second\n"), "{told}");
    let answer: serde_json::Value = serde_json::from_slice(&output.stdout)?;
    let rebuilt = &answer["rebuilt"];
    ensure!(rebuilt["same"] == false && rebuilt["differences"][0]["path"] == "/etc/passwd", "{answer}");
    ensure!(rebuilt["differences"].as_array().map(Vec::len) == Some(1) && rebuilt["more"] == 0, "{answer}");
    let second = first.with_extension("rebuilt.raw");
    ensure!(images(&out)?.len() == 2 && told.contains(&second.display().to_string()), "{:?}\n{told}", images(&out)?);
    same(&good, &second)?;
    fs::remove_dir_all(&out)?;
    Ok(())
}

/// Reads what the build tells until its second build begins; answers the checksum that it told of the first.
fn until_the_second(child: &mut Child, told: &mut Vec<String>) -> Result<String> {
    let stderr = child.stderr.as_mut().context("no stderr")?;
    // Byte by byte, so that nothing is left in a buffer that is thrown away.
    for line in BufReader::with_capacity(1, stderr).lines() {
        let line = line?;
        let begins = line.trim_start().starts_with("rebuild ");
        told.push(line);
        if begins {
            let sha256 = told.iter().find_map(|line| line.split_once("  sha256:")).context("no checksum")?.1;
            return Ok(sha256.split_whitespace().next().unwrap_or_default().to_owned());
        }
    }
    anyhow::bail!("no second build was begun:\n{}", told.join("\n"))
}

/// Gives a file in the root file system of `image` another mode.
fn change(image: &Path) -> Result<()> {
    let at = format!("{}?offset={}", image.display(), judge::partition(image, "root")?.start);
    judge::run("debugfs", &["-w", "-R", "set_inode_field /etc/passwd mode 0100600", &at])?;
    Ok(())
}

/// The downloads, where the account can take them from. No finished stage comes along.
fn downloads(account: &Account) -> Result<PathBuf> {
    let cache = account.home.join("cache");
    fs::create_dir(&cache)?;
    let store = image::cache().join("store").display().to_string();
    judge::run("cp", &["-r", &store, &cache.display().to_string()])?;
    judge::run("chown", &["-R", account.name, &account.home.display().to_string()])?;
    Ok(cache)
}

/// Makes a folder of [`HOST_TOOLS`] that do nothing but note their names in the file `called`.
fn host_tools(account: &Account, called: &Path) -> Result<PathBuf> {
    let folder = account.home.join("host-tools");
    fs::create_dir(&folder)?;
    for name in HOST_TOOLS {
        let script = format!("#!/bin/sh\necho {name} >> {}\nexit 97\n", called.display());
        fs::write(folder.join(name), script)?;
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755))?;
    }
    Ok(folder)
}

/// A command of the account's in 400 days, on a host of another name, with the folder `memory` in memory and `tools` before
/// all others.
fn elsewhere(account: &Account, memory: &Path, tools: &Path, program: &Path) -> Command {
    let prepare =
        "hostname elsewhere; mkdir -p \"$0\"; mount -t tmpfs -o mode=0777 none \"$0\"; umask 077; exec \"$@\"";
    let as_user = account.command(Path::new("env"));
    let mut command = Command::new("unshare");
    command.args(["--uts", "--mount", "sh", "-ec", prepare]).arg(memory);
    command.arg(as_user.get_program()).args(as_user.get_args());
    let path = std::env::var("PATH").unwrap_or_default();
    command.arg(format!("PATH={}:{path}:/usr/sbin:/sbin", tools.display()));
    command.args(["TZ=America/St_Johns", "LC_ALL=tr_TR.UTF-8", "faketime", "-f", "+400d"]).arg(program);
    command.current_dir(&account.home);
    command
}

#[test]
fn an_ordinary_user_elsewhere_builds_the_same_bytes_and_can_remove_them() -> Result<()> {
    let good = image::hello()?;
    let account = Account::make("firstlight-e2e")?;
    let [called, memory, out] = ["called", "memory", "out"].map(|name| account.home.join(name));
    let tools = host_tools(&account, &called)?;
    let (top, cache) = (account.lay_out()?, downloads(&account)?);
    let mut build = elsewhere(&account, &memory, &tools, &top.join("target/release/firstlight"));
    build.arg("build").arg(top.join("recipes/hello.toml")).args(["--locked", "--offline"]);
    build.arg("--cache").arg(&cache).arg("--out").arg(&out).arg("--work").arg(&memory);
    let output = build.output().context("starting unshare")?;
    ensure!(output.status.success(), "{}", image::text(&output));
    let path = String::from_utf8(output.stdout)?.lines().last().context("no path")?.to_owned();
    same(&good, Path::new(&path))?;
    // By another's word, too.
    ensure!(digest(&good)? == digest(Path::new(&path))?, "the comparison overlooked a difference");
    let called = fs::read_to_string(&called).unwrap_or_default();
    ensure!(called.is_empty(), "the host's own tools were called: {called}");

    for folder in [&cache, &out] {
        let removed = account.command(Path::new("rm")).arg("-rf").arg(folder).output()?;
        ensure!(removed.status.success(), "{}", image::text(&removed));
        let gone = fs::symlink_metadata(folder).is_err_and(|error| error.kind() == io::ErrorKind::NotFound);
        ensure!(gone, "{} is still there", folder.display());
    }
    Ok(())
}

/// Builds what lies on its second disk, in 400 days by the clock of the kernel and of every command in the sandbox.
const BUILD_LATER: &str = "set -eu
sudo mount /dev/disk/by-id/virtio-firstlight-extra0 /mnt
sudo systemctl stop firmware-checks.service systemd-timesyncd.service
sudo date --set '400 days' >&2
cd /mnt/firstlight
sudo target/release/firstlight build recipes/hello.toml --locked --offline --cache /mnt/cache --out /mnt/out --work /mnt/work 2>&1
date +%s";

/// An appliance is the host of the build: another distribution with another kernel, whose clock is 400 days ahead.
#[test]
#[ignore = "takes 25 minutes, of an hour for all; run by `./make.sh test-all`"]
fn another_machine_in_another_year_builds_the_same_bytes() -> Result<()> {
    ntp::serve()?;
    let good = image::hello()?;
    let folder = image::scratch("identity-machine");
    let _ = fs::remove_dir_all(&folder);
    let disk = disk_with_all_it_takes(&folder)?;
    let site = TestSite::make(&folder.join("site"))?;
    let mut guest = Guest::start(&Settings {
        name: "identity-machine",
        image: &good,
        site: Some(&site),
        arguments: &["--memory", "4 GiB", "--disk", &disk.display().to_string()],
        ports: &[22],
        keep: true,
    })?;
    guest.wait_for("the platform is accepted", Duration::from_secs(420), |report| report.gate == Gate::Accepted)?;
    let told = guest.shell(BUILD_LATER)?;
    ensure!(told.contains(&format!("sha256:{}", digest(&good)?)), "another image was built:\n{told}");
    let then: u64 = told.lines().last().context("nothing told")?.parse()?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_secs();
    ensure!(then > now + 399 * 86_400, "the machine's clock was set back: {told}");
    drop(guest);
    Ok(fs::remove_dir_all(&folder)?)
}

/// A disk with the programs, recipes and overlays, and the downloads of this host's cache.
fn disk_with_all_it_takes(folder: &Path) -> Result<PathBuf> {
    let (tree, disk) = (folder.join("tree"), folder.join("disk.raw"));
    image::lay_out(&tree.join("firstlight"))?;
    fs::create_dir_all(tree.join("cache"))?;
    fs::create_dir_all(tree.join("work"))?;
    let paths = [image::cache().join("store"), tree.join("cache/store")].map(|path| path.display().to_string());
    judge::run("cp", &["-r", &paths[0], &paths[1]])?;
    let paths = [&tree, &disk].map(|path| path.display().to_string());
    judge::run("mke2fs", &["-q", "-t", "ext4", "-d", &paths[0], &paths[1], "16G"])?;
    fs::remove_dir_all(&tree)?;
    Ok(disk)
}
