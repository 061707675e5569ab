//! Rules about `[platform]` with `kind = "docker"`.

use firmware_checks::document::{KeyPath, Problem};

use crate::recipe::platform::Docker;
use crate::recipe::rules::{LABEL, elsewhere, is_beside, is_label, repeated};
use crate::recipe::schema::Recipe;

/// Compose folders lie beside the recipe, and each makes a project with a name of its own.
pub(super) fn problems(at: &KeyPath, recipe: &Recipe, Docker { compose }: &Docker) -> Vec<Problem> {
    let at = at.key("compose");
    let outside = compose.iter().enumerate().filter(|(_, folder)| !is_beside(folder));
    let mut found: Vec<Problem> = outside.map(|(index, folder)| elsewhere(at.item(index), folder)).collect();
    let projects = recipe.projects();
    // A single project has the recipe's name, which has its own rule.
    let named = projects.iter().enumerate().filter(|_| projects.len() > 1);
    for (index, (name, folder)) in named.filter(|(_, (name, _))| !is_label(name)) {
        let what = format!("compose folder `{folder}` would make a project named `{name}`");
        found.push(Problem::value(at.item(index), what).label(LABEL));
    }
    for (index, first) in repeated(projects.iter().map(|(name, _)| name)) {
        let what = format!("two compose projects would be named `{}`", projects[index].0);
        found.push(Problem::value(at.item(index), what).label(format!("`{}` is the other", projects[first].1)));
    }
    found
}
