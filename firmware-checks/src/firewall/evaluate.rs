//! What the loaded rules do with a packet.
//!
//! Every base chain that the packet meets on its way in is asked: at the hooks `ingress`, `prerouting` and `input`,
//! in the order of their priorities. One that drops is enough; all must let through. Where a rule says something
//! that this file does not understand, both ways are followed: only if all ways end alike is there an answer, else
//! it is [`Answer::CannotTell`]. So an expression that is not understood never lets a packet in.

use std::net::IpAddr;

use serde_json::{Map, Value};

use super::condition::{Conditions, Truth};
use super::loaded::{Chain, Policy, Ruleset};
use crate::requirements::Protocol;

/// The first packet of a connection, addressed to the machine itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packet {
    /// The interface by which it comes in.
    pub interface: String,
    /// Who claims to have sent it.
    pub source: IpAddr,
    /// The interface by which the machine would answer `source`, as its routes are.
    pub back: String,
    /// The machine's address.
    pub destination: IpAddr,
    /// Its protocol.
    pub protocol: Protocol,
    /// The sender's port.
    pub source_port: u16,
    /// The port that it is for.
    pub port: u16,
}

/// What becomes of a [`Packet`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Every chain lets it through.
    Accept,
    /// A chain drops or rejects it: which.
    Drop(String),
    /// That depends on something which this program does not understand: on what.
    CannotTell(String),
}

impl Ruleset {
    /// What becomes of `packet`.
    #[must_use]
    pub fn answer(&self, packet: &Packet) -> Answer {
        let mut walk =
            Walk { ruleset: self, conditions: Conditions::of(packet, &self.sets), unclear: None, dropper: None };
        let mut accepted = true;
        let mut dropped = false;
        for hook in ["ingress", "prerouting", "input"] {
            if hook == "input" && walk.conditions.moved {
                // It may be for a container now: then the rules for what is forwarded decide, by its new address.
                walk.note("a destination NAT sends the packet on, to where other rules decide");
                dropped = true;
            }
            for chain in self.base_chains(hook, packet) {
                let ends = walk.base(chain);
                accepted &= ends.accept;
                dropped |= ends.drop;
            }
        }
        match (accepted, dropped) {
            (true, false) => Answer::Accept,
            (false, true) => Answer::Drop(walk.dropper.unwrap_or_default()),
            _ => Answer::CannotTell(walk.unclear.unwrap_or_default()),
        }
    }

    fn base_chains(&self, hook: &str, packet: &Packet) -> Vec<&Chain> {
        let family = if packet.source.is_ipv4() { "ip" } else { "ip6" };
        let sees = |chain: &&Chain| {
            let kind = chain.family.as_str();
            chain.hook.as_deref() == Some(hook)
                && (kind == "inet" || kind == family || kind == "netdev")
                && chain.sees(&packet.interface)
        };
        let mut chains: Vec<&Chain> = self.chains.iter().filter(sees).collect();
        chains.sort_by_key(|chain| chain.prio);
        chains
    }
}

/// Where the ways through a rule or a chain may end.
#[derive(Clone, Copy, Default)]
struct Ends {
    accept: bool,
    drop: bool,
    /// The chain was left without a verdict, by `return` or at its end.
    back: bool,
    /// The next rule is looked at.
    next: bool,
}

impl Ends {
    const ACCEPT: Self = Self { accept: true, drop: false, back: false, next: false };
    const DROP: Self = Self { accept: false, drop: true, back: false, next: false };
    const BACK: Self = Self { accept: false, drop: false, back: true, next: false };
    const NEXT: Self = Self { accept: false, drop: false, back: false, next: true };
    const ANY: Self = Self { accept: true, drop: true, back: true, next: true };

    fn or(self, other: Self) -> Self {
        Self {
            accept: self.accept | other.accept,
            drop: self.drop | other.drop,
            back: self.back | other.back,
            next: self.next | other.next,
        }
    }
}

/// What a statement does: the packet goes on to the next statement, or perhaps to the next rule, or ends.
enum Step {
    On,
    MaybeOn(String),
    Break,
    End(Ends),
}

struct Walk<'a> {
    ruleset: &'a Ruleset,
    conditions: Conditions<'a>,
    /// The first thing that was not understood.
    unclear: Option<String>,
    /// The first chain that dropped.
    dropper: Option<String>,
}

impl<'a> Walk<'a> {
    fn note(&mut self, what: &str) {
        self.unclear.get_or_insert_with(|| what.to_owned());
    }

    fn base(&mut self, chain: &'a Chain) -> Ends {
        let ends = self.chain(chain, 0);
        let policy = match chain.policy {
            _ if !ends.back => Ends::default(),
            Policy::Accept => Ends::ACCEPT,
            Policy::Drop => {
                self.dropper.get_or_insert_with(|| format!("{} (its policy)", chain.shown()));
                Ends::DROP
            }
        };
        Ends { back: false, ..ends }.or(policy)
    }

    fn chain(&mut self, chain: &'a Chain, depth: usize) -> Ends {
        let mut all = Ends::default();
        for rule in &chain.rules {
            let ends = self.rule(chain, rule, depth);
            all = all.or(Ends { next: false, ..ends });
            if !ends.next {
                return all;
            }
        }
        all.or(Ends::BACK)
    }

    fn rule(&mut self, chain: &'a Chain, statements: &'a [Value], depth: usize) -> Ends {
        let mut all = Ends::default();
        for (index, statement) in statements.iter().enumerate() {
            let last = index + 1 == statements.len();
            match self.statement(chain, statement, last, depth) {
                Step::On => {}
                Step::MaybeOn(why) => {
                    self.note(&format!("{}: {why}", chain.shown()));
                    all = all.or(Ends::NEXT);
                }
                Step::Break => return all.or(Ends::NEXT),
                Step::End(ends) => {
                    if ends.drop {
                        self.dropper.get_or_insert_with(|| chain.shown());
                    }
                    return all.or(ends);
                }
            }
        }
        all.or(Ends::NEXT)
    }

    fn statement(&mut self, chain: &'a Chain, statement: &'a Value, last: bool, depth: usize) -> Step {
        let Some((kind, body)) = statement.as_object().and_then(single) else {
            return self.anything(chain, statement);
        };
        match kind {
            "match" => match self.conditions.holds(chain, body) {
                Truth::Yes => Step::On,
                Truth::No => Step::Break,
                Truth::Maybe => Step::MaybeOn(format!("`{statement}` is not understood")),
            },
            "counter" | "log" | "last" | "dup" | "comment" | "ct helper" | "ct timeout" | "secmark" => Step::On,
            "mangle" if body.pointer("/key/payload").is_none() => Step::On,
            "notrack" => {
                self.conditions.tracked = false;
                Step::On
            }
            "limit" | "quota" | "ct count" | "set" | "meter" => {
                Step::MaybeOn(format!("`{kind}` depends on what came before"))
            }
            "dnat" | "redirect" | "tproxy" => {
                self.conditions.moved = true;
                Step::End(Ends::ACCEPT)
            }
            "snat" | "masquerade" => Step::End(Ends::ACCEPT),
            "vmap" => self.verdict_map(chain, body, depth),
            "xt" => self.extension(chain, statement, body, last),
            _ => self.verdict(chain, kind, body, depth).map_or_else(|| self.anything(chain, statement), Step::End),
        }
    }

    /// The verdict statements (nft (8), "Verdict statements").
    fn verdict(&mut self, chain: &Chain, kind: &str, body: &Value, depth: usize) -> Option<Ends> {
        Some(match kind {
            "accept" => Ends::ACCEPT,
            "drop" | "reject" => Ends::DROP,
            "return" => Ends::BACK,
            "continue" => Ends::NEXT,
            "jump" | "goto" => {
                // The kernel allows 16 levels; more is not a rule set that it has loaded.
                let target = self.target(chain, body).filter(|_| depth < 16)?;
                let ends = self.chain(target, depth + 1);
                let left = if !ends.back {
                    Ends::default()
                } else if kind == "jump" {
                    Ends::NEXT
                } else {
                    Ends::BACK
                };
                Ends { back: false, ..ends }.or(left)
            }
            _ => return None,
        })
    }

    fn target(&self, from: &Chain, body: &Value) -> Option<&'a Chain> {
        let name = body.get("target")?.as_str()?;
        let mut chains = self.ruleset.chains.iter();
        chains.find(|chain| chain.family == from.family && chain.table == from.table && chain.name == name)
    }

    fn verdict_map(&mut self, chain: &'a Chain, body: &'a Value, depth: usize) -> Step {
        let (Some(key), Some(data)) = (body.get("key"), body.get("data")) else { return self.anything(chain, body) };
        let Some(entries) = self.conditions.elements(chain, data) else { return self.anything(chain, body) };
        let mut all = Ends::default();
        for entry in entries {
            let Some([element, verdict]) = entry.as_array().map(Vec::as_slice) else {
                return self.anything(chain, body);
            };
            let truth = self.conditions.compare(chain, key, "==", element);
            if truth == Truth::No {
                continue;
            }
            let known = verdict.as_object().and_then(single);
            let ends = known.and_then(|(kind, body)| self.verdict(chain, kind, body, depth));
            let Some(ends) = ends else { return self.anything(chain, body) };
            all = all.or(ends);
            if truth == Truth::Yes {
                return Step::End(all);
            }
            self.note(&format!("{}: `{key}` is not understood", chain.shown()));
        }
        Step::End(all.or(Ends::NEXT))
    }

    /// An extension of iptables', which nftables can name at best (`iptables-nft` writes such).
    fn extension(&mut self, chain: &Chain, statement: &Value, body: &Value, last: bool) -> Step {
        let field = |name| body.get(name).and_then(Value::as_str);
        match (field("type"), field("name")) {
            (Some("target"), Some("DNAT" | "REDIRECT")) => {
                self.conditions.moved = true;
                Step::End(Ends::ACCEPT)
            }
            (Some("target"), Some("SNAT" | "MASQUERADE")) => Step::End(Ends::ACCEPT),
            (Some("target"), Some("LOG" | "NFLOG" | "MARK" | "CONNMARK" | "TCPMSS" | "CHECKSUM" | "AUDIT")) => Step::On,
            (Some("target"), Some("REJECT")) => Step::End(Ends::DROP),
            (Some("match"), _) => Step::MaybeOn(format!("`{statement}` is not understood")),
            // Older versions do not even name it; a rule of iptables ends with its one target.
            (None, _) if !last => Step::MaybeOn(format!("`{statement}` is not understood")),
            _ => self.anything(chain, statement),
        }
    }

    fn anything(&mut self, chain: &Chain, statement: &Value) -> Step {
        self.note(&format!("{}: `{statement}` is not understood", chain.shown()));
        Step::End(Ends::ANY)
    }
}

/// The one field of `object`.
fn single(object: &Map<String, Value>) -> Option<(&str, &Value)> {
    let mut fields = object.iter();
    match (fields.next(), fields.next()) {
        (Some((key, value)), None) => Some((key, value)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn packet(port: u16) -> Packet {
        Packet {
            interface: "eth0".into(),
            source: "192.0.2.9".parse().unwrap(),
            back: "eth0".into(),
            destination: "10.3.7.12".parse().unwrap(),
            protocol: Protocol::Tcp,
            source_port: 50_123,
            port,
        }
    }

    /// One input chain with `policy` and the rules, and a chain `other` with `others`.
    fn ruleset(policy: &str, rules: &[Value], others: &[Value]) -> Ruleset {
        let chain = |name: &str| json!({"family": "inet", "table": "t", "name": name, "handle": 1});
        let mut base = chain("base");
        for (key, value) in [("type", "filter"), ("hook", "input"), ("policy", policy)] {
            base[key] = json!(value);
        }
        let mut objects = vec![json!({"chain": base}), json!({"chain": chain("other")})];
        for (name, rules) in [("base", rules), ("other", others)] {
            let rule = |expr: &Value| json!({"rule": {"family": "inet", "table": "t", "chain": name, "expr": expr}});
            objects.extend(rules.iter().map(rule));
        }
        Ruleset::parse(json!({ "nftables": objects }).to_string().as_bytes()).unwrap()
    }

    fn dport(op: &str, right: Value) -> Value {
        json!({"match": {"op": op, "left": {"payload": {"protocol": "tcp", "field": "dport"}}, "right": right}})
    }

    fn answer(policy: &str, rules: &[Value], port: u16) -> Answer {
        ruleset(policy, rules, &[]).answer(&packet(port))
    }

    #[test]
    fn the_policy_decides_what_no_rule_does() {
        assert_eq!(answer("accept", &[], 80), Answer::Accept);
        assert!(matches!(answer("drop", &[], 80), Answer::Drop(by) if by.contains("table inet t, chain base")));
    }

    #[test]
    fn ports_are_compared_in_every_form() {
        for (op, right, met) in [
            ("==", json!(80), true),
            ("!=", json!(80), false),
            ("==", json!({"set": [22, {"range": [79, 81]}]}), true),
            ("==", json!({"set": [22, 443]}), false),
            ("!=", json!({"range": [90, 100]}), true),
            (">=", json!(80), true),
            ("<", json!(80), false),
        ] {
            let rules = [json!([dport(op, right.clone()), {"accept": null}])];
            assert_eq!(answer("drop", &rules, 80) == Answer::Accept, met, "{op} {right}");
        }
    }

    #[test]
    fn a_field_of_another_protocol_meets_no_condition_not_even_inequality() {
        let udp = json!({"payload": {"protocol": "udp", "field": "dport"}});
        let rules = [json!([{"match": {"op": "!=", "left": udp, "right": 1}}, {"accept": null}])];
        assert!(matches!(answer("drop", &rules, 80), Answer::Drop(_)));
    }

    #[test]
    fn what_is_not_understood_never_lets_in() {
        let odd = json!({"xt": {"type": "match", "name": "addrtype"}});
        assert!(matches!(answer("drop", &[json!([odd, {"accept": null}])], 80), Answer::CannotTell(_)));
        assert!(matches!(answer("accept", &[json!([odd, {"drop": null}])], 80), Answer::CannotTell(_)));
        for statement in [json!({"quantum": 1}), json!({"queue": {"num": 3}}), json!({"xt": null}), json!("x")] {
            assert!(matches!(answer("accept", &[json!([statement])], 80), Answer::CannotTell(_)), "{statement}");
        }
    }

    #[test]
    fn what_is_not_understood_but_ends_alike_either_way_is_an_answer() {
        let odd = json!({"xt": {"type": "match", "name": "addrtype"}});
        assert!(matches!(answer("drop", &[json!([odd, {"drop": null}])], 80), Answer::Drop(_)));
        assert_eq!(answer("accept", &[json!([odd, {"accept": null}])], 80), Answer::Accept);
    }

    #[test]
    fn a_limit_may_or_may_not_be_reached() {
        let limit = json!({"limit": {"rate": 3, "per": "second"}});
        assert!(matches!(answer("drop", &[json!([limit, {"accept": null}])], 80), Answer::CannotTell(_)));
    }

    #[test]
    fn jump_comes_back_and_goto_does_not() {
        let others = [json!([dport("==", json!(443)), {"accept": null}]), json!([{"return": null}])];
        for (kind, after) in [("jump", true), ("goto", false)] {
            let rules = [json!([{kind: {"target": "other"}}]), json!([{"accept": null}])];
            let ruleset = ruleset("drop", &rules, &others);
            assert_eq!(ruleset.answer(&packet(443)), Answer::Accept);
            assert_eq!(ruleset.answer(&packet(80)) == Answer::Accept, after, "{kind}");
        }
    }

    #[test]
    fn a_verdict_map_decides_by_its_key() {
        let map = json!([{"vmap": {"key": {"payload": {"protocol": "tcp", "field": "dport"}},
                                   "data": {"set": [[{"range": [1, 5]}, {"accept": null}], [22, {"drop": null}]]}}}]);
        let rules = [map];
        assert_eq!(answer("drop", &rules, 3), Answer::Accept);
        assert!(matches!(answer("accept", &rules, 22), Answer::Drop(_)));
        assert_eq!(answer("accept", &rules, 23), Answer::Accept);
        let state =
            json!([{"vmap": {"key": {"ct": {"key": "state"}}, "data": {"set": [["established", {"accept": null}]]}}}]);
        assert!(matches!(answer("drop", &[state], 23), Answer::Drop(_)));
    }

    #[test]
    fn interfaces_and_routes_are_known() {
        let rule = |left: Value, right: &str| {
            [json!([{"match": {"op": "==", "left": left, "right": right}}, {"accept": null}])]
        };
        let name = json!({"meta": {"key": "iifname"}});
        assert_eq!(answer("drop", &rule(name.clone(), "eth*"), 1), Answer::Accept);
        assert!(matches!(answer("drop", &rule(name, "docker0"), 1), Answer::Drop(_)));
        let back = json!({"fib": {"result": "oifname", "flags": ["saddr"]}});
        assert_eq!(answer("drop", &rule(back.clone(), "eth0"), 1), Answer::Accept);
        assert!(matches!(answer("drop", &rule(back, "br-*"), 1), Answer::Drop(_)));
    }

    #[test]
    fn after_a_destination_nat_the_forward_rules_decide_and_an_earlier_drop_stands() {
        let nat = |hook: &str, prio: i64, expr: Value| {
            let name = format!("c{prio}");
            vec![
                json!({"chain": {"family": "ip", "table": "n", "name": name, "handle": 1, "type": "nat", "hook": hook,
                                 "prio": prio, "policy": "accept"}}),
                json!({"rule": {"family": "ip", "table": "n", "chain": name, "expr": expr}}),
            ]
        };
        let dnat = json!([dport("==", json!(80)), {"dnat": {"addr": "172.17.0.2", "port": 80}}]);
        let parse =
            |objects: Vec<Value>| Ruleset::parse(json!({ "nftables": objects }).to_string().as_bytes()).unwrap();
        let alone = parse(nat("prerouting", -100, dnat.clone()));
        assert!(matches!(alone.answer(&packet(80)), Answer::CannotTell(_)));
        assert_eq!(alone.answer(&packet(81)), Answer::Accept);
        let before = [nat("prerouting", -150, json!([{"drop": null}])), nat("prerouting", -100, dnat)].concat();
        assert!(matches!(parse(before).answer(&packet(80)), Answer::Drop(_)));
    }

    /// `fixtures/record.sh` says how it was made.
    #[test]
    fn dockers_own_tables_send_a_published_port_on_and_touch_no_other() {
        let docker = Ruleset::parse(include_bytes!("fixtures/docker.json")).unwrap();
        assert!(matches!(docker.answer(&packet(8080)), Answer::CannotTell(why) if why.contains("addrtype")));
        assert_eq!(docker.answer(&packet(8081)), Answer::Accept);
        assert!(docker.ports().contains(&8080));
    }

    #[test]
    fn rules_for_the_other_family_are_not_asked() {
        let text = json!({"nftables": [{"chain": {"family": "ip6", "table": "t", "name": "c", "handle": 1,
                          "type": "filter", "hook": "input", "prio": 0, "policy": "drop"}}]});
        assert_eq!(Ruleset::parse(text.to_string().as_bytes()).unwrap().answer(&packet(1)), Answer::Accept);
    }
}
