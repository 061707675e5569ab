use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::check::State;
use crate::facts::recorded::Recorded;
use crate::requirements::Requirements;
use crate::site::{Proxy, Site};

/// Answers each connection of a server on this machine; gives its port.
fn served(answer: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().flatten().for_each(answer));
    port
}

/// Reads the head of a request, and answers with `head`.
fn speak(mut stream: impl Read + Write, head: &str) -> String {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        request.push(byte[0]);
    }
    let _ = write!(stream, "HTTP/1.1 {head}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    let _ = stream.flush();
    String::from_utf8(request).unwrap()
}

fn plain(head: &'static str) -> u16 {
    served(move |stream| drop(speak(stream, head)))
}

/// An authority in DER, and the port of a server whose certificate for `name`, good from 2020 to `until`, it signed.
fn secure(name: &str, until: i32) -> (Vec<u8>, u16) {
    let mut authority = CertificateParams::default();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let root = authority.self_signed(&key).unwrap();
    let mut server = CertificateParams::new([name.to_owned()]).unwrap();
    (server.not_before, server.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(until, 1, 1));
    let pair = KeyPair::generate().unwrap();
    let certificate = server.signed_by(&pair, &Issuer::new(authority, key)).unwrap();
    let chain = vec![CertificateDer::from(certificate.der().to_vec())];
    let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(pair.serialize_der()));
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, private)
        .unwrap();
    let config = Arc::new(config);
    let port = served(move |stream| {
        let connection = ServerConnection::new(config.clone()).unwrap();
        speak(StreamOwned::new(connection, stream), "200 OK");
    });
    (root.der().to_vec(), port)
}

fn ask(roots: &[Vec<u8>], proxy: Option<&str>, url: &str) -> Result<u16, Obstacle> {
    Asker::new(roots, proxy).ask(&Url::parse(url).unwrap()).map(|answer| answer.status)
}

fn certificate_of(result: Result<u16, Obstacle>) -> String {
    match result {
        Err(Obstacle::Certificate(said)) => said,
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_step_that_goes_wrong_is_told_apart() {
    let unknown = ask(&[], None, "http://no-such-host.invalid/");
    assert!(matches!(&unknown, Err(Obstacle::Name { host, .. }) if host == "no-such-host.invalid"), "{unknown:?}");

    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let refused = ask(&[], None, &format!("http://127.0.0.1:{closed}/"));
    assert_eq!(refused, Err(Obstacle::Connection("connection refused".into())));

    let silent = served(drop);
    let silent = ask(&[], None, &format!("http://127.0.0.1:{silent}/"));
    assert!(matches!(silent, Err(Obstacle::Http(_) | Obstacle::Connection(_))), "{silent:?}");

    let (root, port) = secure("localhost", 2099);
    let url = format!("https://localhost:{port}/v2/");
    assert_eq!(ask(std::slice::from_ref(&root), None, &url), Ok(200));
    assert!(certificate_of(ask(&[], None, &url)).contains("nobody whom this machine trusts"));
    let by_address = ask(std::slice::from_ref(&root), None, &format!("https://127.0.0.1:{port}/"));
    assert!(certificate_of(by_address).contains("another name"));
    let (root, port) = secure("localhost", 2021);
    assert!(certificate_of(ask(&[root], None, &format!("https://localhost:{port}/"))).contains("it is over"));
    let plain = served(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    let no_tls = ask(&[], None, &format!("https://127.0.0.1:{plain}/"));
    assert!(matches!(&no_tls, Err(Obstacle::Http(said)) if said.starts_with("TLS: ")), "{no_tls:?}");
}

#[test]
fn a_proxy_is_asked_in_the_servers_place() {
    let (sender, requests) = std::sync::mpsc::channel();
    let proxy = served(move |stream| drop(sender.send(speak(stream, "407 Proxy Authentication Required"))));
    let proxy = format!("http://127.0.0.1:{proxy}");
    let refused = ask(&[], Some(&proxy), "https://registry.invalid/v2/");
    assert!(matches!(&refused, Err(Obstacle::Connection(said)) if said.contains("407")), "{refused:?}");
    assert!(requests.recv().unwrap().starts_with("CONNECT registry.invalid:443 "));
}

fn judged(url: &str, status: &[u16], need: Need) -> Finding {
    judged_at(url, status, need, None)
}

fn judged_at(url: &str, status: &[u16], need: Need, site: Option<&Site>) -> Finding {
    let egress = Egress { name: "registry".into(), url: url.into(), status: status.to_vec(), need };
    let requirements = Requirements { egress: vec![egress], ..Requirements::default() };
    let mut found = Recorded::new().run("egress.reachable", &requirements, site).unwrap();
    assert_eq!(found.len(), 1);
    found.remove(0)
}

#[test]
fn the_status_that_the_recipe_expects_passes_and_another_does_not() {
    let url = format!("http://127.0.0.1:{}/v2/", plain("401 Unauthorized"));
    let good = judged(&url, &[200, 401], Need::Required);
    assert_eq!((good.state, good.subject.as_deref()), (State::Pass, Some("registry")));
    assert_eq!(good.observed, "127.0.0.1 answers with status 401");
    let bad = judged(&url, &[200], Need::Required);
    assert_eq!((bad.state, bad.required.as_str()), (State::Fail, "127.0.0.1 answers with status 200"));
    assert_eq!(judged(&url, &[], Need::Recommended).state, State::Warn);
    let portal = format!("http://127.0.0.1:{}/", plain("302 Found\r\nLocation: http://portal.example/login"));
    let bad = judged(&portal, &[200], Need::Required);
    assert!(bad.observed.ends_with("and sends on to http://portal.example/login"), "{}", bad.observed);
    assert!(bad.remedy.unwrap().contains("what answers http://127.0.0.1"));
}

#[test]
fn a_remedy_is_about_what_stands_in_the_way() {
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{closed}/");
    let straight = judged(&url, &[], Need::Required);
    assert_eq!(straight.observed, format!("no connection to 127.0.0.1:{closed}: connection refused"));
    assert!(straight.remedy.unwrap().contains("or name the site's proxy"));
    let proxy = Proxy { http: Some(url.trim_end_matches('/').into()), https: None, no_proxy: Vec::new() };
    let site = Site { proxy: Some(proxy), ..Site::default() };
    let by_proxy = judged_at("http://registry.invalid/", &[], Need::Required, Some(&site));
    assert_eq!(by_proxy.observed, "no connection through the proxy: connection refused");
    assert!(by_proxy.remedy.unwrap().starts_with("correct [proxy] of site.toml"));
}
