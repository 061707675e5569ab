//! Text for a terminal: lines of bounded width, without anything that could command the terminal.

/// Makes `text` safe to show: control characters (an observed value may hold what a network sent), bidirectional
/// overrides and line breaks become `\xNN` or `\u{NNNN}`, and where `ascii` is set every other character that is not
/// ASCII becomes its nearest ASCII or `?`.
#[must_use]
pub fn clean(text: &str, ascii: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' | '\n' | '\r' => out.push(' '),
            c if c.is_control() && u32::from(c) < 0x100 => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c if invisible(c) => out.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
            c if ascii && !c.is_ascii() => out.push_str(nearest(c)),
            c => out.push(c),
        }
    }
    out
}

/// Characters that change how their neighbours are shown: zero-width, line and paragraph separators, bidirectional
/// controls (Unicode 16.0, general categories Cf, Zl and Zp, as far as they reach a terminal).
fn invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// What stands for `c` on a terminal that shows only ASCII.
fn nearest(c: char) -> &'static str {
    match c {
        'ä' => "ae",
        'ö' => "oe",
        'ü' => "ue",
        'Ä' => "Ae",
        'Ö' => "Oe",
        'Ü' => "Ue",
        'ß' => "ss",
        'é' | 'è' | 'ê' => "e",
        'á' | 'à' | 'â' => "a",
        '–' | '—' | '−' => "-",
        '‘' | '’' => "'",
        '“' | '”' => "\"",
        '…' => "...",
        '→' => "->",
        '≥' => ">=",
        '≤' => "<=",
        '×' => "x",
        'µ' | 'μ' => "u",
        '·' | '•' => "*",
        '\u{a0}' | '\u{2009}' | '\u{202f}' => " ",
        _ => "?",
    }
}

/// `text` in lines of at most `width` characters, broken between words; a word that is longer than a line is cut.
/// Text without a word gives no line.
#[must_use]
pub fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    let mut used = 0;
    for word in text.split_whitespace() {
        let length = word.chars().count();
        if used > 0 && used + 1 + length <= width {
            line.push(' ');
            line.push_str(word);
            used += 1 + length;
            continue;
        }
        if used > 0 {
            lines.push(std::mem::take(&mut line));
        }
        let mut rest: Vec<char> = word.chars().collect();
        while rest.len() > width {
            lines.push(rest.drain(..width).collect());
        }
        used = rest.len();
        line = rest.into_iter().collect();
    }
    if used > 0 {
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_network_sent_cannot_command_the_terminal() {
        assert_eq!(clean("a\x1b[2Jb\u{9b}c\x07\x7f", false), "a\\x1b[2Jb\\x9bc\\x07\\x7f");
        assert_eq!(clean("x\u{202e}cba", false), "x\\u{202e}cba");
        assert_eq!(clean("one\ntwo\r\tthree", false), "one two  three");
    }

    #[test]
    fn a_terminal_without_utf_8_gets_ascii_alone() {
        assert_eq!(clean("Köln … ≥ 3 日", true), "Koeln ... >= 3 ?");
        assert_eq!(clean("Köln", false), "Köln");
    }

    #[test]
    fn lines_are_broken_between_words_and_never_too_long() {
        assert_eq!(wrap("put the key there", 8), ["put the", "key", "there"]);
        assert_eq!(wrap("abcdefghij kl", 4), ["abcd", "efgh", "ij", "kl"]);
        assert!(wrap("  ", 4).is_empty());
    }

    #[test]
    fn width_counts_characters_not_bytes() {
        assert_eq!(wrap("äöü äöü", 7), ["äöü äöü"]);
    }
}
