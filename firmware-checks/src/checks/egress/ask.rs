//! One question to one server, and at which step it went wrong.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ureq::config::Config;
use ureq::http::Uri;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Error, Proxy, Timeout};
use url::Url;

use crate::command;

/// How long one server is given altogether.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a connection may take to come about, of this.
const CONNECT: Duration = Duration::from_secs(10);

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Answer {
    pub status: u16,
    /// Where it sends whoever asks.
    pub location: Option<String>,
}

/// The step that went wrong, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// A name has no address.
    Name { host: String, said: String },
    /// No connection came about, to the server or to the proxy on the way.
    Connection(String),
    /// The server's certificate is not to be trusted.
    Certificate(String),
    /// There was a connection, and no answer.
    Http(String),
}

/// Asks by the trusted `roots`, and through a proxy where there is one.
pub(super) struct Asker {
    agent: Result<Agent, Error>,
    names: Names,
}

impl Asker {
    pub(super) fn new(roots: &[Vec<u8>], proxy: Option<&str>) -> Self {
        let roots = roots.iter().map(|der| Certificate::from_der(der).to_owned());
        let tls = TlsConfig::builder()
            .root_certs(RootCerts::Specific(Arc::new(roots.collect())))
            .unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .build();
        let names = Names::default();
        let agent = proxy.map(Proxy::new).transpose().map(|proxy| {
            let config = Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .proxy(proxy)
                .tls_config(tls)
                .timeout_global(Some(LIMIT))
                .timeout_connect(Some(CONNECT))
                .build();
            Agent::with_parts(config, DefaultConnector::default(), names.clone())
        });
        Self { agent, names }
    }

    /// Asks for `url` by GET.
    pub(super) fn ask(self, url: &Url) -> Result<Answer, Obstacle> {
        let Self { agent, names } = self;
        match agent.and_then(|agent| agent.get(url.as_str()).call()) {
            Ok(response) => {
                let location = response.headers().get("location").and_then(|value| value.to_str().ok());
                Ok(Answer { status: response.status().as_u16(), location: location.map(str::to_owned) })
            }
            Err(error) => Err(names.obstacle().unwrap_or_else(|| obstacle(&error))),
        }
    }
}

fn obstacle(error: &Error) -> Obstacle {
    match error {
        Error::Io(error) => of_io(error),
        Error::Rustls(error) => of_tls(error),
        Error::Timeout(Timeout::Connect) => {
            Obstacle::Connection(format!("nothing came back within {} s", CONNECT.as_secs()))
        }
        Error::Timeout(_) => Obstacle::Http(format!("no answer within {} s", LIMIT.as_secs())),
        Error::ConnectionFailed => Obstacle::Connection("none of its addresses takes one".to_owned()),
        Error::ConnectProxyFailed(said) => Obstacle::Connection(format!("the proxy says: {}", said.trim())),
        other => Obstacle::Http(other.to_string()),
    }
}

fn of_io(error: &io::Error) -> Obstacle {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return of_tls(tls);
    }
    let text = error.to_string();
    // Without the number that nobody looks up.
    let said = text.split(" (os error").next().unwrap_or_default().to_lowercase();
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Obstacle::Http(said),
        _ => Obstacle::Connection(said),
    }
}

fn of_tls(error: &rustls::Error) -> Obstacle {
    use rustls::CertificateError as Wrong;
    let said = match error {
        rustls::Error::InvalidCertificate(wrong) => match wrong {
            Wrong::UnknownIssuer => "it is signed by nobody whom this machine trusts".to_owned(),
            Wrong::Expired | Wrong::ExpiredContext { .. } => "it is over, by this machine's clock".to_owned(),
            Wrong::NotValidYet | Wrong::NotValidYetContext { .. } => {
                "it is not valid yet, by this machine's clock".to_owned()
            }
            Wrong::NotValidForName | Wrong::NotValidForNameContext { .. } => {
                "it is made out to another name".to_owned()
            }
            other => other.to_string(),
        },
        other => return Obstacle::Http(format!("TLS: {other}")),
    };
    Obstacle::Certificate(said)
}

/// Looks names up as every program of the machine does: by its own C library, through getent(1), since this program is static and
/// has none of its parts. Remembers which name led nowhere.
#[derive(Clone, Debug, Default)]
struct Names {
    failed: Arc<Mutex<Option<(String, String)>>>,
}

impl Names {
    fn obstacle(&self) -> Option<Obstacle> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone();
        failed.map(|(host, said)| Obstacle::Name { host, said })
    }
}

impl Resolver for Names {
    fn resolve(&self, uri: &Uri, _: &Config, _: NextTimeout) -> Result<ResolvedSocketAddrs, Error> {
        let host = uri.host().ok_or(Error::HostNotFound)?.trim_start_matches('[').trim_end_matches(']');
        let port = uri.port_u16().unwrap_or(if uri.scheme_str() == Some("https") { 443 } else { 80 });
        let mut found = self.empty();
        match addresses(host) {
            Ok(addresses) => {
                // As many as ureq has room for.
                addresses.into_iter().take(16).for_each(|address| found.push(SocketAddr::new(address, port)));
                Ok(found)
            }
            Err(said) => {
                *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some((host.to_owned(), said));
                Err(Error::HostNotFound)
            }
        }
    }
}

/// The addresses of `host`, at least one.
fn addresses(host: &str) -> Result<Vec<IpAddr>, String> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let said = match command::run("getent", &["ahosts", host], LIMIT / 2) {
        Ok(said) => said,
        // getent(1): the key was not found; it has nothing more to say.
        Err(command::Error::Failed { status, .. }) if status.code() == Some(2) => {
            return Err("no name server knows it, or none answers".to_owned());
        }
        Err(error) => return Err(error.brief()),
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in said.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err("it has no address".to_owned()) } else { Ok(addresses) }
}
