//! Rules about a recipe's `[platform]`: a file for each platform.

mod docker;
mod k3s;
mod microk8s;

use firmware_checks::document::{KeyPath, Problem};

use crate::recipe::platform::Platform;
use crate::recipe::schema::Recipe;

/// Everything wrong with the platform of `recipe` that its own text decides.
#[must_use]
pub fn problems(recipe: &Recipe) -> Vec<Problem> {
    let at = KeyPath::root().key("platform");
    match &recipe.platform {
        Platform::Docker(docker) => docker::problems(&at, recipe, docker),
        Platform::K3s(k3s) => k3s::problems(&at, recipe, k3s),
        Platform::Microk8s(microk8s) => microk8s::problems(&at, microk8s),
    }
}
