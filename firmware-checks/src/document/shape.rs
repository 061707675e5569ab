//! Whether a document has the shape of a type, judged by the type's own JSON Schema.
//!
//! Deserialisation stops at the first thing that does not fit; this finds them all, and knows what would have fitted.
//! It reads the part of JSON Schema that `schemars` writes for our types: `properties`, `required`,
//! `additionalProperties`, `items`, `type`, `const`, `enum`, `oneOf`, `anyOf` with null or of a string and a table, `propertyNames`, `minimum`, `maximum` and `$ref`.

use crate::units::Size;
use serde_json::Value;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{listed, nearest};
use super::key::KeyPath;
use super::problem::Problem;

/// Everything in `document` that does not fit `schema`.
#[must_use]
pub fn problems(schema: &Value, document: &DeTable<'_>) -> Vec<Problem> {
    let mut walk = Walk { schema, problems: Vec::new() };
    walk.table(schema, document, &KeyPath::root(), "");
    walk.problems
}

struct Walk<'a> {
    schema: &'a Value,
    problems: Vec<Problem>,
}

/// A schema, and the name under `$defs` by which it was referred to.
#[derive(Clone, Copy)]
struct Resolved<'a> {
    schema: &'a Value,
    name: &'a str,
}

impl<'a> Walk<'a> {
    /// Follows references, and takes null (an absent value, which TOML can't write) away from a choice.
    fn resolve(&self, schema: &'a Value) -> Resolved<'a> {
        let mut resolved = Resolved { schema, name: "" };
        loop {
            let chosen =
                resolved.schema["anyOf"].as_array().and_then(|any| any.iter().find(|one| one["type"] != "null"));
            if let Some(name) = resolved.schema["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/")) {
                resolved = Resolved { schema: &self.schema["$defs"][name], name };
            } else if let Some(one) = chosen {
                resolved.schema = one;
            } else {
                return resolved;
            }
        }
    }

    /// Of a choice between a string and a table, the one that `value` is.
    fn form(&self, schema: &'a Value, value: &DeValue<'_>) -> &'a Value {
        let kind = if value.is_table() { "object" } else { "string" };
        let mut within = schema;
        loop {
            let named = within["$ref"].as_str().and_then(|to| to.strip_prefix("#/$defs/"));
            let forms = within["anyOf"].as_array().into_iter().flatten().filter(|one| one["type"] != "null");
            let forms: Vec<&Value> = forms.collect();
            within = match (named, forms.as_slice()) {
                (Some(name), _) => &self.schema["$defs"][name],
                (None, [only]) => only,
                (None, forms) => return forms.iter().find(|one| one["type"] == kind).unwrap_or(&schema),
            };
        }
    }

    /// `subject` names, for a message, the thing that the value belongs to: "port `https`: ", or nothing.
    fn value(&mut self, schema: &'a Value, value: &DeValue<'_>, at: &KeyPath, subject: &str) {
        let Resolved { schema, name } = self.resolve(self.form(schema, value));
        let wanted = wanted(schema, name);
        let hint = schema["x-hint"].as_str().map(str::to_owned);
        match value {
            DeValue::Table(table) if wanted.kind == "table" => self.table(schema, table, at, subject),
            DeValue::Array(array) if wanted.kind == "array" => {
                for (index, item) in array.iter().enumerate() {
                    let subject = item_subject(at.last_key(), index, item.get_ref(), subject);
                    self.value(&schema["items"], item.get_ref(), &at.item(index), &subject);
                }
            }
            DeValue::String(text) if wanted.kind == "string" => self.string(schema, name, text, at, subject),
            DeValue::Integer(number) if wanted.kind == "integer" => {
                let read = i128::from_str_radix(number.as_str(), number.radix());
                let least = schema["minimum"].as_i64().unwrap_or(i64::MIN);
                let most = most(schema);
                if !read.is_ok_and(|read| (i128::from(least)..=i128::from(most)).contains(&read)) {
                    let what = format!("{subject}`{}` can't be {}", at.within_item(), number.as_str());
                    let problem = Problem::value(at.clone(), what).label(format!("expected {}", wanted.words));
                    self.problems.push(problem.perhaps(hint));
                }
            }
            DeValue::Boolean(_) if wanted.kind == "boolean" => {}
            other => {
                let what = format!("{subject}`{}` is {}", at.within_item(), found(other));
                let problem = Problem::value(at.clone(), what).label(format!("expected {}", wanted.words));
                self.problems.push(problem.perhaps(hint));
            }
        }
    }

    fn string(&mut self, schema: &Value, name: &str, text: &str, at: &KeyPath, subject: &str) {
        let words = words(schema);
        let key = at.last_key().replace('_', " ");
        if !words.is_empty() && !words.contains(&text) {
            let near = nearest(text, words.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            let problem = Problem::value(at.clone(), format!("{subject}unknown {key} `{text}`"))
                .label(format!("expected {}", listed(words, "or")))
                .perhaps(schema["x-hint"].as_str().map(str::to_owned))
                .perhaps(near);
            self.problems.push(problem);
        } else if name == "Size" && text.parse::<Size>().is_err() {
            let problem = Problem::value(at.clone(), format!("{subject}`{}` is no size: `{text}`", at.within_item()))
                .label(format!("expected {SIZE}"));
            self.problems.push(problem);
        }
    }

    fn table(&mut self, schema: &'a Value, table: &DeTable<'_>, at: &KeyPath, subject: &str) {
        let Some(schema) = self.variant(schema, table, at, subject) else { return };
        let place = if *at == KeyPath::root() { String::new() } else { format!(" in `{at}`") };
        // A key that is misspelt is not also told to be missing.
        let mut meant = Vec::new();
        for (key, value) in table {
            let (name, at) = (key.get_ref().as_ref(), at.key(key.get_ref()));
            let names = strings(&schema["propertyNames"]["enum"]);
            match (schema["properties"].get(name), &schema["additionalProperties"]) {
                (Some(property), _) => self.value(property, value.get_ref(), &at, subject),
                (None, other) if other.is_object() && (names.is_empty() || names.contains(&name)) => {
                    self.value(other, value.get_ref(), &at, subject);
                }
                _ => {
                    let properties = schema["properties"].as_object().into_iter().flat_map(|all| all.keys());
                    let valid: Vec<&str> = properties.map(String::as_str).chain(names).collect();
                    let near = nearest(name, valid.iter().copied());
                    meant.extend(near);
                    let problem = Problem::key(at, format!("{subject}unknown key `{name}`{place}"))
                        .label(near.map(|near| format!("did you mean `{near}`?")).unwrap_or_default())
                        .hint(format!("valid here: {}", listed(valid, "and")));
                    self.problems.push(problem);
                }
            }
        }
        for missing in strings(&schema["required"]) {
            if !table.contains_key(missing) && !meant.contains(&missing) {
                let property = self.resolve(&schema["properties"][missing]);
                let hint = match wanted(property.schema, property.name) {
                    Wanted { kind: "table", .. } => format!("add the table `{}`", at.key(missing)),
                    Wanted { words, .. } => format!("add `{missing} = …`: {words}"),
                };
                let problem = Problem::value(at.key(missing), format!("{subject}`{missing}` is missing{place}"));
                self.problems.push(problem.hint(hint));
            }
        }
    }

    /// The schema for `table`: of a choice (an enum with a tag), the variant that its tag names.
    fn variant(&mut self, schema: &'a Value, table: &DeTable<'_>, at: &KeyPath, subject: &str) -> Option<&'a Value> {
        let Some(variants) = schema["oneOf"].as_array() else { return Some(schema) };
        let tag = variants.iter().find_map(|one| {
            one["properties"]
                .as_object()?
                .iter()
                .find(|(_, property)| property["const"].is_string())
                .map(|(name, _)| name)
        })?;
        let names: Vec<&str> = variants.iter().filter_map(|one| one["properties"][tag]["const"].as_str()).collect();
        let key = at.last_key();
        let Some(value) = table.get(tag.as_str()) else {
            let problem = Problem::value(at.key(tag), format!("{subject}`{key}` does not say its `{tag}`"))
                .hint(format!("add `{tag} = …`: {}", listed(names, "or")));
            self.problems.push(problem);
            return None;
        };
        let named = value.get_ref().as_str();
        let chosen = variants.iter().find(|one| named.is_some() && one["properties"][tag]["const"].as_str() == named);
        if chosen.is_none() {
            let near =
                nearest(named.unwrap_or_default(), names.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            let what = match named {
                Some(named) => format!("{subject}unknown {key} `{named}`"),
                None => format!("{subject}`{}` is {}", at.key(tag).within_item(), found(value.get_ref())),
            };
            let problem = Problem::value(at.key(tag), what).label(format!("expected {}", listed(names, "or")));
            self.problems.push(problem.perhaps(near));
        }
        chosen
    }
}

const SIZE: &str = "a number and a unit, such as \"64 GB\" (10^9 bytes) or \"64 GiB\" (2^30 bytes)";

/// What a schema wants: the kind of TOML value, and words for a person.
struct Wanted {
    kind: &'static str,
    words: String,
}

fn wanted(schema: &Value, name: &str) -> Wanted {
    let choice = words(schema);
    let kind = schema["type"].as_str().or_else(|| {
        schema["type"].as_array().and_then(|types| types.iter().filter_map(Value::as_str).find(|kind| *kind != "null"))
    });
    let (kind, words) = match kind {
        _ if name == "Size" => ("string", SIZE.to_owned()),
        _ if !choice.is_empty() => ("string", listed(choice, "or")),
        Some("string") => ("string", "a string".to_owned()),
        Some("boolean") => ("boolean", "`true` or `false`".to_owned()),
        Some("array") => ("array", "an array".to_owned()),
        Some("integer") => {
            let least = schema["minimum"].as_i64().unwrap_or(i64::MIN);
            ("integer", format!("an integer from {least} to {}", most(schema)))
        }
        _ => ("table", "a table".to_owned()),
    };
    Wanted { kind, words }
}

/// The greatest number that fits: as stated, or by the integer's format.
fn most(schema: &Value) -> i64 {
    let by_format = match schema["format"].as_str() {
        Some("uint8") => u8::MAX.into(),
        Some("uint16") => u16::MAX.into(),
        Some("uint32") => u32::MAX.into(),
        _ => i64::MAX,
    };
    schema["maximum"].as_i64().unwrap_or(by_format)
}

/// The strings of an array; none where it is none.
fn strings(array: &Value) -> Vec<&str> {
    array.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// The words that a string is limited to; none where it is free.
fn words(schema: &Value) -> Vec<&str> {
    let one_of = schema["oneOf"].as_array().into_iter().flatten();
    std::iter::once(schema)
        .chain(one_of)
        .flat_map(|one| one["const"].as_str().into_iter().chain(strings(&one["enum"])))
        .collect()
}

fn found(value: &DeValue<'_>) -> &'static str {
    match value {
        DeValue::String(_) => "a string",
        DeValue::Integer(_) => "an integer",
        DeValue::Float(_) => "a number with a fraction",
        DeValue::Boolean(_) => "true or false",
        DeValue::Datetime(_) => "a date",
        DeValue::Array(_) => "an array",
        DeValue::Table(_) => "a table",
    }
}

/// How a message names the element `index` of the array `key`: "port `https`: ", by its own name where it has one.
fn item_subject(key: &str, index: usize, item: &DeValue<'_>, outer: &str) -> String {
    let Some(table) = item.as_table() else { return outer.to_owned() };
    let kind = if key == "data" { "data folder" } else { key.strip_suffix('s').unwrap_or(key) };
    let name = ["name", "archive"].into_iter().find_map(|name| table.get(name).map(Spanned::get_ref)?.as_str());
    match name {
        Some(name) => format!("{outer}{kind} `{name}`: "),
        None => format!("{outer}{kind} number {}: ", index + 1),
    }
}
