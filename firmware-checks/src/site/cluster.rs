//! The machine's place in a cluster of several.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::Secret;
use crate::appliance::ClusterRole;
use crate::document::{KeyPath, Problem};
use crate::requirements::Source;

/// The port of a server that others join by.
const PORT: u16 = 6443;

/// The machine's place in a cluster of several; without this table it is alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Cluster {
    /// What it is there; absent: what the image says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<ClusterRole>,
    /// The server that it joins, such as `https://10.3.7.11:6443`; absent: it is the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// What all machines of the cluster know, and nobody else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<Secret>,
    /// The other machines, by address or network: the firewall lets the cluster's own ports in from them alone.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub nodes: Vec<String>,
}

impl Cluster {
    pub(super) fn problems(&self, at: &KeyPath) -> Vec<Problem> {
        let mut found = Vec::new();
        if let Some(server) = self.server.as_ref().filter(|server| !is_server(server)) {
            let problem = Problem::value(at.key("server"), format!("`{server}` is not the address of a server"));
            found.push(problem.label(format!("expected `https://HOST:{PORT}`")));
        }
        if self.token.as_ref().is_some_and(|token| !is_token(token.expose())) {
            let problem = Problem::value(at.key("token"), "a token is 16 characters or more, without spaces");
            found.push(
                problem.hint("openssl rand -hex 32 makes one; on a server, sudo cat /var/lib/rancher/k3s/server/token"),
            );
        }
        if self.role == Some(ClusterRole::Agent) && self.server.is_none() {
            let problem = Problem::value(at.key("role"), "an agent that joins no server");
            found.push(problem.label("expected `server` beside it, with its address"));
        }
        if self.server.is_some() && self.token.is_none() {
            let problem = Problem::key(at.key("server"), "a server is joined by a token, which is not given");
            found.push(
                problem
                    .hint("add `token = \"…\"`: what its site.toml says, or /var/lib/rancher/k3s/server/token on it"),
            );
        }
        if self.server.is_some() && self.nodes.is_empty() {
            let problem = Problem::value(at.key("nodes"), "the other machines of the cluster are not named");
            found.push(problem.hint("add `nodes = [\"10.3.7.11\", …]`: without it the firewall keeps them out"));
        }
        for (index, node) in self.nodes.iter().enumerate() {
            if !matches!(node.parse::<Source>(), Ok(Source::Network(_, bits)) if bits >= 8) {
                let problem = Problem::value(at.key("nodes").item(index), format!("`{node}` names no machines"));
                found.push(problem.label("expected an address or a network, such as `10.3.7.11` or `10.3.7.0/28`"));
            }
        }
        found
    }
}

fn is_server(text: &str) -> bool {
    let plain = |url: &Url| {
        url.scheme() == "https"
            && url.host_str().is_some_and(|host| !host.is_empty())
            && url.port() == Some(PORT)
            && url.path() == "/"
            && url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none()
    };
    Url::parse(text).is_ok_and(|url| plain(&url)) && text.chars().all(|c| c.is_ascii_graphic())
}

fn is_token(text: &str) -> bool {
    text.len() >= 16 && text.chars().all(|c| c.is_ascii_graphic())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::site::parse;

    fn told(text: &str) -> String {
        parse(Path::new("s"), format!("[cluster]\n{text}\n").as_bytes())
            .map_or_else(|error| error.to_string(), |_| "fine".into())
    }

    const TOKEN: &str = "token = \"canary-0123456789abcdef\"";

    #[test]
    fn a_machine_joins_by_address_and_token_and_names_the_others() {
        let nodes = "nodes = [\"10.3.7.11\", \"10.3.7.16/28\", \"2001:db8::11\"]";
        assert_eq!(told(nodes), "fine");
        let agent = format!("role = \"agent\"\nserver = \"https://10.3.7.11:6443\"\n{TOKEN}\n{nodes}");
        assert_eq!(told(&agent), "fine");
        assert_eq!(told(&agent.replace("10.3.7.11:", "[2001:db8::11]:")), "fine");
        assert_eq!(told(&agent.replace("agent", "server")), "fine");
        assert!(told(&agent.replace(TOKEN, "")).contains("joined by a token"));
        assert!(told(&agent.replace(nodes, "")).contains("are not named"));
        assert!(told("role = \"agent\"").contains("joins no server"));
        assert!(told("role = \"master\"").contains("expected `server` or `agent`"));
        for server in
            ["http://h:6443", "https://h", "https://h:443", "h:6443", "https://h:6443/x", "https://u:p@h:6443"]
        {
            let text = told(&agent.replace("https://10.3.7.11:6443", server));
            assert!(text.contains("expected `https://HOST:6443`"), "{server}: {text}");
        }
        for node in ["node1", "any", "10.3.7.0/33", "0.0.0.0/0", ""] {
            assert!(told(&format!("nodes = [\"{node}\"]")).contains("names no machines"), "{node}");
        }
    }

    #[test]
    fn a_token_is_never_shown() {
        for text in ["token = \"canary\"", "token = canary", "token = \"canary 0123456789abcdef\""] {
            let text = told(text);
            assert!(!text.contains("canary") && text.contains("token"), "{text}");
        }
    }
}
