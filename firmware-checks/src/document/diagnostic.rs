//! What is wrong with a file that a person wrote, told so that they can mend it: where, what, what is allowed.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use serde::Serialize;

/// One thing that is wrong in a file, at one place of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// The file, as the user named it.
    pub file: PathBuf,
    /// Line, counted from 1.
    pub line: usize,
    /// Column in characters, counted from 1.
    pub column: usize,
    /// What is wrong, in one line.
    pub message: String,
    /// What is allowed there, or what else is wrong with the very words that the caret points at; may be empty.
    pub label: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// The line as it stands in the file.
    pub excerpt: String,
    /// How many characters the caret underlines, at least 1.
    #[serde(skip)]
    pub width: usize,
}

impl Diagnostic {
    /// `message` about the bytes `span` of `text`, which is what `file` holds. A span beyond the text stands for its end.
    #[must_use]
    pub fn new(file: &Path, text: &str, span: Range<usize>, message: impl Into<String>) -> Self {
        let start = floor(text, span.start);
        let line_start = text[..start].rfind('\n').map_or(0, |feed| feed + 1);
        let line_end = text[start..].find('\n').map_or(text.len(), |feed| start + feed);
        let excerpt = text[line_start..line_end].trim_end_matches('\r');
        let end = floor(text, span.end).clamp(start, line_start + excerpt.len().max(start - line_start));
        Self {
            file: file.to_path_buf(),
            line: text[..start].matches('\n').count() + 1,
            column: text[line_start..start].chars().count() + 1,
            message: message.into(),
            label: String::new(),
            hint: None,
            excerpt: excerpt.to_owned(),
            width: text[start..end].chars().count().max(1),
        }
    }
}

/// The greatest boundary between characters at or before `at`.
fn floor(text: &str, at: usize) -> usize {
    (0..=at.min(text.len())).rev().find(|&index| text.is_char_boundary(index)).unwrap_or(0)
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.line.to_string();
        let gutter = " ".repeat(number.len());
        // A tab stays a tab under itself, so that the caret stands right however wide the terminal shows it.
        let before = self.excerpt.chars().take(self.column - 1);
        let indent: String = before.map(|c| if c == '\t' { '\t' } else { ' ' }).collect();
        let caret = format!("{indent}{} {}", "^".repeat(self.width), self.label);
        writeln!(f, "{}:{}:{}: {}", self.file.display(), self.line, self.column, self.message)?;
        writeln!(f, "{gutter} |")?;
        writeln!(f, "{number} | {}", self.excerpt)?;
        write!(f, "{gutter} | {}", caret.trim_end())?;
        match &self.hint {
            Some(hint) => write!(f, "\n{gutter} = hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// Everything that is wrong in one file or several, in their order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl fmt::Display for Diagnostics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(ToString::to_string).collect();
        f.write_str(&texts.join("\n\n"))
    }
}

/// Of `names` the one that `word` was probably meant to be: a transposition or a slip or two, not another word.
#[must_use]
pub fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&lower, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.chars().count().min(word.chars().count()) / 4)
        .min()
        .map(|(_, name)| name)
}

/// `names` in back quotes, as a sentence lists them: "`a`, `b` or `c`".
#[must_use]
pub fn listed<'a>(names: impl IntoIterator<Item = &'a str>, last: &str) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    match quoted.split_last() {
        Some((end, rest)) if !rest.is_empty() => format!("{} {last} {end}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_caret_stands_under_what_is_meant() {
        let text = "name = \"x\"\n\tprotocol  = \"dicom\" # ü\n";
        let at = text.find("\"dicom").unwrap();
        let mut told = Diagnostic::new(Path::new("a.toml"), text, at..at + 7, "unknown protocol `dicom`");
        told.label = "expected `tcp`".into();
        told.hint = Some("it runs over TCP".into());
        let shown = "a.toml:2:14: unknown protocol `dicom`\n  |\n2 | \tprotocol  = \"dicom\" # ü\n  | \t            ^^^^^^^ \
                     expected `tcp`\n  = hint: it runs over TCP";
        assert_eq!(told.to_string(), shown);
    }

    #[test]
    fn columns_count_characters_and_no_span_breaks_it() {
        let text = "t = \"äöü\" x";
        let told = Diagnostic::new(Path::new("a"), text, text.find('x').unwrap()..99, "m");
        assert_eq!((told.line, told.column, told.width), (1, 11, 1));
        for (start, end) in [(0, 0), (6, 7), (99, 120), (3, 1)] {
            assert!(Diagnostic::new(Path::new("a"), text, Range { start, end }, "m").to_string().contains("1 | t"));
        }
        assert_eq!(Diagnostic::new(Path::new("a"), "", 0..0, "m").line, 1);
    }

    #[test]
    fn a_span_over_several_lines_is_underlined_to_the_end_of_its_first() {
        let text = "a = [\r\n  1,\r\n]\r\n";
        assert_eq!(Diagnostic::new(Path::new("a"), text, 4..13, "m").width, 1);
    }

    #[test]
    fn the_nearest_name_is_near() {
        let names = ["minimum", "recommended", "from"];
        assert_eq!(nearest("minimun", names), Some("minimum"));
        assert_eq!(nearest("Form", names), Some("from"));
        assert_eq!(nearest("colour", names), None);
        assert_eq!(listed(["a", "b", "c"], "or"), "`a`, `b` or `c`");
        assert_eq!(listed(["a"], "or"), "`a`");
    }
}
