//! microk8s and Kaapana: snaps are believed by their assertions alone, seeded, and start behind the gate.
//!
//! Neither microk8s nor a snap store can be had here, and Debian's snapd trusts no root but Canonical's. So the store is a stand-in (a
//! folder that is served), the snaps and what signs them are made here, and `microk8s/overlays` replaces Debian's snapd by a
//! stand-in that takes the seed as snapd does. What snapd's own code says of such a seed is told by Debian's `snap debug
//! validate-seed`, as far as its root of trust allows.

#[path = "microk8s/data_disks.rs"]
mod data_disks;

use std::fs;
use std::io::Cursor;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use backhand::{FilesystemWriter, NodeHeader};
use end_to_end::guest::{Guest, Settings, verdict};
use end_to_end::mirror::{Fault, Mirror};
use end_to_end::renewal::switch_off;
use end_to_end::site::TestSite;
use end_to_end::snap_authority::{Authority, Key};
use end_to_end::snap_store::SnapStore;
use end_to_end::{image, judge, ntp};
use firmware_checks::check::State;
use firmware_checks::report::{Gate, Report};
use firstlight::recipe;
use serde_json::Value;

const BOOT: Duration = Duration::from_secs(420);

/// The snaps of the shipped recipe, as this test's store has them: name, channel, and what their snap.yaml says besides.
const SNAPS: [(&str, &str, &str); 5] = [
    ("snapd", "latest/stable", "type: snapd"),
    ("core20", "latest/stable", "type: base"),
    ("microk8s", "1.33/stable", "base: core20\nconfinement: classic\narchitectures: [amd64]"),
    ("core24", "latest/stable", "type: base"),
    ("helm", "latest/stable", "base: core24\nconfinement: classic"),
];
/// Thresholds of the shipped recipe, and stand-ins that the machine under test meets.
const THRESHOLDS: [(&str, &str); 6] = [
    ("cpu = { minimum = 8, recommended = 16 }", "cpu = { minimum = 2 }"),
    ("memory = { minimum = \"64 GB\", recommended = \"128 GB\" }", "memory = { minimum = \"1 GB\" }"),
    ("minimum = \"100 GB\"\nrecommended = \"200 GB\"", "minimum = \"0.5 GB\""),
    ("minimum = \"100 GB\"", "minimum = \"0.5 GB\""),
    ("from = [\"local\"]", "from = [\"any\"]"),
    ("[requirements.site]\nalert = \"recommended\"\nbackup = \"recommended\"\n", ""),
];

/// The shipped recipe with snaps from a store of this test's.
struct Bench {
    top: PathBuf,
    mirror: Mirror,
    store: SnapStore,
    authority: Authority,
}

impl Bench {
    fn new(name: &str) -> Result<Self> {
        let top = image::scratch(name);
        let _ = fs::remove_dir_all(&top);
        fs::create_dir_all(top.join("www"))?;
        let here = image::repository().join("tests/tests/microk8s");
        judge::run("cp", &["-r", &here.join("overlays").display().to_string(), &top.display().to_string()])?;
        let mirror = Mirror::serve(&top.join("www"))?;
        let authority = Authority::generate();
        let store = SnapStore::new(&top.join("www"), &mirror.url(), &authority)?;
        let bench = Self { top, mirror, store, authority };
        for (number, (name, channel, yaml)) in SNAPS.into_iter().enumerate() {
            let content = snap(name, yaml, &here.join("snap"))?;
            bench.store.publish(&bench.authority, name, channel, number as u64 + 1, &content)?;
        }
        fs::write(bench.top.join("roots.assert"), bench.authority.roots())?;
        fs::write(bench.top.join("model.assert"), bench.authority.model())?;
        bench.write_recipe(&|text| text)?;
        Ok(bench)
    }

    fn recipe(&self) -> PathBuf {
        self.top.join("kaapana.toml")
    }

    fn lock(&self) -> PathBuf {
        self.top.join("kaapana.debian-13.lock")
    }

    /// The shipped recipe on Debian 13, with this test's store, the stand-in for snapd, an image made of packages, stand-ins for the
    /// thresholds, and `change`.
    fn write_recipe(&self, change: &dyn Fn(String) -> String) -> Result<()> {
        let mut text = fs::read_to_string(image::repository().join("recipes/kaapana.toml"))?;
        let own = format!(
            "kind = \"microk8s\"\nstore = \"{}\"\ntrusted = \"roots.assert\"\nmodel = \"model.assert\"",
            self.mirror.url()
        );
        let bases = "bases = [\"debian-13\"]\noverlays = [\"snapd-stand-in\"]";
        let shipped = "bases = [\"ubuntu-24.04\", \"ubuntu-22.04\", \"almalinux-9\", \"debian-13\"]";
        for (from, to) in THRESHOLDS.into_iter().chain([("kind = \"microk8s\"", own.as_str()), (shipped, bases)]) {
            ensure!(text.contains(from), "the shipped recipe has no `{from}`");
            text = text.replace(from, to);
        }
        text += "\n[[images]]\nname = \"firstlight/pause:1\"\npackages = [\"base-files\"]\nentrypoint = [\"/pause\"]\n";
        Ok(fs::write(self.recipe(), change(text))?)
    }

    fn run(&self, words: &[&str]) -> Result<Output> {
        let mut command = image::command();
        command.arg(words[0]).arg(self.recipe()).args(&words[1..]);
        command.output().context("starting firstlight")
    }

    /// Locking must fail as the user's error, say each of `words`, and leave no lock.
    fn refuses(&self, what: &str, words: &[&str]) -> Result<()> {
        let output = self.run(&["lock"])?;
        let text = image::text(&output);
        ensure!(output.status.code() == Some(1), "{what}: {text}");
        for word in words {
            ensure!(text.contains(word), "{what}: `{word}` is not in: {text}");
        }
        ensure!(!self.lock().exists(), "{what}: a lock was left");
        Ok(())
    }
}

/// A stand-in for the snap `name`; microk8s's has the programs of `tree`.
fn snap(name: &str, yaml: &str, tree: &Path) -> Result<Vec<u8>> {
    let mut snap = FilesystemWriter::default();
    let header = |permissions| NodeHeader { permissions, uid: 0, gid: 0, mtime: 0 };
    snap.push_dir("meta", header(0o755))?;
    let yaml = format!("name: {name}\nversion: '1'\n{yaml}\n");
    snap.push_file(Cursor::new(yaml.into_bytes()), "meta/snap.yaml", header(0o644))?;
    if name == "microk8s" {
        for folder in ["bin", "meta/hooks"] {
            snap.push_dir(folder, header(0o755))?;
            for entry in fs::read_dir(tree.join(folder))? {
                let entry = entry?;
                let executable = entry.metadata()?.permissions().mode() & 0o100 != 0;
                ensure!(executable, "{} is not executable", entry.path().display());
                let to = Path::new(folder).join(entry.file_name());
                snap.push_file(Cursor::new(fs::read(entry.path())?), to, header(0o755))?;
            }
        }
    }
    let mut content = Cursor::new(Vec::new());
    snap.write(&mut content)?;
    Ok(content.into_inner())
}

#[test]
fn snaps_that_cannot_be_believed_are_refused_when_locking() -> Result<()> {
    let bench = Bench::new("microk8s-refused")?;
    bench.mirror.fail("microk8s-id_3.snap", Fault::FlipBit(200), 1);
    bench.refuses("a tampered snap", &["the snap microk8s: found the SHA3-384", "expected"])?;

    let path = "v2/assertions/snap-declaration/16/helm-id";
    let good = bench.authority.declaration("helm-id", "helm");
    let stranger = Key::generate();
    let other = Authority { store: stranger, ..bench.authority.clone() };
    bench.store.put(path, good.replacen("snap-name: helm", "snap-name: hell", 1))?;
    bench.refuses("a changed assertion", &["snap-declaration 16 helm-id", "not over this content"])?;
    bench.store.put(path, other.declaration("helm-id", "helm"))?;
    bench.refuses("a broken chain", &["there is no such assertion", &other.store.id])?;
    bench.store.put(path, good)?;

    bench.write_recipe(&|text| text.replace("    { name = \"core24\", channel = \"latest/stable\" },\n", ""))?;
    bench.refuses("a missing base", &["the snap helm runs on core24, which is not among them"])?;
    bench.write_recipe(&|text| text.replace("\"1.33/stable\"", "\"1.99/stable\""))?;
    bench.refuses(
        "a channel that is not there",
        &["no channel `1.99/stable` for amd64; found other/edge, 1.33/stable"],
    )?;
    bench.write_recipe(&|text| text.replace("trusted = \"roots.assert\"\nmodel = \"model.assert\"\n", ""))?;
    bench.refuses("Canonical's root of trust", &["-CvQKAwRQ5h3Ffn10FILJoEZUXOv6km9FwA80-Rcj-f-6jadQ89VRswHNiEB9Lxk"])
}

#[test]
#[ignore = "of more than an hour for all on a slow machine; run by `./make.sh test-all`"]
fn kaapana_starts_behind_the_gate_and_a_machine_that_is_too_small_is_told_so() -> Result<()> {
    ntp::serve()?;
    let bench = Bench::new("microk8s")?;
    let output = bench.run(&["lock"])?;
    ensure!(output.status.success(), "{}", image::text(&output));
    let asked = bench.mirror.requests().len();
    let out = bench.top.join("out");
    let output = bench.run(&["build", "--locked", "--out", &out.display().to_string()])?;
    ensure!(output.status.success(), "{}", image::text(&output));
    ensure!(bench.mirror.requests().len() == asked, "the build asked the store: {:?}", bench.mirror.requests());
    let built = out.join("kaapana-0.5.1-debian-13-amd64.raw");
    what_snapd_says_of_the_seed(&bench, &built)?;

    let site = TestSite::make(&bench.top.join("site"))?;
    let (empty, strangers) = data_disks::name(&site, &bench.top)?;
    let state = bench.top.join("state.qcow2").display().to_string();
    let disks = [&empty, &strangers].map(|path| path.display().to_string());
    let start = |site| {
        Guest::start(&Settings {
            name: "microk8s/guest",
            image: &built,
            site,
            arguments: &["--disk-size", "12 GB", "--state", &state, "--disk", &disks[0], "--disk", &disks[1]],
            ports: &[22, 443, 11112, 16443, 10250, 25000],
            keep: true,
        })
    };
    let mut guest = start(Some(&site))?;
    let before = fs::read(&strangers)?;
    data_disks::one_is_taken_and_one_refused(&mut guest, BOOT)?;
    let report = guest.wait_for("the platform is accepted", BOOT, |report| report.gate == Gate::Accepted)?;
    data_disks::the_folder_lies_on_its_disk(&guest, &report)?;
    ensure!(before == fs::read(&strangers)?, "a disk that was not empty was written");
    the_node_is_judged(&report)?;
    nothing_started_before_the_gate(&guest)?;
    the_seed_was_taken(&guest)?;
    a_service_of_the_snap_waits_for_the_gate(&guest)?;
    only_what_the_recipe_names_is_reached(&guest)?;
    guest.shell("echo kept | sudo tee /srv/kaapana/fast/marker")?;
    switch_off(guest)?;

    // Powered on again, without the stick.
    let mut guest = start(None)?;
    guest.log_in_with(&site.ssh_key);
    let report =
        guest.wait_for("the platform is on again", BOOT, |report| report.gate == Gate::Accepted && report.ready)?;
    data_disks::the_folder_lies_on_its_disk(&guest, &report)?;
    ensure!(guest.shell("cat /srv/kaapana/fast/marker")? == "kept\n");
    ensure!(before == fs::read(&strangers)?, "a disk that was not empty was written");
    the_real_thresholds_say_why_not(&guest)
}

/// Debian's own `snap` reads the seed of the image: it finds nothing wrong but its root of trust; told to do without assertions,
/// and with the model that it trusts, nothing at all; and it misses a base that is taken away.
fn what_snapd_says_of_the_seed(bench: &Bench, built: &Path) -> Result<()> {
    let programs = real_snapd(bench)?;
    let root = bench.top.join("root.ext4");
    judge::extract_partition(built, "root", &root)?;
    judge::debugfs(&root, &format!("rdump /var/lib/snapd/seed {}", bench.top.display()))?;
    fs::remove_file(&root)?;
    let seed = bench.top.join("seed");
    let validate = || -> Result<Output> {
        let path = format!("{}:{}", programs.display(), std::env::var("PATH")?);
        let mut command = Command::new(programs.join("snap"));
        command.args(["debug", "validate-seed"]).arg(seed.join("seed.yaml")).env("PATH", path);
        command.output().context("starting Debian's snap")
    };
    let told = image::text(&validate()?);
    ensure!(told.contains(&format!("account-key ({})", bench.authority.root.id)), "snapd trusts a test's root: {told}");
    fs::remove_dir_all(seed.join("assertions"))?;
    fs::create_dir(seed.join("assertions"))?;
    fs::write(seed.join("assertions/model"), firstlight::snap::GENERIC_CLASSIC)?;
    let yaml = fs::read_to_string(seed.join("seed.yaml"))?;
    fs::write(seed.join("seed.yaml"), yaml.replace("  file: ", "  unasserted: true\n  file: "))?;
    let output = validate()?;
    ensure!(output.status.success(), "{}", image::text(&output));
    let yaml = fs::read_to_string(seed.join("seed.yaml"))?;
    let start = yaml.find("- name: core20").context("no core20")?;
    let end = start + yaml[start..].find("- name: microk8s").context("no microk8s after it")?;
    fs::write(seed.join("seed.yaml"), format!("{}{}", &yaml[..start], &yaml[end..]))?;
    let told = image::text(&validate()?);
    ensure!(told.contains("base \"core20\" is missing"), "{told}");
    Ok(())
}

/// A folder with Debian's `snap` and `unsquashfs`, out of the packages that the image is made of, each run by the C library that it
/// was made for.
fn real_snapd(bench: &Bench) -> Result<PathBuf> {
    let tools = bench.top.join("snapd");
    fs::create_dir_all(&tools)?;
    let loaded = recipe::load(&bench.recipe(), None)?;
    let lock = firstlight::lock::read(&bench.lock(), &loaded)?.context("no lock")?;
    let store = firstlight::store::Store::open(&image::cache())?;
    let needed = [
        "snapd",
        "squashfs-tools",
        "libc6",
        "libapparmor1",
        "libseccomp2",
        "libudev1",
        "libcap2",
        "liblzo2-2",
        "liblz4-1",
        "liblzma5",
        "libzstd1",
        "zlib1g",
    ];
    for name in needed {
        let package = lock.system.packages.iter().find(|one| one.name == name).with_context(|| format!("no {name}"))?;
        let deb = store.path(&package.sha256).with_context(|| format!("{name} is not in the store"))?;
        judge::run("dpkg-deb", &["-x", &deb.display().to_string(), &tools.display().to_string()])?;
    }
    let (libraries, programs) = (tools.join("usr/lib/x86_64-linux-gnu"), tools.join("programs"));
    fs::create_dir(&programs)?;
    for name in ["snap", "unsquashfs"] {
        let (loader, program) = (libraries.join("ld-linux-x86-64.so.2"), tools.join("usr/bin").join(name));
        let (loader, libraries, program) = (loader.display(), libraries.display(), program.display());
        let script = programs.join(name);
        fs::write(&script, format!("#!/bin/sh\nexec {loader} --library-path {libraries} {program} \"$@\"\n"))?;
        fs::set_permissions(&script, fs::Permissions::from_mode(0o755))?;
    }
    Ok(programs)
}

fn the_node_is_judged(report: &Report) -> Result<()> {
    ensure!(report.ready, "not ready: {report:#?}");
    for (id, words) in [
        ("platform.units", "active"),
        ("platform.versions", "revision 3"),
        ("platform.node", "Ready"),
        ("platform.containers", "running"),
        ("ports.listening", ""),
        ("firewall.ingress", ""),
    ] {
        let found = verdict(report, id)?;
        ensure!(found.state == State::Pass && found.observed.contains(words), "{found:#?}");
    }
    ensure!(!report.checks.iter().any(|check| check.id == "platform.container"), "Docker's probe was asked for");
    Ok(())
}

/// snapd and what it starts came up after the gate had opened, and nothing but the gate wants them.
fn nothing_started_before_the_gate(guest: &Guest) -> Result<()> {
    let seconds = |text: String| -> Result<f64> { Ok(text.split_whitespace().next().context("empty")?.parse()?) };
    let opened = guest.shell("systemctl show platform.target --property=ActiveEnterTimestampMonotonic --value")?;
    let opened: f64 = opened.trim().parse::<f64>()? / 1e6;
    for file in ["/var/lib/snapd/stand-in/started", "/var/snap/microk8s/common/daemon-started"] {
        let started = seconds(guest.shell(&format!("sudo cat {file}"))?)?;
        let conditioned = guest.shell("sudo stat -c %Y /run/firstlight/gate-open; stat -c %Y /proc/1")?;
        let times: Vec<f64> = conditioned.lines().map(str::parse).collect::<Result<_, _>>()?;
        ensure!(
            started + 1.5 >= times[0] - times[1],
            "{file}: {started} s, the gate opened {} s after the boot",
            times[0] - times[1]
        );
        ensure!(opened > 0.0, "platform.target is not active");
    }
    for unit in ["snapd.service", "snapd.socket", "snapd.seeded.service"] {
        let state = guest.shell(&format!("systemctl is-enabled {unit} || true"))?;
        ensure!(state.trim() == "disabled", "{unit} is {state}");
        let conditions = guest.shell(&format!("systemctl cat {unit}"))?;
        ensure!(conditions.contains("ConditionPathExists=/run/firstlight/gate-open"), "{unit}: {conditions}");
    }
    Ok(())
}

fn the_seed_was_taken(guest: &Guest) -> Result<()> {
    let names = guest.shell("sudo cat /var/lib/snapd/stand-in/snaps")?;
    ensure!(
        names
            .lines()
            .map(|line| line.split(' ').next().unwrap_or_default())
            .eq(["snapd", "core20", "microk8s", "core24", "helm"]),
        "{names}"
    );
    let launch = guest.shell("sudo cat /var/snap/microk8s/common/etc/launcher/install.yaml")?;
    for word in ["0.1.0", "--service-node-port-range", "80-32000", "name: rbac", "--terminated-pod-gc-threshold"] {
        ensure!(launch.contains(word), "`{word}` is not in {launch}");
    }
    let images = guest.shell("sudo tar -tf /var/snap/microk8s/common/etc/sideload/firstlight_pause_1.tar")?;
    ensure!(images.contains("manifest.json"), "{images}");
    ensure!(
        guest.shell("findmnt --noheadings --output SOURCE /var/snap")?.contains("/snap]"),
        "/var/snap is not on the data partition"
    );
    ensure!(guest.shell("cat /proc/sys/vm/max_map_count")?.trim() == "262144");
    ensure!(guest.shell("sudo microk8s version")?.contains("revision 3"), "sudo finds no snap's command");
    let failed = guest.shell("systemctl --failed --no-legend --plain")?;
    ensure!(failed.trim().is_empty(), "failed units: {failed}");
    Ok(())
}

/// snapd enables the services of snaps for every boot: the gate must still come first.
fn a_service_of_the_snap_waits_for_the_gate(guest: &Guest) -> Result<()> {
    let unit = "snap.microk8s.daemon-kubelite.service";
    ensure!(guest.shell(&format!("systemctl is-enabled {unit}"))?.trim() == "enabled");
    guest.shell("sudo mv /run/firstlight/gate-open /run/firstlight/gate-hidden")?;
    guest.shell(&format!("sudo systemctl restart {unit}"))?;
    let shut = guest.shell(&format!("systemctl is-active {unit} || true"))?;
    guest.shell("sudo mv /run/firstlight/gate-hidden /run/firstlight/gate-open")?;
    ensure!(shut.trim() == "inactive", "with the gate shut it is {shut}");
    guest.shell("sudo systemctl restart firstlight-microk8s.service")?;
    ensure!(guest.shell(&format!("systemctl is-active {unit}"))?.trim() == "active", "nobody started it again");
    Ok(())
}

fn only_what_the_recipe_names_is_reached(guest: &Guest) -> Result<()> {
    let reached = |port: u16| {
        let port = guest.port(port).to_string();
        let output = Command::new("curl")
            .args(["--silent", "--http0.9", "--max-time", "8", &format!("http://127.0.0.1:{port}/")])
            .output();
        output.map(|output| String::from_utf8_lossy(&output.stdout).contains("stand-in"))
    };
    for port in [443, 11112] {
        ensure!(reached(port)?, "port {port} is not reached");
    }
    let listening = guest.shell("ss --listening --tcp --numeric --no-header")?;
    for port in [16443, 10250, 25000] {
        ensure!(listening.contains(&format!(":{port} ")), "nothing listens on {port}: {listening}");
        ensure!(!reached(port)?, "port {port} of the cluster is reached from outside");
    }
    Ok(())
}

/// The shipped recipe's own thresholds, judged by this machine's own checks.
fn the_real_thresholds_say_why_not(guest: &Guest) -> Result<()> {
    let shipped = recipe::load(&image::repository().join("recipes/kaapana.toml"), Some("debian-13"))?;
    let path = "/usr/lib/firstlight/appliance.json";
    let mut appliance: Value = serde_json::from_str(&guest.shell(&format!("cat {path}"))?)?;
    appliance["requirements"] = serde_json::to_value(&shipped.recipe.requirements)?;
    guest.shell_with(&format!("sudo tee {path} > /dev/null"), &serde_json::to_string(&appliance)?)?;
    // The service has read it when it started.
    guest.shell("sudo systemctl restart firmware-checks.service && sudo firmware-checks run; test $? = 1")?;
    let report: Report = serde_json::from_str(&guest.shell("firmware-checks report --format json; test $? = 1")?)?;
    ensure!(!report.ready, "{report:#?}");
    for (id, required) in [("cpu.cores", "8"), ("memory.total", "64 GB"), ("disk.size", "200 GB")] {
        let found = report.checks.iter().find(|check| check.id == id && check.state == State::Fail);
        let found = found.with_context(|| format!("{id} did not fail: {report:#?}"))?;
        ensure!(found.required.contains(required) && found.remedy.is_some(), "{found:#?}");
    }
    Ok(())
}
