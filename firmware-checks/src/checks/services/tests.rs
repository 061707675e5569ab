use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::check::State;
use crate::checks::server;
use crate::checks::server::fixture::{plain, secure, served};
use crate::facts::recorded::{Recorded, only};
use crate::requirements::Requirements;
use crate::site::{Alert, Email, Nfs, ObjectStorage, Registry, S3, Sftp, Site, Syslog, Transport};

/// A server that hears `question`, or nothing, and then says `answer`.
fn says(question: &'static [u8], answer: &'static [u8]) -> u16 {
    served(move |mut stream| {
        let mut heard = vec![0; question.len()];
        if stream.read_exact(&mut heard).is_ok() && heard == question {
            let _ = stream.write_all(answer);
        }
    })
}

fn closed() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn found(id: &str, phase: Phase, site: &Site) -> Finding {
    only(Recorded::new().run_in(phase, id, &Requirements::default(), Some(site)))
}

fn database(kind: &str, host: &str, port: u16) -> Finding {
    let uri = format!("{kind}://scot:canary@{host}:{port}/scot4").as_str().into();
    found("database.reachable", Phase::Acceptance, &Site { database: Some(Database { uri }), ..Site::default() })
}

const POSTGRESQL: &[u8] = &[0, 0, 0, 8, 4, 210, 22, 47];
const MARIADB: &[u8] = b"\x5a\0\0\0\x0a11.8.3-MariaDB-0+deb13u1\0\x05\0\0\0--------------------------------------------------------------------";
const NOT_ALLOWED: &[u8] =
    b"\x47\0\0\0\xff\x6a\x04Host '10.0.2.15' is not allowed to connect to this MariaDB server......";

#[test]
fn each_kind_of_database_is_known_by_its_first_words() {
    let answers: [(&str, u16, State, &str); 7] = [
        ("postgresql", says(POSTGRESQL, b"S"), State::Pass, "answers: with TLS"),
        ("postgresql+psycopg", says(POSTGRESQL, b"N"), State::Pass, "answers: without TLS"),
        (
            "postgresql",
            says(POSTGRESQL, b"SSH-2.0-OpenSSH"),
            State::Fail,
            "it says `SSH-2.0-OpenSSH`, as PostgreSQL does not",
        ),
        ("mysql", says(&[], MARIADB), State::Pass, "answers: 11.8.3-MariaDB-0+deb13u1"),
        ("mariadb", says(&[], NOT_ALLOWED), State::Fail, "it says `Host '10.0.2.15' is not allowed to connect"),
        (
            "mssql+pymssql",
            served(|mut stream| {
                let mut heard = [0; 26];
                if stream.read_exact(&mut heard).is_ok() && heard[0] == 0x12 {
                    let _ = stream.write_all(&[4, 1, 0, 43, 0, 0, 1, 0]);
                }
            }),
            State::Pass,
            "answers",
        ),
        ("mysql", served(drop), State::Fail, "it hangs up without a word"),
    ];
    for (kind, port, state, words) in answers {
        let finding = database(kind, "127.0.0.1", port);
        assert_eq!(finding.state, state, "{kind}: {finding:?}");
        assert!(finding.observed.contains(words), "{kind}: {}", finding.observed);
        assert!(!format!("{finding:?}").contains("canary"), "{finding:?}");
    }
    let web = database("postgresql", "127.0.0.1", says(POSTGRESQL, b"HTTP/1.1 400"));
    assert!(web.remedy.unwrap().contains("correct `uri` in [database] of site.toml"));
}

#[test]
fn each_step_to_a_database_is_told_apart() {
    let port = closed();
    let refused = database("postgresql", "127.0.0.1", port);
    assert_eq!(refused.state, State::Fail);
    assert_eq!(refused.observed, format!("no connection to 127.0.0.1:{port}: connection refused"));
    assert_eq!(refused.required, format!("PostgreSQL answers on 127.0.0.1:{port}"));
    let unknown = database("mysql", "no-such-host.invalid", 3306);
    assert!(unknown.observed.starts_with("the name no-such-host.invalid leads nowhere: "), "{}", unknown.observed);
    assert!(unknown.remedy.unwrap().contains("getent ahosts no-such-host.invalid"));
}

#[test]
fn what_the_site_does_not_name_or_this_machine_will_have_is_not_asked() {
    for id in ["database", "storage", "alert", "backup", "registries"].map(|of| format!("{of}.reachable")) {
        assert_eq!(found(&id, Phase::Admission, &Site::default()).state, State::NotApplicable, "{id}");
    }
    let machine = Recorded::new().addresses(&[("lo", "127.0.0.1/8"), ("eth0", "10.213.3.7/24")]);
    let judged = |phase, uri: &str| {
        let site = Site { database: Some(Database { uri: uri.into() }), ..Site::default() };
        only(machine.run_in(phase, "database.reachable", &Requirements::default(), Some(&site))).state
    };
    let inside = "postgresql://a:b@db.scot4.svc.cluster.local/x";
    for uri in [
        "mysql://a:b@127.0.1.1/x",
        "mysql://a:b@localhost/x",
        "mysql://a:b@10.213.3.7/x",
        inside,
        "sqlite:////srv/x.db",
    ] {
        assert_eq!(judged(Phase::Admission, uri), State::NotApplicable, "{uri}");
    }
    assert_eq!(judged(Phase::Acceptance, inside), State::NotApplicable);
    // Once the platform runs, what is on this machine must answer.
    assert_eq!(judged(Phase::Acceptance, &format!("mysql://a:b@127.0.0.1:{}/x", closed())), State::Fail);
    assert_eq!(judged(Phase::Admission, "mysql://a:b@no-such-host.invalid/x"), State::Fail);
}

fn alerted(alert: Alert) -> Vec<Finding> {
    let site = Site { alert: Some(alert), ..Site::default() };
    Recorded::new().run("alert.reachable", &Requirements::default(), Some(&site)).unwrap()
}

fn email(port: u16) -> Option<Email> {
    let (relay, from) = ("127.0.0.1".to_owned(), "a@b.example".to_owned());
    Some(Email { relay, port, from, to: vec!["c@b.example".to_owned()], username: None, password: None })
}

fn syslog(server: &str, port: u16, transport: Transport) -> Option<Syslog> {
    Some(Syslog { server: server.to_owned(), port, transport })
}

#[test]
fn every_way_of_an_alert_is_tried_and_none_keeps_the_platform_off() {
    let (asked, requests) = heard("405 Method Not Allowed");
    let webhook = Some(format!("http://127.0.0.1:{asked}/hook?token=canary").as_str().into());
    let good = alerted(Alert {
        webhook,
        email: email(says(&[], b"220 mail.example ESMTP Postfix (Debian)\r\n")),
        syslog: syslog("127.0.0.1", says(&[], b""), Transport::Tcp),
    });
    let subjects: Vec<_> = good.iter().map(|one| (one.subject.as_deref().unwrap(), one.state)).collect();
    assert_eq!(subjects, [("webhook", State::Pass), ("email", State::Pass), ("syslog", State::Pass)], "{good:?}");
    assert!(good[1].observed.ends_with("answers: mail.example ESMTP Postfix (Debian)"), "{}", good[1].observed);
    let request = requests.recv().unwrap();
    assert!(request.starts_with("GET / HTTP/1.1") && !request.contains("canary"), "{request}");

    let bad = alerted(Alert {
        webhook: Some(format!("http://127.0.0.1:{}/", plain("502 Bad Gateway")).as_str().into()),
        email: email(says(&[], b"554 no service for you\r\n")),
        syslog: syslog("no-such-host.invalid", 514, Transport::Udp),
    });
    assert!(bad.iter().all(|one| one.state == State::Warn && one.remedy.is_some()), "{bad:?}");
    assert!(bad[0].observed.ends_with("it answers with status 502"), "{}", bad[0].observed);
    assert!(bad[1].observed.contains("it says `554 no service for you`"), "{}", bad[1].observed);
    let by_udp = alerted(Alert { syslog: syslog("127.0.0.1", 514, Transport::Udp), ..Alert::default() });
    assert_eq!((by_udp.len(), by_udp[0].state), (1, State::Pass));
}

#[test]
fn a_servers_certificate_is_judged_by_the_roots_that_are_given() {
    let (root, port) = secure("localhost", 2099);
    let connected = || server::connect("localhost", port).unwrap();
    assert!(server::secured(connected(), "localhost", &[root]).is_ok());
    match server::secured(connected(), "localhost", &[]) {
        Err(Obstacle::Certificate(said)) => assert!(said.contains("nobody whom this machine trusts"), "{said}"),
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("a certificate of nobody's was trusted"),
    }
    let plain = server::secured(server::connect("127.0.0.1", plain("200 OK")).unwrap(), "127.0.0.1", &[]);
    assert!(matches!(plain, Err(Obstacle::Answer(said)) if said.starts_with("TLS: ")));
}

fn saved(backup: Backup) -> Finding {
    found("backup.reachable", Phase::Admission, &Site { backup: Some(backup), ..Site::default() })
}

/// The ports of SSH and NFS are fixed, so their first words are tried without the check.
#[test]
fn servers_for_backups_are_known_by_their_first_words() {
    let greet = |protocol: Protocol, port| Target::new("127.0.0.1", port, "", "").greeted(protocol);
    let ssh = says(&[], b"SSH-2.0-OpenSSH_10.0p2 Debian-7\r\n");
    assert_eq!(greet(Protocol::Ssh, ssh), Ok("OpenSSH_10.0p2 Debian-7".to_owned()));
    assert!(greet(Protocol::Ssh, says(&[], b"220 ftp\r\n")).is_err());
    let nfs = |accepted: u8, status: u8| {
        served(move |mut stream: TcpStream| {
            let mut call = [0; 44];
            stream.read_exact(&mut call).unwrap();
            let mut reply = [0; 28];
            (reply[0], reply[3]) = (0x80, 24);
            reply[4..8].copy_from_slice(&call[4..8]);
            (reply[11], reply[15], reply[27]) = (1, accepted, status);
            stream.write_all(&reply).unwrap();
        })
    };
    assert_eq!(greet(Protocol::Nfs, nfs(0, 0)), Ok(String::new()));
    assert_eq!(greet(Protocol::Nfs, nfs(0, 2)), Ok(String::new()), "another version of it");
    for (accepted, status) in [(0, 1), (1, 0), (0, 5)] {
        assert!(matches!(greet(Protocol::Nfs, nfs(accepted, status)), Err(Obstacle::Answer(_))));
    }
    let nowhere = "no-such-host.invalid".to_owned();
    let nfs = saved(Backup { nfs: Some(Nfs { server: nowhere.clone(), folder: "/b".into() }), ..Backup::default() });
    let (user, folder, host_key) = ("b".to_owned(), "/b".to_owned(), String::new());
    let sftp = Sftp { server: nowhere, user, folder, host_key, private_key: "k".into() };
    let sftp = saved(Backup { sftp: Some(sftp), ..Backup::default() });
    assert_eq!((nfs.state, sftp.state), (State::Warn, State::Warn));
    assert_eq!(
        (nfs.required.as_str(), sftp.required.as_str()),
        ("an NFS server answers on no-such-host.invalid:2049", "an SSH server answers on no-such-host.invalid:22",)
    );
}

#[test]
fn registries_are_known_by_how_they_answer() {
    let mirror = |head| format!("http://127.0.0.1:{}", plain(head));
    let mirrors = vec![mirror("401 Unauthorized"), mirror("404 Not Found"), mirror("200 OK")];
    let registry = Registry { name: "docker.io".into(), mirrors, username: None, password: None };
    let (username, password) = (Some("u".into()), Some("canary".into()));
    let own = Registry { name: format!("127.0.0.1:{}", closed()), mirrors: Vec::new(), username, password };
    let site = Site { registries: vec![registry, own], ..Site::default() };
    let trusted = rcgen::generate_simple_self_signed(["a.example".to_owned()]).unwrap().cert.pem();
    let machine = Recorded::new().file("etc/ssl/certs/ca-certificates.crt", trusted);
    let found = machine.run("registries.reachable", &Requirements::default(), Some(&site));
    let states: Vec<State> = found.as_ref().unwrap().iter().map(|one| one.state).collect();
    assert_eq!(states, [State::Pass, State::Warn, State::Pass, State::Warn], "{found:?}");
    let told: Vec<String> = found.unwrap().into_iter().map(|one| one.observed).collect();
    assert!(told[1].ends_with("it answers /v2/ with status 404, expected 200 or 401"), "{}", told[1]);
    assert!(told[3].contains("connection refused"), "{}", told[3]);
}

/// A server that answers each request with `head`; what it was asked.
fn heard(head: &'static str) -> (u16, Receiver<String>) {
    answering(move |_| head)
}

/// A server that answers each request, body included, as `answer` says.
fn answering(answer: impl Fn(&str) -> &'static str + Send + 'static) -> (u16, Receiver<String>) {
    let (sender, requests) = channel();
    let port = served(move |mut stream| {
        let (mut request, mut piece) = (Vec::new(), [0; 4096]);
        let whole = |request: &[u8]| {
            let text = String::from_utf8_lossy(request).to_lowercase();
            let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
            let length =
                head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or(0, |n| n.parse().unwrap());
            body.len() >= length
        };
        while !whole(&request) {
            let count = stream.read(&mut piece).unwrap();
            assert!(count > 0, "half a request");
            request.extend_from_slice(&piece[..count]);
        }
        let request = String::from_utf8(request).unwrap();
        let _ = write!(stream, "HTTP/1.1 {}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", answer(&request));
        let _ = sender.send(request);
    });
    (port, requests)
}

fn stored_at(endpoint: String) -> Site {
    let (bucket, region) = ("scot4".to_owned(), "us-east-1".to_owned());
    let s3 = S3 { endpoint, bucket, region, access_key: "AKID".into(), secret_key: "canary".into() };
    Site { object_storage: Some(ObjectStorage { folder: None, s3: Some(s3) }), ..Site::default() }
}

fn bucket(port: u16, phase: Phase) -> Finding {
    let finding = found("storage.reachable", phase, &stored_at(format!("http://127.0.0.1:{port}")));
    assert!(!format!("{finding:?}").contains("canary") && !format!("{finding:?}").contains("Signature"), "{finding:?}");
    finding
}

#[test]
fn a_bucket_is_asked_for_written_to_and_cleaned_up_with_a_signature() {
    let (port, requests) = heard("200 OK");
    let good = bucket(port, Phase::Admission);
    assert_eq!(good.state, State::Pass, "{good:?}");
    assert!(good.observed.ends_with("is there, takes an object and lets it be removed"), "{}", good.observed);
    let asked: Vec<String> = requests.try_iter().collect();
    let begins: Vec<&str> = asked.iter().filter_map(|request| request.split('?').next()).collect();
    assert_eq!(begins, ["HEAD /scot4/", "PUT /scot4/firstlight-probe", "DELETE /scot4/firstlight-probe"]);
    for request in &asked {
        assert!(request.contains("X-Amz-Credential=AKID%2F20261121%2Fus-east-1%2Fs3"), "{request}");
        assert!(request.contains("X-Amz-Signature=") && !request.contains("canary"), "{request}");
    }
    let (port, requests) = heard("200 OK");
    assert_eq!(bucket(port, Phase::Acceptance).state, State::Pass);
    assert_eq!(requests.try_iter().count(), 1, "a running platform writes there itself");
}

#[test]
fn without_roots_to_trust_nothing_can_be_told_of_a_server_by_tls() {
    let hook = Some("https://127.0.0.1/hook".into());
    let syslog = syslog("127.0.0.1", 6514, Transport::Tls);
    for (id, site) in [
        ("storage.reachable", stored_at("https://127.0.0.1:9000".to_owned())),
        ("alert.reachable", Site { alert: Some(Alert { webhook: hook, ..Alert::default() }), ..Site::default() }),
        ("alert.reachable", Site { alert: Some(Alert { syslog, ..Alert::default() }), ..Site::default() }),
    ] {
        let told = Recorded::new().run(id, &Requirements::default(), Some(&site)).unwrap_err();
        assert!(told.what.contains("no roots to trust"), "{id}: {}", told.what);
    }
}

#[test]
fn each_refusal_of_a_bucket_says_what_to_do() {
    for (status, observed, remedy) in [
        ("404 Not Found", "has no bucket scot4", "make it there"),
        ("403 Forbidden", "does not let the bucket scot4 be asked for by this access key", "correct `access_key`"),
        ("301 Moved Permanently", "in another region", "correct `region`"),
        ("500 Internal Server Error", "be asked for: status 500", "look at the log"),
    ] {
        let finding = bucket(heard(status).0, Phase::Admission);
        assert_eq!(finding.state, State::Fail, "{finding:?}");
        assert!(finding.observed.contains(observed), "{}", finding.observed);
        assert!(finding.remedy.as_ref().unwrap().contains(remedy), "{finding:?}");
    }
    let (read_only, _) = answering(|request| if request.starts_with("HEAD") { "200 OK" } else { "403 Forbidden" });
    assert!(bucket(read_only, Phase::Admission).observed.contains("be written to by this access key"));
    let unreachable = bucket(closed(), Phase::Admission);
    assert!(unreachable.observed.ends_with("connection refused"), "{}", unreachable.observed);
}
