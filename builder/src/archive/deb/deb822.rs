//! The format of Debian's control files: stanzas of `Field: value` lines, apart by empty lines (Debian Policy §5.1).
//!
//! A Packages index has more than a million lines, of which few matter: fields are found where they are asked for, and nothing is
//! copied.

/// The stanzas of a text, in order.
pub(super) fn stanzas(text: &str) -> impl Iterator<Item = &str> {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches('\n');
        if rest.is_empty() {
            return None;
        }
        let (stanza, after) = rest.split_once("\n\n").unwrap_or((rest, ""));
        rest = after;
        Some(stanza)
    })
}

/// The fields of a stanza: name and value, the latter with its continuation lines, without white space around. Comment
/// lines are left out where they stand between fields.
pub(super) fn fields(stanza: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = stanza;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let end = field_end(rest);
            let (field, after) = rest.split_at(end);
            rest = after.strip_prefix('\n').unwrap_or(after);
            if let Some((name, value)) = field.split_once(':').filter(|_| !field.starts_with('#')) {
                return Some((name, value.trim()));
            }
        }
        None
    })
}

/// The length of the first line with those that continue it.
fn field_end(text: &str) -> usize {
    let mut at = 0;
    loop {
        match text[at..].find('\n') {
            None => return text.len(),
            Some(offset) => at += offset,
        }
        if !text[at + 1..].starts_with([' ', '\t']) {
            return at;
        }
        at += 1;
    }
}

/// The value of one field. Names are compared without regard to case.
pub(super) fn field<'a>(stanza: &'a str, name: &str) -> Option<&'a str> {
    fields(stanza).find(|(found, _)| found.eq_ignore_ascii_case(name)).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "\nPackage: a\nDescription: first\n second\n\tthird\nSize: 3\n\n\nPackage: b\n# Size: 7\nsize:4";

    #[test]
    fn stanzas_are_apart_by_any_number_of_empty_lines() {
        assert_eq!(stanzas(TEXT).count(), 2);
        assert_eq!(stanzas("\n\n").count(), 0);
    }

    #[test]
    fn a_value_has_its_continuation_lines() {
        let first = stanzas(TEXT).next().unwrap();
        assert_eq!(field(first, "Description"), Some("first\n second\n\tthird"));
        assert_eq!(field(first, "Size"), Some("3"));
        assert_eq!(field(first, "Pack"), None);
    }

    #[test]
    fn names_ignore_case_and_comments_are_no_fields() {
        let second = stanzas(TEXT).nth(1).unwrap();
        assert_eq!(field(second, "Size"), Some("4"));
    }
}
