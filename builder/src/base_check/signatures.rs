//! One package of each source whose packages are signed themselves: an index need not be, so that a wrong certificate would else be
//! noticed only by a build.

use std::collections::BTreeMap;

use super::{Line, Subject, Wrong};
use crate::archive::{Archive, Package};
use crate::recipe::base::Family;

/// A line for each source of RPMs of which there is a package in `samples`, by the source's number.
pub(super) fn lines(subject: &Subject<'_>, archive: &Archive, samples: &BTreeMap<usize, Package>) -> Vec<Line> {
    if subject.base.family != Family::Rpm {
        return Vec::new();
    }
    let names = subject.base.source_names();
    samples.iter().map(|(source, package)| line(subject, archive, &names[*source], package)).collect()
}

fn line(subject: &Subject<'_>, archive: &Archive, source: &str, package: &Package) -> Line {
    let what = format!("package of {source}");
    let packages = std::slice::from_ref(package);
    let workshop = subject.workshop;
    if let Err(error) = workshop.store.fetch(&archive.downloads(packages), workshop.progress) {
        return Wrong::of(&error.into(), subject.now).line(what);
    }
    match subject.larder().files(packages) {
        Ok(_) => Line::ok(what, format!("{} {}, signed", package.name, package.version)),
        Err(error) => Wrong::of(&error, subject.now).line(what),
    }
}
