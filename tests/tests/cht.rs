//! The appliance of `recipes/cht.toml`: its own compose file, on Debian's Docker, with stand-ins on the ports of the real containers
//! (nginx with the page of one of them, and BusyBox), since the real ones can't be had where this runs. What is shown is the
//! appliance around them: the gate, the site's certificate, what containers are given of the site, and that nobody else sees it.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use end_to_end::guest::{Guest, Settings, verdict};
use end_to_end::site::{HOSTNAME, TestSite};
use end_to_end::{image, ntp};
use firmware_checks::check::State;
use firmware_checks::report::{Gate, Report, Verdict};

const BOOT: Duration = Duration::from_secs(1500);
/// In every secret of the site; nobody but those it is for may see it.
const CANARY: &str = "canary7f3a";
/// The containers, by the names of their images after `cht-`, each with the port of the real one.
const CONTAINERS: [(&str, &str, Option<u16>); 6] = [
    ("api", "cht-api", Some(5988)),
    ("couchdb", "cht-couchdb", Some(5984)),
    ("haproxy", "cht-haproxy", Some(5984)),
    ("healthcheck", "cht-haproxy-healthcheck", Some(5555)),
    ("nouveau", "cht-couchdb-nouveau", Some(5987)),
    ("sentinel", "cht-sentinel", None),
];

#[test]
#[ignore = "of more than an hour for all on a slow machine; run by `./make.sh test-all`"]
fn the_appliance_runs_with_the_sites_certificate_and_keeps_its_secrets() -> Result<()> {
    ntp::serve()?;
    let folder = image::scratch("cht");
    let recipe = recipe(&folder, registry()?)?;
    let site = site(&folder.join("site"))?;
    let built = image::build(&recipe, &folder.join("image"))?;
    let mut guest = Guest::start(&Settings {
        name: "cht/guest",
        image: &built,
        site: Some(&site),
        arguments: &["--disk-size", "12 GB", "--timeout", "1500"],
        ports: &[80, 443, 22, 5984],
        keep: true,
    })?;
    let report = guest.wait_for("the platform is accepted", BOOT, |report| report.gate == Gate::Accepted)?;
    every_check_passed(&report)?;
    https_answers_with_the_sites_certificate(&guest, &site)?;
    the_compose_file_is_what_it_should_be(&guest)?;
    docker_was_told_of_the_site(&guest)?;
    what_was_given_arrived(&guest)?;
    and_nobody_else_has_it(&guest, &site)
}

/// Told before anything is flashed, as the machine would.
#[test]
fn a_site_that_lacks_what_the_appliance_needs_is_told_precisely() -> Result<()> {
    let folder = image::scratch("cht-lacking");
    let recipe = recipe(&folder, 1)?;
    let text = fs::read_to_string(&recipe)?.replace("generate = true", "generate = false");
    fs::write(&recipe, text)?;
    let site = TestSite::make(&folder.join("site"))?;
    let check = || image::command().args(["site", "check"]).arg(&site.folder).arg(&recipe).output();
    let told = image::text(&check()?);
    for name in ["values.couchdb_password", "values.couchdb_secret", "values.couchdb_uuid"] {
        ensure!(told.contains(&format!("site.toml has no `{name}`")), "{name}: {told}");
    }
    let path = site.folder.join("site.toml");
    let whole = fs::read_to_string(&path)?;
    let values =
        format!("couchdb_password = \"{CANARY}\"\ncouchdb_secret = \"{CANARY}\"\ncouchdb_uuid = \"{CANARY}\"\n");
    fs::write(&path, format!("{whole}\n[values]\n{values}"))?;
    let given = check()?;
    ensure!(!image::text(&given).contains("site.toml has no `values"), "{}", image::text(&given));
    ensure!(!image::text(&given).contains(CANARY), "a secret is shown: {}", image::text(&given));
    let disk = "[[disks]]\nfolder = \"dta\"\nid = \"nvme-eui.00\"\n";
    fs::write(&path, format!("{whole}\n[values]\n{values}{disk}"))?;
    let disk = check()?;
    let told = image::text(&disk);
    ensure!(disk.status.code() == Some(1) && told.contains("no data folder `dta`; it has data"), "{told}");
    fs::write(&path, format!("{whole}\n[values]\n{values}[alert]\nwebhok = \"https://{CANARY}\"\n"))?;
    for arguments in [["site", "check"].as_slice(), &["site", "check", "--json"]] {
        let wrong = image::command().args(arguments).arg(&site.folder).arg(&recipe).output()?;
        ensure!(wrong.status.code() == Some(1) && image::text(&wrong).contains("webhok"), "{}", image::text(&wrong));
        ensure!(!image::text(&wrong).contains(CANARY), "a secret is shown: {}", image::text(&wrong));
    }
    Ok(())
}

/// `recipes/cht.toml` in `folder`, for a machine as small as one under test, with stand-ins laid into the image under the names
/// of the real containers, and on this host's `port` for their registry.
fn recipe(folder: &Path, port: u16) -> Result<PathBuf> {
    let shipped = image::repository().join("recipes");
    let compose = folder.join("cht/compose");
    fs::create_dir_all(&compose)?;
    fs::copy(shipped.join("cht/compose/.env"), compose.join(".env"))?;
    let yaml = fs::read_to_string(shipped.join("cht/compose/compose.yaml"))?;
    // CouchDB is given its password as a file, too.
    let yaml = replaced(&yaml, "      SVC_NAME: couchdb\n", "      SVC_NAME: couchdb\n    secrets: [password]\n")?;
    let password = "secrets:\n  password:\n    file: /run/firstlight/given/secrets/password\n  certificate:";
    fs::write(compose.join("compose.yaml"), replaced(&yaml, "secrets:\n  certificate:", password)?)?;
    let mut text = fs::read_to_string(shipped.join("cht.toml"))?;
    let registry = format!("http://10.0.2.2:{port}/v2/");
    for (from, to) in [
        ("https://public.ecr.aws/v2/", registry.as_str()),
        ("minimum = \"4 GiB\"", "minimum = \"1.5 GB\""),
        ("minimum = \"50 GB\"", "minimum = \"1 GB\""),
        ("[requirements]\n", "[platform.secrets]\npassword = \"values.couchdb_password\"\n\n[requirements]\n"),
    ] {
        text = replaced(&text, from, to)?;
    }
    text += "\n[[requirements.egress]]\nname = \"nowhere\"\nurl = \"https://registry.firstlight.test/\"\nneed = \"recommended\"\n\n";
    text += &stand_ins(folder, &version(&shipped)?)?;
    let path = folder.join("cht.toml");
    fs::write(&path, text)?;
    Ok(path)
}

/// Answers as a registry does that wants a login, and as no other server; gives its port.
fn registry() -> Result<u16> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 1024];
            let count = stream.read(&mut head).unwrap_or_default();
            let asked = head[..count].starts_with(b"GET /v2/ HTTP/1.1\r\n");
            let status = if asked { "401 Unauthorized" } else { "404 Not Found" };
            let _ = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        }
    });
    Ok(port)
}

fn replaced(text: &str, from: &str, to: &str) -> Result<String> {
    ensure!(text.matches(from).count() == 1, "`{from}` does not stand once in the recipe");
    Ok(text.replace(from, to))
}

fn version(shipped: &Path) -> Result<String> {
    let variables = fs::read_to_string(shipped.join("cht/compose/.env"))?;
    let version = variables.lines().find_map(|line| line.strip_prefix("CHT_VERSION="));
    Ok(version.context("cht/compose/.env says no CHT_VERSION")?.to_owned())
}

/// The entries of the stand-ins, whose files are written to `folder`.
fn stand_ins(folder: &Path, version: &str) -> Result<String> {
    let nginx = folder.join("stand-in/nginx/etc/nginx");
    fs::create_dir_all(&nginx)?;
    fs::write(nginx.join("nginx.conf"), NGINX)?;
    for (file, content) in [("passwd", "root:x:0:0::/root:/bin/sh\n"), ("group", "root:x:0:\n")] {
        fs::write(folder.join("stand-in/nginx/etc").join(file), content)?;
    }
    let entry = |image: &str, packages: &str, files: Option<&str>, entrypoint: &str| {
        let files = files.map(|files| format!("files = \"{files}\"\n")).unwrap_or_default();
        format!(
            "\n[[images]]\nname = \"public.ecr.aws/medic/{image}:{version}\"\npackages = {packages}\n{files}entrypoint = {entrypoint}\n"
        )
    };
    let foreground = "[\"/usr/sbin/nginx\", \"-e\", \"stderr\", \"-g\", \"daemon off;\"]";
    let mut text = entry("cht-nginx", "[\"base-files\", \"nginx\"]", Some("stand-in/nginx"), foreground);
    for (service, image, port) in CONTAINERS {
        let page = folder.join("stand-in").join(service).join("stand-in");
        fs::create_dir_all(&page)?;
        fs::write(page.join("index.html"), format!("a stand-in for {service}\n"))?;
        let command = match port {
            Some(port) => format!("[\"/bin/busybox\", \"httpd\", \"-f\", \"-p\", \"{port}\", \"-h\", \"/stand-in\"]"),
            None => "[\"/bin/busybox\", \"sleep\", \"1000000\"]".to_owned(),
        };
        text += &entry(image, "[\"busybox-static\"]", Some(&format!("stand-in/{service}")), &command);
    }
    Ok(text)
}

const NGINX: &str = "\
user root;
events {}
http {
    access_log off;
    resolver 127.0.0.11;
    server { listen 80; return 301 https://$host$request_uri; }
    server {
        listen 443 ssl;
        ssl_certificate /etc/nginx/private/cert.pem;
        ssl_certificate_key /etc/nginx/private/key.pem;
        location / { set $api http://api:5988; proxy_pass $api; }
    }
}
";

/// A good site that gives everything that can be a secret.
fn site(folder: &Path) -> Result<TestSite> {
    let site = TestSite::make(folder)?;
    let path = folder.join("site.toml");
    let more = format!(
        "\n[values]\ncouchdb_password = \"{CANARY}-password\"\n\n[proxy]\nhttps = \"http://user:{CANARY}-proxy@10.0.2.2:3128\"\n\
         no_proxy = [\".firstlight.test\"]\n\n[[registries]]\nname = \"docker.io\"\nmirrors = [\"https://mirror.firstlight.test\"]\n\
         username = \"user\"\npassword = \"{CANARY}-registry\"\n\n[alert]\nwebhook = \"https://alerts.firstlight.test/{CANARY}-hook\"\n\n\
         [backup]\ntime = \"02:30\"\n[backup.s3]\nendpoint = \"https://s3.firstlight.test\"\nbucket = \"backup\"\n\
         access_key = \"{CANARY}-access\"\nsecret_key = \"{CANARY}-secret\"\n\n[containers]\nnetwork = \"10.213.0.0/16\"\n"
    );
    fs::write(&path, fs::read_to_string(&path)? + &more)?;
    Ok(site)
}

fn every_check_passed(report: &Report) -> Result<()> {
    ensure!(report.ready, "not ready: {report:#?}");
    for id in
        ["site.fields", "network.cidr", "tls.chain", "ports.listening", "platform.container", "platform.containers"]
    {
        verdict(report, id)?;
    }
    let fine = |check: &&Verdict| matches!(check.state, State::Pass | State::NotApplicable);
    let others: Vec<_> = report.checks.iter().filter(|check| !fine(check)).collect();
    let ids: Vec<String> =
        others.iter().map(|check| check.subject.clone().unwrap_or_else(|| check.id.clone())).collect();
    // No name server knows the second server, nor those of the site; nothing is the proxy; the authority is the test's own, which
    // phones would refuse.
    let warned = others.iter().all(|check| check.state == State::Warn);
    let expected =
        ["nowhere", "webhook", "backup.reachable", "mirror.firstlight.test", "registry-1.docker.io", "tls.public"];
    ensure!(ids == expected && warned, "these did not pass: {others:#?}");
    ensure!(others[4].observed.starts_with("no connection through the proxy"), "{:#?}", others[4]);
    ensure!(others[0].observed.contains("registry.firstlight.test leads nowhere"), "{:#?}", others[0]);
    let registry = report.checks.iter().find(|check| check.subject.as_deref() == Some("images"));
    let registry = registry.context("the registry was not asked")?;
    ensure!(registry.observed == "10.0.2.2 answers with status 401", "{registry:#?}");
    Ok(())
}

fn curl(arguments: &[&str], site: &TestSite, url: &str, port: u16) -> Result<Output> {
    let mut curl = Command::new("curl");
    curl.args(["--silent", "--show-error", "--max-time", "60", "--cacert"]).arg(site.folder.join("ca.crt"));
    curl.args(["--resolve", &format!("{HOSTNAME}:{port}:127.0.0.1")]).args(arguments).arg(url);
    curl.output().context("starting curl")
}

fn https_answers_with_the_sites_certificate(guest: &Guest, site: &TestSite) -> Result<()> {
    let port = guest.port(443);
    let page = curl(&[], site, &format!("https://{HOSTNAME}:{port}/"), port)?;
    ensure!(page.status.success() && image::text(&page).contains("a stand-in for api"), "{}", image::text(&page));
    let port = guest.port(80);
    let plain = curl(&["--head"], site, &format!("http://{HOSTNAME}:{port}/"), port)?;
    ensure!(image::text(&plain).contains("301") && image::text(&plain).contains("https://"), "{}", image::text(&plain));
    let database =
        curl(&["--max-time", "10"], site, &format!("http://{HOSTNAME}:{}/", guest.port(5984)), guest.port(5984))?;
    ensure!(!database.status.success(), "the database can be reached from outside: {}", image::text(&database));
    Ok(())
}

/// As the engine reads it, with what the machine gives.
fn the_compose_file_is_what_it_should_be(guest: &Guest) -> Result<()> {
    let given = "set -a; . /run/firstlight/given/environment; cd /usr/share/firstlight/compose/cht";
    let text = guest.shell(&format!("sudo sh -c '{given}; docker compose config --format json'"))?;
    let config: serde_json::Value = serde_json::from_str(&text)?;
    let services = config["services"].as_object().context("no services")?;
    let names: Vec<&str> = services.keys().map(String::as_str).collect();
    ensure!(names == ["api", "couchdb", "haproxy", "healthcheck", "nginx", "nouveau", "sentinel"], "{names:?}");
    for (name, service) in services {
        let published: Vec<_> =
            service["ports"].as_array().into_iter().flatten().map(|port| port["target"].clone()).collect();
        let expected: Vec<serde_json::Value> = if name == "nginx" { vec![80.into(), 443.into()] } else { Vec::new() };
        ensure!(published == expected, "{name} publishes {published:?}");
        ensure!(service["restart"] == "unless-stopped", "{name} does not come back after a power cut");
    }
    ensure!(config["secrets"]["key"]["file"] == "/etc/firstlight/site/tls.key", "{}", config["secrets"]);
    ensure!(services["nginx"]["environment"]["COMMON_NAME"] == HOSTNAME, "{}", services["nginx"]["environment"]);
    Ok(())
}

fn docker_was_told_of_the_site(guest: &Guest) -> Result<()> {
    let info: serde_json::Value = serde_json::from_str(&guest.shell("sudo docker info --format '{{json .}}'")?)?;
    ensure!(info["LiveRestoreEnabled"] == true && info["LoggingDriver"] == "local", "{info:#}");
    ensure!(
        info["RegistryConfig"]["Mirrors"][0].as_str().is_some_and(|url| url.contains("mirror.firstlight.test")),
        "{info:#}"
    );
    ensure!(
        info["HttpsProxy"].as_str().is_some_and(|proxy| proxy.contains("10.0.2.2:3128")),
        "no proxy: {}",
        info["HttpsProxy"]
    );
    let log = guest.shell("sudo docker inspect --format '{{json .HostConfig.LogConfig}}' cht-couchdb-1")?;
    ensure!(log.contains("\"Type\":\"local\"") && log.contains("\"max-size\":\"20m\""), "log limits: {log}");
    let networks = guest.shell("sudo docker network inspect bridge cht_cht --format '{{json .IPAM.Config}}'")?;
    ensure!(networks.contains("10.213.255.") && networks.contains("\"10.213.0.0/24\""), "networks: {networks}");
    Ok(())
}

fn what_was_given_arrived(guest: &Guest) -> Result<()> {
    let variables = guest.shell("sudo docker exec cht-couchdb-1 /bin/busybox env")?;
    let value =
        |name: &str| variables.lines().find_map(|line| line.strip_prefix(&format!("{name}="))).map(str::to_owned);
    ensure!(value("COUCHDB_PASSWORD").as_deref() == Some(&format!("{CANARY}-password")), "the password: {variables}");
    let made = value("COUCHDB_SECRET").unwrap_or_default();
    ensure!(made.len() == 32 && made.chars().all(|c| c.is_ascii_hexdigit()), "the machine's own secret: {variables}");
    let kept =
        guest.shell("sudo stat -c '%a %U' /var/lib/firstlight/values /var/lib/firstlight/values/couchdb_secret")?;
    ensure!(kept.lines().eq(["700 root", "600 root"]), "{kept}");
    let file = guest.shell("sudo docker exec cht-couchdb-1 /bin/busybox cat /run/secrets/password")?;
    ensure!(file == format!("{CANARY}-password"), "the file: {file}");
    let other = guest.shell("sudo docker exec cht-nouveau-1 /bin/busybox env")?;
    ensure!(!other.contains(CANARY), "a container that was given nothing: {other}");
    Ok(())
}

/// Neither the journal, nor a report, a console, a unit's properties, nor any file that others than root can read.
fn and_nobody_else_has_it(guest: &Guest, site: &TestSite) -> Result<()> {
    let key = fs::read_to_string(site.folder.join("tls.key"))?;
    let key = key.lines().nth(1).context("an empty key")?.to_owned();
    let made = guest.shell("sudo cat /var/lib/firstlight/values/couchdb_secret")?;
    let formats = "for f in text json junit prometheus; do sudo firmware-checks report --format $f || true; done";
    let units = "systemctl show 'firstlight-*' docker.service containerd.service firmware-checks.service";
    let told = guest.shell(&format!(
        "sudo journalctl --boot --no-pager; {formats}; {units}; cat /etc/issue /run/issue.d/* 2>/dev/null || true"
    ))?;
    let console = guest.console()?;
    for secret in [CANARY, made.trim(), &key] {
        ensure!(!told.contains(secret), "{secret} is in the journal, a report or a unit");
        ensure!(!console.contains(secret), "{secret} is on the console");
        let folders = "/etc /run /var /tmp /home /usr/lib/firstlight /usr/share/firstlight /srv";
        let found = guest.shell(&format!(
            "sudo find {folders} -xdev -type f -perm /044 -size -2048k -exec grep -lF -e '{secret}' {{}} + || true"
        ))?;
        // Which folder keeps others out counts as much as the file's own mode.
        for path in found.lines() {
            let read =
                guest.shell(&format!("sudo -u nobody head -c 1 '{path}' >/dev/null 2>&1 && echo readable || true"))?;
            ensure!(read.trim().is_empty(), "{secret} is in {path}, which anybody can read");
        }
    }
    for path in ["/run/firstlight/given/environment", "/run/firstlight/proxy.env", "/run/firstlight/docker/config.json"]
    {
        let mode = guest.shell(&format!("sudo stat -c '%a %U' {path}"))?;
        ensure!(mode.trim() == "600 root", "{path}: {mode}");
    }
    Ok(())
}
