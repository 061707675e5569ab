//! The service as a whole, in mount and network namespaces of its own, with a stand-in for systemctl: it opens the
//! gate, keeps it open over a boot, and judges a clone anew. Needs root, unshare (util-linux) and nft.

use std::path::Path;
use std::process::Command;

const APPLIANCE: &str = r#"{"name":"hello","version":"1.0","base":"debian-13",
"os":{"id":"debian","version_id":"VERSION"},"locked":"2020-01-01T00:00:00Z",
"platform":{"kind":"docker","probe_image":"firstlight/probe:1","projects":["hello"]},
"boot":{"vendor":"debian","shim":"/lib/shim","mok_manager":"/lib/mm","grub":"/lib/grub","bios_modules":"/lib/modules"},"requirements":{}}"#;

/// What every scenario begins with: empty folders of its own, so that this host's are neither read nor changed.
const BEGIN: &str = r#"
set -u
for folder in /usr/lib/firstlight /etc/firstlight /run/firstlight /run/issue.d /var/lib/firstlight; do
    mkdir -p $folder && mount -t tmpfs none $folder || exit 90
done
# The devices of the new network namespace; and not this host's consoles.
mount -t sysfs none /sys && mount -t tmpfs none /sys/class/tty || exit 90
ip link set lo up
ip link add uplink0 type veth peer name far0 && ip addr add 192.0.2.7/24 dev uplink0 || exit 90
ip link set uplink0 up && ip link set far0 up
cp "$T/appliance.json" /usr/lib/firstlight/
# An admin who can log in, whoever this host knows.
cp /etc/passwd /etc/shadow "$T/"
echo 'admin:x:1000:1000::/home/admin:/bin/sh' >> "$T/passwd"
printf 'admin:$6$firstlight$%086d:20000::::::\n' 0 >> "$T/shadow"
mount --bind "$T/passwd" /etc/passwd && mount --bind "$T/shadow" /etc/shadow || exit 90
export PATH=$T:$PATH
: > "$T/systemctl.log"
until_report() { for i in $(seq 300); do [ -e /run/firstlight/report.json ] && return; sleep 0.1; done; exit 91; }
serve() { $B serve 2>>"$T/journal" & until_report; }
reboot() { kill $!; wait $! 2>/dev/null; rm -rf /run/firstlight/*; : > "$T/systemctl.log"; : > "$T/journal"; }
gate() { grep -o '"gate": "[a-z]*"' /run/firstlight/report.json; }
started() { grep -c 'start --no-block platform.target' "$T/systemctl.log" || true; }
"#;

/// Runs `script` after [`BEGIN`]; gives its standard output.
fn scenario(script: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let release = std::fs::read_to_string("/etc/os-release").unwrap();
    let version = release.lines().find_map(|line| line.strip_prefix("VERSION_ID=")).unwrap_or("13");
    let appliance = APPLIANCE.replace("VERSION", version.trim_matches('"'));
    std::fs::write(folder.path().join("appliance.json"), appliance).unwrap();
    let stand_in = folder.path().join("systemctl");
    let log = folder.path().join("systemctl.log");
    std::fs::write(&stand_in, format!("#!/bin/sh\necho \"$*\" >> {}\n", log.display())).unwrap();
    executable(&stand_in);
    let output = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"])
        .args(["bash", "-c", &format!("{BEGIN}{script}")])
        .env("B", env!("CARGO_BIN_EXE_firmware-checks"))
        .env("T", folder.path())
        .output()
        .expect("unshare runs");
    let journal = std::fs::read_to_string(folder.path().join("journal")).unwrap_or_default();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}\n{said}\njournal:\n{journal}", output.status);
    format!("{}{journal}", String::from_utf8_lossy(&output.stdout))
}

fn executable(path: &Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_gate_stays_shut_until_what_failed_is_mended_and_then_opens_by_itself() {
    let said = scenario(
        r#"
        serve
        gate; started; ls /run/firstlight/gate-open /var/lib/firstlight/gate.json 2>/dev/null
        $B report >/dev/null; echo exit $?
        $B firewall apply || exit 92
        $B run >/dev/null
        gate; started; ls /run/firstlight/gate-open /var/lib/firstlight/gate.json
        cat /run/issue.d/firstlight.issue
        "#,
    );
    let (before, after) = said.split_once("exit 1\n").expect(&said);
    assert!(before.starts_with("\"gate\": \"shut\"\n0\n"), "{said}");
    assert!(!before.contains("/run/firstlight/gate-open") && !before.contains("gate.json"), "{said}");
    assert!(after.starts_with("\"gate\": \"opened\"\n1\n/run/firstlight/gate-open\n"), "{said}");
    assert!(after.contains("/var/lib/firstlight/gate.json\n"), "{said}");
    assert!(after.contains("hello 1.0 on debian-13"), "{said}");
}

#[test]
fn a_waiver_in_the_file_opens_the_gate_without_being_asked() {
    let said = scenario(
        r#"
        serve
        gate
        $B waive firewall.ingress --reason 'a trial' --until 2099-12-31 || exit 92
        for i in $(seq 300); do [ -e /run/firstlight/gate-open ] && break; sleep 0.1; done
        sleep 2; gate; $B report | grep -c 'a trial'
        "#,
    );
    assert!(said.starts_with("\"gate\": \"shut\"\n\"gate\": \"opened\"\n3\n"), "{said}");
}

#[test]
fn once_open_it_stays_open_over_a_boot_whatever_fails_then_but_a_clone_is_judged_anew() {
    let said = scenario(
        r#"
        $B firewall apply || exit 92
        serve
        gate
        nft flush ruleset
        reboot
        serve
        gate; started; $B report | grep -c 'FAIL  firewall.ingress'
        sed -i 's/"machine":"....../"machine":"another/' /var/lib/firstlight/gate.json
        reboot
        serve
        gate; started
        "#,
    );
    let expected = "\"gate\": \"opened\"\n\"gate\": \"opened\"\n1\n2\n\"gate\": \"shut\"\n0\n";
    assert!(said.starts_with(expected), "{said}");
    assert!(said.contains("opened for another machine"), "{said}");
}
