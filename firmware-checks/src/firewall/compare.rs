//! The appliance's table as it is loaded, beside the one that should be.

use serde_json::Value;

use super::namespace::Namespace;
use super::ruleset::{FAMILY, TABLE};
use super::tool::Program;
use super::{Error, load};

/// What is wrong with the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Difference {
    /// There is none.
    Missing,
    /// It is not the one that the recipe stands for: what is loaded and should not be, and what should be and is
    /// not, in nftables' own notation.
    Changed {
        /// Loaded, and should not be.
        surplus: Vec<String>,
        /// Should be loaded, and is not.
        lacking: Vec<String>,
    },
}

/// How the loaded table differs from `wanted`; `None` where it does not, order included.
///
/// The wanted text is loaded into a network namespace of its own and listed there by the same `nft`, so that both
/// are written the same way.
///
/// # Errors
/// A namespace could not be made, `nft` refused the text.
pub fn difference(wanted: &str) -> Result<Option<Difference>, Error> {
    let apart = Namespace::new()?;
    let should = apart.inside(|| {
        load(wanted)?;
        listing()
    })?;
    let Some(should) = should else { return Ok(None) };
    let Some(is) = listing()? else { return Ok(Some(Difference::Missing)) };
    if is.normal == should.normal {
        return Ok(None);
    }
    let beyond = |these: &[String], those: &[String]| -> Vec<String> {
        these.iter().filter(|line| !those.contains(line)).cloned().collect()
    };
    Ok(Some(Difference::Changed {
        surplus: beyond(&is.lines, &should.lines),
        lacking: beyond(&should.lines, &is.lines),
    }))
}

struct Listing {
    /// Everything that the kernel holds of the table, without what differs from machine to machine.
    normal: Vec<Value>,
    /// The same for a person: one line for each rule and set.
    lines: Vec<String>,
}

/// `None`: there is no such table in the network namespace of the calling thread.
fn listing() -> Result<Option<Listing>, Error> {
    let tables: Value = serde_json::from_slice(&Program::Nft.run(&["-j", "list", "tables"], "")?)?;
    let ours = |object: &Value| {
        object.pointer("/table/name").is_some_and(|name| name == TABLE)
            && object.pointer("/table/family").is_some_and(|family| family == FAMILY)
    };
    if !tables["nftables"].as_array().is_some_and(|objects| objects.iter().any(ours)) {
        return Ok(None);
    }
    let mut document: Value = serde_json::from_slice(&Program::Nft.run(&["-j", "list", "table", FAMILY, TABLE], "")?)?;
    let mut normal = document["nftables"].as_array_mut().map(std::mem::take).unwrap_or_default();
    normal.retain(|object| object.get("metainfo").is_none());
    normal.iter_mut().for_each(strip);
    let text = Program::Nft.run(&["-s", "list", "table", FAMILY, TABLE], "")?;
    Ok(Some(Listing { normal, lines: joined(&String::from_utf8_lossy(&text)) }))
}

/// Removes handles and counts, which no rule set names.
fn strip(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for counted in ["handle", "packets", "bytes"] {
                fields.remove(counted);
            }
            fields.values_mut().for_each(strip);
        }
        Value::Array(values) => values.iter_mut().for_each(strip),
        _ => {}
    }
}

/// The rules and sets of a listing, one line each; the elements of a set, which may go over several lines, beside
/// the set's name.
fn joined(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let (mut open, mut set) = (false, "");
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty() && *line != "}") {
        set = line.strip_prefix("set ").and_then(|rest| rest.strip_suffix(" {")).unwrap_or(set);
        match lines.last_mut() {
            Some(last) if open => {
                last.push(' ');
                last.push_str(line);
            }
            _ if line.starts_with("elements") => lines.push(format!("set {set}: {line}")),
            _ => lines.push(line.to_owned()),
        }
        open = lines.last().is_some_and(|last| last.contains(": elements = {") && !last.ends_with('}'));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_told_in_one_line_with_their_set() {
        let text = "table inet firstlight {\n\tset local6 {\n\t\ttype ipv6_addr\n\t\telements = { 2001:db8::/64,\n\t\t\t     \
                    fe80::/10 }\n\t}\n\tchain prerouting {\n\t\tiifname \"lo\" accept\n\t}\n}\n";
        let lines = joined(text);
        assert!(lines.contains(&"set local6: elements = { 2001:db8::/64, fe80::/10 }".to_owned()), "{lines:?}");
        assert_eq!(lines.last().map(String::as_str), Some("iifname \"lo\" accept"));
    }

    #[test]
    fn handles_and_counts_are_no_difference_and_anything_else_is() {
        let listed = |text: &str| {
            let mut value: Value = serde_json::from_str(text).unwrap();
            strip(&mut value);
            value
        };
        let one =
            listed(r#"{"rule": {"handle": 4, "expr": [{"counter": {"packets": 7, "bytes": 9}}, {"drop": null}]}}"#);
        let same =
            listed(r#"{"rule": {"handle": 5, "expr": [{"counter": {"packets": 0, "bytes": 0}}, {"drop": null}]}}"#);
        let other =
            listed(r#"{"rule": {"handle": 4, "expr": [{"counter": {"packets": 7, "bytes": 9}}, {"accept": null}]}}"#);
        assert_eq!(one, same);
        assert_ne!(one, other);
    }
}
