//! Rules about the files that go into an image whole.

use firmware_checks::document::{KeyPath, Problem};

use super::{elsewhere, is_beside};
use crate::recipe::artifact::{Artifact, is_url};
use crate::recipe::schema::Recipe;
use crate::store;

/// Everything wrong with the artifacts of `recipe` that its own text decides.
#[must_use]
pub fn problems(recipe: &Recipe) -> Vec<Problem> {
    recipe.artifacts().iter().flat_map(|named| one(&named.at, named.artifact)).collect()
}

fn one(at: &KeyPath, artifact: &Artifact) -> Vec<Problem> {
    let Artifact { from, sha256, checksums } = artifact;
    let mut found: Vec<Problem> = place(at.key("from"), from).into_iter().collect();
    if is_url(from) && artifact.file_name().is_empty() {
        found.push(Problem::value(at.key("from"), format!("`{from}` names no file")));
    }
    found.extend(checksums.as_ref().and_then(|checksums| place(at.key("checksums"), checksums)));
    if let Some(digest) = sha256.as_ref().filter(|digest| !store::is_digest(digest)) {
        let problem = Problem::value(at.key("sha256"), format!("`{digest}` is not a SHA-256 digest"));
        found.push(problem.label("expected 64 hexadecimal digits in lower case"));
    }
    found
}

/// A URL that the downloader speaks, or a path beside the recipe.
fn place(at: KeyPath, from: &str) -> Option<Problem> {
    if !is_url(from) {
        return (!is_beside(from)).then(|| elsewhere(at, from));
    }
    let rest = from.strip_prefix("http://").or_else(|| from.strip_prefix("https://"));
    let fits = rest.is_some_and(|rest| {
        rest.split_once('/').is_some_and(|(host, _)| !host.is_empty()) && !rest.contains(char::is_whitespace)
    });
    let problem = || Problem::value(at, format!("`{from}` is no URL of a file")).label("expected `https://HOST/PATH`");
    (!fits).then(problem)
}
