//! What a stage is made from, and the name that follows from it.

use std::fmt::Write as _;

use sha2::{Digest, Sha256};

/// What a stage is made from, in words: each input has a name and a value.
#[derive(Clone, Debug)]
pub struct Key {
    pub(super) kind: &'static str,
    pub(super) inputs: String,
    pub(super) about: String,
}

impl Key {
    /// The key of a stage that begins with nothing; `kind` becomes the start of its name, such as `root`.
    #[must_use]
    pub fn new(kind: &'static str) -> Self {
        Self { kind, inputs: String::new(), about: String::new() }
    }

    /// Adds an input. The order counts.
    #[must_use]
    pub fn input(mut self, name: &str, value: impl std::fmt::Debug) -> Self {
        // Debug quotes strings, so no value can look like another input. Writing to a string does not fail.
        let _ = writeln!(self.inputs, "{name} {value:?}");
        self
    }

    /// Adds an input where there is one.
    #[must_use]
    pub fn perhaps(self, name: &str, value: Option<impl std::fmt::Debug>) -> Self {
        match value {
            Some(value) => self.input(name, value),
            None => self,
        }
    }

    /// Says in a few words what the stage is, for whoever looks into the cache. No input: it decides nothing.
    #[must_use]
    pub fn about(mut self, words: impl Into<String>) -> Self {
        self.about = words.into();
        self
    }

    /// `KIND-` and the SHA-256 of the inputs, lower-case hexadecimal.
    #[must_use]
    pub fn name(&self) -> String {
        name(self.kind, self.inputs.as_bytes())
    }
}

/// The name of a stage of this kind and these inputs.
pub(super) fn name(kind: &str, inputs: &[u8]) -> String {
    format!("{kind}-{}", hex::encode(Sha256::digest(inputs)))
}
