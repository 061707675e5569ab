//! Where in a TOML document a value stands: by the keys that lead to it, and by its bytes.

use std::fmt;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// One step from a value to one inside it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Item(usize),
}

/// The keys that lead from the document to a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyPath(Vec<Step>);

/// Which bytes of a key and its value are meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The key.
    Key,
    /// The value; of a table with a header, the header.
    Value,
}

impl KeyPath {
    /// The document itself.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// The value of `name` in the table that `self` leads to.
    #[must_use]
    pub fn key(&self, name: &str) -> Self {
        self.with(Step::Key(name.to_owned()))
    }

    /// The element `index`, counted from 0, of the array that `self` leads to.
    #[must_use]
    pub fn item(&self, index: usize) -> Self {
        self.with(Step::Item(index))
    }

    fn with(&self, step: Step) -> Self {
        Self(self.0.iter().cloned().chain([step]).collect())
    }

    /// The last key on the way; empty for the document itself.
    #[must_use]
    pub fn last_key(&self) -> &str {
        let key = |step: &'_ Step| matches!(step, Step::Key(_));
        match self.0.iter().rfind(|step| key(step)) {
            Some(Step::Key(name)) => name,
            _ => "",
        }
    }

    /// The keys after the last element of an array, which a message names otherwise.
    #[must_use]
    pub fn within_item(&self) -> Self {
        let from = self.0.iter().rposition(|step| matches!(step, Step::Item(_))).map_or(0, |item| item + 1);
        match self.0.get(from..) {
            Some([]) | None => self.clone(),
            Some(rest) => Self(rest.to_vec()),
        }
    }

    /// The bytes of `part` in `document`. Where the way ends early (a key that is absent), those of the last that is there.
    #[must_use]
    pub fn span(&self, part: Part, document: &Spanned<DeTable<'_>>) -> Range<usize> {
        let mut found = document.span().start..document.span().start;
        let mut table = Some(document.get_ref());
        let mut array: Option<&toml::de::DeArray<'_>> = None;
        for (index, step) in self.0.iter().enumerate() {
            let value: &Spanned<DeValue<'_>> = match (step, table, array) {
                (Step::Key(name), Some(within), _) => match within.iter().find(|(key, _)| key.get_ref() == name) {
                    Some((key, value)) => {
                        let last = index + 1 == self.0.len();
                        found = if last && part == Part::Key { key.span() } else { value.span() };
                        value
                    }
                    None => return found,
                },
                (Step::Item(number), _, Some(within)) => match within.get(*number) {
                    Some(value) => {
                        found = value.span();
                        value
                    }
                    None => return found,
                },
                _ => return found,
            };
            table = value.get_ref().as_table();
            array = value.get_ref().as_array();
        }
        found
    }
}

impl fmt::Display for KeyPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, step) in self.0.iter().enumerate() {
            match step {
                Step::Key(name) if index == 0 => f.write_str(name)?,
                Step::Key(name) => write!(f, ".{name}")?,
                Step::Item(number) => write!(f, "[{number}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str =
        "name = 'x'\n[a]\nlist = [1, 22]\n[[a.ports]]\nport = 1\n[[a.ports]]\nport = 443\ninline = { k = 'v' }\n";

    fn bytes(path: &KeyPath, part: Part) -> &'static str {
        &TEXT[path.span(part, &DeTable::parse(TEXT).unwrap())]
    }

    #[test]
    fn keys_lead_to_the_bytes_of_keys_and_values() {
        let a = KeyPath::root().key("a");
        let second = a.key("ports").item(1);
        assert_eq!(bytes(&KeyPath::root().key("name"), Part::Key), "name");
        assert_eq!(bytes(&a.key("list").item(1), Part::Value), "22");
        assert_eq!(bytes(&second.key("port"), Part::Value), "443");
        assert_eq!(bytes(&second.key("port"), Part::Key), "port");
        assert_eq!(bytes(&second.key("inline").key("k"), Part::Value), "'v'");
        assert_eq!(second.key("port").to_string(), "a.ports[1].port");
        assert_eq!(second.last_key(), "ports");
        assert_eq!(second.key("port").within_item().to_string(), "port");
        assert_eq!(a.key("list").within_item().to_string(), "a.list");
    }

    #[test]
    fn what_is_absent_is_shown_at_what_it_is_absent_from() {
        let a = KeyPath::root().key("a");
        assert_eq!(bytes(&a.key("nothing"), Part::Value), "[a]");
        assert_eq!(bytes(&a.key("ports").item(1).key("name"), Part::Value), "[[a.ports]]");
        assert_eq!(KeyPath::root().key("nothing").span(Part::Value, &DeTable::parse(TEXT).unwrap()), 0..0);
    }
}
