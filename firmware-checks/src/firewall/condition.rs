//! Whether a packet meets the condition of a `match` statement (libnftables-json (5), "Expressions").

use std::cmp::Ordering;
use std::net::IpAddr;

use serde_json::Value;

use super::evaluate::Packet;
use super::loaded::{Chain, Set, as_network, mentions};
use super::network::named_by;
use crate::requirements::Protocol;

/// Whether a condition is met.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    /// It is.
    Yes,
    /// It is not.
    No,
    /// It is not understood, or depends on what is not known.
    Maybe,
}

impl Truth {
    fn of(met: bool) -> Self {
        if met { Self::Yes } else { Self::No }
    }

    fn not(self) -> Self {
        match self {
            Self::Yes => Self::No,
            Self::No => Self::Yes,
            Self::Maybe => Self::Maybe,
        }
    }

    /// One of `all` is met.
    fn any(all: impl Iterator<Item = Self>) -> Self {
        all.fold(Self::No, |so_far, one| match (so_far, one) {
            (Self::Yes, _) | (_, Self::Yes) => Self::Yes,
            (Self::Maybe, _) | (_, Self::Maybe) => Self::Maybe,
            _ => Self::No,
        })
    }
}

/// What the left side of a comparison stands for, in this packet.
enum Field {
    Number(u64),
    Address(IpAddr),
    /// The name of an interface; the right side may end in `*`.
    Interface(String),
    /// A constant that is printed by name or by number.
    Named(&'static str, u64),
    /// Whether there is such a route at all.
    Present(bool),
    /// The packet has no such field, because it is of another protocol: no comparison with it is true.
    Absent,
    /// Not understood.
    Unknown,
}

/// A packet, and what rules before have done to it.
pub struct Conditions<'a> {
    packet: &'a Packet,
    sets: &'a [Set],
    /// Its destination may have been changed.
    pub moved: bool,
    /// Connection tracking knows it.
    pub tracked: bool,
}

impl<'a> Conditions<'a> {
    /// `packet` as it comes in, before any rule.
    pub fn of(packet: &'a Packet, sets: &'a [Set]) -> Self {
        Self { packet, sets, moved: false, tracked: true }
    }

    /// Whether the `match` statement `body` in `chain` is met.
    pub fn holds(&self, chain: &Chain, body: &Value) -> Truth {
        match (body.get("left"), body.get("op").and_then(Value::as_str), body.get("right")) {
            (Some(left), Some(op), Some(right)) => self.compare(chain, left, op, right),
            _ => Truth::Maybe,
        }
    }

    /// Whether `left op right`.
    pub fn compare(&self, chain: &Chain, left: &Value, op: &str, right: &Value) -> Truth {
        let field = self.field(left);
        match (&field, op) {
            (Field::Unknown, _) => Truth::Maybe,
            (Field::Absent, _) => Truth::No,
            // Of flags, `==` with a list asks for all of them.
            (_, "==" | "!=") if right.is_array() => Truth::Maybe,
            (_, "==" | "in") => self.equals(chain, &field, right),
            (_, "!=") => self.equals(chain, &field, right).not(),
            (_, "<") => ordered(&field, right, Ordering::is_lt),
            (_, ">") => ordered(&field, right, Ordering::is_gt),
            (_, "<=") => ordered(&field, right, Ordering::is_le),
            (_, ">=") => ordered(&field, right, Ordering::is_ge),
            _ => Truth::Maybe,
        }
    }

    /// The elements of a set, written in place or named.
    pub fn elements<'v>(&self, chain: &Chain, value: &'v Value) -> Option<&'v [Value]>
    where
        'a: 'v,
    {
        if let Some(list) = value.get("set").and_then(Value::as_array) {
            return Some(list);
        }
        let name = value.as_str()?.strip_prefix('@')?;
        let mut sets = self.sets.iter();
        let set = sets.find(|set| set.family == chain.family && set.table == chain.table && set.name == name)?;
        Some(&set.elements)
    }

    fn equals(&self, chain: &Chain, field: &Field, right: &Value) -> Truth {
        if let Some(elements) = self.elements(chain, right) {
            return Truth::any(elements.iter().map(|element| self.equals(chain, field, element)));
        }
        match right {
            Value::Array(flags) => Truth::any(flags.iter().map(|flag| self.equals(chain, field, flag))),
            Value::Object(object) => match object.iter().next().map(|(kind, body)| (kind.as_str(), body)) {
                Some(("elem", element)) => {
                    element.get("val").map_or(Truth::Maybe, |value| self.equals(chain, field, value))
                }
                Some(("prefix", _)) => match (field, as_network(right)) {
                    (Field::Address(address), Some(network)) => Truth::of(network.contains(*address)),
                    _ => Truth::Maybe,
                },
                Some(("range", range)) => in_range(field, range),
                _ => Truth::Maybe,
            },
            _ => is(field, right),
        }
    }

    fn field(&self, expression: &Value) -> Field {
        let Some((kind, body)) = expression.as_object().and_then(|object| object.iter().next()) else {
            return Field::Unknown;
        };
        let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or_default();
        match kind.as_str() {
            "meta" => self.meta(text("key")),
            "payload" => self.payload(text("protocol"), text("field")),
            "ct" if text("key") == "state" && self.tracked => Field::Named("new", 8),
            "fib" => self.fib(text("result"), body.get("flags")),
            _ => Field::Unknown,
        }
    }

    fn meta(&self, key: &str) -> Field {
        let packet = self.packet;
        let six = packet.source.is_ipv6();
        match key {
            "iifname" | "iif" => Field::Interface(packet.interface.clone()),
            "l4proto" => number_of(packet.protocol),
            "nfproto" if six => Field::Named("ipv6", 10),
            "nfproto" => Field::Named("ipv4", 2),
            "protocol" if six => Field::Named("ip6", 0x86dd),
            "protocol" => Field::Named("ip", 0x0800),
            "pkttype" => Field::Named("host", 0),
            _ => Field::Unknown,
        }
    }

    fn payload(&self, protocol: &str, field: &str) -> Field {
        let packet = self.packet;
        let (source, destination) = (packet.source, packet.destination);
        match (protocol, field) {
            ("ip", _) if source.is_ipv6() => Field::Absent,
            ("ip6", _) if source.is_ipv4() => Field::Absent,
            ("ip" | "ip6", "daddr") if self.moved => Field::Unknown,
            ("ip" | "ip6", "saddr") => Field::Address(source),
            ("ip" | "ip6", "daddr") => Field::Address(destination),
            ("ip", "protocol") | ("ip6", "nexthdr") => number_of(packet.protocol),
            ("tcp" | "udp" | "sctp", _) if protocol != name_of(packet.protocol) => Field::Absent,
            ("icmp" | "icmpv6" | "igmp" | "dccp" | "udplite" | "ah" | "esp" | "comp" | "arp", _) => Field::Absent,
            ("tcp" | "udp" | "sctp" | "th", "dport") if self.moved => Field::Unknown,
            ("tcp" | "udp" | "sctp" | "th", "dport") => Field::Number(packet.port.into()),
            ("tcp" | "udp" | "sctp" | "th", "sport") => Field::Number(packet.source_port.into()),
            _ => Field::Unknown,
        }
    }

    /// A look into the routes (nft (8), "FIB expressions").
    fn fib(&self, result: &str, flags: Option<&Value>) -> Field {
        let has = |flag: &str| flags.is_some_and(|flags| mentions(flags, flag));
        let count = flags.and_then(Value::as_array).map_or(1, Vec::len);
        let packet = self.packet;
        match result {
            "type" if has("daddr") && !self.moved && count == 1 => Field::Named("local", 2),
            "type" if has("saddr") && count == 1 => Field::Named("unicast", 1),
            "oifname" | "oif" if has("saddr") && count == 1 => Field::Interface(packet.back.clone()),
            // Strict reverse path: the route back leads to the interface that the packet came by.
            "oif" | "oifname" | "check" if has("saddr") && has("iif") && count == 2 => {
                Field::Present(packet.back == packet.interface)
            }
            _ => Field::Unknown,
        }
    }
}

fn name_of(protocol: Protocol) -> &'static str {
    super::ruleset::protocol(protocol)
}

fn number_of(protocol: Protocol) -> Field {
    Field::Named(name_of(protocol), super::frame::number(protocol).into())
}

fn is(field: &Field, right: &Value) -> Truth {
    match (field, right) {
        (Field::Number(number), Value::Number(right)) => {
            right.as_u64().map_or(Truth::Maybe, |right| Truth::of(*number == right))
        }
        (Field::Address(address), Value::String(right)) => match right.parse::<IpAddr>() {
            Ok(right) => Truth::of(*address == right),
            Err(_) => Truth::Maybe,
        },
        (Field::Interface(name), Value::String(pattern)) => Truth::of(named_by(pattern, name)),
        (Field::Named(name, _), Value::String(right)) => Truth::of(name == right),
        (Field::Named(_, number), Value::Number(right)) => {
            right.as_u64().map_or(Truth::Maybe, |right| Truth::of(*number == right))
        }
        (Field::Present(present), Value::Bool(right)) => Truth::of(present == right),
        _ => Truth::Maybe,
    }
}

fn in_range(field: &Field, range: &Value) -> Truth {
    match (range.get(0), range.get(1)) {
        (Some(first), Some(last)) => {
            match (ordered(field, first, Ordering::is_ge), ordered(field, last, Ordering::is_le)) {
                (Truth::Yes, Truth::Yes) => Truth::Yes,
                (Truth::Maybe, _) | (_, Truth::Maybe) => Truth::Maybe,
                _ => Truth::No,
            }
        }
        _ => Truth::Maybe,
    }
}

fn ordered(field: &Field, right: &Value, wanted: fn(Ordering) -> bool) -> Truth {
    let order = match field {
        Field::Number(number) => right.as_u64().map(|right| number.cmp(&right)),
        Field::Address(address) => {
            let right = right.as_str().and_then(|text| text.parse::<IpAddr>().ok());
            right.filter(|right| right.is_ipv4() == address.is_ipv4()).map(|right| address.cmp(&right))
        }
        _ => None,
    };
    order.map_or(Truth::Maybe, |order| Truth::of(wanted(order)))
}
