//! The overlays of a recipe, filled in; what is wrong with one is told at its place in the template, or in the recipe.

use std::fs;
use std::path::PathBuf;

use firmware_checks::document::{Diagnostic, Diagnostics, KeyPath, Problem};

use crate::recipe::{self, Loaded};
use crate::rootfs::overlay::{self, Overlay};

/// The overlays of `recipe` in the order in which they are laid, with their templates filled in.
///
/// # Errors
/// [`recipe::Error`], with the place in the template or declaration that is wrong, or in the recipe that names the overlay.
pub fn load(recipe: &Loaded) -> Result<Vec<Overlay>, recipe::Error> {
    let load = |(name, folder): (String, PathBuf)| {
        Overlay::load(&folder, &recipe.values()).map_err(|error| wrong(recipe, &name, error))
    };
    recipe.overlays().into_iter().map(load).collect()
}

fn wrong(recipe: &Loaded, name: &str, error: overlay::Error) -> recipe::Error {
    match error {
        overlay::Error::Invalid { path, line, column, reason } => {
            let text = fs::read_to_string(&path).unwrap_or_default();
            let at = offset(&text, line, column);
            recipe::Error::Invalid(Diagnostics(vec![Diagnostic::new(&path, &text, at..at + 1, reason)]))
        }
        other => {
            let index = recipe.recipe.overlays.iter().position(|one| one == name);
            let at = KeyPath::root().key("overlays");
            recipe.refuse(Problem::value(
                index.map_or(at.clone(), |index| at.item(index)),
                format!("overlay `{name}`: {other}"),
            ))
        }
    }
}

/// The byte at which the character `column` of `line` begins, both counted from 1.
fn offset(text: &str, line: usize, column: usize) -> usize {
    let before: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let within = text[before..].char_indices().nth(column.saturating_sub(1)).map_or(0, |(at, _)| at);
    before + within
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_by_line_and_column_is_a_byte() {
        let text = "ä\nbü c\n";
        assert_eq!([offset(text, 1, 1), offset(text, 2, 1), offset(text, 2, 4)], [0, 3, 7]);
        assert_eq!(offset(text, 9, 9), text.len(), "beyond the text is its end");
    }
}
