//! The report in Prometheus's text format 0.0.4, as node_exporter's textfile collector reads it.

use std::fmt::Write;

use super::{Gate, Report};
use crate::check::{Phase, State};

/// The report as metrics: readiness, the gate, and for each verdict 1 in the state that it is in.
#[must_use]
pub fn prometheus(report: &Report) -> String {
    let mut out = String::new();
    let gate = match report.gate {
        Gate::Shut => "shut",
        Gate::Opened => "opened",
        Gate::Accepted => "accepted",
    };
    // Writing into a String cannot fail.
    let _ = write!(
        out,
        "# HELP firstlight_ready Whether every gating check lets the platform run.\n\
         # TYPE firstlight_ready gauge\n\
         firstlight_ready{{appliance=\"{}\",version=\"{}\",base=\"{}\"}} {}\n\
         # HELP firstlight_gate The state of the gate: shut, opened or accepted.\n\
         # TYPE firstlight_gate gauge\n\
         firstlight_gate{{state=\"{gate}\"}} 1\n\
         # HELP firstlight_report_timestamp_seconds When the last check ended.\n\
         # TYPE firstlight_report_timestamp_seconds gauge\n\
         firstlight_report_timestamp_seconds {}\n\
         # HELP firstlight_check The state of each check; 1 for the state that it is in.\n\
         # TYPE firstlight_check gauge\n",
        escape(&report.appliance),
        escape(&report.version),
        escape(&report.base),
        u8::from(report.ready),
        report.time.as_second(),
    );
    for verdict in &report.checks {
        let phase = match verdict.phase {
            Phase::Admission => "admission",
            Phase::Acceptance => "acceptance",
        };
        let state = match verdict.state {
            State::Pass => "pass",
            State::Warn => "warn",
            State::Fail => "fail",
            State::Waiting => "waiting",
            State::NotApplicable => "not_applicable",
            State::Unknown => "unknown",
        };
        let _ = writeln!(
            out,
            "firstlight_check{{id=\"{}\",subject=\"{}\",phase=\"{phase}\",gates=\"{}\",waived=\"{}\",state=\"{state}\"}} 1",
            escape(&verdict.id),
            escape(verdict.subject.as_deref().unwrap_or_default()),
            verdict.gates,
            verdict.waived.is_some(),
        );
    }
    out
}

/// A label's value: backslash, double quote and line feed are escaped.
fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
