//! Servers on this machine, for tests.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;

use rcgen::{BasicConstraints, Certificate, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// Answers each connection of a server on this machine; gives its port.
pub(crate) fn served(answered: impl Fn(TcpStream) + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || listener.incoming().flatten().for_each(answered));
    port
}

/// Reads the head of a request, and answers with `head`.
pub(crate) fn speak(stream: impl Read + Write, head: &str) -> String {
    answer(stream, head, "")
}

/// Reads the head of a request, and answers with `head` and `body`.
fn answer(mut stream: impl Read + Write, head: &str, body: &str) -> String {
    let (mut request, mut byte) = (Vec::new(), [0]);
    while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count == 1) {
        request.push(byte[0]);
    }
    let length = body.len();
    let _ = write!(stream, "HTTP/1.1 {head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}");
    let _ = stream.flush();
    String::from_utf8(request).unwrap()
}

pub(crate) fn plain(head: &'static str) -> u16 {
    served(move |stream| drop(speak(stream, head)))
}

/// An authority in DER, and the port of a server whose certificate for `name`, good from 2020 to `until`, it signed.
pub(crate) fn secure(name: &str, until: i32) -> (Vec<u8>, u16) {
    let (root, port) = secure_with(name, until, |_| String::new());
    (root.der().to_vec(), port)
}

/// The same, with the authority whole; `says` makes of its PEM what the server says.
pub(crate) fn secure_with(name: &str, until: i32, says: fn(&str) -> String) -> (Certificate, u16) {
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
    let (config, said) = (Arc::new(config), says(&root.pem()));
    let port = served(move |stream| {
        let connection = ServerConnection::new(config.clone()).unwrap();
        answer(StreamOwned::new(connection, stream), "200 OK", &said);
    });
    (root, port)
}
