//! The operating system.

use crate::appliance::OsRelease;
use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::facts::Machine;

/// The checks of this file.
pub const CHECKS: &[Check] = &[Check {
    id: "os.release",
    title: "Operating system release",
    phases: &[Phase::Admission, Phase::Acceptance],
    after: &[],
    documentation: "Compares ID and VERSION_ID of os-release (5) with the base that the image was built on. A base \
        `9` stands for `9.4` too. Another release fails: nothing here was tried on it.",
    applies: |_| true,
    run: release,
}];

/// In order of precedence (os-release (5)).
const FILES: [&str; 2] = ["/etc/os-release", "/usr/lib/os-release"];

fn release(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let found = read(context.machine)?;
    let asked = &context.appliance.os;
    let (observed, required) = (name(&found), name(asked));
    let finding = if found.id == asked.id && within(&found.version_id, &asked.version_id) {
        Finding::pass(observed, required)
    } else {
        let remedy = format!(
            "a distribution is not upgraded in place: flash {} {} anew, or an image of it that was built for {observed}",
            context.appliance.name, context.appliance.version
        );
        Finding::fail(observed, required, remedy)
    };
    Ok(vec![finding])
}

fn name(release: &OsRelease) -> String {
    format!("{} {}", release.id, release.version_id).trim_end().to_owned()
}

/// Whether `version` is `base` or a point release of it.
fn within(version: &str, base: &str) -> bool {
    version.strip_prefix(base).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
}

fn read(machine: &Machine) -> Result<OsRelease, CouldNotRun> {
    let mend = "put it back: it belongs to the package base-files (Debian, Ubuntu) or the distribution's -release";
    let texts = FILES.map(|path| machine.read(path));
    let text = match texts {
        [Ok(text), _] | [_, Ok(text)] => text,
        [Err(error), _] => return Err(CouldNotRun::new(format!("reading {}: {error}", FILES[0]), mend)),
    };
    let field = |key: &str| text.lines().rev().find_map(|line| line.strip_prefix(key)?.strip_prefix('=').map(unquoted));
    match field("ID") {
        Some(id) => Ok(OsRelease { id, version_id: field("VERSION_ID").unwrap_or_default() }),
        None => Err(CouldNotRun::new(format!("{} names no ID", FILES[0]), mend)),
    }
}

/// A value without its quotes and backslashes.
fn unquoted(value: &str) -> String {
    let value = value.trim();
    let inner = ['"', '\''].iter().find_map(|quote| value.strip_prefix(*quote)?.strip_suffix(*quote));
    inner.unwrap_or(value).replace('\\', "")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::State;
    use crate::facts::recorded::{Answer, Recorded, only};
    use crate::requirements::Requirements;

    fn run(recorded: &Recorded) -> Answer {
        recorded.run("os.release", &Requirements::default(), None)
    }

    #[test]
    fn the_base_passes_in_any_quotes() {
        let debian = "PRETTY_NAME=\"Debian GNU/Linux 13 (trixie)\"\nVERSION_ID=\"13\"\nID=debian\nID_LIKE=x\n";
        assert_eq!(only(run(&Recorded::new().file(FILES[0], debian))), Finding::pass("debian 13", "debian 13"));
        let other_place = Recorded::new().file(FILES[1], "ID='debian'\nVERSION_ID=13.2\n");
        assert_eq!(only(run(&other_place)).state, State::Pass);
    }

    #[test]
    fn another_release_fails() {
        for text in
            ["ID=debian\nVERSION_ID=12\n", "ID=debian\nVERSION_ID=130\n", "ID=ubuntu\nVERSION_ID=13\n", "ID=debian\n"]
        {
            let finding = only(run(&Recorded::new().file(FILES[0], text)));
            assert_eq!(finding.state, State::Fail, "{text}");
        }
    }

    #[test]
    fn without_the_file_or_its_id_it_cannot_run() {
        assert!(run(&Recorded::new()).is_err());
        assert!(run(&Recorded::new().file(FILES[0], "NAME=x\n")).is_err());
    }
}
