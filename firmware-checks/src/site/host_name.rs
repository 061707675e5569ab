//! Names of hosts (RFC 1123 §2.1), as people write them into a configuration.

/// The longest host name that Linux keeps (`HOST_NAME_MAX`, gethostname (2)), in bytes.
pub const LONGEST: usize = 64;

/// What keeps `name` from being a host name of one or more lower-case labels of at most `longest` bytes.
pub fn wrong(name: &str, longest: usize) -> Option<String> {
    if name.is_empty() {
        return Some("is empty".into());
    }
    if name.len() > longest {
        return Some(format!("is {} characters long; at most {longest} are allowed", name.len()));
    }
    name.split('.').find_map(wrong_label)
}

fn wrong_label(label: &str) -> Option<String> {
    let fits = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if label.is_empty() {
        Some("has a dot too many".into())
    } else if label.len() > 63 {
        Some(format!("has the label `{label}`, longer than 63 characters"))
    } else if label.chars().any(|c| c.is_ascii_uppercase()) {
        Some("has upper-case letters".into())
    } else if let Some(c) = label.chars().find(|c| !fits(*c)) {
        Some(format!("has the character `{}`", c.escape_debug()))
    } else if label.starts_with('-') || label.ends_with('-') {
        Some(format!("has the label `{label}`, which begins or ends with a hyphen"))
    } else {
        None
    }
}

/// What is allowed, for a message.
pub const EXPECTED: &str = "expected lower-case letters, digits and hyphens in labels parted by dots";

/// `name` as it would have to be written, where case and underscores alone are wrong.
pub fn mended(name: &str) -> Option<String> {
    let mended = name.trim().to_ascii_lowercase().replace('_', "-");
    (mended != name && wrong(&mended, LONGEST).is_none()).then_some(mended)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_names_are_told_from_what_is_none() {
        for good in ["a", "rack7-u12", "rack7.clinic.example", "7"] {
            assert_eq!(wrong(good, LONGEST), None, "{good}");
        }
        let long = "a.".repeat(40) + "a";
        for bad in ["", ".", "a.", "a..b", "A", "a_b", "-a", "a-", "ä", "a b", "*.example", &long, &"a".repeat(64)] {
            assert!(wrong(bad, LONGEST).is_some(), "{bad}");
        }
        assert_eq!(mended("Rack_7").as_deref(), Some("rack-7"));
        assert_eq!(mended("rack 7"), None);
    }
}
