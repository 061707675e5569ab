//! Rules about `[platform]` with `kind = "docker"`.

use std::collections::BTreeMap;

use firmware_checks::document::{KeyPath, Problem, listed, nearest};
use firmware_checks::site::field::{FIELDS, VALUES};

use crate::recipe::platform::Docker;
use crate::recipe::rules::{LABEL, elsewhere, is_beside, is_label, repeated};
use crate::recipe::schema::Recipe;

/// Everything wrong with `docker`, which stands at `at`.
pub(super) fn problems(at: &KeyPath, recipe: &Recipe, docker: &Docker) -> Vec<Problem> {
    let Docker { compose, environment, secrets, .. } = docker;
    let mut found = projects(&at.key("compose"), recipe, compose);
    let variable = |name: &str| {
        let within = |c: char| c.is_ascii_alphanumeric() || c == '_';
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_') && name.chars().all(within)
    };
    let file =
        |name: &str| !name.starts_with('.') && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    let expected = "expected letters, digits and `_`, no digit first";
    found.extend(given(&at.key("environment"), recipe, environment, variable, expected));
    found.extend(given(
        &at.key("secrets"),
        recipe,
        secrets,
        file,
        "expected letters, digits, `.`, `_` and `-`, no `.` first",
    ));
    if compose.is_empty() && !(environment.is_empty() && secrets.is_empty()) {
        let problem = Problem::key(at.key("environment"), "something is given to compose projects, and there is none");
        found.push(problem.hint("name their folders in platform.compose"));
    }
    found
}

/// What is taken from the site configuration: each name fit for its kind, each field one that there is.
pub(super) fn given(
    at: &KeyPath,
    recipe: &Recipe,
    fields: &BTreeMap<String, String>,
    fits: impl Fn(&str) -> bool,
    expected: &str,
) -> Vec<Problem> {
    let own: Vec<String> =
        recipe.requirements.site.values.iter().map(|value| format!("{VALUES}{}", value.name)).collect();
    let known: Vec<&str> = FIELDS.into_iter().chain(own.iter().map(String::as_str)).collect();
    let mut found = Vec::new();
    for (name, field) in fields {
        let at = at.key(name);
        if name.is_empty() || !fits(name) {
            found.push(Problem::key(at.clone(), format!("nothing can be named `{name}` here")).label(expected));
        }
        if !known.contains(&field.as_str()) {
            let undeclared = field.starts_with(VALUES).then(|| "declare it in requirements.site.values".to_owned());
            let near = nearest(field, known.iter().copied()).map(|near| format!("did you mean `{near}`?"));
            let problem = Problem::value(at, format!("`{field}` is no field of the site configuration"));
            let problem = problem.label(format!("expected {}", listed(known.iter().copied(), "or")));
            found.push(problem.perhaps(undeclared).perhaps(near));
        }
    }
    found
}

/// Compose folders lie beside the recipe, and each makes a project with a name of its own.
fn projects(at: &KeyPath, recipe: &Recipe, compose: &[String]) -> Vec<Problem> {
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

#[cfg(test)]
mod tests {
    use super::super::problems;
    use crate::recipe::schema::Recipe;

    fn told(platform: &str) -> Vec<String> {
        let values = "requirements.site.values = [{ name = 'pw', title = 'A password' }]";
        let head = "name = 'x'\nversion = '1'\nbases = ['b']";
        let text = format!("{head}\nplatform = {{ kind = 'docker', {platform} }}\n{values}\n");
        let recipe: Recipe = toml::from_str(&text).unwrap();
        problems(&recipe)
            .into_iter()
            .map(|problem| format!("{}: {} {}", problem.at, problem.message, problem.hint.unwrap_or_default()))
            .collect()
    }

    #[test]
    fn containers_are_given_what_there_is_under_names_that_can_be() {
        let good = "compose = ['a'], environment = { PW = 'values.pw', URI = 'database.uri' }, secrets = { 'db.pw' = 'values.pw' }";
        assert_eq!(told(good), Vec::<String>::new());
        let field = told("compose = ['a'], environment = { PW = 'databse.uri' }");
        assert!(field[0].starts_with("platform.environment.PW: `databse.uri` is no field"), "{field:?}");
        assert!(field[0].contains("did you mean `database.uri`?"), "{field:?}");
        assert!(told("compose = ['a'], secrets = { pw = 'values.cookie' }")[0].contains("requirements.site.values"));
        assert!(
            told("compose = ['a'], environment = { 'A-B' = 'hostname' }")[0].contains("nothing can be named `A-B`")
        );
        assert!(told("compose = ['a'], secrets = { '../x' = 'hostname' }")[0].contains("nothing can be named `../x`"));
        assert!(told("environment = { A = 'hostname' }")[0].contains("there is none"));
    }
}
