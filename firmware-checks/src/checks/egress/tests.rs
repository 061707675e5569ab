use std::io::{Read, Write};
use std::net::TcpListener;

use super::*;
use crate::check::State;
use crate::checks::server::fixture::{plain, secure, served, speak};
use crate::facts::recorded::Recorded;
use crate::requirements::Requirements;
use crate::site::{Proxy, Site};

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
    assert!(matches!(silent, Err(Obstacle::Answer(_) | Obstacle::Connection(_))), "{silent:?}");

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
    assert!(matches!(&no_tls, Err(Obstacle::Answer(said)) if said.starts_with("TLS: ")), "{no_tls:?}");
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
