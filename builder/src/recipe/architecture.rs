//! How distributions name the architecture of their packages.

use std::fmt;

use firmware_checks::architecture::Architecture;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// An architecture in a distribution's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Named {
    /// 64-bit PCs, by Debian and Ubuntu.
    Amd64,
    /// 64-bit ARM, by Debian and Ubuntu.
    Arm64,
    /// 64-bit PCs, by EL.
    #[serde(rename = "x86_64")]
    X86_64,
    /// 64-bit ARM, by EL.
    Aarch64,
}

impl Named {
    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Amd64 | Self::Arm64 => self.architecture().of_debian(),
            Self::X86_64 | Self::Aarch64 => self.architecture().name(),
        }
    }

    /// What is meant.
    #[must_use]
    pub fn architecture(self) -> Architecture {
        match self {
            Self::Amd64 | Self::X86_64 => Architecture::X86_64,
            Self::Arm64 | Self::Aarch64 => Architecture::Aarch64,
        }
    }
}

impl fmt::Display for Named {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_is_written_as_it_is_read() {
        for word in ["amd64", "arm64", "x86_64", "aarch64"] {
            let named: Named = serde_json::from_value(word.into()).unwrap();
            assert_eq!((named.as_str(), serde_json::to_value(named).unwrap()), (word, word.into()));
        }
    }
}
