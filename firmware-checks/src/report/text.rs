//! The report for a person at a terminal: the verdict in the second line, what must be mended first, what passed
//! folded into one line.

use std::borrow::Cow;

use super::{Report, Verdict, clean, wrap};
use crate::check::State;

/// Columns that are used: one less than a terminal's 80, since some move to the next line after the eightieth.
const WIDTH: usize = 79;
/// Where the identifiers stand.
const INDENT: usize = 7;

/// How a terminal shows text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct View {
    /// It shows only ASCII.
    pub ascii: bool,
    /// Lines that may be used, so that nothing scrolls away: what does not fit is told in fewer words.
    pub rows: Option<usize>,
}

/// The report as lines of at most 79 characters, each ended by a line feed.
#[must_use]
pub fn text(report: &Report, view: View) -> String {
    let rule = (if view.ascii { "-" } else { "─" }).repeat(WIDTH);
    let mut lines = vec![header(report, view), cut(&format!(" {}", report.headline()), view), rule.clone()];
    let foot = vec![rule, footer(report, view)];
    let room = view.rows.map(|rows| rows.saturating_sub(lines.len() + foot.len()));
    lines.extend(body(report, view, room));
    lines.extend(foot);
    lines.iter().map(|line| format!("{}\n", line.trim_end())).collect()
}

fn header(report: &Report, view: View) -> String {
    let left = format!(" {} {} on {}", report.appliance, report.version, report.base);
    let all = report.addresses.join(" ");
    let first = report.addresses.first().map_or("no address", String::as_str);
    let (long, short) = (report.time.strftime("%Y-%m-%d %H:%M:%SZ"), report.time.strftime("%H:%M:%SZ"));
    let rights = [
        format!("{}   {all}   {long}", report.hostname),
        format!("{}   {first}   {long}", report.hostname),
        format!("{}   {first}   {short}", report.hostname),
        format!("{first}   {short}"),
    ];
    let left = clean(&left, view.ascii);
    let width = left.chars().count();
    for right in rights.iter().skip(usize::from(report.addresses.is_empty())).map(|right| clean(right, view.ascii)) {
        let used = width + right.chars().count();
        if used + 2 <= WIDTH {
            return format!("{left}{}{right}", " ".repeat(WIDTH - used));
        }
    }
    cut(&format!("{left}  {first}"), view)
}

/// What an admin does where nobody can log in yet.
pub const AWAITS: &str = "Nobody can log in yet: log in as admin at this console to choose a password";

fn footer(report: &Report, view: View) -> String {
    let reachable = report.addresses.iter().find(|address| !address.starts_with("fe80:"));
    let login = match reachable.and_then(|address| address.split('/').next()) {
        Some(address) => format!(" Log in: console or ssh admin@{address}"),
        None => " Log in: console (no address yet)".to_owned(),
    };
    let login = if report.awaits_admin() { format!(" {AWAITS}") } else { login };
    let details = "Details: firmware-checks report";
    let login = clean(&login, view.ascii);
    let gap = WIDTH.saturating_sub(login.chars().count() + details.len());
    if gap < 2 { login } else { format!("{login}{}{details}", " ".repeat(gap)) }
}

/// What is told of each check, in ever fewer words until it fits into `room` lines.
fn body(report: &Report, view: View, room: Option<usize>) -> Vec<String> {
    let mut told: Vec<&Verdict> = report
        .checks
        .iter()
        .filter(|verdict| !matches!(verdict.state, State::Pass | State::NotApplicable) && !report.comes_later(verdict))
        .collect();
    told.sort_by_key(|verdict| rank(verdict));
    let column = INDENT + told.iter().map(|verdict| verdict.id.len() + 2).max().unwrap_or(0).clamp(16, 22);
    let told = together(told);
    let told: Vec<&Verdict> = told.iter().map(AsRef::as_ref).collect();
    let full: Vec<Vec<String>> = told.iter().map(|verdict| block(verdict, column, view)).collect();
    let brief: Vec<String> = told.iter().map(|verdict| one_line(verdict, column, view)).collect();
    let tail = folded(report, column, view);

    let room = room.map_or(usize::MAX, |room| room.saturating_sub(tail.len()));
    let mut lines: Vec<String> = Vec::new();
    for (index, block) in full.iter().enumerate() {
        let rest = full.len() - index - 1;
        if lines.len() + block.len() + rest <= room {
            lines.extend_from_slice(block);
        } else if lines.len() + 1 + usize::from(rest > 0) <= room {
            lines.push(brief[index].clone());
        } else {
            let left = full.len() - index;
            let ids: Vec<&str> = told[index..].iter().map(|verdict| verdict.id.as_str()).collect();
            lines.push(cut(&format!(" ...   {left} more: {}", ids.join(" ")), view));
            break;
        }
    }
    lines.extend(tail);
    lines
}

/// Those that wait for the same become one, which speaks for all: there is one thing to do about them.
fn together(told: Vec<&Verdict>) -> Vec<Cow<'_, Verdict>> {
    let mut out: Vec<Cow<'_, Verdict>> = Vec::new();
    let waiting = |verdict: &&Verdict| verdict.state == State::Waiting && verdict.waived.is_none();
    for verdict in &told {
        let alike: Vec<&&Verdict> = told
            .iter()
            .filter(|other| waiting(other) && waiting(verdict) && other.observed == verdict.observed)
            .collect();
        match alike.first() {
            Some(first) if alike.len() > 1 && std::ptr::eq(**first, *verdict) => {
                let group = |verdict: &Verdict| verdict.id.split('.').next().unwrap_or_default().to_owned();
                let one = alike.iter().all(|other| group(other) == group(verdict));
                let id = if one { format!("{}.*", group(verdict)) } else { format!("{} checks", alike.len()) };
                let ids: Vec<&str> = alike.iter().map(|other| other.id.as_str()).collect();
                let observed = if one {
                    format!("{} checks {}", alike.len(), verdict.observed.replacen("waits", "wait", 1))
                } else {
                    format!("{}: {}", verdict.observed, ids.join(" "))
                };
                out.push(Cow::Owned(Verdict { id, observed, subject: None, ..(*verdict).clone() }));
            }
            Some(_) if alike.len() > 1 => {}
            _ => out.push(Cow::Borrowed(verdict)),
        }
    }
    out
}

/// Failures first, then what could not be checked, what waits, what warns, what an admin waived.
fn rank(verdict: &Verdict) -> u8 {
    match verdict.state {
        _ if verdict.waived.is_some() => 4,
        State::Fail => 0,
        State::Unknown => 1,
        State::Waiting => 2,
        State::Warn => 3,
        State::Pass | State::NotApplicable => 5,
    }
}

fn tag(verdict: &Verdict) -> &'static str {
    match verdict.state {
        _ if verdict.waived.is_some() => "WAIVE",
        State::Fail => "FAIL",
        State::Unknown => "????",
        State::Waiting => "WAIT",
        State::Warn => "WARN",
        State::Pass => "ok",
        State::NotApplicable => "n/a",
    }
}

/// What was found, and about what.
fn observed(verdict: &Verdict) -> String {
    let subject = verdict.subject.as_ref().map(|subject| format!("{subject}: ")).unwrap_or_default();
    format!("{subject}{}", verdict.observed)
}

/// Found and required in a few words.
fn summary(verdict: &Verdict) -> String {
    match verdict.state {
        State::Fail | State::Warn if !verdict.required.is_empty() => {
            format!("{}, required {}", observed(verdict), verdict.required)
        }
        _ => observed(verdict),
    }
}

fn labelled(label: &str, column: usize) -> String {
    format!("{:INDENT$}{label:<width$}", "", width = column - INDENT)
}

fn first_line(verdict: &Verdict, column: usize, rest: &str) -> String {
    let id = format!(" {:<6}{}", tag(verdict), verdict.id);
    let gap = column.saturating_sub(id.chars().count()).max(1);
    format!("{id}{}{rest}", " ".repeat(gap))
}

/// One check in one line, cut where it is too long.
fn one_line(verdict: &Verdict, column: usize, view: View) -> String {
    cut(&first_line(verdict, column, &summary(verdict)), view)
}

/// What the check is about, and of what it speaks where that fits too.
fn heading(verdict: &Verdict, width: usize) -> String {
    match &verdict.subject {
        Some(subject) if verdict.title.chars().count() + 2 + subject.chars().count() <= width => {
            format!("{}: {subject}", verdict.title)
        }
        Some(subject) => subject.clone(),
        None => verdict.title.clone(),
    }
}

/// One check with what was found, what is required and what to do, wrapped under one another.
fn block(verdict: &Verdict, column: usize, view: View) -> Vec<String> {
    let width = WIDTH - column;
    let brief = clean(&summary(verdict), view.ascii);
    let mut lines = Vec::new();
    let add = |lines: &mut Vec<String>, label: &str, text: &str| {
        for (index, line) in wrap(&clean(text, view.ascii), width).into_iter().enumerate() {
            lines.push(format!("{}{line}", labelled(if index == 0 { label } else { "" }, column)));
        }
    };
    let two_sided = matches!(verdict.state, State::Fail | State::Warn);
    if brief.chars().count() <= width {
        lines.push(first_line(verdict, column, &brief));
    } else {
        let observed = clean(&observed(verdict), view.ascii);
        if two_sided && observed.chars().count() <= width {
            lines.push(first_line(verdict, column, &observed));
            add(&mut lines, "required", &verdict.required);
        } else {
            let mut heading = wrap(&clean(&heading(verdict, width), view.ascii), width).into_iter();
            lines.push(cut(&first_line(verdict, column, &heading.next().unwrap_or_default()), view));
            lines.extend(heading.map(|line| format!("{}{line}", labelled("", column))));
            add(&mut lines, "found", &verdict.observed);
            if two_sided {
                add(&mut lines, "required", &verdict.required);
            }
        }
    }
    if let Some(reason) = &verdict.waived {
        add(&mut lines, "waived", reason);
    } else if verdict.state != State::Waiting {
        add(&mut lines, "do", verdict.remedy.as_deref().unwrap_or_default());
    }
    lines
}

/// What passed, and what comes later, each in one line.
fn folded(report: &Report, column: usize, view: View) -> Vec<String> {
    let mut lines = Vec::new();
    let passed: Vec<&Verdict> = report.checks.iter().filter(|verdict| verdict.state == State::Pass).collect();
    let others = report.checks.iter().any(|verdict| verdict.state != State::Pass && !report.comes_later(verdict));
    if !passed.is_empty() {
        let mut groups: Vec<&str> = Vec::new();
        for group in passed.iter().map(|verdict| verdict.id.split('.').next().unwrap_or_default()) {
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        let count = if others { format!("{} more", passed.len()) } else { format!("all {}", passed.len()) };
        let width = column - INDENT;
        lines.push(words(&format!(" ok    {count:<width$}"), &groups, view));
    }
    let later: Vec<&str> =
        report.checks.iter().filter(|verdict| report.comes_later(verdict)).map(|verdict| verdict.id.as_str()).collect();
    if !later.is_empty() {
        let width = column - INDENT;
        let count = format!("{} more", later.len());
        lines.push(words(&format!(" later {count:<width$}"), &later, view));
    }
    lines
}

/// `start` and as many of `words` as fit into the line; dots stand for the rest.
fn words(start: &str, words: &[&str], view: View) -> String {
    let mut line = start.to_owned();
    for (index, word) in words.iter().enumerate() {
        let space = if index == 0 { "" } else { " " };
        let kept = if index + 1 == words.len() { 0 } else { " ...".len() };
        if line.chars().count() + space.len() + word.chars().count() + kept > WIDTH {
            line.push_str(if view.ascii { " ..." } else { " …" });
            break;
        }
        line.push_str(space);
        line.push_str(word);
    }
    cut(&line, view)
}

/// `line` without what a terminal would obey, and not longer than a line.
fn cut(line: &str, view: View) -> String {
    let line = clean(line, view.ascii);
    if line.chars().count() <= WIDTH {
        return line;
    }
    let dots = if view.ascii { "..." } else { "…" };
    let kept: String = line.chars().take(WIDTH - dots.chars().count()).collect();
    format!("{kept}{dots}")
}
