//! `firstlight cache`: what lies in the cache, and how to make it smaller.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::{Args, Subcommand};
use firmware_checks::units::Size as Bytes;
use jiff::{Span, SpanRelativeTo, Timestamp};
use serde::Serialize;

use super::Common;
use crate::cache::{self, Item, Kind, Limit, Other, Pruned};
use crate::progress::bytes;
use crate::sandbox::userns;
use crate::stage::Size;

/// Show what lies in the cache, make it smaller, or verify it
#[derive(Debug, Args)]
pub(super) struct Cache {
    /// Print it as JSON on standard output
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Option<Action>,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Remove what killed builds and older versions left, and what was not used for the longest time; never what a
    /// running build uses
    Prune {
        /// Remove until no more than this is left, such as `10 GB`
        #[arg(long, value_name = "SIZE", conflicts_with = "unused_for")]
        keep: Option<Bytes>,
        /// Remove what was not used for so long, such as `30d` or `12h`
        #[arg(long, value_name = "TIME", value_parser = parse_age)]
        unused_for: Option<Duration>,
        /// Only say what would be removed
        #[arg(long)]
        dry_run: bool,
    },
    /// Read all of it, and remove what is damaged; exit status 1 where something was
    Verify,
}

fn parse_age(text: &str) -> Result<Duration, String> {
    let span: Span = text.parse().map_err(|error: jiff::Error| error.to_string())?;
    let age = span.to_duration(SpanRelativeTo::days_are_24_hours()).map_err(|error| error.to_string())?;
    Duration::try_from(age).map_err(|_| "it lies in the future".to_owned())
}

/// What lies in a cache, for scripts.
#[derive(Serialize)]
struct Shown<'a> {
    path: &'a Path,
    #[serde(flatten)]
    size: Size,
    downloads: Total,
    partial: Total,
    stages: Vec<Item>,
    unfinished: Total,
    outdated: Total,
    others: Vec<Other>,
}

/// Many things as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
struct Total {
    count: usize,
    #[serde(flatten)]
    size: Size,
    /// When the last of them was used.
    used: Option<Timestamp>,
}

impl Total {
    fn of<'a>(items: impl IntoIterator<Item = &'a Item>) -> Self {
        items.into_iter().fold(Self::default(), |total, item| Self {
            count: total.count + 1,
            size: total.size + item.size,
            used: total.used.max(item.used),
        })
    }
}

impl Cache {
    pub(super) fn run(&self, common: &Common) -> anyhow::Result<ExitCode> {
        let folder = common.cache()?;
        match &self.action {
            None => self.show(&folder),
            Some(Action::Prune { keep, unused_for, dry_run }) => {
                let limit = match (keep, unused_for) {
                    (Some(size), _) => Limit::Bytes(size.bytes()),
                    (None, Some(age)) => {
                        Limit::UsedSince(Timestamp::now().checked_sub(*age).context("reckoning back the time")?)
                    }
                    (None, None) => Limit::Useful,
                };
                self.prune(&folder, limit, *dry_run)
            }
            Some(Action::Verify) => self.verify(&folder),
        }
    }

    fn show(&self, folder: &Path) -> anyhow::Result<ExitCode> {
        let items = cache::list(folder);
        let of = |kind: Kind| Total::of(items.iter().filter(move |item| item.kind == kind));
        let shown = Shown {
            path: folder,
            size: Total::of(&items).size,
            downloads: of(Kind::Download),
            partial: of(Kind::Partial),
            stages: items.iter().rev().filter(|item| item.kind == Kind::Stage).cloned().collect(),
            unfinished: of(Kind::Unfinished),
            outdated: of(Kind::Outdated),
            others: cache::others(folder),
        };
        if self.json {
            println!("{}", serde_json::to_string_pretty(&shown)?);
        } else {
            print!("{}", told(&shown, Timestamp::now()));
        }
        Ok(ExitCode::SUCCESS)
    }

    fn prune(&self, folder: &Path, limit: Limit, dry_run: bool) -> anyhow::Result<ExitCode> {
        // What a killed build of an ordinary user left may be owned by subordinate users.
        userns::enter()?;
        let context = || format!("pruning {}", folder.display());
        let Pruned { removed, in_use } = cache::prune(folder, limit, dry_run).with_context(context)?;
        if self.json {
            let outcome = serde_json::json!({ "dry_run": dry_run, "removed": removed, "in_use": in_use });
            println!("{}", serde_json::to_string_pretty(&outcome)?);
            return Ok(ExitCode::SUCCESS);
        }
        let now = Timestamp::now();
        removed.iter().for_each(|item| println!("{}", line(item, now)));
        if !in_use.is_empty() {
            println!("{} in use by a running build, left as they are", summary(&in_use));
        }
        println!("{} {}", summary(&removed), if dry_run { "would be removed" } else { "removed" });
        Ok(ExitCode::SUCCESS)
    }

    fn verify(&self, folder: &Path) -> anyhow::Result<ExitCode> {
        // Some files of a tools root may be read by their owner only with root's rights.
        userns::enter()?;
        let verified = cache::verify(folder).with_context(|| format!("verifying {}", folder.display()))?;
        if self.json {
            println!("{}", serde_json::to_string_pretty(&verified)?);
        } else {
            verified.bad.iter().for_each(|bad| println!("{}: removed: {}", bad.name, bad.reason));
            println!("{}: {} entries are right, {} were damaged", folder.display(), verified.good, verified.bad.len());
        }
        Ok(ExitCode::from(u8::from(!verified.bad.is_empty())))
    }
}

fn told(shown: &Shown<'_>, now: Timestamp) -> String {
    let mut text = format!("{}  {}\n", shown.path.display(), sized(shown.size));
    let mut total = |name: &str, total: Total, what: &str| {
        if total.count > 0 {
            text +=
                &format!("  {name:<10} {:<22} {} {what}, {}\n", sized(total.size), total.count, ago(total.used, now));
        }
    };
    total("downloads", shown.downloads, "files");
    total("partial", shown.partial, "begun downloads");
    total("unfinished", shown.unfinished, "left by killed builds");
    total("outdated", shown.outdated, "of an older version");
    shown.stages.iter().for_each(|item| text += &format!("  {}\n", line(item, now)));
    for other in &shown.others {
        let trust = if other.trusted { "stages and downloads are used" } else { "downloads are copied" };
        text += &format!("  {:<10} {:<22} {}: {trust}\n", "beside", sized(other.size), other.path.display());
    }
    text
}

/// One thing on one line.
fn line(item: &Item, now: Timestamp) -> String {
    let (kind, rest) = match item.kind {
        Kind::Stage => {
            let name = item.name();
            let (kind, digest) = name.split_once('-').unwrap_or((&name, ""));
            (kind.to_owned(), format!("{}, {}", &digest[..digest.len().min(8)], item.about))
        }
        Kind::Download => ("download".to_owned(), item.name()),
        Kind::Partial => ("partial".to_owned(), item.name()),
        Kind::Unfinished => ("unfinished".to_owned(), item.name()),
        Kind::Outdated => ("outdated".to_owned(), item.path.display().to_string()),
    };
    let rest: String = rest.chars().take(100).collect();
    format!("{kind:<10} {:<22} {}, {rest}", sized(item.size), ago(item.used, now))
}

fn summary(items: &[Item]) -> String {
    let Total { count, size, .. } = Total::of(items);
    format!("{count} {}, {},", if count == 1 { "entry" } else { "entries" }, sized(size))
}

/// Bytes on the disk, and those of the files where a person would see a difference.
fn sized(size: Size) -> String {
    let (on_disk, held) = (bytes(size.on_disk), bytes(size.bytes));
    // Small files take whole blocks; only much more, or less, is worth a word.
    if size.bytes.abs_diff(size.on_disk) > size.on_disk / 4 && size.on_disk.max(size.bytes) > 1_000_000 {
        format!("{on_disk} ({held})")
    } else {
        on_disk
    }
}

fn ago(used: Option<Timestamp>, now: Timestamp) -> String {
    let Some(used) = used else { return "never used".to_owned() };
    let seconds = now.as_second().saturating_sub(used.as_second()).max(0);
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute")];
    let unit = units.iter().find(|(length, _)| seconds >= *length);
    unit.map_or_else(
        || "used just now".to_owned(),
        |(length, name)| match seconds / length {
            1 => format!("used 1 {name} ago"),
            count => format!("used {count} {name}s ago"),
        },
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_age_is_read_in_days_and_hours() {
        assert_eq!(parse_age("30d"), Ok(Duration::from_secs(30 * 86_400)));
        assert_eq!(parse_age("12h"), Ok(Duration::from_secs(12 * 3_600)));
        assert!(parse_age("1 month").is_err() && parse_age("-1d").is_err() && parse_age("soon").is_err());
    }

    #[test]
    fn a_cache_is_told_on_a_line_for_each_thing() {
        let now = Timestamp::from_second(1_000_000).unwrap();
        let used = |seconds: i64| Some(Timestamp::from_second(1_000_000 - seconds).unwrap());
        let size = |bytes, on_disk| Size { bytes, on_disk };
        let stage = Item {
            kind: Kind::Stage,
            path: format!("/c/stages/v3/root-{}", "0123456789abcdef".repeat(4)).into(),
            size: size(836_000_000, 836_100_000),
            used: used(7_200),
            made: None,
            about: "217 packages of debian-13".into(),
        };
        let shown = Shown {
            path: Path::new("/c"),
            size: size(1_200_000_000, 900_000_000),
            downloads: Total { count: 2, size: size(512, 4096), used: used(3) },
            partial: Total::default(),
            stages: vec![stage],
            unfinished: Total { count: 1, size: size(0, 8192), used: used(90_000) },
            outdated: Total::default(),
            others: vec![Other { path: "/c/user-7".into(), trusted: false, size: size(1000, 4096) }],
        };
        let expected = "\
/c  900 MB (1.20 GB)
  downloads  4 kB                   2 files, used just now
  unfinished 8 kB                   1 left by killed builds, used 1 day ago
  root       836 MB                 used 2 hours ago, 01234567, 217 packages of debian-13
  beside     4 kB                   /c/user-7: downloads are copied
";
        assert_eq!(told(&shown, now), expected);
    }
}
