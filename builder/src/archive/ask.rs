//! Asks the mirrors in turn for the file that everything else of a suite follows from.

use super::error::{Error, Result};
use super::mirrors::Choice;
use crate::progress::Progress;
use crate::store::{self, Answer, Store};

/// What mirrors are asked for.
pub(super) struct Query<'a> {
    pub store: &'a Store,
    /// The name of the base's source.
    pub archive: &'a str,
    /// Its suite.
    pub suite: &'a str,
    /// The file's path below a mirror.
    pub path: &'a str,
    /// How many bytes it may have.
    pub limit: u64,
}

/// What came of asking several mirrors.
struct Asked<T> {
    found: Option<(String, T)>,
    /// Each mirror that has no such suite, or could not be reached.
    attempts: Vec<(String, String)>,
    /// The first failure that is more than a lack.
    failure: Option<Error>,
}

/// Finds the file on the mirrors of its archive: gives the first mirror whose answer `judge` (URL, content) takes, and what
/// that makes of it.
pub(super) fn find<T>(
    query: &Query,
    choice: &Choice,
    progress: &Progress,
    judge: impl Fn(&str, &[u8]) -> Result<T>,
) -> Result<(String, T)> {
    let named = ask(query, &choice.named, &judge);
    match (named.found, named.failure) {
        (Some(found), _) => return Ok(found),
        (None, Some(failure)) => return Err(failure),
        (None, None) => {}
    }
    if choice.usual.is_empty() {
        let hint = "only the mirrors that --mirror names are asked for this archive";
        return Err(missing(query, named.attempts, hint));
    }
    for (url, answer) in &named.attempts {
        progress.warn(format_args!("{url}: {answer}; {} comes from the usual mirrors", query.suite));
    }
    let usual = ask(query, &choice.usual, &judge);
    match (usual.found, usual.failure) {
        (Some(found), _) => Ok(found),
        (None, Some(failure)) if !matches!(failure, Error::Store(store::Error::Unavailable { .. })) => Err(failure),
        (None, _) => {
            Err(missing(query, usual.attempts, "check the network, or name a mirror that has it with --mirror"))
        }
    }
}

fn missing(query: &Query, attempts: Vec<(String, String)>, hint: &'static str) -> Error {
    let (archive, suite) = (query.archive.to_owned(), query.suite.to_owned());
    Error::NoMirror { archive, suite, attempts, hint }
}

fn ask<T>(query: &Query, mirrors: &[String], judge: &impl Fn(&str, &[u8]) -> Result<T>) -> Asked<T> {
    let mut asked = Asked { found: None, attempts: Vec::new(), failure: None };
    let file = query.path.rsplit('/').next().unwrap_or(query.path);
    for mirror in mirrors {
        let url = format!("{mirror}/{}", query.path);
        let error = match query.store.get(&format!("{}'s {file}", query.suite), &url, query.limit) {
            Ok(Answer::Absent(answer)) => {
                asked.attempts.push((url, answer));
                continue;
            }
            Ok(Answer::Found(content)) => match judge(&url, &content) {
                Ok(judged) => {
                    asked.found = Some((mirror.clone(), judged));
                    break;
                }
                Err(error) => {
                    asked.attempts.push((url, "not as it must be".to_owned()));
                    error
                }
            },
            Err(store::Error::Unavailable { label, attempts }) => {
                asked.attempts.extend(attempts.clone());
                store::Error::Unavailable { label, attempts }.into()
            }
            Err(error) => error.into(),
        };
        // What a mirror has wrong says more than that another one was out of reach.
        if asked.failure.as_ref().is_none_or(|first| matches!(first, Error::Store(_))) {
            asked.failure = Some(error);
        }
    }
    asked
}
