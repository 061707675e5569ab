//! Who may sign a source of packages: certificates beside the base, or where their publisher has them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::base::Base;

/// Where the OpenPGP certificates are that may sign a source.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum Keyring {
    /// ASCII-armored, in a file beside the base.
    Beside(String),
    /// Where their publisher has them, ASCII-armored.
    Published(Published),
}

/// A certificate that is fetched when a recipe is locked that needs its source, and believed by its fingerprint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(inline)]
pub struct Published {
    /// Its URL.
    pub from: String,
    /// The fingerprint that it must have (RFC 9580 §5.5.4): 40 or 64 upper-case hexadecimal digits.
    pub fingerprint: String,
}

impl Published {
    /// What it is called in a lock.
    #[must_use]
    pub fn name(&self) -> String {
        format!("certificate {}", self.fingerprint)
    }
}

impl Base {
    /// The certificates that are fetched, each once.
    #[must_use]
    pub fn published(&self) -> Vec<&Published> {
        let mut all: Vec<&Published> = Vec::new();
        for source in &self.sources {
            if let Some(Keyring::Published(one)) = &source.keyring
                && !all.contains(&one)
            {
                all.push(one);
            }
        }
        all
    }
}
