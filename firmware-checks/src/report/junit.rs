//! The report as JUnit XML (the form that Jenkins and GitLab read), one test case for each verdict.

use std::fmt::Write;

use super::{Report, clean};
use crate::check::State;

/// The report as a JUnit test suite. What failed is a `failure`, what could not be checked an `error`; what waits, does
/// not apply or was waived is `skipped`.
#[must_use]
pub fn junit(report: &Report) -> String {
    let count = |test: fn(State) -> bool| report.checks.iter().filter(|v| v.waived.is_none() && test(v.state)).count();
    let failures = count(|state| state == State::Fail);
    let errors = count(|state| state == State::Unknown);
    let skipped = report.checks.len() - failures - errors - count(|state| matches!(state, State::Pass | State::Warn));
    let mut out = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n");
    // Writing into a String cannot fail.
    let _ = writeln!(
        out,
        "<testsuite name=\"{}\" hostname=\"{}\" timestamp=\"{}\" tests=\"{}\" failures=\"{failures}\" errors=\"{errors}\" skipped=\"{skipped}\">",
        escape(&format!("{} {} on {}", report.appliance, report.version, report.base)),
        escape(&report.hostname),
        report.time.strftime("%Y-%m-%dT%H:%M:%SZ"),
        report.checks.len(),
    );
    for verdict in &report.checks {
        let subject = verdict.subject.as_ref().map(|subject| format!(" ({subject})")).unwrap_or_default();
        let (class, name) = (escape(&verdict.id), escape(&format!("{}{subject}", verdict.title)));
        let _ = write!(out, "  <testcase classname=\"{class}\" name=\"{name}\">");
        let message = escape(&format!("found {}, required {}", verdict.observed, verdict.required));
        let remedy = escape(verdict.remedy.as_deref().unwrap_or_default());
        let _ = match (&verdict.waived, verdict.state) {
            (Some(reason), _) => write!(out, "<skipped message=\"waived: {}\"/>", escape(reason)),
            (None, State::Fail) => write!(out, "<failure message=\"{message}\">{remedy}</failure>"),
            (None, State::Unknown) => {
                write!(out, "<error message=\"{}\">{remedy}</error>", escape(&verdict.observed))
            }
            (None, State::Waiting | State::NotApplicable) => {
                write!(out, "<skipped message=\"{}\"/>", escape(&verdict.observed))
            }
            (None, State::Warn) => write!(out, "<system-out>warning: {message}. {remedy}</system-out>"),
            (None, State::Pass) => write!(out, "<system-out>{message}</system-out>"),
        };
        out.push_str("</testcase>\n");
    }
    out.push_str("</testsuite>\n");
    out
}

/// XML 1.0 §2.2 and §2.4: no control characters, and the five special characters by name.
fn escape(text: &str) -> String {
    clean(text, false)
        .replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&apos;")
}
