//! What the machine knows about its site, for whoever judges or shows it.

use std::path::Path;

use super::{DIRECTORY, Site, load};

/// What came in the way of the last import or of putting it into effect: text for a person, without secrets. Absent
/// where nothing did.
pub const ERROR: &str = "/run/firstlight/site-error";

/// What the machine knows about its site.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Status {
    /// The imported configuration; absent before the first import.
    pub site: Option<Site>,
    /// What an admin should know: a configuration that was refused, a medium that was passed over. One or more lines.
    pub error: Option<String>,
}

/// The status of the machine whose files lie below `root` (`/` on the machine itself).
#[must_use]
pub fn status(root: &Path) -> Status {
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    let kept = std::fs::read_to_string(below(ERROR)).ok().map(|text| text.trim().to_owned());
    let kept = kept.filter(|text| !text.is_empty());
    match load(&below(DIRECTORY)) {
        Ok(site) => Status { site: Some(site), error: kept },
        Err(load::Error::Missing { .. }) => Status { site: None, error: kept },
        // Only a hand that edited the imported files can have done this.
        Err(error) => {
            let texts: Vec<String> = kept.into_iter().chain([told(&error)]).collect();
            Status { site: None, error: Some(texts.join("\n\n")) }
        }
    }
}

/// `error` with its causes, on one line where it has no lines of its own.
pub(super) fn told(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |cause| cause.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            crate::files::replace(&root.path().join(path.trim_start_matches('/')), text.as_bytes(), 0o600).unwrap();
        }
        root
    }

    #[test]
    fn a_fresh_machine_has_neither_site_nor_error() {
        assert_eq!(status(machine(&[]).path()), Status::default());
    }

    #[test]
    fn what_was_refused_is_told_beside_what_holds() {
        let root = machine(&[("/etc/firstlight/site/site.toml", "hostname = \"rack7\""), (ERROR, "the stick: no\n")]);
        let found = status(root.path());
        assert_eq!(found.site.unwrap().hostname.as_deref(), Some("rack7"));
        assert_eq!(found.error.as_deref(), Some("the stick: no"));
    }

    #[test]
    fn an_imported_file_that_was_broken_later_is_told() {
        let found = status(machine(&[("/etc/firstlight/site/site.toml", "hostnam = \"rack7\"")]).path());
        assert_eq!(found.site, None);
        assert!(found.error.unwrap().contains("did you mean `hostname`?"));
    }
}
