//! What the types alone can't say: values that contradict each other, names that are taken, files that are not there.
//!
//! A rule takes a value and answers what is wrong with it by keys; it knows no line. The rules of a file that stand in
//! [`recipe`], [`requirements`] and [`base`] read nothing but the value; those in [`files`] look at the folder, too.

pub mod artifact;
pub mod base;
pub mod files;
pub mod platform;
pub mod recipe;
pub mod requirements;

use std::collections::BTreeMap;
use std::path::{Component, Path};

use firmware_checks::document::KeyPath;
use firmware_checks::document::Problem;

use crate::recipe::base::Family;

/// Whether `text` is `[a-z0-9]([a-z0-9-]*[a-z0-9])?` of at most 63 characters: a DNS label in lower case (RFC 1123 §2.1),
/// which is also a fit file name, unit instance and compose project.
fn is_label(text: &str) -> bool {
    let inner = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    (1..=63).contains(&text.len()) && text.chars().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

const LABEL: &str = "expected lower-case letters, digits and hyphens between them, at most 63";

/// `name` as it would have to be written to be a label, for a hint.
fn as_label(name: &str) -> Option<String> {
    let lower: String = name
        .to_lowercase()
        .chars()
        .map(|c| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' })
        .collect();
    let trimmed = lower.trim_matches('-').to_owned();
    is_label(&trimmed).then(|| format!("write `{trimmed}`"))
}

/// Whether `text` is a binary package's name (of a deb: Debian Policy §5.6.1), which may say an architecture after a colon. RPMs'
/// names may have more letters.
fn is_package(text: &str, family: Family) -> bool {
    let (name, architecture) = text.split_once(':').unwrap_or((text, "any"));
    let more = |c: char| family == Family::Rpm && (c.is_ascii_uppercase() || c == '_');
    let within = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c) || more(c);
    name.len() >= 2
        && name.chars().all(within)
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && !architecture.is_empty()
        && architecture.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
}

/// A problem for each of `names` that is no package's name in this family.
fn misnamed(at: &KeyPath, names: &[String], family: Family) -> impl Iterator<Item = Problem> {
    let label = match family {
        Family::Deb => "expected lower-case letters, digits, `+`, `-` and `.`",
        Family::Rpm => "expected letters, digits, `+`, `-`, `.` and `_`",
    };
    names.iter().enumerate().filter(move |(_, name)| !is_package(name, family)).map(move |(index, name)| {
        Problem::value(at.item(index), format!("`{name}` is not the name of a package")).label(label)
    })
}

/// A problem for each of `names` that is no package's name in this family or stands there for the second time.
fn packages(at: &KeyPath, names: &[String], family: Family) -> Vec<Problem> {
    let wrong = misnamed(at, names, family);
    let twice = repeated(names.iter().map(String::as_str)).into_iter().map(|(index, first)| {
        Problem::value(at.item(index), format!("package `{}` is listed twice", names[index]))
            .label(format!("the same as number {} of the list", first + 1))
    });
    wrong.chain(twice).collect()
}

/// Of `values` those that came before: the place of each, and of the first of its kind, both counted from 0.
fn repeated<T: Ord>(values: impl IntoIterator<Item = T>) -> Vec<(usize, usize)> {
    let mut first = BTreeMap::new();
    let mut found = Vec::new();
    for (index, value) in values.into_iter().enumerate() {
        let earlier = *first.entry(value).or_insert(index);
        if earlier != index {
            found.push((index, earlier));
        }
    }
    found
}

/// Whether `path` stays in the recipe's folder: relative, without `..`.
fn is_beside(path: &str) -> bool {
    !path.is_empty() && Path::new(path).components().all(|part| matches!(part, Component::Normal(_)))
}

fn elsewhere(at: KeyPath, path: &str) -> Problem {
    Problem::value(at, format!("`{path}` does not lie beside the recipe"))
        .label("expected a relative path without `.` and `..`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_and_packages_are_told_from_what_is_not() {
        for (text, label) in
            [("hello", true), ("a", true), ("", false), ("Hello", false), ("-a", false), ("a_b", false)]
        {
            assert_eq!(is_label(text), label, "{text}");
        }
        for (text, package) in [("g++", true), ("libc6:amd64", true), ("a", false), ("Nginx", false), ("x y", false)] {
            assert_eq!(is_package(text, Family::Deb), package, "{text}");
        }
        assert!(is_package("NetworkManager", Family::Rpm) && is_package("microcode_ctl", Family::Rpm));
        assert_eq!(as_label("My App_2"), Some("write `my-app-2`".into()));
    }

    #[test]
    fn the_second_of_a_kind_is_found_with_its_first() {
        assert_eq!(repeated(["a", "b", "a", "a"]), [(2, 0), (3, 0)]);
    }

    #[test]
    fn only_what_lies_in_the_recipes_folder_is_beside_it() {
        for (path, beside) in
            [("a/b", true), ("a", true), ("", false), ("/a", false), ("../a", false), ("a/../b", false)]
        {
            assert_eq!(is_beside(path), beside, "{path}");
        }
    }
}
