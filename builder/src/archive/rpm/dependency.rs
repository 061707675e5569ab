//! What RPMs say of each other: `name`, `name >= version`, and conditions on several (`(a or b)`, `(a if b)`: rpm's manual,
//! rpm-rich-dependencies).

use std::cmp::Ordering;

use super::version::compare;

/// A name, perhaps with a range of versions: what a package provides, or needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Dependency {
    pub name: String,
    /// How versions must compare with the given one, and that version.
    pub bound: Option<(Bound, String)>,
}

/// Which versions are meant, seen from a given one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Bound {
    less: bool,
    equal: bool,
    greater: bool,
}

impl Bound {
    /// `EQ`, `LT`, `LE`, `GT` or `GE` as an index writes it, or the sign that stands for it.
    pub fn parse(text: &str) -> Option<Self> {
        let (less, equal, greater) = match text {
            "EQ" | "=" | "==" => (false, true, false),
            "LT" | "<" => (true, false, false),
            "LE" | "<=" | "=<" => (true, true, false),
            "GT" | ">" => (false, false, true),
            "GE" | ">=" | "=>" => (false, true, true),
            _ => return None,
        };
        Some(Self { less, equal, greater })
    }

    fn sign(self) -> &'static str {
        match (self.less, self.equal, self.greater) {
            (true, true, _) => "<=",
            (true, false, _) => "<",
            (_, true, true) => ">=",
            (_, false, true) => ">",
            _ => "=",
        }
    }
}

impl Dependency {
    /// Whether what a package provides satisfies this: the ranges overlap. What is provided without a version satisfies no
    /// range.
    pub fn met_by(&self, provided: &Self) -> bool {
        let Some((wanted, version)) = &self.bound else { return self.name == provided.name };
        let Some((given, theirs)) = &provided.bound else { return false };
        self.name == provided.name
            && match compare(theirs, version) {
                Ordering::Less => given.greater || wanted.less,
                Ordering::Greater => given.less || wanted.greater,
                Ordering::Equal => {
                    (given.equal && wanted.equal) || (given.less && wanted.less) || (given.greater && wanted.greater)
                }
            }
    }
}

impl std::fmt::Display for Dependency {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.bound {
            Some((bound, version)) => write!(f, "{} {} {version}", self.name, bound.sign()),
            None => f.write_str(&self.name),
        }
    }
}

/// What a package needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Need {
    One(Dependency),
    And(Vec<Need>),
    Or(Vec<Need>),
    /// The first, if the second is there; else the third.
    If(Box<(Need, Need, Option<Need>)>),
    /// The first, unless the second is there; then the third.
    Unless(Box<(Need, Need, Option<Need>)>),
    /// All of them by one package.
    With(Vec<Need>),
    /// The first by a package that does not satisfy the second.
    Without(Box<(Need, Need)>),
}

impl Need {
    /// Reads a condition, which is in parentheses; none where it is malformed.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let need = condition(&mut rest, 0)?;
        rest.trim().is_empty().then_some(need)
    }
}

/// How deep conditions may lie in each other.
const DEPTH: usize = 32;

fn condition(rest: &mut &str, depth: usize) -> Option<Need> {
    *rest = rest.trim_start().strip_prefix('(')?;
    if depth > DEPTH {
        return None;
    }
    let (mut operands, mut operators) = (vec![operand(rest, depth)?], Vec::new());
    loop {
        *rest = rest.trim_start();
        if let Some(after) = rest.strip_prefix(')') {
            *rest = after;
            break;
        }
        operators.push(word(rest)?);
        operands.push(operand(rest, depth)?);
    }
    combine(operands, &operators)
}

fn combine(mut operands: Vec<Need>, operators: &[&str]) -> Option<Need> {
    let all = |name: &str| operators.iter().all(|operator| *operator == name);
    match operators {
        [] => operands.pop(),
        ["if" | "unless"] | ["if" | "unless", "else"] => {
            let mut operands = operands.into_iter();
            let parts = Box::new((operands.next()?, operands.next()?, operands.next()));
            Some(if operators[0] == "if" { Need::If(parts) } else { Need::Unless(parts) })
        }
        ["without"] => {
            let other = operands.pop()?;
            Some(Need::Without(Box::new((operands.pop()?, other))))
        }
        _ if all("and") => Some(Need::And(operands)),
        _ if all("or") => Some(Need::Or(operands)),
        _ if all("with") => Some(Need::With(operands)),
        _ => None,
    }
}

fn operand(rest: &mut &str, depth: usize) -> Option<Need> {
    if rest.trim_start().starts_with('(') {
        return condition(rest, depth + 1);
    }
    let name = word(rest)?.to_owned();
    let mut ahead = *rest;
    let bound = match word(&mut ahead).and_then(Bound::parse) {
        Some(bound) => {
            *rest = ahead;
            Some((bound, word(rest)?.to_owned()))
        }
        None => None,
    };
    Some(Need::One(Dependency { name, bound }))
}

/// Up to white space or a parenthesis that closes what was not opened in it: `libc.so.6()(64bit)` is one word.
fn word<'a>(rest: &mut &'a str) -> Option<&'a str> {
    let text = rest.trim_start();
    let mut open = 0;
    let end = text.find(|letter: char| {
        match letter {
            '(' => open += 1,
            ')' if open == 0 => return true,
            ')' => open -= 1,
            _ => {}
        }
        letter.is_whitespace()
    });
    let (word, after) = text.split_at(end.unwrap_or(text.len()));
    *rest = after;
    (!word.is_empty()).then_some(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(text: &str) -> Dependency {
        match Need::parse(&format!("({text})")) {
            Some(Need::One(found)) => found,
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn ranges_that_overlap_meet() {
        for (needed, provided, met) in [
            ("a", "a", true),
            ("a", "b", false),
            ("a >= 1", "a", false),
            ("a", "a = 1-1", true),
            ("a >= 1", "a = 1-1", true),
            ("a >= 1:0", "a = 9-1", false),
            ("a < 2", "a = 2-1", false),
            ("a <= 2", "a = 2-1", true),
            ("a > 2", "a >= 1", true),
            ("a < 2", "a > 2", false),
            ("a = 2", "a < 2", false),
            ("a < 2", "a < 2", true),
            ("a = 1-2", "a = 1-1", false),
            ("libc.so.6(GLIBC_2.34)(64bit)", "libc.so.6(GLIBC_2.34)(64bit)", true),
        ] {
            assert_eq!(one(needed).met_by(&one(provided)), met, "{needed} / {provided}");
        }
        assert_eq!(one("a >= 1:0").to_string(), "a >= 1:0");
    }

    #[test]
    fn conditions_are_read() {
        let need = |name: &str| Need::One(one(name));
        let boxed = |one, other, third| Box::new((one, other, third));
        for (text, expected) in [
            ("(a or b >= 2 or c)", Need::Or(vec![need("a"), need("b >= 2"), need("c")])),
            (
                "((a and b) if c else d)",
                Need::If(boxed(Need::And(vec![need("a"), need("b")]), need("c"), Some(need("d")))),
            ),
            ("(a unless b)", Need::Unless(boxed(need("a"), need("b"), None))),
            ("(x(y) >= 1 with x(y) < 2)", Need::With(vec![need("x(y) >= 1"), need("x(y) < 2")])),
            ("(a without b)", Need::Without(Box::new((need("a"), need("b"))))),
            (
                "(libm.so.6()(64bit) if glibc(x86-64))",
                Need::If(boxed(need("libm.so.6()(64bit)"), need("glibc(x86-64)"), None)),
            ),
        ] {
            assert_eq!(Need::parse(text), Some(expected), "{text}");
        }
        let deep = format!("{}a{}", "(".repeat(100), ")".repeat(100));
        for text in ["(a or)", "(a", "a or b", "(a or b and c)", "()", "(a if b or c)", "(a) b", &deep] {
            assert_eq!(Need::parse(text), None, "{text}");
        }
    }
}
