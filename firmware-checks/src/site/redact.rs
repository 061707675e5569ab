//! What of a line of `site.toml` may be shown in a message: messages go into reports and logs.
//!
//! A line is shown where every key on it is one that the type knows and that can hold no secret. All else ends behind its
//! first `=`: a misspelt `pasword` is no key that the type knows.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use serde_json::Value;

use super::Site;
use super::secret::HIDDEN;
use crate::document::Diagnostic;

/// The names of all keys of a configuration under none of which a secret can stand.
static PLAIN: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    let schema = schemars::schema_for!(Site).to_value();
    let mut keys = Keys::default();
    keys.collect(&schema);
    keys.plain.difference(&keys.secret).cloned().collect()
});

#[derive(Default)]
struct Keys {
    plain: BTreeSet<String>,
    secret: BTreeSet<String>,
}

impl Keys {
    fn collect(&mut self, schema: &Value) {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let secret = property.to_string().contains("#/$defs/Secret");
            if secret { &mut self.secret } else { &mut self.plain }.insert(name.clone());
        }
        match schema {
            Value::Object(all) => all.values().for_each(|inner| self.collect(inner)),
            Value::Array(all) => all.iter().for_each(|inner| self.collect(inner)),
            _ => {}
        }
    }
}

/// Takes out of `told`, which is about the configuration `text`, what may be a secret.
pub(super) fn redact(told: &mut Diagnostic, text: &str) {
    let Some(end) = hidden_from(told.line, &told.excerpt, text) else { return };
    let shown: String = told.excerpt.get(..end).unwrap_or_default().to_owned();
    let column = shown.chars().count() + 2;
    if told.column >= column {
        told.column = column;
        told.width = 1;
    } else {
        told.width = told.width.min(column - told.column);
    }
    told.excerpt = format!("{shown} {HIDDEN}");
}

/// The byte of the line `number` of `text` from which it may not be shown, if there is one.
fn hidden_from(number: usize, line: &str, text: &str) -> Option<usize> {
    if line.trim_start().starts_with(['[', '#']) && !line.contains(['=', '"', '\'']) {
        return None;
    }
    let keys = keys(line);
    if !keys.is_empty() {
        let shown = keys.iter().all(|(key, _)| PLAIN.contains(*key));
        return (!shown).then(|| keys.first().map_or(0, |(_, equals)| equals + 1));
    }
    // The line goes on with the value of a key above it.
    let above = text.lines().take(number.saturating_sub(1)).collect::<Vec<_>>();
    let owner = above.into_iter().rev().find_map(|line| keys_of(line).next_back());
    (!owner.is_some_and(|key| PLAIN.contains(&key))).then_some(0)
}

fn keys_of(line: &str) -> std::vec::IntoIter<String> {
    keys(line).into_iter().map(|(key, _)| key.to_owned()).collect::<Vec<_>>().into_iter()
}

/// Every word of `line` before an `=`, and where that stands.
fn keys(line: &str) -> Vec<(&str, usize)> {
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    let equals = line.match_indices('=').map(|(at, _)| at);
    equals
        .map(|at| {
            let before = line[..at].trim_end().trim_end_matches(['"', '\'']);
            let start = before.rfind(|c: char| !word(c)).map_or(0, |found| found + 1);
            (before.get(start..).unwrap_or_default(), at)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::site::parse;

    /// Every way in which a secret can stand in a configuration that is not valid.
    #[test]
    fn no_message_shows_a_secret_however_wrong_its_line_is() {
        for text in [
            "[admin]\npassword_hash = \"canary\"\n",
            "[admin]\npassword_hash = canary\n",
            "[admin]\npasword_hash = \"canary\"\n",
            "admin = { password_hash = \"canary\" }\n",
            "[database]\nuri = \"canary\"\n",
            "[database]\nuri = \"postgresql://u:canary@\"\n",
            "[database]\nuri = \"postgresql://u:canary@h/x?password=canary\n",
            "[database]\nuri = \"\"\"\npostgresql://u:canary\\x@h\n\"\"\"\n",
            "[database]\nurl = \"mysql://u:canary@h/d\"\n",
            "database = { uri = \"mysq://u:canary@h/d\", x = 1 }\n",
            "database = { uri = \"mysql://u:canary@h/d\", \n",
            "[object_storage.s3]\nsecret_key = \"canary\"\nsecret_key = \"canary\"\n",
            "[object_storage.s3]\naccess_key = \"canary\", secret_key = \"canary\"\n",
            "[[registries]]\nname = \"a b\"\nusername = \"canary\"\npassword = \"canary\"\n",
            "[[registries]]\nname = \"a\"\npassword = [\n  \"canary\",\n]\n",
            "[proxy]\nhttp = \"http://u:canary@proxy:99999\"\n",
            "[alert]\nwebhook = \"ftp://canary\"\n",
            "[values]\nkey = \"canary\ncanary\"\n",
            "[values]\nk.ey = \"canary\"\n",
            "[values]\nkey = [ \"canary\" ]\n",
        ] {
            let Err(error) = parse(Path::new("site.toml"), text.as_bytes()) else { panic!("{text} is valid") };
            assert!(!error.to_string().contains("canary"), "{text}\n{error}");
            assert!(!format!("{error:?}").contains("canary"), "{text}\n{error:?}");
        }
    }

    #[test]
    fn what_is_no_secret_is_shown_as_it_stands() {
        let told = |text: &str| parse(Path::new("s"), text.as_bytes()).unwrap_err().to_string();
        assert!(told("hostname = rack7\n").contains("hostname = rack7"));
        assert!(told("names = [\n  \"A\",\n]\n").contains("\"A\","));
        assert!(told("[netwrok]\n").contains("1 | [netwrok]"));
        assert!(told("hostnam = \"rack7\"\n").contains("1 | hostnam = (not shown)"));
    }
}
