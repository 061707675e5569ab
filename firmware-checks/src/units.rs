//! Sizes as people write them: `64 GB` is decimal, `64 GiB` binary, and a size is shown as it was written.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// A number of bytes that remembers the unit it was written in.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    bytes: u64,
    unit: Unit,
}

/// A unit of [`Size`]: SI prefixes are powers of 1000, IEC prefixes powers of 1024.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// 1 byte.
    B,
    /// 10³ bytes.
    KB,
    /// 10⁶ bytes.
    MB,
    /// 10⁹ bytes.
    GB,
    /// 10¹² bytes.
    TB,
    /// 2¹⁰ bytes.
    KiB,
    /// 2²⁰ bytes.
    MiB,
    /// 2³⁰ bytes.
    GiB,
    /// 2⁴⁰ bytes.
    TiB,
}

impl Unit {
    const ALL: [(Self, &'static str, u64); 9] = [
        (Self::B, "B", 1),
        (Self::KB, "kB", 1000),
        (Self::MB, "MB", 1_000_000),
        (Self::GB, "GB", 1_000_000_000),
        (Self::TB, "TB", 1_000_000_000_000),
        (Self::KiB, "KiB", 1 << 10),
        (Self::MiB, "MiB", 1 << 20),
        (Self::GiB, "GiB", 1 << 30),
        (Self::TiB, "TiB", 1 << 40),
    ];

    /// Bytes in one unit.
    #[must_use]
    pub fn bytes(self) -> u64 {
        Self::ALL.iter().find(|(unit, ..)| *unit == self).map_or(1, |(.., bytes)| *bytes)
    }

    fn name(self) -> &'static str {
        Self::ALL.iter().find(|(unit, ..)| *unit == self).map_or("B", |(_, name, _)| name)
    }
}

impl Size {
    /// `count` times `unit`; saturates at `u64::MAX` bytes.
    #[must_use]
    pub fn new(count: u64, unit: Unit) -> Self {
        Self { bytes: count.saturating_mul(unit.bytes()), unit }
    }

    /// The number of bytes.
    #[must_use]
    pub fn bytes(self) -> u64 {
        self.bytes
    }

    /// The unit that it was written in.
    #[must_use]
    pub fn unit(self) -> Unit {
        self.unit
    }

    /// `bytes`, to be shown in the unit of `self`: an observed value beside the required one.
    #[must_use]
    pub fn like(self, bytes: u64) -> Self {
        Self { bytes, unit: self.unit }
    }
}

impl PartialEq for Size {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Size {}

impl PartialOrd for Size {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Size {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.bytes.cmp(&other.bytes)
    }
}

impl fmt::Display for Size {
    /// Whole numbers without a fraction, others with one digit, cut off and never rounded up: 63.96 GB is not
    /// "64.0 GB" beside a minimum of 64 GB.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = self.unit.bytes();
        let (whole, rest) = (self.bytes / unit, self.bytes % unit);
        if rest == 0 {
            write!(f, "{whole} {}", self.unit.name())
        } else {
            let tenth = u128::from(rest) * 10 / u128::from(unit);
            write!(f, "{whole}.{tenth} {}", self.unit.name())
        }
    }
}

/// A size that could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a size: expected a number and one of B, kB, MB, GB, TB, KiB, MiB, GiB, TiB, such as `64 GB`")]
pub struct NotASize(String);

impl FromStr for Size {
    type Err = NotASize;

    fn from_str(text: &str) -> Result<Self, NotASize> {
        let wrong = || NotASize(text.to_owned());
        let trimmed = text.trim();
        let split = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).ok_or_else(wrong)?;
        let (number, unit) = trimmed.split_at(split);
        let unit = unit.trim();
        let (unit, _, bytes) = Unit::ALL
            .into_iter()
            .find(|(_, name, _)| *name == unit || (unit == "KB" && *name == "kB"))
            .ok_or_else(wrong)?;
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() || fraction.len() > 9 || number.ends_with('.') {
            return Err(wrong());
        }
        let mut total = u128::from(whole.parse::<u64>().map_err(|_| wrong())?) * u128::from(bytes);
        if !fraction.is_empty() {
            let digits: u128 = fraction.parse().map_err(|_| wrong())?;
            total += digits * u128::from(bytes) / 10_u128.pow(u32::try_from(fraction.len()).map_err(|_| wrong())?);
        }
        Ok(Self { bytes: u64::try_from(total).map_err(|_| wrong())?, unit })
    }
}

impl Serialize for Size {
    /// In its own unit where nine decimals say it to the byte, else in bytes: what is read back is the same size.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let unit = self.unit.bytes();
        let rest = u128::from(self.bytes % unit) * 1_000_000_000;
        if !rest.is_multiple_of(u128::from(unit)) {
            return serializer.collect_str(&Self { bytes: self.bytes, unit: Unit::B });
        }
        let decimals = format!("{:09}", rest / u128::from(unit));
        let number = format!("{}.{decimals}", self.bytes / unit);
        let number = number.trim_end_matches('0').trim_end_matches('.');
        serializer.collect_str(&format_args!("{number} {}", self.unit.name()))
    }
}

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for Size {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Size".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "A number and a unit: GB is 10^9 bytes, GiB is 2^30 bytes",
            "pattern": r"^\s*[0-9]+(\.[0-9]{1,9})?\s*(B|kB|KB|MB|GB|TB|KiB|MiB|GiB|TiB)\s*$",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_decimal_and_binary_units_apart() {
        assert_eq!("64 GB".parse::<Size>().unwrap().bytes(), 64_000_000_000);
        assert_eq!("64GiB".parse::<Size>().unwrap().bytes(), 64 << 30);
        assert_eq!("1.5 GiB".parse::<Size>().unwrap().bytes(), 3 << 29);
    }

    #[test]
    fn refuses_what_is_not_a_size() {
        for text in ["", "64", "GB", "64 gb", "-1 GB", "1..5 GB", "1. GB", "99999999999999999999 GB"] {
            assert_eq!(text.parse::<Size>(), Err(NotASize(text.to_owned())), "{text}");
        }
    }

    #[test]
    fn never_shows_more_than_there_is() {
        assert_eq!(Size::new(64, Unit::GB).like(63_999_999_999).to_string(), "63.9 GB");
        assert_eq!(Size::new(64, Unit::GB).to_string(), "64 GB");
    }

    #[test]
    fn survives_a_round_trip_to_the_byte() {
        let odd = Size::new(1, Unit::GiB).like(12_345);
        let text = serde_json::to_string(&odd).unwrap();
        assert_eq!(serde_json::from_str::<Size>(&text).unwrap(), odd);
        let half: Size = "1.5 GB".parse().unwrap();
        assert_eq!(serde_json::to_string(&half).unwrap(), r#""1.5 GB""#);
        assert_eq!(serde_json::to_string(&Size::new(64, Unit::GB)).unwrap(), r#""64 GB""#);
    }
}
