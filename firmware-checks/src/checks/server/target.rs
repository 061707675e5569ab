//! A server that the site names, and what is told about it.

use std::net::{IpAddr, TcpStream};

use url::Url;

use super::{Asker, Obstacle, Protocol};
use crate::check::{Context, CouldNotRun, Finding, Phase};
use crate::checks::{server, tls};
use crate::site::{AUTHORITY, Secret};

/// Domains of Services in a cluster (Kubernetes, "DNS for Services and Pods").
const CLUSTER: [&str; 2] = ["svc", "svc.cluster.local"];

/// A server, and where the site names it.
pub(crate) struct Target<'a> {
    pub host: &'a str,
    port: u16,
    /// What it is, such as `PostgreSQL`.
    what: &'a str,
    /// The key in site.toml, in words.
    key: &'a str,
    /// Whether the site's proxy is on the way.
    by_proxy: bool,
}

/// How a failure counts.
pub(crate) type Severity = fn(String, String, String) -> Finding;

/// It keeps the platform off.
pub(crate) fn fail(observed: String, required: String, remedy: String) -> Finding {
    Finding::fail(observed, required, remedy)
}

/// It does not.
pub(crate) fn warn(observed: String, required: String, remedy: String) -> Finding {
    Finding::warn(observed, required, remedy)
}

/// The site's proxy on the way to `url`.
fn proxy<'a>(context: &Context<'a>, url: &Url) -> Option<&'a Secret> {
    context.site?.proxy.as_ref()?.on_the_way_to(url.host_str()?, url.scheme() == "https")
}

/// Who asks for `url`, through the site's proxy where that is on the way.
pub(crate) fn asker(context: &Context<'_>, url: &Url) -> Result<Asker, CouldNotRun> {
    let roots = if url.scheme() == "https" { tls::trusted_roots(context)? } else { Vec::new() };
    Ok(Asker::new(&roots, proxy(context, url).map(Secret::expose)))
}

impl<'a> Target<'a> {
    /// One that is connected to without the proxy.
    pub(crate) fn new(host: &'a str, port: u16, what: &'a str, key: &'a str) -> Self {
        Self { host, port, what, key, by_proxy: false }
    }

    /// The server of `url`.
    pub(crate) fn of_url(context: &Context<'_>, url: &'a Url, what: &'a str, key: &'a str) -> Self {
        let (host, port) = (url.host_str().unwrap_or_default(), url.port_or_known_default().unwrap_or_default());
        Self { by_proxy: proxy(context, url).is_some(), ..Self::new(host, port, what, key) }
    }

    /// Why it can't be asked: it comes with the platform, which is still off, or which alone sees it.
    pub(crate) fn comes_with_the_platform(&self, context: &Context<'_>) -> Option<&'static str> {
        let inside = |domain: &str| self.host.strip_suffix(domain).is_some_and(|name| name.ends_with('.'));
        if CLUSTER.into_iter().any(inside) {
            return Some("it is in the cluster's own network, whose names the machine does not know");
        }
        if context.phase == Phase::Acceptance {
            return None;
        }
        let own = context.machine.kernel().addresses().unwrap_or_default();
        // Of the loopback network every address is the machine's.
        let is = |one: IpAddr, other: IpAddr| one == other || (one.is_loopback() && other.is_loopback());
        let is_own = |found: &IpAddr| own.iter().any(|one| is(one.address, *found));
        let on_it = server::addresses(self.host).is_ok_and(|found| found.iter().all(is_own));
        on_it.then_some("it is on this machine, and asked once the platform runs")
    }

    /// `HOST:PORT`.
    pub(crate) fn place(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') && !host.starts_with('[') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }

    /// What it says first, as a server of `protocol`.
    pub(crate) fn greeted(&self, protocol: Protocol) -> Result<String, Obstacle> {
        protocol.greet(server::connect(self.host, self.port)?)
    }

    /// A connection by TLS.
    pub(crate) fn secured(
        &self,
        context: &Context<'_>,
    ) -> Result<Result<rustls::StreamOwned<rustls::ClientConnection, TcpStream>, Obstacle>, CouldNotRun> {
        let roots = tls::trusted_roots(context)?;
        let connected = server::connect(self.host, self.port);
        Ok(connected.and_then(|stream| server::secured(stream, self.host, &roots)))
    }

    /// What is found of it; `severe` says how a failure counts.
    pub(crate) fn finding(&self, context: &Context<'_>, asked: Result<String, Obstacle>, severe: Severity) -> Finding {
        let place = self.place();
        let required = format!("{} answers on {place}", self.what);
        match asked {
            Ok(said) if said.is_empty() => Finding::pass(format!("{place} answers"), required),
            Ok(said) => Finding::pass(format!("{place} answers: {said}"), required),
            Err(obstacle) => {
                let (observed, remedy) = self.words(context, &obstacle);
                severe(observed, required, remedy)
            }
        }
    }

    /// What came in the way, and what the admin can do about it with what every image has.
    pub(crate) fn words(&self, context: &Context<'_>, obstacle: &Obstacle) -> (String, String) {
        let place = self.place();
        let correct = format!("correct {} of site.toml, then sudo firmware-checks site import FOLDER", self.key);
        match obstacle {
            Obstacle::Name { host, said } => (
                format!("the name {host} leads nowhere: {said}"),
                format!("{correct}; or have the name servers know it: getent ahosts {host} says whether they do"),
            ),
            Obstacle::Connection(said) if self.by_proxy => (
                format!("no connection through the proxy: {said}"),
                format!(
                    "correct [proxy] of site.toml, then sudo firmware-checks site import FOLDER; or have the proxy let this machine \
                     reach {place}"
                ),
            ),
            Obstacle::Connection(said) => (
                format!("no connection to {place}: {said}"),
                format!(
                    "have it started, and let by every firewall on the way be reached from this machine; or {correct}"
                ),
            ),
            Obstacle::Certificate(said) => (
                format!("the certificate of {}: {said}", self.host),
                tls::put(context, AUTHORITY, "the authority that signed the server's certificate"),
            ),
            Obstacle::Answer(said) => {
                (format!("{place}: {said}"), format!("look at what listens on {place}; or {correct}"))
            }
        }
    }
}
