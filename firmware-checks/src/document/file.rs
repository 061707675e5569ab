//! A TOML file that a person wrote: read, judged whole, and only then turned into its type.

use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::DeTable;

use super::Error;
use super::diagnostic::{Diagnostic, Diagnostics};
use super::problem::Problem;
use super::shape;

/// A TOML file with its text, by which anything in it can be pointed at.
#[derive(Clone, Debug)]
pub struct Document {
    path: PathBuf,
    text: String,
}

impl Document {
    /// Reads the file `path`.
    ///
    /// # Errors
    /// [`Error::Read`] where it can't be read; [`Error::Invalid`] where it is not TOML 1.1, with every place where it is not.
    pub fn read(path: &Path) -> Result<Self, Error> {
        let bytes = std::fs::read(path).map_err(|source| Error::Read { path: path.to_path_buf(), source })?;
        Self::from_bytes(path, &bytes)
    }

    /// Takes `bytes` for the content of `path`.
    ///
    /// # Errors
    /// [`Error::Invalid`] as for [`Self::read`].
    pub fn from_bytes(path: &Path, bytes: &[u8]) -> Result<Self, Error> {
        match std::str::from_utf8(bytes) {
            Ok(text) => Self::parse(path, text.to_owned()),
            Err(error) => {
                let valid = error.valid_up_to();
                let text = String::from_utf8_lossy(bytes);
                let mut wrong = Diagnostic::new(path, &text, valid..valid + 1, "this is not UTF-8");
                wrong.hint = Some("save the file as UTF-8".into());
                Err(Error::Invalid(Diagnostics(vec![wrong])))
            }
        }
    }

    /// Takes `text` for the content of `path`.
    ///
    /// # Errors
    /// [`Error::Invalid`] as for [`Self::read`].
    pub fn parse(path: &Path, text: String) -> Result<Self, Error> {
        let (_, errors) = DeTable::parse_recoverable(&text);
        // What follows from a broken line is noise: of each line, the first error is told.
        let mut told: Vec<Diagnostic> = Vec::new();
        for error in &errors {
            let next = syntax(path, &text, error);
            if told.iter().all(|earlier| earlier.line != next.line) {
                told.push(next);
            }
        }
        if !told.is_empty() {
            told.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
            return Err(Error::Invalid(Diagnostics(told)));
        }
        Ok(Self { path: path.to_path_buf(), text })
    }

    /// The file, as the user named it.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The document as the type `T`, and what `rules` find wrong with it.
    ///
    /// # Errors
    /// [`Error::Invalid`] with everything that does not fit the type; where all fits, with everything that `rules` find.
    pub fn judge<T>(&self, rules: impl FnOnce(&T) -> Vec<Problem>) -> Result<T, Error>
    where
        T: DeserializeOwned + JsonSchema,
    {
        let schema = schemars::schema_for!(T).to_value();
        self.refuse(shape::problems(&schema, self.table().get_ref()))?;
        let value: T = toml::from_str(&self.text).map_err(|error| {
            let found = syntax(&self.path, &self.text, &error);
            Error::Invalid(Diagnostics(vec![found]))
        })?;
        self.refuse(rules(&value))?;
        Ok(value)
    }

    /// Nothing, where there are no `problems`.
    ///
    /// # Errors
    /// [`Error::Invalid`] with each problem at its place, in the file's order.
    pub fn refuse(&self, problems: Vec<Problem>) -> Result<(), Error> {
        if problems.is_empty() { Ok(()) } else { Err(Error::Invalid(self.locate(problems))) }
    }

    /// Each problem at its place, in the file's order.
    #[must_use]
    pub fn locate(&self, problems: Vec<Problem>) -> Diagnostics {
        let table = self.table();
        let mut located: Vec<Diagnostic> = problems.into_iter().map(|problem| self.place(problem, &table)).collect();
        located.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
        Diagnostics(located)
    }

    /// The document with the bytes of everything in it; it was found to have no errors when it was read.
    fn table(&self) -> Spanned<DeTable<'_>> {
        DeTable::parse_recoverable(&self.text).0
    }

    fn place(&self, problem: Problem, table: &Spanned<DeTable<'_>>) -> Diagnostic {
        let span = problem.at.span(problem.part, table);
        let diagnostic = Diagnostic::new(&self.path, &self.text, span, problem.message);
        Diagnostic { label: problem.label, hint: problem.hint, ..diagnostic }
    }
}

/// An error of the TOML parser, whose message may run over several lines: the first is the message, the rest the label.
fn syntax(path: &Path, text: &str, error: &toml::de::Error) -> Diagnostic {
    let mut lines = error.message().lines();
    let mut found = Diagnostic::new(path, text, error.span().unwrap_or(0..0), lines.next().unwrap_or_default());
    if let (Some(key), "duplicate key") = (error.span().and_then(|span| text.get(span)), error.message()) {
        found.message = format!("the key `{key}` is there twice");
    }
    found.label = lines.collect::<Vec<_>>().join(", ");
    found
}
