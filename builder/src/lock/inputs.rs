//! What of a recipe and its base decides what is locked: a digest for each part, so that a lock that no longer fits can say
//! which part changed.
//!
//! Overlays, requirements, sizes and titles decide the image too, but nothing that is downloaded; a lock stays good when they
//! change. So it does when a base names other mirrors: the bytes are the same.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::error::Result;
use crate::recipe::keyring::Keyring;
use crate::recipe::platform::Platform;
use crate::recipe::{Fingerprint, Loaded};

/// `recipe.KEY` or `base.KEY`, and the SHA-256 of its value.
pub type Inputs = BTreeMap<String, String>;

/// The parts of `recipe` and its base that decide what is locked.
///
/// # Errors
/// The base's keyring can't be read.
pub fn of(recipe: &Loaded) -> Result<Inputs> {
    let (own, base) = (&recipe.recipe, &recipe.base);
    let variant = own.platform.variant();
    let sources: Vec<_> = base.sources.iter().map(|one| (&one.archive, &one.suites, &one.components)).collect();
    let mut values = vec![
        ("recipe.packages".to_owned(), json!(own.packages)),
        ("recipe.target".to_owned(), json!(own.target)),
        ("recipe.platform.kind".to_owned(), json!(variant)),
        ("base.architecture".to_owned(), json!(base.architecture)),
        ("base.packages".to_owned(), json!(base.packages)),
        ("base.kernel".to_owned(), json!(recipe.kernel())),
        (format!("base.platforms.{variant}"), json!(base.platforms.get(variant))),
        ("base.tools".to_owned(), json!(base.tools)),
        ("base.sources".to_owned(), json!(sources)),
    ];
    let made = own.images.iter().filter(|image| !image.packages.is_empty());
    values.extend(made.map(|image| (format!("recipe.images.{}.packages", image.name), json!(image.packages))));
    let artifacts = own.artifacts();
    values.extend(artifacts.iter().map(|one| (format!("recipe.{}", one.at), json!((&one.name, one.artifact)))));
    if let Platform::Microk8s(microk8s) = &own.platform {
        values.push(("recipe.platform.snaps".to_owned(), json!(microk8s.snaps)));
        values.push(("recipe.platform.store".to_owned(), json!(microk8s.store)));
    }
    let new = || Fingerprint::new("firstlight lock 1");
    let mut inputs: Inputs =
        values.into_iter().map(|(name, value)| (name, new().json("value", &value).finish())).collect();
    inputs.insert("base.keyring".to_owned(), new().file("keyring", &recipe.keyring())?.finish());
    for source in &base.sources {
        let digest = match &source.keyring {
            None => continue,
            Some(Keyring::Beside(name)) => new().file("keyring", &recipe.beside_base(name))?,
            Some(Keyring::Published(published)) => new().json("published", published),
        };
        inputs.insert(format!("base.sources.{}.keyring", source.archive), digest.finish());
    }
    if let Platform::Microk8s(microk8s) = &own.platform {
        for (at, path) in microk8s.files() {
            inputs.insert(format!("recipe.{at}"), new().file("file", &recipe.folder.join(path))?.finish());
        }
    }
    for source in base.sources.iter().filter(|source| source.signed) {
        inputs.insert(format!("base.sources.{}.signed", source.archive), new().json("signed", &true).finish());
    }
    Ok(inputs)
}

/// The parts that differ, each told by its file and key.
#[must_use]
pub fn changed(recipe: &Loaded, locked: &Inputs, now: &Inputs) -> Vec<String> {
    let names: BTreeSet<&String> = locked.keys().chain(now.keys()).collect();
    let differ = names.into_iter().filter(|name| locked.get(*name) != now.get(*name));
    let told = differ.map(|name| match name.split_once('.') {
        Some(("base", key)) => format!("{}: `{key}`", recipe.base_path.display()),
        Some((_, key)) => format!("{}: `{key}`", recipe.path.display()),
        None => name.clone(),
    });
    told.collect()
}
