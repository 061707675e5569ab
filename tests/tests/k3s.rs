//! The appliance on k3s: SCOT4's recipe, with a stand-in for k3s (`tests/src/bin/k3s-stand-in.rs`), a chart and archives made
//! here, served as their publishers serve them. It starts from a virtual hard disk, with Secure Boot by Microsoft's key of 2023.

#[path = "k3s/agent.rs"]
mod agent;
#[path = "k3s/el.rs"]
mod el;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::guest::{Guest, Settings, verdict};
use end_to_end::mirror::Mirror;
use end_to_end::site::TestSite;
use end_to_end::{firmware, image, judge, ntp};
use firmware_checks::check::State;
use firmware_checks::report::{Gate, Report};
use serde_json::Value;
use sha2::{Digest, Sha256};

const BOOT: Duration = Duration::from_secs(900);
const VERSION: &str = "v1.36.4+k3s1";
/// Where the publisher has the release, below the server.
const RELEASE: &str = "www/v1.36.4%2Bk3s1";
const ARCHIVE: &str = "k3s-airgap-images-amd64.tar.zst";
const HELM: &str = "helm-v3.14.3-linux-amd64.tar.gz";
/// Secrets of the site, which nothing may tell.
const SECRETS: [&str; 2] = ["canary-of-the-database", "canary-of-the-superuser"];

/// The recipe with its files, and the server of its artifacts.
struct Bench {
    folder: PathBuf,
    mirror: Mirror,
}

impl Bench {
    fn new() -> Result<Self> {
        let folder = image::scratch("k3s");
        if folder.exists() {
            fs::remove_dir_all(&folder)?;
        }
        fs::create_dir_all(folder.join(RELEASE))?;
        let mirror = Mirror::serve(&folder.join("www"))?;
        let bench = Self { folder, mirror };
        bench.publish()?;
        bench.write_recipe()?;
        Ok(bench)
    }

    /// What the publishers have: k3s's release with its file of checksums, Helm with its own.
    fn publish(&self) -> Result<()> {
        let release = self.folder.join(RELEASE);
        // The linker takes no path with a `%` in it.
        compile_stand_in(&self.folder.join("k3s"))?;
        fs::rename(self.folder.join("k3s"), release.join("k3s"))?;
        fs::write(release.join(ARCHIVE), zstd::encode_all(vec![7; 3_000_000].as_slice(), 1)?)?;
        let sums = ["k3s", ARCHIVE].map(|name| Ok(format!("{}  {name}\n", digest(&release.join(name))?)));
        fs::write(release.join("sha256sum-amd64.txt"), sums.into_iter().collect::<Result<String>>()?)?;
        let helm = self.folder.join("www").join(HELM);
        fs::write(&helm, packed(&[("linux-amd64/helm", "#!/bin/sh\necho helm\n")])?)?;
        let sum = format!("{}  {HELM}\n", digest(&helm)?);
        fs::write(self.folder.join(format!("www/{HELM}.sha256sum")), sum)?;
        let chart = [("scot4/Chart.yaml", "apiVersion: v2\nname: scot4\nversion: 1.0.8\n")];
        fs::write(self.folder.join("scot4.tgz"), packed(&chart)?)?;
        fs::write(self.folder.join("values.yaml"), "scot4:\n  api:\n    note: \"a: 'b' # c\"\n")?;
        let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: hello\n";
        Ok(fs::write(self.folder.join("hello.yaml"), manifest)?)
    }

    /// SCOT4's own recipe, from this server, for a machine as small as an emulated one.
    fn write_recipe(&self) -> Result<()> {
        let shipped = image::repository().join("recipes");
        std::os::unix::fs::symlink(shipped.join("bases"), self.folder.join("bases"))?;
        let mut text = fs::read_to_string(shipped.join("scot4.toml"))?;
        let url = self.mirror.url();
        for (from, to) in [
            ("https://github.com/k3s-io/k3s/releases/download", url.as_str()),
            ("https://get.helm.sh", url.as_str()),
            (
                "cpu = { minimum = 4 }\nmemory = { minimum = \"16 GB\" }",
                "cpu = { minimum = 2 }\nmemory = { minimum = \"1 GB\" }",
            ),
            ("disable = []", "disable = [\"servicelb\"]\nmanifests = [\"hello.yaml\"]"),
        ] {
            ensure!(text.contains(from), "the recipe has no `{from}`");
            text = text.replace(from, to);
        }
        text += "\n[[platform.charts]]\nname = \"scot4\"\nnamespace = \"scot4\"\nchart = \"scot4.tgz\"\nvalues = \"values.yaml\"\n";
        Ok(fs::write(self.recipe(), text)?)
    }

    fn recipe(&self) -> PathBuf {
        self.folder.join("scot4.toml")
    }

    fn lock_file(&self) -> PathBuf {
        self.folder.join("scot4.debian-13.lock")
    }

    fn run(&self, verb: &str, words: &[&str]) -> Result<Output> {
        Ok(image::command().arg(verb).arg(self.recipe()).args(words).output()?)
    }
}

/// A stand-in for a PostgreSQL server on this host, which answers the first question that such a server is asked. Gives its port.
fn database() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut asked = [0; 8];
            // May we speak TLS? No.
            if stream.read_exact(&mut asked).is_ok() && asked == [0, 0, 0, 8, 4, 210, 22, 47] {
                let _ = stream.write_all(b"N");
            }
        }
    });
    Ok(port)
}

/// A site with all that SCOT4 asks for, and the URI of its database.
fn site_of_scot4(folder: &Path) -> Result<(TestSite, String)> {
    let site = TestSite::make(folder)?;
    let path = site.folder.join("site.toml");
    let uri = format!("postgresql+psycopg://scot4:{}@10.0.2.2:{}/scot4", SECRETS[0], database()?);
    let more = format!(
        "concurrent_users = 1\n{}\n[database]\nuri = \"{uri}\"\n[values]\nsuperuser_password = \"{}\"\n",
        fs::read_to_string(&path)?,
        SECRETS[1]
    );
    fs::write(&path, more)?;
    Ok((site, uri))
}

/// The stand-in as one static program, which runs wherever the image does.
fn compile_stand_in(to: &Path) -> Result<()> {
    let source = image::repository().join("tests/src/bin/k3s-stand-in.rs");
    let output = Command::new("rustc")
        .args(["--edition", "2024", "-C", "opt-level=1", "-C", "target-feature=+crt-static", "-o"])
        .arg(to)
        .arg(source)
        .env("K3S_STAND_IN_VERSION", VERSION)
        .output()?;
    ensure!(output.status.success(), "{}", image::text(&output));
    Ok(())
}

fn digest(path: &Path) -> Result<String> {
    Ok(hex::encode(Sha256::digest(fs::read(path)?)))
}

/// A tar archive in gzip.
fn packed(files: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut archive = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o755);
        archive.append_data(&mut header, name, text.as_bytes())?;
    }
    let mut writer = archive.into_inner()?;
    writer.flush()?;
    Ok(writer.finish()?)
}

#[test]
fn scot4s_recipe_boots_to_an_open_gate_with_a_stand_in_for_k3s() -> Result<()> {
    ntp::serve()?;
    let bench = Bench::new()?;
    another_checksum_is_refused(&bench)?;
    let built = locked_once_and_built_without_its_publishers(&bench)?;

    let (site, uri) = site_of_scot4(&image::scratch("k3s-site"))?;
    let mut guest = Guest::start(&Settings {
        name: "k3s-machine",
        image: &image::converted(&built, "vhd")?,
        site: Some(&site),
        arguments: &[firmware::SECURE, &["--variables", &firmware::newer_keys()?, "--disk-size", "80 GB"]].concat(),
        ports: &[443, 22, 6443, 10250],
        keep: true,
    })?;
    let report = guest.wait_for("the platform is accepted", BOOT, |report| report.gate == Gate::Accepted)?;
    firmware::is(&report, "Secure Boot on")?;
    the_platform_is_judged(&report)?;
    it_started_behind_the_gate_with_what_the_recipe_says(&guest)?;
    only_what_the_recipe_names_is_reached(&guest)?;
    what_is_written_for_kubernetes_is_yaml(&guest, &uri)?;
    units_and_settings_are_sound(&guest)?;
    archives_are_imported_once(&guest)?;
    nothing_secret_was_told(&guest)
}

/// Other bytes than the publisher's are not locked.
fn another_checksum_is_refused(bench: &Bench) -> Result<()> {
    let sums = bench.folder.join(RELEASE).join("sha256sum-amd64.txt");
    let right = fs::read_to_string(&sums)?;
    let wrong: String = right.lines().map(|line| format!("{}{}\n", "0".repeat(64), &line[64..])).collect();
    fs::write(&sums, wrong)?;
    let output = bench.run("lock", &[])?;
    let text = image::text(&output);
    ensure!(output.status.code() == Some(1) && text.contains("sha256sum-amd64.txt"), "{text}");
    ensure!(text.contains(&format!("expected sha256 {}", "0".repeat(64))), "{text}");
    ensure!(!bench.lock_file().exists(), "a lock was written");
    Ok(fs::write(&sums, right)?)
}

/// Once locked, a build asks nobody for what goes in whole.
fn locked_once_and_built_without_its_publishers(bench: &Bench) -> Result<PathBuf> {
    let output = bench.run("lock", &[])?;
    ensure!(output.status.success(), "{}", image::text(&output));
    let lock = fs::read_to_string(bench.lock_file())?;
    for name in ["k3s", "images k3s-airgap-images-amd64.tar.zst", "helm", "chart scot4"] {
        ensure!(lock.contains(&format!("[[artifact]]\nname = \"{name}\"")), "no {name} in {lock}");
    }
    ensure!(lock.contains(&digest(&bench.folder.join(RELEASE).join("k3s"))?), "the digest is not in the lock");
    let asked = bench.mirror.requests().len();
    let plan = bench.run("plan", &["--json"])?;
    let told: Value = serde_json::from_slice(&plan.stdout).with_context(|| image::text(&plan))?;
    ensure!(told["artifacts"].as_array().is_some_and(|all| all.len() == 4), "{told:#}");
    let out = bench.folder.join("out");
    let output = bench.run("build", &["--locked", "--out", &out.display().to_string()])?;
    ensure!(output.status.success(), "{}", image::text(&output));
    ensure!(bench.mirror.requests().len() == asked, "the publishers were asked by a build");
    let stdout = String::from_utf8(output.stdout)?;
    let built = image::repository().join(stdout.lines().last().context("no image")?);
    judge::disk(&built, &bench.folder)?;
    // A file beside the recipe that is no longer the one that was locked.
    let chart = bench.folder.join("scot4.tgz");
    let right = fs::read(&chart)?;
    fs::write(&chart, packed(&[("scot4/Chart.yaml", "another")])?)?;
    let output = bench.run("build", &["--locked", "--offline", "--out", &out.display().to_string()])?;
    let text = image::text(&output);
    ensure!(output.status.code() == Some(1) && text.contains("chart scot4 differs from the lock"), "{text}");
    fs::write(&chart, right)?;
    let output = bench.run("build", &["--locked", "--offline", "--out", &out.display().to_string()])?;
    ensure!(output.status.success(), "{}", image::text(&output));
    Ok(built)
}

fn the_platform_is_judged(report: &Report) -> Result<()> {
    ensure!(report.ready, "not ready: {report:#?}");
    for id in [
        "platform.units",
        "platform.versions",
        "platform.node",
        "platform.containers",
        "cluster.place",
        "firewall.ingress",
        "database.reachable",
    ] {
        let found = verdict(report, id)?;
        ensure!(found.state == State::Pass, "{found:#?}");
    }
    let cores = format!("{:?}", verdict(report, "cpu.cores")?);
    ensure!(cores.contains("2 for 1 concurrent users"), "{cores}");
    Ok(())
}

fn it_started_behind_the_gate_with_what_the_recipe_says(guest: &Guest) -> Result<()> {
    let starts = guest.shell("sudo cat /var/lib/rancher/k3s/stand-in/starts")?;
    ensure!(starts == "gate-open=true swaps=0\n", "starts: {starts}");
    let seen = guest.shell("sudo cat /var/lib/rancher/k3s/stand-in/configuration")?;
    for line in [
        "cluster-cidr=10.42.0.0/16",
        "service-cidr=10.43.0.0/16",
        "disable=servicelb ",
        "disable-cloud-controller=true",
        "prefer-bundled-bin=true",
        "secrets-encryption=true",
    ] {
        ensure!(seen.lines().any(|one| one == line), "{line} is not in {seen}");
    }
    let manifests = guest.shell("sudo cat /var/lib/rancher/k3s/stand-in/manifests")?;
    ensure!(
        manifests.lines().eq(["chart-scot4.yaml", "firstlight-secrets.yaml", "hello.yaml"]),
        "manifests: {manifests}"
    );
    // The data lies on the data partition, and the clients are there.
    let source = guest.shell("findmnt --noheadings --output SOURCE --target /var/lib/rancher/k3s")?;
    ensure!(source.contains("/k3s]"), "k3s's data lies on {source}");
    let answer = guest.shell("helm; sudo kubectl get nodes --output json")?;
    ensure!(answer.starts_with("helm\n") && answer.contains("\"Ready\""), "{answer}");
    let inactive = guest.shell("systemctl is-active k3s.service k3s-agent.service || true")?;
    ensure!(inactive == "active\ninactive\n", "units: {inactive}");
    Ok(())
}

/// The stand-in listens on every address: what keeps others out is the firewall.
fn only_what_the_recipe_names_is_reached(guest: &Guest) -> Result<()> {
    let fetch = |port: u16| {
        Command::new("curl")
            .args(["--silent", "--max-time", "20"])
            .arg(format!("http://127.0.0.1:{}/", guest.port(port)))
            .output()
            .context("starting curl")
    };
    let https = image::text(&fetch(443)?);
    ensure!(https.contains("stand-in"), "443 is not reached: {https}");
    for port in [6443, 10250] {
        let within = guest.shell(&format!("bash -c 'exec 3<>/dev/tcp/127.0.0.1/{port} && echo open'"))?;
        ensure!(within == "open\n", "{port} does not answer on the machine itself");
        let output = fetch(port)?;
        ensure!(!output.status.success(), "{port} was reached: {}", image::text(&output));
    }
    Ok(())
}

fn what_is_written_for_kubernetes_is_yaml(guest: &Guest, database: &str) -> Result<()> {
    // Kept for whoever judges them by Kubernetes' own schema.
    let kept = image::scratch("k3s-machine/manifests");
    fs::create_dir_all(&kept)?;
    let read = |path: &str| -> Result<Vec<Value>> {
        let text = guest.shell(&format!("sudo cat {path}"))?;
        fs::write(kept.join(Path::new(path).file_name().context("no file")?), &text)?;
        serde_saphyr::from_multiple(&text).with_context(|| format!("{path} is no YAML: {text}"))
    };
    let manifests = "/var/lib/rancher/k3s/server/manifests";
    let chart = &read(&format!("{manifests}/chart-scot4.yaml"))?[0];
    ensure!(chart["kind"] == "HelmChart" && chart["spec"]["targetNamespace"] == "scot4", "{chart}");
    ensure!(chart["spec"]["valuesContent"] == "scot4:\n  api:\n    note: \"a: 'b' # c\"\n", "{chart}");
    ensure!(chart["spec"]["chartContent"].as_str().is_some_and(|content| content.starts_with("H4sI")), "{chart}");
    let secrets = read(&format!("{manifests}/firstlight-secrets.yaml"))?;
    let find = |name: &str| secrets.iter().find(|one| one["kind"] == "Secret" && one["metadata"]["name"] == name);
    let env = find("scot4-env-secrets").context("no scot4-env-secrets")?;
    let uri = env["stringData"]["SQLALCHEMY_DATABASE_URI"].as_str().unwrap_or_default();
    ensure!(uri == database, "another URI");
    ensure!(env["stringData"]["SECRET_KEY"].as_str().is_some_and(|key| key.len() == 32), "no key was made");
    let tls = find("scot4-tls").context("no scot4-tls")?;
    ensure!(
        tls["stringData"]["tls.crt"].as_str().is_some_and(|pem| pem.starts_with("-----BEGIN CERTIFICATE")),
        "no certificate"
    );
    let configuration = &read("/etc/rancher/k3s/config.yaml")?[0];
    ensure!(
        configuration["cluster-cidr"] == "10.42.0.0/16" && configuration["disable"][0] == "servicelb",
        "{configuration}"
    );
    read("/etc/rancher/k3s/registries.yaml")?;
    Ok(())
}

fn units_and_settings_are_sound(guest: &Guest) -> Result<()> {
    guest.shell("sudo systemd-analyze verify k3s.service k3s-agent.service var-lib-rancher-k3s.mount 2>&1 | tee /dev/stderr | (! grep .)")?;
    let settings = guest.shell(
        "sudo sysctl -n net.ipv4.ip_forward net.bridge.bridge-nf-call-iptables fs.inotify.max_user_instances vm.max_map_count; \
         systemctl is-enabled swap.target k3s.service || true",
    )?;
    ensure!(settings.lines().take(4).eq(["1", "1", "8192", "262144"]), "{settings}");
    ensure!(settings.contains("masked"), "swap.target is not masked: {settings}");
    let wanted = guest.shell("systemctl show --property=WantedBy --value k3s.service k3s-agent.service")?;
    ensure!(wanted.split_whitespace().all(|unit| unit == "platform.target"), "wanted by {wanted}");
    let failed = guest.shell("systemctl --failed --no-legend --plain")?;
    ensure!(failed.trim().is_empty(), "failed units: {failed}");
    Ok(())
}

fn archives_are_imported_once(guest: &Guest) -> Result<()> {
    let imported = || guest.shell("sudo ctr images ls");
    let first = imported()?;
    let size = first.lines().find_map(|line| line.strip_prefix(&format!("{ARCHIVE} ")));
    ensure!(first.lines().count() == 1 && size.is_some_and(|size| size != "0"), "imported: {first}");
    guest.shell("sudo systemctl restart k3s.service")?;
    let starts = guest.shell("sudo cat /var/lib/rancher/k3s/stand-in/starts")?;
    ensure!(starts.lines().count() == 2, "starts: {starts}");
    ensure!(imported()? == first, "imported anew: {}", imported()?);
    Ok(())
}

fn nothing_secret_was_told(guest: &Guest) -> Result<()> {
    let told = guest.shell("sudo journalctl --boot --no-pager; sudo cat /run/firstlight/report.json; cat /etc/issue /run/issue.d/* 2>/dev/null")?;
    let console = guest.console()?;
    let made = guest.shell("sudo cat /var/lib/firstlight/values/secret_key")?;
    for secret in SECRETS.iter().copied().chain([made.trim()]) {
        ensure!(!secret.is_empty() && !told.contains(secret), "the journal or the report has a secret");
        ensure!(!console.contains(secret), "the console has a secret");
    }
    let modes = guest.shell(
        "sudo stat -L -c '%a %U' /var/lib/rancher/k3s/server/manifests/firstlight-secrets.yaml \
         /var/lib/rancher/k3s/server/manifests /etc/rancher/k3s/config.yaml /etc/rancher/k3s/registries.yaml",
    )?;
    ensure!(modes.lines().eq(["600 root", "700 root", "600 root", "600 root"]), "modes: {modes}");
    Ok(())
}
