//! The way out, where the site has one that must be asked for.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::host_name;
use super::secret::Secret;
use crate::document::{KeyPath, Problem};
use crate::firewall::network::Network;
use crate::requirements::Source;

/// The way out, where the site has one that must be asked for. Docker, containerd, the package manager and login shells are
/// told of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Proxy {
    /// The proxy for `http://`, such as `http://proxy.clinic.example:3128`; a login may stand in it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<Secret>,
    /// The proxy for `https://`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub https: Option<Secret>,
    /// What is reached without it: host names, domains such as `.clinic.example`, addresses and networks. The machine itself
    /// always is.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub no_proxy: Vec<String>,
}

impl Proxy {
    /// What is reached without the proxy, the machine itself included.
    #[must_use]
    pub fn exceptions(&self) -> String {
        let own = ["localhost", "127.0.0.0/8", "::1"];
        own.into_iter().chain(self.no_proxy.iter().map(String::as_str)).collect::<Vec<_>>().join(",")
    }

    /// The proxy by which the machine asks `host` for what is `https`, or plain HTTP; none where it does so by itself.
    #[must_use]
    pub fn on_the_way_to(&self, host: &str, https: bool) -> Option<&Secret> {
        let proxy = if https { self.https.as_ref() } else { self.http.as_ref() };
        proxy.filter(|_| host != "localhost" && !self.no_proxy.iter().any(|exception| covers(exception, host)))
    }

    /// Whether a login stands in it.
    #[must_use]
    pub fn has_login(&self) -> bool {
        let login = |secret: &Secret| secret.expose().contains('@');
        self.http.iter().chain(&self.https).any(login)
    }

    pub(super) fn problems(&self, at: &KeyPath) -> Vec<Problem> {
        let mut found = Vec::new();
        for (key, proxy) in [("http", &self.http), ("https", &self.https)] {
            if proxy.as_ref().is_some_and(|proxy| !is_proxy(proxy.expose())) {
                let problem = Problem::value(at.key(key), "this is no address of a proxy");
                found.push(problem.label("expected such as `http://proxy.clinic.example:3128`"));
            }
        }
        if self.http.is_none() && self.https.is_none() {
            let problem = Problem::key(at.clone(), "no proxy is named");
            found.push(problem.hint("add `http = …` or `https = …`; most sites have one for both"));
        }
        for (index, text) in self.no_proxy.iter().enumerate() {
            let name = text.strip_prefix('.').unwrap_or(text);
            let host = host_name::wrong(name, 253).is_none();
            let network = text.parse().is_ok_and(|source| matches!(source, Source::Network(..)));
            if !host && !network {
                let problem =
                    Problem::value(at.key("no_proxy").item(index), format!("`{text}` is neither a host nor a network"));
                found.push(problem.label("expected such as `.clinic.example`, `10.3.7.12` or `10.0.0.0/8`"));
            }
        }
        found
    }
}

/// Whether `exception` is `host`, a domain that it is in, or a network that its address is in.
fn covers(exception: &str, host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if let (Ok(address), Ok(Source::Network(network, prefix))) = (address, exception.parse()) {
        return Network::around(network, prefix).contains(address);
    }
    let (exception, host) = (exception.to_ascii_lowercase(), host.to_ascii_lowercase());
    let domain = exception.trim_start_matches('.');
    host == domain || host.strip_suffix(domain).is_some_and(|rest| rest.ends_with('.'))
}

/// Printable ASCII without what would end a string in the files that take it.
fn is_proxy(text: &str) -> bool {
    let tame = text.bytes().all(|byte| byte.is_ascii_graphic() && !b"\"'\\`$;".contains(&byte));
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    tame && url.is_some_and(|url| url.has_host() && url.path() == "/" && url.query().is_none())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::site::parse;

    #[test]
    fn exceptions_are_reached_without_the_proxy() {
        let proxy = Proxy {
            http: None,
            https: Some("http://proxy:3128".into()),
            no_proxy: ["clinic.example", ".lab.example", "10.0.0.0/8", "192.0.2.7"].map(str::to_owned).to_vec(),
        };
        for host in ["clinic.example", "a.CLINIC.example", "x.lab.example", "10.3.7.1", "192.0.2.7", "localhost"] {
            assert!(proxy.on_the_way_to(host, true).is_none(), "{host}");
        }
        for host in ["myclinic.example", "example", "11.0.0.1", "192.0.2.70", "[2001:db8::1]"] {
            assert!(proxy.on_the_way_to(host, true).is_some(), "{host}");
        }
        assert!(proxy.on_the_way_to("example", false).is_none());
    }

    fn told(text: &str) -> String {
        parse(Path::new("s"), format!("[proxy]\n{text}\n").as_bytes())
            .map_or_else(|error| error.to_string(), |_| "fine".into())
    }

    #[test]
    fn a_proxy_is_an_address_with_or_without_a_login() {
        for good in ["http://proxy:3128", "http://u:p%40@10.0.0.1:3128/", "https://[2001:db8::1]:3128"] {
            assert_eq!(
                told(&format!("https = \"{good}\"\nno_proxy = [\".a.example\", \"10.0.0.0/8\", \"b\"]")),
                "fine"
            );
        }
        for bad in ["proxy:3128", "socks5://proxy", "http://", "http://h/path", "http://u:p'@h", "http://u:$p@h"] {
            assert!(told(&format!("http = \"{bad}\"")).contains("s:2:8"), "{bad}");
        }
        assert!(told("no_proxy = []").contains("no proxy is named"));
        assert!(told("http = \"http://h\"\nno_proxy = [\"*.example\"]").contains("s:3:13"));
    }
}
