//! SCOT4's recipe on EL 9: k3s's policy comes from its vendor's own repository, by a certificate that is fetched; SELinux enforces, and
//! k3s runs under the label that the policy gives it.

use std::fs;
use std::path::Path;

use anyhow::{Result, ensure};
use end_to_end::guest::{DENIED_BY_SELINUX, Guest, Settings};
use end_to_end::rpm_distribution::RpmDistribution;
use end_to_end::{image, ntp};
use firmware_checks::report::Gate;

use super::{BOOT, Bench, site_of_scot4};

const BASE: [&str; 2] = ["--base", "almalinux-9"];

#[test]
#[ignore = "takes six minutes and more, of an hour for all; run by `./make.sh test-all`"]
fn on_el_k3s_runs_under_the_policy_of_its_vendor() -> Result<()> {
    ntp::serve()?;
    let bench = Bench::new()?;
    let distribution = RpmDistribution::made()?;
    let mirror = distribution.serve()?;
    fs::remove_file(bench.folder.join("bases"))?;
    let base = distribution.write_base(&mirror, &bench.folder.join("bases"))?;
    another_certificate_is_refused(&bench, &base)?;
    let out = bench.folder.join("out").display().to_string();
    let output = bench.run("build", &[&BASE[..], &["--out", &out]].concat())?;
    ensure!(output.status.success(), "{}", image::text(&output));

    let (site, _) = site_of_scot4(&bench.folder.join("site"))?;
    let built = bench.folder.join("out/scot4-4.3-almalinux-9-x86_64.raw");
    let mut guest = Guest::start(&Settings {
        name: "k3s-el/machine",
        image: &built,
        site: Some(&site),
        arguments: &["--disk-size", "80 GB"],
        ports: &[22],
        keep: true,
    })?;
    let report = guest.wait_for("the platform is accepted", BOOT, |report| report.gate == Gate::Accepted)?;
    ensure!(report.ready, "not ready: {report:#?}");
    for (command, expected) in [
        ("sudo getenforce", "Enforcing"),
        ("stat --format %C /usr/local/bin/k3s", "system_u:object_r:dockerd_exec_t:s0"),
        ("ps -o label= -p $(systemctl show --property MainPID --value k3s.service)", "system_u:system_r:dockerd_t:s0"),
        (
            "sudo stat --format %C /srv/k3s /var/lib/rancher/k3s/agent | sort --unique",
            "system_u:object_r:container_var_lib_t:s0",
        ),
        ("sudo restorecon -R -n -v /etc/rancher /usr/local/bin /srv/k3s /var/lib/rancher 2>&1", ""),
        ("sudo sh -c 'cat /etc/rancher/k3s/{config,agent}.yaml.d/00-selinux.yaml' | grep -c '^selinux: true$'", "2"),
        // What `dnf upgrade` needs for it.
        (
            "grep -c BEGIN /etc/pki/rpm-gpg/RPM-GPG-KEY-rancher-k3s; rpm --query k3s-selinux",
            "1\nk3s-selinux-1.6-1.el9.noarch",
        ),
        ("grep ^gpgkey /etc/yum.repos.d/rancher-k3s.repo", "gpgkey=file:///etc/pki/rpm-gpg/RPM-GPG-KEY-rancher-k3s"),
        (DENIED_BY_SELINUX, ""),
        ("systemctl --failed --no-legend --plain", ""),
    ] {
        let found = guest.shell(command)?;
        ensure!(found.trim() == expected, "{command}: found `{}`, expected `{expected}`", found.trim());
    }
    Ok(())
}

/// The publisher's server has one, and the base means another.
fn another_certificate_is_refused(bench: &Bench, base: &Path) -> Result<()> {
    let (right, other) = (fs::read_to_string(base)?, "0".repeat(40));
    let at = right.find("fingerprint = \"").map_or(0, |at| at + "fingerprint = \"".len());
    let mut wrong = right.clone();
    wrong.replace_range(at..at + 40, &other);
    fs::write(base, wrong)?;
    let output = bench.run("lock", &BASE)?;
    let text = image::text(&output);
    ensure!(!output.status.success() && text.contains(&format!("expected {other}")), "{text}");
    ensure!(!bench.folder.join("scot4.almalinux-9.lock").exists(), "it was locked");
    Ok(fs::write(base, right)?)
}
