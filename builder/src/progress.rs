//! What a build shows while it works: a bar on a terminal, plain lines in a log. All of it goes to standard error,
//! so that standard output keeps its promise (its last line is the image).

use std::fmt::Display;
use std::io::{IsTerminal, Write};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// How often a transfer tells a log that it is still alive.
const LOG_INTERVAL: Duration = Duration::from_secs(10);

/// Shows stages as they end and transfers as they go on. Cheap to share between threads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Terminal,
    Log,
    Silent,
}

impl Progress {
    /// A bar where standard error is a terminal that can draw one, plain lines elsewhere.
    #[must_use]
    pub fn new() -> Self {
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let kind = if std::io::stderr().is_terminal() && !dumb { Kind::Terminal } else { Kind::Log };
        Self { kind }
    }

    /// Shows nothing.
    #[must_use]
    pub fn silent() -> Self {
        Self { kind: Kind::Silent }
    }

    /// One stage is done: its name (at most 9 letters, such as `locked`) and what came of it.
    pub fn stage(&self, name: &str, text: impl Display) {
        self.line(&stage_line(name, &text.to_string(), None, None));
    }

    /// As [`stage`](Self::stage), with the time that it took.
    pub fn stage_timed(&self, name: &str, text: impl Display, took: Duration) {
        self.line(&stage_line(name, &text.to_string(), Some(took), None));
    }

    /// As [`stage_timed`](Self::stage_timed), with the rate at which so many bytes were received.
    pub fn stage_rated(&self, name: &str, text: impl Display, took: Duration, received: u64) {
        self.line(&stage_line(name, &text.to_string(), Some(took), Some(rate(received, took))));
    }

    /// Something that the user should know, although the build goes on.
    pub fn warn(&self, text: impl Display) {
        self.line(&format!("warning: {text}"));
    }

    /// Begins a transfer of `total` bytes under a stage's name, such as `fetching`.
    #[must_use]
    pub fn transfer(&self, name: &str, total: u64) -> Transfer {
        let bar = (self.kind == Kind::Terminal).then(|| {
            let bar = ProgressBar::with_draw_target(Some(total), ProgressDrawTarget::stderr_with_hz(10));
            bar.set_style(bar_style());
            bar.set_prefix(name.to_owned());
            bar
        });
        let now = Instant::now();
        Transfer {
            progress: *self,
            name: name.to_owned(),
            bar,
            total,
            done: AtomicU64::new(0),
            received: AtomicU64::new(0),
            began: now,
            told: Mutex::new(now),
        }
    }

    fn line(&self, text: &str) {
        if self.kind != Kind::Silent {
            // A closed standard error must not end a build.
            let _ = writeln!(std::io::stderr().lock(), "{text}");
        }
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

fn bar_style() -> ProgressStyle {
    ProgressStyle::with_template("{prefix:>9}  {bar:32} {bytes} of {total_bytes}, {msg}")
        .unwrap_or_else(|_| ProgressStyle::default_bar())
}

fn stage_line(name: &str, text: &str, took: Option<Duration>, rate: Option<String>) -> String {
    let mut line = format!("{name:>9}  {text}");
    if let Some(took) = took {
        line = format!("{line:<55} {:>7.1} s", took.as_secs_f64());
    }
    if let Some(rate) = rate {
        line += &format!("   {rate}");
    }
    line
}

/// A transfer that goes on; its bar is gone when it is dropped.
#[derive(Debug)]
pub struct Transfer {
    progress: Progress,
    name: String,
    bar: Option<ProgressBar>,
    total: u64,
    done: AtomicU64,
    received: AtomicU64,
    began: Instant,
    told: Mutex<Instant>,
}

impl Transfer {
    /// Bytes came over the network.
    pub fn received(&self, bytes: u64) {
        self.received.fetch_add(bytes, Ordering::Relaxed);
        self.advance(bytes);
    }

    /// Bytes were there already.
    pub fn found(&self, bytes: u64) {
        self.advance(bytes);
    }

    /// Bytes counted before proved worthless, and will be counted again.
    pub fn lost(&self, bytes: u64) {
        let done = self.done.fetch_sub(bytes, Ordering::Relaxed).saturating_sub(bytes);
        if let Some(bar) = &self.bar {
            bar.set_position(done);
        }
    }

    /// Bytes that came over the network so far.
    #[must_use]
    pub fn bytes_received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Since it began.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    fn advance(&self, bytes: u64) {
        let done = self.done.fetch_add(bytes, Ordering::Relaxed) + bytes;
        if let Some(bar) = &self.bar {
            bar.set_position(done);
            bar.set_message(rate(self.bytes_received(), self.elapsed()));
        } else if self.progress.kind == Kind::Log {
            self.tell(done);
        }
    }

    fn tell(&self, done: u64) {
        let Ok(mut told) = self.told.try_lock() else { return };
        if told.elapsed() < LOG_INTERVAL {
            return;
        }
        *told = Instant::now();
        let rate = rate(self.bytes_received(), self.elapsed());
        self.progress.stage(&self.name, format_args!("{} of {}, {rate}", bytes(done), bytes(self.total)));
    }
}

impl Drop for Transfer {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}

/// A number of bytes for a person, in decimal units: `1.31 GB`, `34 MB`, `512 bytes`.
#[must_use]
pub fn bytes(count: u64) -> String {
    #[allow(clippy::cast_precision_loss)]
    let value = count as f64;
    match count {
        0..1_000 => format!("{count} bytes"),
        1_000..1_000_000 => format!("{:.0} kB", value / 1e3),
        1_000_000..1_000_000_000 => format!("{:.0} MB", value / 1e6),
        _ => format!("{:.2} GB", value / 1e9),
    }
}

/// Bytes per second for a person: `34 MB/s`.
#[must_use]
pub fn rate(received: u64, took: Duration) -> String {
    let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX).max(1);
    format!("{}/s", bytes(received.saturating_mul(1000) / milliseconds))
}

/// A number with its thousands set apart: `34,205,118`.
#[must_use]
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stage_line_sets_names_and_times_in_columns() {
        assert_eq!(stage_line("locked", "212 packages", None, None), "   locked  212 packages");
        let line = stage_line("root", "configured 212 packages", Some(Duration::from_millis(17_900)), None);
        assert_eq!(line, "     root  configured 212 packages                         17.9 s");
    }

    #[test]
    fn bytes_are_rounded_to_what_a_person_reads() {
        assert_eq!(bytes(999), "999 bytes");
        assert_eq!(bytes(34_205_118), "34 MB");
        assert_eq!(bytes(1_310_000_000), "1.31 GB");
        assert_eq!(rate(34_000_000, Duration::from_secs(1)), "34 MB/s");
    }

    #[test]
    fn thousands_are_set_apart() {
        assert_eq!(grouped(34_205_118), "34,205,118");
        assert_eq!(grouped(118), "118");
        assert_eq!(grouped(1_000), "1,000");
    }

    #[test]
    fn the_bars_template_is_understood() {
        assert!(ProgressStyle::with_template("{prefix:>9}  {bar:32} {bytes} of {total_bytes}, {msg}").is_ok());
    }
}
