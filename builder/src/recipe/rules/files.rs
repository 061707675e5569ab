//! Rules about the files that a recipe names: they are there and are what they are taken for.

use std::path::{Path, PathBuf};

use super::misnamed;
use super::recipe::BASE_OVERLAY;
use crate::recipe::artifact::{Named, is_url};
use crate::recipe::base::Base;
use crate::recipe::platform::Platform;
use crate::recipe::schema::{Recipe, Target};
use crate::recipe::share::Share;
use firmware_checks::document::KeyPath;
use firmware_checks::document::Problem;
use firmware_checks::document::{listed, nearest};

/// The file that makes a folder a compose project.
pub const COMPOSE: &str = "compose.yaml";

/// Everything that `recipe`, which lies in `folder`, names and that is not there.
#[must_use]
pub fn problems(recipe: &Recipe, folder: &Path, share: &Share) -> Vec<Problem> {
    let mut found = overlays(recipe, share);
    found.extend(bases(recipe, share));
    let at = KeyPath::root().key("platform").key("compose");
    for (index, (_, name)) in recipe.projects().iter().enumerate() {
        let at = at.item(index);
        if let Some(missing) = missing(&at, folder, name, true, "compose folder") {
            found.push(missing);
        } else if !folder.join(name).join(COMPOSE).is_file() {
            let problem = Problem::value(at, format!("compose folder `{name}` has no `{COMPOSE}`"));
            found.push(problem.label(format!("expected {}", folder.join(name).join(COMPOSE).display())));
        }
    }
    for (index, image) in recipe.images.iter().enumerate() {
        let at = KeyPath::root().key("images").item(index);
        found.extend(image.files.iter().filter_map(|path| missing(&at.key("files"), folder, path, true, "folder")));
    }
    if let Platform::K3s(k3s) = &recipe.platform {
        let at = KeyPath::root().key("platform");
        let manifests = k3s.manifests.iter().enumerate();
        let file = |at: KeyPath, path: &String, kind| missing(&at, folder, path, false, kind);
        found.extend(manifests.filter_map(|(index, path)| file(at.key("manifests").item(index), path, "manifest")));
        let values = k3s.charts.iter().enumerate().filter_map(|(index, chart)| Some((index, chart.values.as_ref()?)));
        let at = at.key("charts");
        found.extend(values.filter_map(|(index, path)| file(at.item(index).key("values"), path, "file of values")));
    }
    if let Platform::Microk8s(microk8s) = &recipe.platform {
        found.extend(microk8s.files().filter_map(|(at, path)| missing(&at, folder, path, false, "file")));
    }
    for Named { at, artifact, .. } in recipe.artifacts() {
        let kind = if at.last_key() == "archive" { "archive" } else { "file" };
        found.extend(artifact.path().and_then(|path| missing(&at.key("from"), folder, path, false, kind)));
        let checksums = artifact.checksums.as_deref().filter(|from| !is_url(from));
        let missing = |path| missing(&at.key("checksums"), folder, path, false, "file of checksums");
        found.extend(checksums.and_then(missing));
    }
    found
}

fn overlays(recipe: &Recipe, share: &Share) -> Vec<Problem> {
    let at = KeyPath::root().key("overlays");
    let names = share.overlay_names();
    let absent = recipe.overlays.iter().enumerate().filter(|(_, name)| share.overlay(name).is_none());
    let mut found: Vec<Problem> = absent
        .map(|(index, name)| {
            let near = nearest(name, names.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
            Problem::value(at.item(index), format!("there is no overlay `{name}`"))
                .label(format!("expected a folder `overlays/{name}`"))
                .perhaps(Some(format!("looked in {}", share.places())))
                .perhaps(near)
        })
        .collect();
    let implied = [BASE_OVERLAY, recipe.platform.kind()];
    for name in implied.into_iter().filter(|name| share.shipped_overlay(name).is_none()) {
        let problem =
            Problem::value(KeyPath::root().key("platform"), format!("Firstlight's own overlay `{name}` is not found"));
        found.push(problem.hint(format!(
            "let FIRSTLIGHT_SHARE name the folder with Firstlight's `overlays/` and `recipes/`; looked in {}",
            share.places()
        )));
    }
    found
}

fn bases(recipe: &Recipe, share: &Share) -> Vec<Problem> {
    let names = share.base_names();
    let absent = recipe.bases.iter().enumerate().filter(|(_, name)| share.base(name).is_none());
    absent
        .map(|(index, name)| {
            let near = nearest(name, names.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
            let known = match names.as_slice() {
                [] => format!("no `bases/` in {}", share.places()),
                names => format!("expected {}", listed(names.iter().map(String::as_str), "or")),
            };
            let at = KeyPath::root().key("bases").item(index);
            Problem::value(at, format!("there is no base `{name}`")).label(known).perhaps(near)
        })
        .collect()
}

/// A problem for each overlay that `base` adds and that is not there.
#[must_use]
pub fn base_overlays(base: &Base, share: &Share) -> Vec<Problem> {
    let names = share.overlay_names();
    let at = KeyPath::root().key("overlays");
    let family = base.family.overlay();
    let family = share.shipped_overlay(family).is_none().then(|| {
        Problem::value(KeyPath::root().key("family"), format!("Firstlight's own overlay `{family}` is not found")).hint(
            format!("let FIRSTLIGHT_SHARE name the folder with Firstlight's `overlays/`; looked in {}", share.places()),
        )
    });
    let all = base.overlays.iter().flat_map(|(after, list)| list.iter().enumerate().map(move |one| (after, one)));
    let absent = all.filter(|(_, (_, name))| share.shipped_overlay(name).is_none());
    let absent = absent.map(|(after, (index, name))| {
        let near = nearest(name, names.iter().map(String::as_str)).map(|near| format!("did you mean `{near}`?"));
        Problem::value(at.key(after).item(index), format!("there is no overlay `{name}`"))
            .label(format!("expected a folder `overlays/{name}`"))
            .perhaps(near)
    });
    family.into_iter().chain(absent).collect()
}

/// Everything that `base` lacks for `recipe`; the problems stand in the recipe.
#[must_use]
pub fn fit(recipe: &Recipe, base: &Base) -> Vec<Problem> {
    let platform = recipe.platform.variant();
    let known = base.platforms.keys().map(String::as_str);
    let mut found = Vec::new();
    if !base.platforms.contains_key(platform) {
        let what = format!("base `{}` has no packages for the platform `{platform}`", base.name);
        let label = match base.platforms.len() {
            0 => "it has none for any".to_owned(),
            _ => format!("it has them for {}", listed(known, "and")),
        };
        found.push(Problem::value(KeyPath::root().key("platform").key("kind"), what).label(label));
    }
    if recipe.target == Target::Cloud && !base.kernel.contains_key(&Target::Cloud) {
        let what = format!("base `{}` has no kernel for the target `cloud`", base.name);
        found.push(Problem::value(KeyPath::root().key("target"), what).label("expected `metal` or `both`"));
    }
    found.extend(misnamed(&KeyPath::root().key("packages"), &recipe.packages, base.family));
    for (index, image) in recipe.images.iter().enumerate() {
        let at = KeyPath::root().key("images").item(index).key("packages");
        found.extend(misnamed(&at, &image.packages, base.family));
    }
    found
}

/// A problem where `path` is not in `folder`, or is there as something else.
fn missing(at: &KeyPath, folder: &Path, path: &str, is_folder: bool, kind: &str) -> Option<Problem> {
    let place = folder.join(path);
    match place.metadata() {
        Ok(found) if found.is_dir() == is_folder => None,
        Ok(_) => {
            let (wanted, is) = if is_folder { ("a folder", "a file") } else { ("a file", "a folder") };
            let problem = Problem::value(at.clone(), format!("{kind} `{path}` is {is}"));
            Some(problem.label(format!("expected {wanted} at {}", place.display())))
        }
        Err(error) => {
            let why = match error.kind() {
                std::io::ErrorKind::NotFound => "is not there".to_owned(),
                _ => format!("can't be used: {error}"),
            };
            let problem = Problem::value(at.clone(), format!("{kind} `{path}` {why}"));
            let near = neighbour(&place).map(|near| Path::new(path).with_file_name(near));
            let near = near.map(|near| format!("did you mean `{}`?", near.display()));
            Some(problem.label(format!("expected {}", place.display())).perhaps(near))
        }
    }
}

/// The name in the folder of `place` that is nearest to its own.
fn neighbour(place: &Path) -> Option<String> {
    let entries: Vec<PathBuf> =
        std::fs::read_dir(place.parent()?).ok()?.filter_map(|entry| Some(entry.ok()?.path())).collect();
    let names: Vec<&str> = entries.iter().filter_map(|entry| entry.file_name()?.to_str()).collect();
    nearest(place.file_name()?.to_str()?, names).map(str::to_owned)
}
