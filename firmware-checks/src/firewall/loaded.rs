//! The rules that the kernel has loaded, as `nft -j list ruleset` prints them (libnftables-json (5)).

use std::collections::{BTreeSet, HashSet};
use std::net::IpAddr;

use serde::Deserialize;
use serde_json::Value;

use super::Error;
use super::network::Network;
use super::tool::Program;

/// Every table, of every family.
#[derive(Clone, Debug, Default)]
pub struct Ruleset {
    pub(super) chains: Vec<Chain>,
    pub(super) sets: Vec<Set>,
}

/// A chain with its rules.
#[derive(Clone, Debug, Deserialize)]
pub struct Chain {
    /// `ip`, `ip6`, `inet`, `arp`, `bridge` or `netdev`.
    pub family: String,
    /// The table that it belongs to.
    pub table: String,
    /// Its name.
    pub name: String,
    /// The hook of a base chain, such as `prerouting`; absent for one that others jump to.
    pub hook: Option<String>,
    /// The order of base chains at a hook: lower comes first.
    #[serde(default)]
    pub prio: i64,
    /// What becomes of a packet that no rule of a base chain decides on.
    #[serde(default)]
    pub policy: Policy,
    /// The device or devices of a `netdev` chain.
    dev: Option<Value>,
    /// Each rule's statements, in order.
    #[serde(skip)]
    pub rules: Vec<Vec<Value>>,
}

impl Chain {
    /// The chain as an admin would name it to `nft`.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("table {} {}, chain {}", self.family, self.table, self.name)
    }

    /// Whether it sees packets that come in by `interface`; only chains at `ingress` are bound to some.
    #[must_use]
    pub fn sees(&self, interface: &str) -> bool {
        match &self.dev {
            None => true,
            Some(Value::Array(devices)) => devices.iter().any(|device| device == interface),
            Some(device) => device == interface,
        }
    }
}

/// The policy of a base chain.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Policy {
    /// Lets through what no rule decides on.
    #[default]
    Accept,
    /// Drops it.
    Drop,
}

/// A named set or map.
#[derive(Clone, Debug, Deserialize)]
pub struct Set {
    /// As of the chain.
    pub family: String,
    /// The table that it belongs to.
    pub table: String,
    /// Its name, without the `@`.
    pub name: String,
    /// Its elements; pairs in a map.
    #[serde(default, rename = "elem")]
    pub elements: Vec<Value>,
}

#[derive(Deserialize)]
struct Rule {
    family: String,
    table: String,
    chain: String,
    #[serde(default)]
    expr: Vec<Value>,
}

#[derive(Deserialize)]
struct Table {
    family: String,
    name: String,
    #[serde(default)]
    flags: Value,
}

impl Ruleset {
    /// What is loaded in the network namespace of the calling thread.
    ///
    /// # Errors
    /// `nft` is not there, may not read the rules, or prints what is no rule set.
    pub fn read() -> Result<Self, Error> {
        Self::parse(&Program::Nft.run(&["-j", "list", "ruleset"], "")?)
    }

    /// From the text that `nft -j list ruleset` printed.
    ///
    /// # Errors
    /// It is not JSON of that form.
    pub fn parse(text: &[u8]) -> Result<Self, Error> {
        #[derive(Deserialize)]
        struct Document {
            nftables: Vec<serde_json::Map<String, Value>>,
        }
        let document: Document = serde_json::from_slice(text)?;
        let mut ruleset = Self::default();
        let mut dormant = HashSet::new();
        for (kind, value) in document.nftables.into_iter().flatten() {
            match kind.as_str() {
                "table" => {
                    let table: Table = serde_json::from_value(value)?;
                    if mentions(&table.flags, "dormant") {
                        dormant.insert((table.family, table.name));
                    }
                }
                "chain" => ruleset.chains.push(serde_json::from_value(value)?),
                "set" | "map" => ruleset.sets.push(serde_json::from_value(value)?),
                "rule" => ruleset.add(serde_json::from_value(value)?),
                _ => {}
            }
        }
        // The hooks of a dormant table are not registered.
        ruleset.chains.retain(|chain| !dormant.contains(&(chain.family.clone(), chain.table.clone())));
        Ok(ruleset)
    }

    fn add(&mut self, rule: Rule) {
        let home = self
            .chains
            .iter_mut()
            .find(|chain| chain.family == rule.family && chain.table == rule.table && chain.name == rule.chain);
        if let Some(chain) = home {
            chain.rules.push(rule.expr);
        }
    }

    /// Whether there is a table of this family and name with a chain in it.
    #[must_use]
    pub fn has(&self, family: &str, table: &str) -> bool {
        self.chains.iter().any(|chain| chain.family == family && chain.table == table)
    }

    /// Every number that could be a port in any rule or set. Where two ports have no such number between or at
    /// them, no rule tells them apart.
    #[must_use]
    pub fn ports(&self) -> BTreeSet<u16> {
        let mut found = BTreeSet::new();
        self.walk(&mut |value| found.extend(value.as_u64().and_then(|number| u16::try_from(number).ok())));
        found
    }

    /// Every network and address in any rule or set, and each network's first address besides.
    #[must_use]
    pub fn networks(&self) -> BTreeSet<Network> {
        let mut found = BTreeSet::new();
        self.walk(&mut |value| {
            found.extend(as_network(value));
        });
        found
    }

    /// The networks in the named set, in order; `None` where there is no such set or it holds something else.
    pub(super) fn set_networks(&self, family: &str, table: &str, name: &str) -> Option<Vec<Network>> {
        let mut sets = self.sets.iter();
        let set = sets.find(|set| set.family == family && set.table == table && set.name == name)?;
        let networks: Option<Vec<Network>> = set.elements.iter().map(as_network).collect();
        networks.map(|mut networks| {
            networks.sort();
            networks
        })
    }

    fn walk(&self, visit: &mut impl FnMut(&Value)) {
        let rules = self.chains.iter().flat_map(|chain| &chain.rules).flatten();
        for value in rules.chain(self.sets.iter().flat_map(|set| &set.elements)) {
            descend(value, visit);
        }
    }
}

/// An address or a network, as an element or on the right of a comparison.
pub(super) fn as_network(value: &Value) -> Option<Network> {
    let (address, prefix) = match value.get("prefix") {
        Some(prefix) => (prefix.get("addr")?, u8::try_from(prefix.get("len")?.as_u64()?).ok()?),
        None => (value, u8::MAX),
    };
    Some(Network::around(address.as_str()?.parse::<IpAddr>().ok()?, prefix))
}

fn descend(value: &Value, visit: &mut impl FnMut(&Value)) {
    visit(value);
    match value {
        Value::Array(values) => values.iter().for_each(|value| descend(value, visit)),
        Value::Object(fields) => fields.values().for_each(|value| descend(value, visit)),
        _ => {}
    }
}

pub(super) fn mentions(flags: &Value, flag: &str) -> bool {
    flags == flag || flags.as_array().is_some_and(|flags| flags.iter().any(|value| value == flag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dormant_table_is_as_if_it_were_not_there() {
        let text = |flags: &str| {
            format!(
                r#"{{"nftables": [{{"metainfo": {{}}}}, {{"table": {{"family": "ip", "name": "t", "handle": 1{flags}}}}},
                {{"chain": {{"family": "ip", "table": "t", "name": "c", "handle": 1, "type": "filter",
                             "hook": "input", "prio": 0, "policy": "drop"}}}}]}}"#
            )
        };
        assert!(Ruleset::parse(text("").as_bytes()).unwrap().has("ip", "t"));
        assert!(!Ruleset::parse(text(r#", "flags": ["dormant"]"#).as_bytes()).unwrap().has("ip", "t"));
        assert!(!Ruleset::parse(text(r#", "flags": "dormant""#).as_bytes()).unwrap().has("ip", "t"));
    }

    #[test]
    fn what_is_no_rule_set_is_an_error() {
        assert!(Ruleset::parse(b"").is_err());
        assert!(Ruleset::parse(br#"{"nftables": [{"chain": {"family": "ip"}}]}"#).is_err());
    }

    #[test]
    fn ports_and_networks_are_found_wherever_they_stand() {
        let text = br#"{"nftables": [
            {"set": {"family": "ip", "table": "t", "name": "s", "type": "ipv4_addr", "handle": 1,
                     "elem": [{"prefix": {"addr": "10.0.0.0", "len": 8}}, "192.0.2.7"]}},
            {"chain": {"family": "ip", "table": "t", "name": "c", "handle": 1}},
            {"rule": {"family": "ip", "table": "t", "chain": "c", "handle": 2, "expr": [
                {"match": {"op": "==", "left": {"payload": {"protocol": "tcp", "field": "dport"}},
                           "right": {"set": [{"range": [90, 100]}, 70000]}}}, {"accept": null}]}}]}"#;
        let ruleset = Ruleset::parse(text).unwrap();
        assert!(ruleset.ports().contains(&90) && ruleset.ports().contains(&100));
        let shown: Vec<String> = ruleset.networks().iter().map(ToString::to_string).collect();
        assert!(["10.0.0.0/8", "192.0.2.7/32"].iter().all(|wanted| shown.iter().any(|one| one == wanted)), "{shown:?}");
    }
}
