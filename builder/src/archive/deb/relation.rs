//! What packages say of each other: `a (>= 1) | b, c:any` (Debian Policy §7.1).

use std::cmp::Ordering;

/// One alternative of a dependency.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Relation<'a> {
    pub name: &'a str,
    /// Operator and version.
    pub version: Option<(&'a str, &'a str)>,
}

/// The dependencies of a field, each with its alternatives.
pub(super) fn parse(field: &str) -> impl Iterator<Item = Vec<Relation<'_>>> {
    let groups = field.split(',').map(str::trim).filter(|group| !group.is_empty());
    groups.map(|group| group.split('|').map(alternative).collect())
}

fn alternative(text: &str) -> Relation<'_> {
    let (name, version) = match text.split_once('(') {
        Some((name, rest)) => (name, constraint(rest.trim_end().trim_end_matches(')'))),
        None => (text, None),
    };
    // Only one architecture is ever looked at: a qualifier such as `:any` changes nothing.
    let name = name.trim().split([':', ' ', '[']).next().unwrap_or_default();
    Relation { name, version }
}

fn constraint(text: &str) -> Option<(&str, &str)> {
    let text = text.trim();
    let version = text.trim_start_matches(['<', '>', '=']);
    Some((text[..text.len() - version.len()].trim(), version.trim()))
}

impl Relation<'_> {
    /// Whether a package of this name with this version satisfies it.
    pub fn admits(&self, version: &str) -> bool {
        let Some((operator, bound)) = self.version else { return true };
        let order = compare(version, bound);
        match operator {
            "<<" => order == Ordering::Less,
            "<=" | "<" => order != Ordering::Greater,
            "=" => order == Ordering::Equal,
            ">>" => order == Ordering::Greater,
            _ => order != Ordering::Less,
        }
    }

    /// Whether a package that provides this name, perhaps with a version, satisfies it (Debian Policy §7.5).
    pub fn admits_provided(&self, version: Option<&str>) -> bool {
        match (self.version, version) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(version)) => self.admits(version),
        }
    }
}

/// Compares versions as dpkg does; a version that is none comes before all others.
pub fn compare(left: &str, right: &str) -> Ordering {
    left.parse::<debversion::Version>().ok().cmp(&right.parse::<debversion::Version>().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn alternatives_versions_and_qualifiers_are_read() {
        let groups: Vec<_> = parse("libc6 (>= 2.38), perl:any | mawk (<<1.3~rc), , debconf(= 1)").collect();
        let relation = |name, version| Relation { name, version };
        assert_eq!(groups[0], [relation("libc6", Some((">=", "2.38")))]);
        assert_eq!(groups[1], [relation("perl", None), relation("mawk", Some(("<<", "1.3~rc")))]);
        assert_eq!(groups[2], [relation("debconf", Some(("=", "1")))]);
        assert_eq!(groups.len(), 3);
    }

    #[test]
    fn versions_are_compared_as_dpkg_does() {
        for (left, right) in [("1.0~rc1", "1.0"), ("1.9", "1.10"), ("9", "1:1"), ("2.41-12", "2.41-12+deb13u1")] {
            assert_eq!(compare(left, right), Ordering::Less, "{left} {right}");
        }
        let relation = parse("a (>= 1.10)").next().unwrap()[0];
        assert!(relation.admits("1.10") && relation.admits("1:0") && !relation.admits("1.9"));
    }

    #[test]
    fn a_provided_name_without_a_version_satisfies_no_versioned_relation() {
        let relation = parse("a (>= 1)").next().unwrap()[0];
        assert!(!relation.admits_provided(None) && relation.admits_provided(Some("2")));
        assert!(parse("a").next().unwrap()[0].admits_provided(None));
    }
}
