//! `overlay.toml`: the paths of an overlay whose owner or mode is not the usual one.
//!
//! ```toml
//! [paths."etc/sudoers.d/firstlight"]
//! mode = "0440"
//!
//! [paths."home/admin"]
//! folder = true
//! mode = "0750"
//! owner = "admin"
//! group = "admin"
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use serde_spanned::Spanned;

use super::Error;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    paths: BTreeMap<Spanned<String>, Table>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    mode: Option<Spanned<String>>,
    owner: Option<String>,
    group: Option<String>,
    #[serde(default)]
    folder: bool,
}

/// What is declared for one path.
#[derive(Clone, Debug)]
pub(super) struct Declared {
    /// Permission bits.
    pub(super) mode: Option<u32>,
    /// User, by name; root where absent.
    pub(super) owner: Option<String>,
    /// Group, by name; root where absent.
    pub(super) group: Option<String>,
    /// An empty folder is to be made, which the overlay does not hold.
    pub(super) folder: bool,
    file: PathBuf,
    line: usize,
    column: usize,
}

impl Declared {
    /// The error that something about this path is wrong.
    pub(super) fn wrong(&self, reason: &str) -> Error {
        Error::Invalid { path: self.file.clone(), line: self.line, column: self.column, reason: reason.to_owned() }
    }
}

/// Reads `file`; where there is none, nothing is declared.
pub(super) fn load(file: &Path) -> Result<BTreeMap<PathBuf, Declared>, Error> {
    let text = match std::fs::read_to_string(file) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(BTreeMap::new()),
        Err(source) => return Err(Error::Read { path: file.to_owned(), source }),
    };
    parse(file, &text)
}

fn parse(file: &Path, text: &str) -> Result<BTreeMap<PathBuf, Declared>, Error> {
    let invalid = |offset: usize, reason: String| {
        let (line, column) = position(text, offset);
        Error::Invalid { path: file.to_owned(), line, column, reason }
    };
    let read: File = toml::from_str(text)
        .map_err(|error| invalid(error.span().map_or(0, |span| span.start), error.message().to_owned()))?;
    let mut declared = BTreeMap::new();
    for (key, table) in read.paths {
        let offset = key.span().start;
        let path = Path::new(key.get_ref().trim_start_matches('/').trim_end_matches('/'));
        if path.components().next().is_none() || !path.components().all(|part| matches!(part, Component::Normal(_))) {
            return Err(invalid(offset, format!("`{}` is not a path below the root", key.get_ref())));
        }
        let mode = table.mode.map(|mode| {
            let digits = mode.get_ref();
            let bits = u32::from_str_radix(digits, 8).ok().filter(|bits| *bits <= 0o7777 && digits.len() >= 3);
            bits.ok_or_else(|| {
                invalid(mode.span().start, format!("`{digits}` is not a mode: expected octal digits, such as `0640`"))
            })
        });
        let (line, column) = position(text, offset);
        let (owner, group, folder) = (table.owner, table.group, table.folder);
        let what = Declared { mode: mode.transpose()?, owner, group, folder, file: file.to_owned(), line, column };
        if declared.insert(path.to_owned(), what).is_some() {
            return Err(invalid(offset, format!("`{}` is declared twice", path.display())));
        }
    }
    Ok(declared)
}

fn position(text: &str, offset: usize) -> (usize, usize) {
    let before = &text.as_bytes()[..offset.min(text.len())];
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    (before.iter().filter(|byte| **byte == b'\n').count() + 1, offset.min(text.len()) - start + 1)
}
