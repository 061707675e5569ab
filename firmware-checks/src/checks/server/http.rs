//! One question to one server by HTTP, and at which step it went wrong.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use ureq::config::Config;
use ureq::http::{Request, Response, Uri};
use ureq::tls::{Certificate, RootCerts, TlsConfig, TlsConfigBuilder};
use ureq::unversioned::resolver::{ResolvedSocketAddrs, Resolver};
use ureq::unversioned::transport::{DefaultConnector, NextTimeout};
use ureq::{Agent, Body, Error, Proxy, Timeout};
use url::Url;

use super::{CONNECT, LIMIT, Obstacle, addresses};

/// Bytes that are read of one answer, at most.
const FETCHED: u64 = 1 << 20;

/// What a server answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub status: u16,
    /// Where it sends whoever asks.
    pub location: Option<String>,
}

/// Asks by the trusted `roots`, and through a proxy where there is one.
pub(crate) struct Asker {
    agent: Result<Agent, Error>,
    names: Names,
}

impl Asker {
    pub(crate) fn new(roots: &[Vec<u8>], proxy: Option<&str>) -> Self {
        let roots = roots.iter().map(|der| Certificate::from_der(der).to_owned());
        Self::with(TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(roots.collect()))), proxy)
    }

    /// Asks whoever answers, without a proxy: for what is judged by what it says, and tells nobody anything.
    pub(crate) fn of_anybody() -> Self {
        Self::with(TlsConfig::builder().disable_verification(true), None)
    }

    fn with(tls: TlsConfigBuilder, proxy: Option<&str>) -> Self {
        let tls = tls.unversioned_rustls_crypto_provider(Arc::new(rustls::crypto::ring::default_provider())).build();
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
    pub(crate) fn ask(self, url: &Url) -> Result<Answer, Obstacle> {
        self.request("GET", url, &[])
    }

    /// Asks for `url` by `method`, with `body`.
    pub(crate) fn request(self, method: &str, url: &Url, body: &[u8]) -> Result<Answer, Obstacle> {
        let response = self.run(method, url, body)?;
        let location = response.headers().get("location").and_then(|value| value.to_str().ok());
        Ok(Answer { status: response.status().as_u16(), location: location.map(str::to_owned) })
    }

    /// What `url` holds, by GET.
    pub(crate) fn fetch(self, url: &Url) -> Result<Vec<u8>, Obstacle> {
        let mut response = self.run("GET", url, &[])?;
        match response.status().as_u16() {
            200 => response.body_mut().with_config().limit(FETCHED).read_to_vec().map_err(|error| obstacle(&error)),
            status => Err(Obstacle::Answer(format!("it answers {} with status {status}, expected 200", url.path()))),
        }
    }

    fn run(self, method: &str, url: &Url, body: &[u8]) -> Result<Response<Body>, Obstacle> {
        let Self { agent, names } = self;
        let request = Request::builder().method(method).uri(url.as_str()).body(body).map_err(Error::from);
        let answered = agent.and_then(|agent| agent.run(request?));
        answered.map_err(|error| names.obstacle().unwrap_or_else(|| obstacle(&error)))
    }
}

fn obstacle(error: &Error) -> Obstacle {
    match error {
        Error::Io(error) => of_io(error),
        Error::Rustls(error) => of_tls(error),
        Error::Timeout(Timeout::Connect) => {
            Obstacle::Connection(format!("nothing came back within {} s", CONNECT.as_secs()))
        }
        Error::Timeout(_) => Obstacle::Answer(format!("no answer within {} s", LIMIT.as_secs())),
        Error::ConnectionFailed => Obstacle::Connection("none of its addresses takes one".to_owned()),
        Error::ConnectProxyFailed(said) => Obstacle::Connection(format!("the proxy says: {}", said.trim())),
        other => Obstacle::Answer(other.to_string()),
    }
}

pub(super) fn of_io(error: &io::Error) -> Obstacle {
    if let Some(tls) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        return of_tls(tls);
    }
    let text = error.to_string();
    // Without the number that nobody looks up.
    let said = text.split(" (os error").next().unwrap_or_default().to_lowercase();
    match error.kind() {
        io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => Obstacle::Answer(said),
        _ => Obstacle::Connection(said),
    }
}

pub(super) fn of_tls(error: &rustls::Error) -> Obstacle {
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
        other => return Obstacle::Answer(format!("TLS: {other}")),
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
