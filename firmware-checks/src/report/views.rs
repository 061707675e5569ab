//! Tests of all views on the same reports, as an admin would see them.

use super::{Gate, Report, SCHEMA, Verdict, View, junit, prometheus, text};
use crate::check::{Phase, State};

fn verdict(id: &str, state: State, observed: &str, required: &str, remedy: &str) -> Verdict {
    Verdict {
        id: id.to_owned(),
        subject: None,
        title: format!("Title of {id}"),
        phase: Phase::Admission,
        gates: state != State::NotApplicable,
        state,
        observed: observed.to_owned(),
        required: required.to_owned(),
        remedy: (!remedy.is_empty()).then(|| remedy.to_owned()),
        waived: None,
    }
}

fn report(gate: Gate, checks: Vec<Verdict>) -> Report {
    Report {
        schema: SCHEMA,
        ready: checks.iter().all(|verdict| !verdict.in_the_way()),
        appliance: "kaapana".to_owned(),
        version: "0.5.1".to_owned(),
        base: "ubuntu-24.04".to_owned(),
        hostname: "rack7-u12".to_owned(),
        addresses: vec!["10.3.7.12/24".to_owned()],
        time: "2026-11-21T14:02:51Z".parse().unwrap(),
        gate,
        next_run: Some("2026-11-21T14:03:21Z".parse().unwrap()),
        checks,
    }
}

fn bad_machine() -> Report {
    let mut disk = verdict("disk.size", State::Fail, "93 GB", "100 GB", "grow the disk of this machine");
    disk.subject = Some("/srv/fast".to_owned());
    let mut memory = verdict("memory.ecc_errors", State::Fail, "3", "0", "swap it");
    memory.waived = Some("new module ordered (until 2027-01-31)".to_owned());
    let mut later = verdict("platform.container", State::Waiting, "waits for the platform", "", "");
    later.phase = Phase::Acceptance;
    report(
        Gate::Shut,
        vec![
            verdict("cpu.cores", State::Pass, "4", "2", ""),
            verdict("memory.total", State::Warn, "64.0 GB", "128 GB recommended", "add memory"),
            memory,
            disk,
            verdict("firmware.tpm", State::NotApplicable, "no TPM asked for", "nothing", ""),
            verdict(
                "tls.pair",
                State::Fail,
                "certificate CN=imaging.clinic.example, key sha256:9c1f0f3d (another key)",
                "the key of this certificate",
                "put the matching key on the SITE partition as tls.key, or firmware-checks site import /media/stick",
            ),
            verdict("tls.chain", State::Waiting, "waits for tls.pair, which failed", "", "see to tls.pair first"),
            verdict("egress.registry", State::Unknown, "no route to 10.3.7.1", "", "check the cable of enp65s0f0"),
            later,
        ],
    )
}

const BAD: &str = "
 kaapana 0.5.1 on ubuntu-24.04  rack7-u12   10.3.7.12/24   2026-11-21 14:02:51Z
 NOT READY: 3 of 7 checks must be mended. Platform off. Next try 14:03:21Z
-------------------------------------------------------------------------------
 FAIL  disk.size          /srv/fast: 93 GB, required 100 GB
       do                 grow the disk of this machine
 FAIL  tls.pair           Title of tls.pair
       found              certificate CN=imaging.clinic.example, key
                          sha256:9c1f0f3d (another key)
       required           the key of this certificate
       do                 put the matching key on the SITE partition as
                          tls.key, or firmware-checks site import /media/stick
 ????  egress.registry    no route to 10.3.7.1
       do                 check the cable of enp65s0f0
 WAIT  tls.chain          waits for tls.pair, which failed
 WARN  memory.total       64.0 GB, required 128 GB recommended
       do                 add memory
 WAIVE memory.ecc_errors  3, required 0
       waived             new module ordered (until 2027-01-31)
 ok    1 more             cpu
 later 1 more             platform.container
-------------------------------------------------------------------------------
 Log in: console or ssh admin@10.3.7.12         Details: firmware-checks report
";

const SMALL: &str = "
 kaapana 0.5.1 on ubuntu-24.04  rack7-u12   10.3.7.12/24   2026-11-21 14:02:51Z
 NOT READY: 3 of 7 checks must be mended. Platform off. Next try 14:03:21Z
───────────────────────────────────────────────────────────────────────────────
 FAIL  disk.size          /srv/fast: 93 GB, required 100 GB
 FAIL  tls.pair           certificate CN=imaging.clinic.example, key sha256:9c…
 ????  egress.registry    no route to 10.3.7.1
 WAIT  tls.chain          waits for tls.pair, which failed
 ...   2 more: memory.total memory.ecc_errors
 ok    1 more             cpu
 later 1 more             platform.container
───────────────────────────────────────────────────────────────────────────────
 Log in: console or ssh admin@10.3.7.12         Details: firmware-checks report
";

#[test]
fn a_bad_machine_in_ascii() {
    assert_eq!(text(&bad_machine(), View { ascii: true, rows: None }), BAD[1..]);
}

#[test]
fn nothing_scrolls_off_a_small_screen() {
    assert_eq!(text(&bad_machine(), View { ascii: false, rows: Some(12) }), SMALL[1..]);
}

#[test]
fn no_line_is_wider_than_the_screen_whatever_a_check_says() {
    let long = "x".repeat(300);
    let mut bad = bad_machine();
    bad.hostname = long.clone();
    bad.checks.push(verdict(&format!("a.{long}"), State::Fail, &long, &long, &long));
    for rows in [None, Some(24), Some(1)] {
        for line in text(&bad, View { ascii: true, rows }).lines() {
            assert!(line.len() <= 79, "{line}");
        }
    }
}

#[test]
fn an_observed_value_cannot_clear_the_screen() {
    let odd = report(Gate::Shut, vec![verdict("tls.names", State::Fail, "CN=\x1b[2J\nREADY", "x", "\x1bc")]);
    let shown = text(&odd, View { ascii: true, rows: None });
    assert!(!shown.contains('\x1b') && shown.contains("CN=\\x1b[2J READY"), "{shown}");
    assert!(!junit(&odd).contains('\x1b'));
}

#[test]
fn what_was_found_and_what_is_required_stand_under_one_another_where_a_line_is_too_short() {
    let observed = "1.0 GB built in (0.9 GB usable)";
    let memory = verdict("memory.total", State::Fail, observed, "1.5 GB (recommended 2 GB)", "give it 1.5 GB");
    let shown = text(&report(Gate::Shut, vec![memory]), View { ascii: true, rows: Some(24) });
    let lines: Vec<&str> = shown.lines().skip(3).take(3).collect();
    let expected = [
        " FAIL  memory.total    1.0 GB built in (0.9 GB usable)",
        "       required        1.5 GB (recommended 2 GB)",
        "       do              give it 1.5 GB",
    ];
    assert_eq!(lines, expected);
}

#[test]
fn no_word_of_what_passed_is_cut_in_two() {
    let ids = ["admin", "site", "disk", "firmware", "machine", "os", "time", "network", "ports", "firewall", "tls"];
    let mut checks: Vec<Verdict> = ids.iter().map(|id| verdict(&format!("{id}.x"), State::Pass, "", "", "")).collect();
    checks.push(verdict("a.b", State::Fail, "1", "2", "3"));
    let shown = text(&report(Gate::Shut, checks), View { ascii: true, rows: None });
    let line = shown.lines().find(|line| line.starts_with(" ok ")).unwrap();
    assert_eq!(line, " ok    11 more         admin site disk firmware machine os time network ...");
}

#[test]
fn what_waits_for_the_same_is_told_once() {
    let waits = |id, reason| verdict(id, State::Waiting, reason, "", "");
    let site = "waits for site.configuration, which failed";
    let checks = vec![
        waits("tls.files", site),
        waits("tls.pair", site),
        waits("tls.chain", site),
        waits("clock.skew", "waits for network.route, which failed"),
        waits("egress.a", "waits for network.dns, which failed"),
        waits("database.b", "waits for network.dns, which failed"),
    ];
    let shown = text(&report(Gate::Shut, checks), View { ascii: true, rows: Some(24) });
    let lines: Vec<&str> = shown.lines().skip(3).take(4).map(str::trim_end).collect();
    let expected = [
        " WAIT  tls.*           3 checks wait for site.configuration, which failed",
        " WAIT  clock.skew      waits for network.route, which failed",
        " WAIT  2 checks        waits for network.dns, which failed: egress.a database.b",
    ];
    assert_eq!(lines[..3], expected);
}

#[test]
fn a_machine_that_nobody_can_enter_says_how_to_log_in() {
    let login = |state| report(Gate::Shut, vec![verdict(crate::checks::admin::LOGIN, state, "", "", "")]);
    let last = |state| text(&login(state), View { ascii: true, rows: Some(24) }).lines().last().unwrap().to_owned();
    assert_eq!(last(State::Warn), " Nobody can log in yet: log in as admin at this console to choose a password");
    for state in [State::Pass, State::Fail, State::Unknown] {
        assert!(last(state).starts_with(" Log in: console or ssh"), "{state:?}");
    }
}

fn headline(gate: Gate, states: &[State]) -> String {
    report(gate, states.iter().map(|state| verdict("a.b", *state, "", "", "")).collect()).headline()
}

#[test]
fn the_headline_tells_every_state_of_the_gate_apart() {
    use State::{Fail, NotApplicable, Pass, Unknown, Waiting, Warn};
    let all = [
        (Gate::Shut, vec![Pass, Unknown], "NOT READY: 1 of 2 checks must be mended. Platform off. Next try 14:03:21Z"),
        (Gate::Shut, vec![Pass, Waiting], "NOT READY: 1 of 2 checks wait for others. Platform off. Next try 14:03:21Z"),
        (Gate::Shut, vec![Pass, NotApplicable], "READY: all 1 checks passed. The platform is being started"),
        (Gate::Opened, vec![Pass, Waiting], "STARTING: the machine is fit, the platform comes up; 1 of 2 checks to go"),
        (Gate::Opened, vec![Pass, Fail], "NOT READY: 1 of 2 checks must be mended. Platform on. Next try 14:03:21Z"),
        (Gate::Accepted, vec![Pass, Warn], "READY: all 2 checks passed, 1 with a warning. The platform is on"),
        (Gate::Accepted, vec![Fail], "ATTENTION: 1 of 1 checks must be mended. The platform stays on"),
    ];
    for (gate, states, expected) in all {
        assert_eq!(headline(gate, &states), expected);
    }
}

#[test]
fn a_waiver_is_counted_in_the_headline() {
    let mut waived = verdict("a.b", State::Fail, "", "", "");
    waived.waived = Some("for now".to_owned());
    let ready = report(Gate::Accepted, vec![waived, verdict("a.c", State::Pass, "", "", "")]);
    assert_eq!(ready.headline(), "READY: 1 of 2 checks passed, 1 waived. The platform is on");
    assert!(ready.ready);
}

#[test]
fn junit_tells_failures_errors_and_what_was_skipped_apart() {
    let xml = junit(&bad_machine());
    assert!(xml.contains("tests=\"9\" failures=\"2\" errors=\"1\" skipped=\"4\""), "{xml}");
    assert!(xml.contains("<failure message=\"found 93 GB, required 100 GB\">grow the disk of this machine</failure>"));
    assert!(xml.contains("<error message=\"no route to 10.3.7.1\">check the cable of enp65s0f0</error>"));
    let odd = report(Gate::Shut, vec![verdict("a.b", State::Fail, "<&\">", "x", "")]);
    assert!(junit(&odd).contains("found &lt;&amp;&quot;&gt;, required x"));
}

#[test]
fn prometheus_escapes_its_labels() {
    let mut odd = verdict("disk.size", State::Fail, "", "", "");
    odd.subject = Some("a\"b\\c\nd".to_owned());
    let metrics = prometheus(&report(Gate::Shut, vec![odd]));
    assert!(metrics.contains("firstlight_ready{appliance=\"kaapana\",version=\"0.5.1\",base=\"ubuntu-24.04\"} 0\n"));
    assert!(metrics.contains("firstlight_gate{state=\"shut\"} 1\n"));
    assert!(metrics.contains(r#"id="disk.size",subject="a\"b\\c\nd",phase="admission",gates="true""#), "{metrics}");
}

#[test]
fn json_keeps_the_fields_that_others_script_against() {
    let json = serde_json::to_value(bad_machine()).unwrap();
    assert_eq!(json["schema"], 1);
    assert_eq!(json["ready"], false);
    for check in json["checks"].as_array().unwrap() {
        for field in ["id", "state", "observed", "required", "remedy", "phase", "gates"] {
            assert!(check.get(field).is_some(), "{field} is missing in {check}");
        }
    }
    assert_eq!(serde_json::from_value::<Report>(json).unwrap(), bad_machine());
}
