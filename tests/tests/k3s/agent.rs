//! A second machine of a cluster: it joins the server that its site names, and says what keeps it from that.

use std::fs;
use std::net::Ipv4Addr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::guest::{Guest, Settings, verdict};
use end_to_end::site::TestSite;
use end_to_end::{image, ntp};
use firmware_checks::check::State;
use firmware_checks::report::{Gate, Report};
use sha2::{Digest, Sha256};

use super::{BOOT, Bench, locked_once_and_built_without_its_publishers};

const CHANGE: Duration = Duration::from_secs(180);
/// This host, as the machine sees it.
const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The secret part of the token.
const CANARY: &str = "canary-of-the-cluster";

/// What is seen of a cluster's server before it is sent a token: its authorities, by a certificate of one of them.
struct Server(Child);

impl Server {
    /// On the port that the servers of all clusters have.
    fn start(site: &TestSite, folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let pair = site.authority.issue(&[], &[HOST.into()])?;
        for (name, text) in
            [("cacerts", site.authority.certificate()), ("tls.crt", &pair.certificate), ("tls.key", &pair.key)]
        {
            fs::write(folder.join(name), text)?;
        }
        let mut command = Command::new("openssl");
        command.args([
            "s_server",
            "-quiet",
            "-WWW",
            "-accept",
            "127.0.0.1:6443",
            "-cert",
            "tls.crt",
            "-key",
            "tls.key",
        ]);
        command.current_dir(folder).stdin(Stdio::null()).stdout(Stdio::null());
        Ok(Self(command.spawn().context("starting openssl")?))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "takes two minutes and more, of an hour for all; run by `./make.sh test-all`"]
fn a_second_machine_joins_the_cluster_that_its_token_is_of() -> Result<()> {
    ntp::serve()?;
    let bench = Bench::new()?;
    let built = locked_once_and_built_without_its_publishers(&bench)?;
    let folder = image::scratch("k3s-agent");
    let site = TestSite::make(&folder.join("site"))?;
    let path = site.folder.join("site.toml");
    let token = |digest: &str| format!("token = \"K10{digest}::server:{CANARY}\"");
    let (right, wrong) = (hex::encode(Sha256::digest(site.authority.certificate())), "0".repeat(64));
    let cluster = format!(
        "concurrent_users = 1\n{}\n[cluster]\nrole = \"agent\"\nserver = \"https://{HOST}:6443\"\n{}\nnodes = [\"{HOST}\"]\n",
        fs::read_to_string(&path)?,
        token(&wrong)
    );
    fs::write(&path, cluster)?;
    let mut guest = Guest::start(&Settings {
        name: "k3s-agent/machine",
        image: &built,
        site: Some(&site),
        arguments: &["--disk-size", "80 GB"],
        ports: &[22, 443, 10250],
        keep: true,
    })?;

    refused(&mut guest, "no connection to 10.0.2.2:6443: connection refused", BOOT)?;
    let _server = Server::start(&site, &folder.join("server"))?;
    guest.shell("sudo firmware-checks run > /dev/null; true")?;
    refused(&mut guest, "10.0.2.2:6443 is of another cluster than the token", CHANGE)?;
    let idle = guest.shell("systemctl is-active k3s.service k3s-agent.service || true")?;
    ensure!(idle == "inactive\ninactive\n", "with the gate shut: {idle}");

    guest.shell(&format!(
        "sudo cp -r /etc/firstlight/site /tmp/site && sudo sed -i 's/K10{wrong}/K10{right}/' /tmp/site/site.toml && \
         sudo firmware-checks site import /tmp/site && sudo rm -r /tmp/site"
    ))?;
    let report = guest.wait_for("the platform is accepted", BOOT, |report| report.gate == Gate::Accepted)?;
    it_is_an_agent(&guest, &report)?;
    let told = guest.shell("sudo journalctl --boot --no-pager; sudo cat /run/firstlight/report.json")?;
    ensure!(!told.contains(CANARY) && !guest.console()?.contains(CANARY), "the token was told");
    Ok(())
}

/// The gate stays shut, for a server that is found to be so.
fn refused(guest: &mut Guest, words: &str, limit: Duration) -> Result<()> {
    let found =
        |report: &Report| report.checks.iter().any(|one| one.id == "cluster.server" && one.observed.contains(words));
    let report = guest.wait_for(words, limit, found)?;
    let found = verdict(&report, "cluster.server")?;
    ensure!(found.state == State::Fail && report.gate == Gate::Shut, "{:?} {found:#?}", report.gate);
    ensure!(found.remedy.as_ref().is_some_and(|remedy| remedy.contains("site.toml")), "{found:#?}");
    Ok(())
}

fn it_is_an_agent(guest: &Guest, report: &Report) -> Result<()> {
    ensure!(report.ready, "not ready: {report:#?}");
    for (id, words) in [
        ("cluster.place", "agent of https://10.0.2.2:6443"),
        ("cluster.server", "of the token's cluster"),
        ("platform.units", ""),
    ] {
        let found = verdict(report, id)?;
        ensure!(found.state == State::Pass && found.observed.contains(words), "{found:#?}");
    }
    let units = guest.shell("systemctl is-active k3s.service k3s-agent.service || true")?;
    ensure!(units == "inactive\nactive\n", "units: {units}");
    let seen = guest.shell("sudo cat /var/lib/rancher/k3s/stand-in/{starts,joined,configuration,imported}")?;
    for line in ["gate-open=true swaps=0", "https://10.0.2.2:6443", "token-file=/etc/rancher/k3s/token"] {
        ensure!(seen.lines().any(|one| one == line), "no `{line}` in {seen}");
    }
    ensure!(seen.contains("k3s-airgap-images-amd64.tar.zst "), "nothing was imported: {seen}");
    // Another machine of the cluster reaches the kubelet.
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "20", &format!("http://127.0.0.1:{}/", guest.port(10250))])
        .output()?;
    ensure!(image::text(&output).contains("stand-in"), "10250 is not reached: {}", image::text(&output));
    let failed = guest.shell("systemctl --failed --no-legend --plain")?;
    ensure!(failed.trim().is_empty(), "failed units: {failed}");
    Ok(())
}
