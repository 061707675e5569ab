//! `firstlight base check` on a base of RPMs, by a distribution in AlmaLinux 9's shape: what is right is told so, and what is wrong in a
//! base or on a server is told, each by its name.

use std::fs;
use std::path::PathBuf;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use end_to_end::image;
use end_to_end::mirror::{Fault, Mirror};
use end_to_end::rpm_distribution::RpmDistribution;
use end_to_end::rpm_distribution::key::Key;
use serde_json::Value;

/// The distribution, served.
struct Bench {
    distribution: RpmDistribution,
    mirror: Mirror,
    folder: PathBuf,
}

impl Bench {
    fn new() -> Result<Self> {
        let distribution = RpmDistribution::made()?;
        let mirror = distribution.serve()?;
        let folder = image::scratch("rpm-base");
        fs::create_dir_all(&folder)?;
        Ok(Self { distribution, mirror, folder })
    }

    /// `firstlight base check` of the base, after `change` of its text.
    fn check(&self, change: impl Fn(&str) -> String) -> Result<(Output, Vec<Value>)> {
        let base = self.distribution.write_base(&self.mirror, &self.folder)?;
        fs::write(&base, change(&fs::read_to_string(&base)?))?;
        let output = image::command().args(["base", "check", "--json"]).arg(&base).output()?;
        let told: Value = serde_json::from_slice(&output.stdout).with_context(|| image::text(&output))?;
        Ok((output, told["lines"].as_array().context("no lines")?.clone()))
    }

    /// What fails, and only that, after a change of the base's text: each of `expected` is a line and words in it.
    fn fails(&self, (from, to): (&str, &str), expected: &[(&str, &[&str])]) -> Result<()> {
        let (output, lines) = self.check(|text| {
            assert!(text.contains(from), "the base has no {from}");
            text.replacen(from, to, 1)
        })?;
        ensure!(output.status.code() == Some(1), "{to}: {}", image::text(&output));
        for (what, words) in expected {
            let wrong = lines.iter().find(|line| line["what"] == *what && line["state"] == "fail");
            let wrong = wrong.with_context(|| format!("{to}: {what} did not fail: {lines:#?}"))?.to_string();
            for word in *words {
                ensure!(wrong.contains(word), "{to}: `{word}` is not in {wrong}");
            }
        }
        let failed = lines.iter().filter(|line| line["state"] == "fail").count();
        ensure!(failed == expected.len(), "{to}: {failed} lines fail: {lines:#?}");
        Ok(())
    }
}

#[test]
fn a_base_of_rpms_is_tried_and_what_is_wrong_with_it_is_told() -> Result<()> {
    let bench = Bench::new()?;
    let (output, lines) = bench.check(str::to_owned)?;
    ensure!(output.status.code() == Some(0), "{}", image::text(&output));
    ensure!(lines.iter().all(|line| line["state"] == "ok"), "{lines:#?}");
    let looked_at: Vec<&str> = lines.iter().filter_map(|line| line["what"].as_str()).collect();
    for what in [
        "certificate",
        "suite BaseOS/x86_64/os",
        "suite AppStream/x86_64/os",
        "suite extras/x86_64/os",
        "suite Everything/x86_64",
        "suite x86_64/stable",
        "tools",
        "kernel.metal",
        "kernel.cloud",
        "platforms.docker",
        "platforms.k3s",
        "vault of BaseOS/x86_64/os",
        "vault of extras/x86_64/os",
        "vault of Everything/x86_64",
        "package of epel/9",
        "package of linux/centos/9",
        "package of k3s/stable/common/centos/9",
        "boot.shim",
        "boot.mok_manager",
        "boot.grub",
        "boot.bios_modules",
        "os",
    ] {
        ensure!(looked_at.contains(&what), "{what} is not among {looked_at:?}");
    }
    what_is_wrong_in_the_base(&bench)?;
    what_is_wrong_with_signatures(&bench)?;
    what_is_wrong_with_a_published_certificate(&bench)?;

    // A server that is not there is no fault of the base's.
    let server = bench.mirror.url();
    let (output, lines) =
        bench.check(|text| text.replace(&format!("{server}/epel"), "http://localhost.invalid/epel"))?;
    ensure!(output.status.code() == Some(2), "{}", image::text(&output));
    let epel = lines.iter().find(|line| line["what"] == "suite Everything/x86_64").context("no line of EPEL")?;
    ensure!(epel["state"] == "unknown", "{lines:#?}");
    Ok(())
}

fn what_is_wrong_in_the_base(bench: &Bench) -> Result<()> {
    bench.fails(
        ("\"kernel-modules\", \"linux-firmware\"", "\"kernel-moduls\", \"linux-firmware\""),
        &[("kernel.metal", &["`kernel-moduls`", "`kernel-modules`"])],
    )?;
    bench.fails(
        ("\"docker-compose-plugin\"", "\"docker-compose-v2\""),
        &[("platforms.docker", &["`docker-compose-v2`"])],
    )?;
    bench.fails(
        ("/EFI/almalinux/grubx64.efi", "/EFI/redhat/grubx64.efi"),
        &[(
            "boot.grub",
            &["/boot/efi/EFI/redhat/grubx64.efi", "the nearest file is /boot/efi/EFI/almalinux/grubx64.efi"],
        )],
    )?;
    bench.fails(
        ("/vault/{almalinux-release}", "/cellar/{almalinux-release}"),
        &[("vault of BaseOS/x86_64/os", &["/cellar/9.5/BaseOS/x86_64/os/repodata/repomd.xml", "404"])],
    )?;
    bench.fails(("version_id = \"9\"", "version_id = \"8\""), &[("os", &["VERSION_ID=9", "VERSION_ID=8"])])?;
    bench.fails(
        ("AppStream/x86_64/os", "AppStreams/x86_64/os"),
        &[("suite AppStreams/x86_64/os", &["404", "AppStreams/x86_64/os/repodata/repomd.xml"])],
    )
}

/// Its source is not tried, nor the platform that needs it; all others are.
fn what_is_wrong_with_a_published_certificate(bench: &Bench) -> Result<()> {
    let server = bench.mirror.url();
    let other = Key::make("A new one <new@firstlight.invalid>")?;
    other.export(&bench.folder.join("new.asc"))?;
    let elsewhere = Mirror::serve(&bench.folder)?;
    for (place, state, status, words) in [
        (format!("{}/new.asc", elsewhere.url()), "fail", 1, "correct `fingerprint`"),
        ("http://localhost.invalid/key".to_owned(), "unknown", 2, "localhost.invalid"),
    ] {
        let (output, lines) = bench.check(|text| text.replace(&format!("{server}/RPM-GPG-KEY-Rancher-9"), &place))?;
        ensure!(output.status.code() == Some(status), "{}", image::text(&output));
        let odd: Vec<&Value> = lines.iter().filter(|line| line["state"] != "ok").collect();
        ensure!(odd.len() == 1 && odd[0]["state"] == state && odd[0].to_string().contains(words), "{odd:#?}");
        ensure!(odd[0]["what"].as_str().is_some_and(|what| what.starts_with("certificate ")), "{odd:#?}");
        for (what, is_tried) in [("platforms.docker", true), ("platforms.k3s", false), ("suite noarch", false)] {
            ensure!(lines.iter().any(|line| line["what"] == what) == is_tried, "{what}: {lines:#?}");
        }
    }
    Ok(())
}

/// The cache has the tools root and the packages from before: what another certificate signed is not believed for that.
fn what_is_wrong_with_signatures(bench: &Bench) -> Result<()> {
    let other = Key::make("Somebody else <else@firstlight.invalid>")?;
    other.export(&bench.folder.join("other.asc"))?;
    bench.fails(("EPEL.asc", "other.asc"), &[("package of epel/9", &["systemd-", "unknown key"])])?;
    bench.fails(("AlmaLinux.asc", "other.asc"), &[("tools", &[".rpm", "unknown key"])])?;
    let signed = |keyring: &str| format!("keyring = \"{keyring}\"\nsigned = true");
    bench.fails(("keyring = \"Docker.asc\"", &signed("other.asc")), &[("suite x86_64/stable", &["unknown key"])])?;
    bench.mirror.fail("stable/repodata/repomd.xml.asc", Fault::Status(404), usize::MAX);
    bench.fails(
        ("keyring = \"Docker.asc\"", &signed("Docker.asc")),
        &[("suite x86_64/stable", &["it is not signed", "repomd.xml.asc", "404"])],
    )
}
