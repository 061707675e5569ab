//! A finding of a rule: what is wrong, by the keys that lead to it. The rules know no file and no line.

use super::key::{KeyPath, Part};

/// Something that is wrong with a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The keys that lead to it.
    pub at: KeyPath,
    /// Whether the key or the value is meant.
    pub part: Part,
    /// What is wrong, in one line.
    pub message: String,
    /// What is allowed there; may be empty.
    pub label: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Problem {
    /// `message` about the value that `at` leads to.
    #[must_use]
    pub fn value(at: KeyPath, message: impl Into<String>) -> Self {
        Self { at, part: Part::Value, message: message.into(), label: String::new(), hint: None }
    }

    /// `message` about the last key of `at`.
    #[must_use]
    pub fn key(at: KeyPath, message: impl Into<String>) -> Self {
        Self { part: Part::Key, ..Self::value(at, message) }
    }

    /// The same, with what is allowed there.
    #[must_use]
    pub fn label(self, label: impl Into<String>) -> Self {
        Self { label: label.into(), ..self }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }

    /// The same; what to do is only known in some cases.
    #[must_use]
    pub fn perhaps(self, hint: Option<String>) -> Self {
        Self { hint: hint.or(self.hint), ..self }
    }
}
