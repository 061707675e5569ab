//! Assertions as text: headers, perhaps a body, and the signature over both (snapd, `asserts`).
//!
//! ```text
//! type: account-key
//! authority-id: canonical
//! …
//! body-length: 717
//! sign-key-sha3-384: -CvQKAwR…
//!
//! (the body: exactly so many bytes)
//!
//! (the signature: base64 of the byte 1 and an OpenPGP packet)
//! ```
//!
//! What is signed is everything before the empty line that the signature follows. A value is the rest of the line, or on
//! further lines, each indented: text by four spaces, a list by `  -`, a map by two. A stream of assertions has an
//! empty line between any two.

use std::collections::BTreeMap;

use super::error::{Error, Result, time};
use jiff::Timestamp;

/// The longest body that snapd takes.
const LONGEST_BODY: usize = 2 << 20;

/// One assertion, as it was signed; nothing of it is believed yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assertion {
    headers: BTreeMap<String, Value>,
    body: String,
    /// What the signature is over.
    content: String,
    signature: String,
}

/// The value of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Value {
    /// Text, of one line or several.
    Text(String),
    /// A list.
    List(Vec<Self>),
    /// A map.
    Map(BTreeMap<String, Self>),
}

impl Value {
    /// The text that it is.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text),
            Self::List(_) | Self::Map(_) => None,
        }
    }
}

/// What tells an assertion from all others of its kind: the headers that snapd takes for its primary key.
const KEYS: [(&str, &[&str]); 6] = [
    ("account", &["account-id"]),
    ("account-key", &["public-key-sha3-384"]),
    ("model", &["series", "brand-id", "model"]),
    ("snap-declaration", &["series", "snap-id"]),
    ("snap-revision", &["snap-sha3-384"]),
    ("store", &["store"]),
];

impl Assertion {
    /// All assertions of the stream `text`, which is from `origin`.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn stream(text: &str, origin: &str) -> Result<Vec<Self>> {
        let mut rest = text.trim_start_matches('\n');
        let mut all = Vec::new();
        while !rest.is_empty() {
            let (one, after) = Self::first(rest).map_err(|reason| {
                Error::malformed(origin, format!("assertion {} of the stream: {reason}", all.len() + 1))
            })?;
            all.push(one);
            rest = after.trim_start_matches('\n');
        }
        Ok(all)
    }

    /// The first assertion of `text`, and what follows it.
    fn first(text: &str) -> std::result::Result<(Self, &str), String> {
        let (head, rest) = text.split_once("\n\n").ok_or("it has no empty line before its signature")?;
        let headers = headers(head)?;
        let length = match headers.get("body-length").map(Value::text) {
            None => 0,
            Some(text) => text.and_then(|text| text.parse().ok()).ok_or("its `body-length` is not a number")?,
        };
        if length > LONGEST_BODY {
            return Err(format!("its body has {length} bytes, of which {LONGEST_BODY} are allowed"));
        }
        let (body, rest) = match length {
            0 => ("", rest),
            _ => {
                let body = rest.get(..length).ok_or_else(|| format!("its body ends before its {length} bytes"))?;
                let rest = rest[length..].strip_prefix("\n\n");
                (body, rest.ok_or_else(|| format!("its body does not end after the {length} bytes of `body-length`"))?)
            }
        };
        let (signature, after) = rest.split_once("\n\n").unwrap_or((rest, ""));
        if signature.trim().is_empty() {
            return Err("it has no signature".to_owned());
        }
        let content = if body.is_empty() { head.to_owned() } else { format!("{head}\n\n{body}") };
        let one = Self { headers, body: body.to_owned(), content, signature: signature.trim_end().to_owned() };
        for name in ["type", "sign-key-sha3-384", "authority-id"] {
            one.required(name)?;
        }
        Ok((one, after))
    }

    /// The value of a header, where it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(Value::text)
    }

    /// The value of a header that is a list of texts; none where there is no such header.
    #[must_use]
    pub fn list(&self, name: &str) -> Vec<&str> {
        match self.headers.get(name) {
            Some(Value::List(list)) => list.iter().filter_map(Value::text).collect(),
            _ => Vec::new(),
        }
    }

    /// Whether there is such a header.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.headers.contains_key(name)
    }

    /// The value of a header that must be there and not be empty.
    pub(super) fn required(&self, name: &str) -> std::result::Result<&str, String> {
        self.header(name).filter(|value| !value.is_empty()).ok_or_else(|| format!("it has no header `{name}`"))
    }

    /// A header that is a number; 0 where it is absent.
    pub(super) fn number(&self, name: &str) -> std::result::Result<u64, String> {
        let Some(value) = self.header(name) else { return Ok(0) };
        value.parse().map_err(|_| format!("its header `{name}` is `{value}`, expected a number"))
    }

    /// A header that is a time.
    pub(super) fn time(&self, name: &str) -> std::result::Result<Option<Timestamp>, String> {
        let parse = |value| time(value).map_err(|reason| format!("its header `{name}`: {reason}"));
        self.header(name).map(parse).transpose()
    }

    /// Its type, such as `snap-revision`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.header("type").unwrap_or_default()
    }

    /// Whose word it is.
    #[must_use]
    pub fn authority(&self) -> &str {
        self.header("authority-id").unwrap_or_default()
    }

    /// The SHA3-384 of the key that signed it, in URL-safe base64.
    #[must_use]
    pub fn signer(&self) -> &str {
        self.header("sign-key-sha3-384").unwrap_or_default()
    }

    /// How often it was revised; a later one replaces an earlier one of the same key.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.number("revision").unwrap_or(0)
    }

    /// Its body.
    #[must_use]
    pub fn body(&self) -> &str {
        &self.body
    }

    /// What was signed, and the signature.
    pub(super) fn signed(&self) -> (&str, &str) {
        (&self.content, &self.signature)
    }

    /// Type and primary key: what it is called where it is told of, and what no two of a seed share.
    #[must_use]
    pub fn name(&self) -> String {
        let keys = KEYS.iter().find(|(kind, _)| *kind == self.kind()).map_or(&[][..], |(_, keys)| keys);
        let values = keys.iter().map(|key| self.header(key).unwrap_or("?"));
        std::iter::once(self.kind()).chain(values).collect::<Vec<_>>().join(" ")
    }

    /// Whether it is of this type, with the primary key `key` (of one header).
    pub(super) fn is(&self, kind: &str, key: &str) -> bool {
        self.name() == format!("{kind} {key}")
    }

    /// As text, to be written to a file.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n\n{}\n", self.content, self.signature)
    }
}

/// Assertions as one stream.
#[must_use]
pub fn stream<'a>(all: impl IntoIterator<Item = &'a Assertion>) -> String {
    all.into_iter().map(Assertion::text).collect::<Vec<_>>().join("\n")
}

type Lines<'a> = &'a [&'a str];

fn headers(head: &str) -> std::result::Result<BTreeMap<String, Value>, String> {
    let lines: Vec<&str> = head.split('\n').collect();
    entries(&lines, "").map(|(found, _)| found)
}

/// The entries of a map, each beginning with `indent` and its name, and the lines after them.
fn entries<'a>(lines: Lines<'a>, indent: &str) -> std::result::Result<(BTreeMap<String, Value>, Lines<'a>), String> {
    let mut found = BTreeMap::new();
    let mut rest = lines;
    while let Some((line, after)) = rest.split_first() {
        let Some(entry) = line.strip_prefix(indent) else { break };
        let (name, inline) = entry.split_once(':').ok_or_else(|| format!("found `{line}`, expected `name: value`"))?;
        if !is_name(name) {
            return Err(format!("`{name}` can't be the name of a header"));
        }
        let value;
        (value, rest) = self::value(inline, after, indent)?;
        if found.insert(name.to_owned(), value).is_some() {
            return Err(format!("it has the header `{name}` twice"));
        }
    }
    Ok((found, rest))
}

/// The value that begins with `inline`, after the `:` or the `-` of a line indented by `indent`, and the lines after it.
fn value<'a>(inline: &str, after: Lines<'a>, indent: &str) -> std::result::Result<(Value, Lines<'a>), String> {
    if let Some(text) = inline.strip_prefix(' ') {
        return Ok((Value::Text(text.to_owned()), after));
    }
    if !inline.is_empty() {
        return Err(format!("found `{inline}`, expected a space before the value"));
    }
    let deeper = format!("{indent}  ");
    match after.first().and_then(|line| line.strip_prefix(deeper.as_str())) {
        Some(next) if next.starts_with('-') => list(after, &deeper),
        Some(next) if !next.is_empty() && !next.starts_with(' ') => {
            let (map, rest) = entries(after, &deeper)?;
            Ok((Value::Map(map), rest))
        }
        _ => text(after, &format!("{indent}    ")),
    }
}

fn list<'a>(lines: Lines<'a>, indent: &str) -> std::result::Result<(Value, Lines<'a>), String> {
    let mut items = Vec::new();
    let mut rest = lines;
    while let Some((line, after)) = rest.split_first() {
        let Some(inline) = line.strip_prefix(indent).and_then(|line| line.strip_prefix('-')) else { break };
        let item;
        (item, rest) = value(inline, after, indent)?;
        items.push(item);
    }
    Ok((Value::List(items), rest))
}

fn text<'a>(lines: Lines<'a>, indent: &str) -> std::result::Result<(Value, Lines<'a>), String> {
    let count = lines.iter().take_while(|line| line.starts_with(indent)).count();
    if count == 0 {
        return Err("a value is announced and does not follow".to_owned());
    }
    let text: Vec<&str> = lines[..count].iter().map(|line| &line[indent.len()..]).collect();
    Ok((Value::Text(text.join("\n")), &lines[count..]))
}

/// Lower-case letters and digits with single hyphens between them, a letter first.
fn is_name(name: &str) -> bool {
    let letter = |first: Option<char>| first.is_some_and(|first| first.is_ascii_lowercase());
    let part =
        |part: &str| !part.is_empty() && part.chars().all(|one| one.is_ascii_lowercase() || one.is_ascii_digit());
    letter(name.chars().next()) && name.split('-').all(part)
}

#[cfg(test)]
#[path = "assertion_tests.rs"]
mod tests;
