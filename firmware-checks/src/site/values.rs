//! What one appliance alone asks for.

use std::collections::BTreeMap;

use super::secret::Secret;
use crate::document::{KeyPath, Problem};

/// The longest value, in bytes: it may become a variable of a container.
const LONGEST: usize = 4096;

/// Whether `name` can name a value: lower-case letters, digits and underscores, a letter first.
#[must_use]
pub fn is_name(name: &str) -> bool {
    let within = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    name.starts_with(|c: char| c.is_ascii_lowercase()) && name.chars().all(within)
}

pub(super) fn problems(values: &BTreeMap<String, Secret>, at: &KeyPath) -> Vec<Problem> {
    let mut found = Vec::new();
    for (name, value) in values {
        let at = at.key(name);
        if !is_name(name) {
            let problem = Problem::key(at.clone(), format!("`{name}` can't be the name of a value"));
            found.push(problem.label("expected lower-case letters, digits and `_`, a letter first"));
        }
        let text = value.expose();
        if text.is_empty() || text.len() > LONGEST || text.chars().any(char::is_control) {
            let problem = Problem::value(at, format!("`{name}` is empty, too long or has more than one line"));
            found.push(problem.label(format!("expected one line of 1 to {LONGEST} bytes")));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::site::parse;

    #[test]
    fn a_value_is_one_line_with_a_name() {
        let told = |text: &str| {
            parse(Path::new("s"), format!("[values]\n{text}").as_bytes())
                .map_or_else(|e| e.to_string(), |_| "fine".into())
        };
        assert_eq!(told("couchdb_password = \"a b$'\\\"c\""), "fine");
        assert!(told("Couch = \"x\"").contains("s:2:1: `Couch` can't be"));
        assert!(told("a = \"\"").contains("s:2:5"));
        assert!(told("a = \"x\\ny\"").contains("more than one line"));
    }
}
