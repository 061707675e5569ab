//! The vault of each source: whether it has the minor release before the present one, as the present one's packages are not there yet.

use super::{Line, Subject, Wrong, mirrors};
use crate::archive::Archive;
use crate::recipe::base::Source;

/// A line for each vault; none where the present minor release is the first, so that nothing is to be found there.
pub(super) fn lines(subject: &Subject<'_>, archive: &Archive) -> Vec<Line> {
    let sources = subject.base.sources.iter().enumerate();
    sources.filter_map(|(number, source)| line(subject, archive, (number, source))).collect()
}

fn line(subject: &Subject<'_>, archive: &Archive, (number, source): (usize, &Source)) -> Option<Line> {
    let suite = source.suites.first()?;
    // Where there is no such package, the line of `packages` says so.
    let present = archive.newest(source.vault_package()?).ok()?;
    let vault = source.vault_of(&before(present.upstream())?)?;
    let what = format!("vault of {suite}");
    Some(match mirrors::probe(subject, number, (suite, &vault), subject.now) {
        Ok(found) => Line::ok(what, format!("{vault}: of {}", found.released)),
        Err(error) => Wrong::of(&error, subject.now).line(what),
    })
}

/// The minor release before `version`, such as `9.5` before `9.6`.
fn before(version: &str) -> Option<String> {
    let (major, minor) = version.rsplit_once('.')?;
    let minor = minor.parse::<u32>().ok()?.checked_sub(1)?;
    Some(format!("{major}.{minor}"))
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_minor_release_has_one_before_it_but_for_the_first() {
        for (version, expected) in [("9.6", Some("9.5")), ("9.10", Some("9.9")), ("9.0", None), ("9", None)] {
            assert_eq!(super::before(version).as_deref(), expected, "{version}");
        }
    }
}
