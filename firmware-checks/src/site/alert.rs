//! Where word is sent to when something fails.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::host_name;
use super::secret::Secret;
use crate::document::{KeyPath, Problem};

/// Where word is sent to when something fails: one or more of these.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Alert {
    /// An address that takes JSON by POST; whoever knows it may send, so it is a secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub webhook: Option<Secret>,
    /// A mail relay.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<Email>,
    /// A log server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub syslog: Option<Syslog>,
}

/// A mail relay.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Email {
    /// The relay's name or address.
    pub relay: String,
    /// Its port: 25 for a relay of the house, 587 for submission with a login, 465 for TLS from the first byte.
    #[serde(default = "smtp")]
    #[schemars(range(min = 1))]
    pub port: u16,
    /// The sender's address.
    pub from: String,
    /// Who is told.
    pub to: Vec<String>,
    /// Who logs in at the relay.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<Secret>,
    /// The password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub password: Option<Secret>,
}

fn smtp() -> u16 {
    25
}

/// A log server (RFC 5424).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Syslog {
    /// Its name or address.
    pub server: String,
    /// Its port.
    #[serde(default = "syslog")]
    #[schemars(range(min = 1))]
    pub port: u16,
    /// How it is spoken to.
    #[serde(default)]
    pub transport: Transport,
}

fn syslog() -> u16 {
    514
}

/// How a log server is spoken to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Transport {
    /// RFC 5426.
    #[default]
    Udp,
    /// RFC 6587.
    Tcp,
    /// RFC 5425.
    Tls,
}

impl Alert {
    pub(super) fn problems(&self, at: &KeyPath) -> Vec<Problem> {
        let mut found = Vec::new();
        if self.webhook.is_none() && self.email.is_none() && self.syslog.is_none() {
            let problem = Problem::key(at.clone(), "nobody is named who would be told");
            found.push(problem.hint("add `webhook = …`, or the table `alert.email` or `alert.syslog`"));
        }
        let http = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
        if self.webhook.as_ref().is_some_and(|hook| !Url::parse(hook.expose()).is_ok_and(|url| http(&url))) {
            let problem = Problem::value(at.key("webhook"), "this is no address of an HTTP server");
            found.push(problem.label("expected such as `https://alerts.clinic.example/hook`"));
        }
        found.extend(self.email.iter().flat_map(|email| email.problems(&at.key("email"))));
        found.extend(self.syslog.iter().filter_map(|syslog| server(&syslog.server, at.key("syslog").key("server"))));
        found
    }
}

impl Email {
    fn problems(&self, at: &KeyPath) -> Vec<Problem> {
        let mut found: Vec<Problem> = server(&self.relay, at.key("relay")).into_iter().collect();
        let to = self.to.iter().enumerate().map(|(index, text)| (text, at.key("to").item(index)));
        for (text, at) in std::iter::once((&self.from, at.key("from"))).chain(to) {
            if !is_mailbox(text) {
                let problem = Problem::value(at, format!("`{text}` is not a mail address"));
                found.push(problem.label("expected such as `it@clinic.example`"));
            }
        }
        if self.to.is_empty() {
            found.push(
                Problem::value(at.key("to"), "nobody is named who would be told").label("expected one address or more"),
            );
        }
        if self.username.is_some() != self.password.is_some() {
            let problem = Problem::key(at.clone(), "half a login");
            found.push(problem.hint("a relay that asks for a login asks for `username` and `password`"));
        }
        found
    }
}

/// What is wrong with `name` as the name or address of a server.
pub(super) fn server(name: &str, at: KeyPath) -> Option<Problem> {
    if name.parse::<std::net::IpAddr>().is_ok() {
        return None;
    }
    let why = host_name::wrong(name, 253)?;
    let problem = Problem::value(at, format!("`{name}` is not the name of a server: it {why}"));
    Some(problem.label("expected a host name or an address"))
}

/// The usual part of RFC 5321 §4.1.2: no quoted words, no comments.
fn is_mailbox(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let within = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~.".contains(c);
    !local.is_empty()
        && local.len() <= 64
        && local.chars().all(within)
        && host_name::wrong(&domain.to_lowercase(), 253).is_none()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::site::parse;

    fn told(text: &str) -> String {
        parse(Path::new("s"), text.as_bytes()).map_or_else(|error| error.to_string(), |_| "fine".into())
    }

    #[test]
    fn word_can_be_sent_by_each_way_that_is_whole() {
        assert_eq!(
            told(
                "[alert]\nwebhook = \"https://a.example/hook?token=x\"\n[alert.syslog]\nserver = \"10.0.0.1\"\ntransport = \"tls\""
            ),
            "fine"
        );
        let mail = "[alert.email]\nrelay = \"mail.example\"\nfrom = \"a@b.example\"\nto = [\"it+x@B.example\"]\n";
        assert_eq!(told(mail), "fine");
        assert!(told("[alert]\n").contains("nobody is named"));
        assert!(told("[alert]\nwebhook = \"a.example\"").contains("s:2:11"));
        assert!(told("[alert.syslog]\nserver = \"a b\"").contains("s:2:10"));
        assert!(told("[alert.syslog]\nserver = \"a\"\nport = 0").contains("s:3:8"));
        assert!(told(&mail.replace("[\"it+x@B.example\"]", "[]")).contains("s:4:6"));
        assert!(told(&mail.replace("a@b.example", "a b.example")).contains("s:3:8"));
        assert!(told(&format!("{mail}username = \"u\"\n")).contains("half a login"));
    }
}
