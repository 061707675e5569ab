//! AlmaLinux 9, by a distribution in its shape: dnf's choice, rpm's work and SELinux, as the image and the machine have them.

#[path = "almalinux/bench.rs"]
mod bench;
#[path = "almalinux/features.rs"]
mod features;
#[path = "almalinux/machine.rs"]
mod machine;
#[path = "almalinux/refused.rs"]
mod refused;
#[path = "almalinux/upgrade.rs"]
mod upgrade;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bench::{Bench, Built, file_system};
use end_to_end::guest::{Guest, Settings};
use end_to_end::mirror::Fault;
use end_to_end::rpm_distribution::RpmDistribution;
use end_to_end::rpm_distribution::key::Key;
use end_to_end::{drivers, image, judge};
use firmware_checks::architecture::Architecture;

/// Which of several versions dnf must choose (rpm's own order of versions, streams of modules, Obsoletes).
const CHOSEN: &[(&str, &str)] = &[
    ("feature-caret", "1.0^git20260101-1.el9"),
    ("feature-epoch", "1:1.0-1.el9"),
    ("feature-new", "2.0-1.el9"),
    ("feature-stream", "1.0-1.module_el9"),
    ("feature-tilde", "2.0-1.el9"),
];

/// How long a kernel may take to its first program, and how long that is looked at then.
const OLD_PROCESSOR: Duration = Duration::from_secs(300);
const STAYS: Duration = Duration::from_secs(10);

#[test]
fn dnf_chooses_by_every_feature_of_rpm() -> Result<()> {
    let bench = Bench::new("almalinux-lock")?;
    bench.lock()?.map_err(anyhow::Error::msg)?;
    let packages = bench.locked()?;
    for (name, version) in CHOSEN {
        let found = packages.get(*name).with_context(|| format!("{name} is not locked"))?;
        ensure!(found == version, "{name}: {found} in place of {version}");
    }
    let features: BTreeSet<&str> =
        packages.keys().map(String::as_str).filter(|name| name.starts_with("feature-")).collect();
    let expected = BTreeSet::from([
        "feature-by-path",
        "feature-capability",
        "feature-caret",
        "feature-either",
        "feature-epoch",
        "feature-gzip",
        "feature-links",
        "feature-new",
        "feature-rich",
        "feature-scripts",
        "feature-stream",
        "feature-tilde",
        "feature-top",
        "feature-triggers",
    ]);
    ensure!(features == expected, "{features:?}");
    Ok(())
}

#[test]
fn a_list_of_packages_that_is_not_the_signed_one_is_refused() -> Result<()> {
    let bench = Bench::new("almalinux-refused")?;
    let base = bench.folder.join("bases/almalinux-9.toml");
    let text = fs::read_to_string(&base)?;
    fs::write(&base, text.replacen("archive = \"almalinux/9\"", "archive = \"almalinux/9\"\nsigned = true", 1))?;
    let refused = |what: &str, words: &[&str]| -> Result<()> {
        let said = bench.lock()?.err().with_context(|| format!("{what}: nothing was said against it"))?;
        for word in words {
            ensure!(said.contains(word), "{what}: `{word}` is not in {said}");
        }
        Ok(())
    };
    bench.mirror.fail("BaseOS/x86_64/os/repodata/repomd.xml", Fault::FlipBit(400), 1);
    refused("a list of which a bit is flipped", &["repomd.xml"])?;
    let other = Key::make("Somebody else <else@firstlight.invalid>")?;
    other.export(&bench.folder.join("bases/AlmaLinux.asc"))?;
    refused("a list signed by another key", &["repomd.xml", "unknown key"])
}

/// As when a minor release has followed: what was locked lies in the vault of its own.
#[test]
fn what_the_mirrors_have_dropped_comes_from_the_vault_and_what_neither_has_is_told() -> Result<()> {
    let Built { bench, .. } = bench::built()?;
    let vault = format!("/vault/9.6/extras/x86_64/os/Packages/f/{}-", bench::DROPPED);
    let asked = bench.mirror.requests();
    let from_vault = asked.iter().filter(|request| request.path.starts_with(&vault)).count();
    ensure!(from_vault > 0, "nobody asked for {vault}");

    let dropped = bench.drop_from_mirror("feature-links")?;
    bench.mirror.fail(&format!("/vault/9.6/{dropped}"), Fault::Status(404), usize::MAX);
    // With nothing in the cache: where the disk is there already, nobody asks for packages.
    let (cache, out) = (bench.folder.join("none-cache"), bench.folder.join("none"));
    let mut build = image::command();
    build.args(["build", "--locked", "--cache"]).arg(&cache).arg("--out").arg(&out).arg(&bench.recipe);
    let output = build.output()?;
    let said = image::text(&output);
    ensure!(output.status.code() == Some(2), "{said}");
    for words in [&format!("/vault/9.6/{dropped}"), "/almalinux/9/", "404", "`firstlight lock --update`"] {
        ensure!(said.contains(words), "`{words}` is not in {said}");
    }
    ensure!(!out.exists(), "there is an image of a build without all its packages");
    Ok(fs::remove_dir_all(cache)?)
}

/// The second build has nothing of the first but the downloads: rpm's database and SELinux' labels are the same in both.
#[test]
fn two_builds_give_the_same_disk_and_it_is_right() -> Result<()> {
    let Built { bench, image: built } = bench::built()?;
    judge::disk(built, &bench.folder)?;
    println!("{}", drivers::of_disk(built, Architecture::X86_64)?);
    dockers_repository_is_known(bench, built)?;
    an_old_processor_is_told_before_anything_starts(built)?;
    // What SELinux enforces from the first boot on, without relabelling: as `matchpathcon` of the policy says.
    for (part, path, label) in [
        ("root", "/usr/bin/firmware-checks", "system_u:object_r:bin_t:s0"),
        ("root", "/etc/shadow", "system_u:object_r:shadow_t:s0"),
        ("root", "/usr/sbin/sshd", "system_u:object_r:sshd_exec_t:s0"),
        ("data", "/", "system_u:object_r:var_t:s0"),
        ("data", "/lost+found", "system_u:object_r:var_t:s0"),
    ] {
        let found = judge::debugfs(&file_system(built, part)?, &format!("ea_get {path} security.selinux"))?;
        ensure!(found.contains(label), "{path} on {part}: {found}");
    }
    let relabel = judge::debugfs(&file_system(built, "root")?, "stat /.autorelabel")?;
    ensure!(!relabel.contains("Inode:"), "{relabel}");
    Ok(())
}

/// EL 9's programs would end at once on a processor without x86-64-v2, systemd first. Debian's would not: that nothing started is
/// the archive's doing that comes before the initramfs.
fn an_old_processor_is_told_before_anything_starts(built: &Path) -> Result<()> {
    let mut guest = Guest::start(&Settings {
        name: "almalinux/old-processor",
        image: built,
        site: None,
        arguments: &["--cpu", "qemu64"],
        ports: &[],
        keep: true,
    })?;
    guest.wait_for_console("almalinux on almalinux-9 can't run on this processor", 0, OLD_PROCESSOR)?;
    let at = guest.wait_for_console("switch the machine off", 0, OLD_PROCESSOR)?;
    for words in ["without popcnt sse4_1 sse4_2 ssse3", "required   x86-64-v2", "Hyper-V"] {
        guest.wait_for_console(words, 0, OLD_PROCESSOR)?;
    }
    std::thread::sleep(STAYS);
    let console = guest.console()?;
    ensure!(!console.contains("systemd[1]") && !console[at..].contains("panic"), "{console}");
    Ok(())
}

/// What no package brings and `dnf upgrade` needs on the machine: dnf reads the repository, and rpm believes its packages by the key.
fn dockers_repository_is_known(bench: &Bench, built: &Path) -> Result<()> {
    let start = judge::partition(built, "root")?.start;
    let work = tempfile::tempdir()?;
    let folder = |name: &str| work.path().join(name).display().to_string();
    for from in ["/etc/yum.repos.d/docker-ce.repo", "/etc/pki/rpm-gpg/RPM-GPG-KEY-docker-ce"] {
        let to = work.path().join(Path::new(from).file_name().context("no name")?);
        let request = format!("dump {from} {}", to.display());
        judge::run("debugfs", &["-R", &request, &format!("{}?offset={start}", built.display())])?;
    }
    let key = folder("RPM-GPG-KEY-docker-ce");
    let text = fs::read_to_string(folder("docker-ce.repo"))?;
    let url = format!("baseurl={}/linux/centos/9/x86_64/stable\n", bench.mirror.url());
    ensure!(
        text.contains(&url) && text.contains("repo_gpgcheck=0\ngpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-docker-ce\n"),
        "{text}"
    );
    let options =
        [("reposdir", work.path().display().to_string()), ("cachedir", folder("cache")), ("varsdir", folder("vars"))];
    let options = options.map(|(name, value)| format!("--setopt={name}={value}"));
    let mut dnf = vec!["--quiet", "--releasever=9", "--forcearch=x86_64", "--repo=docker-ce"];
    dnf.extend(options.iter().map(String::as_str));
    let location = judge::run("dnf", &[dnf.as_slice(), &["repoquery", "--location", "docker-ce-cli"]].concat())?;
    let package = location.trim().strip_prefix(&bench.mirror.url()).with_context(|| location.clone())?;
    let package = RpmDistribution::made()?.folder().join(package.trim_start_matches('/'));
    let database = format!("_dbpath {}", folder("database"));
    judge::run("rpmkeys", &["--define", &database, "--import", &key])?;
    let judged = judge::run("rpmkeys", &["--define", &database, "--checksig", &package.display().to_string()])?;
    ensure!(judged.trim_end().ends_with("digests signatures OK"), "{judged}");
    Ok(())
}
