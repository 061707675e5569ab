//! Rules about a recipe that its own text decides.

use firmware_checks::units::{Size, Unit};

use super::{LABEL, artifact, as_label, elsewhere, is_beside, is_label, packages, platform, repeated, requirements};
use crate::recipe::base::Family;
use crate::recipe::schema::{ContainerImage, Disk, Recipe};
use firmware_checks::document::KeyPath;
use firmware_checks::document::Problem;

/// The overlay that every image has.
pub const BASE_OVERLAY: &str = "base";

/// Everything wrong with `recipe` that its own text decides.
#[must_use]
pub fn problems(recipe: &Recipe) -> Vec<Problem> {
    let root = KeyPath::root();
    let mut found = identity(recipe);
    found.extend(names(&root.key("bases"), &recipe.bases, "base"));
    if recipe.bases.is_empty() {
        found
            .push(Problem::value(root.key("bases"), "no base is named").hint("name at least one, such as `debian-13`"));
    }
    // The wider family's names: which of them a base can have is judged with the base.
    found.extend(packages(&root.key("packages"), &recipe.packages, Family::Rpm));
    found.extend(overlays(recipe));
    found.extend(vars(recipe));
    found.extend(disk(&recipe.disk));
    found.extend(platform::problems(recipe));
    found.extend(images(&recipe.images));
    found.extend(artifact::problems(recipe));
    found.extend(requirements::problems(&root.key("requirements"), &recipe.requirements));
    found
}

/// Name and version: they make up the image's file name.
fn identity(recipe: &Recipe) -> Vec<Problem> {
    let mut found = Vec::new();
    if !is_label(&recipe.name) {
        let problem =
            Problem::value(KeyPath::root().key("name"), format!("`{}` can't be a recipe's name", recipe.name));
        found.push(problem.label(LABEL).perhaps(as_label(&recipe.name)));
    }
    let within = |c: char| c.is_ascii_alphanumeric() || ".+~_-".contains(c);
    if recipe.version.is_empty()
        || !recipe.version.chars().all(within)
        || !recipe.version.starts_with(char::is_alphanumeric)
    {
        let what = format!("`{}` can't be a version", recipe.version);
        let label = "expected letters, digits, `.`, `+`, `~`, `_` and `-`, a letter or digit first";
        found.push(Problem::value(KeyPath::root().key("version"), what).label(label));
    }
    found
}

/// Names that stand for a file or folder each: none leads elsewhere, none stands there twice.
pub(super) fn names(at: &KeyPath, names: &[String], kind: &str) -> Vec<Problem> {
    let plain = |name: &str| !name.is_empty() && !name.starts_with('.') && !name.contains('/');
    let wrong = names.iter().enumerate().filter(|(_, name)| !plain(name)).map(|(index, name)| {
        Problem::value(at.item(index), format!("`{name}` can't be the name of {} {kind}", article(kind)))
            .label("expected a name without `/`")
    });
    let twice = repeated(names).into_iter().map(|(index, first)| {
        Problem::value(at.item(index), format!("{kind} `{}` is listed twice", names[index]))
            .label(format!("the same as number {} of the list", first + 1))
    });
    wrong.chain(twice).collect()
}

fn article(noun: &str) -> &'static str {
    if noun.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

fn overlays(recipe: &Recipe) -> Vec<Problem> {
    let at = KeyPath::root().key("overlays");
    let implied = [BASE_OVERLAY, recipe.platform.kind()];
    let own = recipe.overlays.iter().enumerate().filter(|(_, name)| implied.contains(&name.as_str()));
    let own = own.map(|(index, name)| {
        Problem::value(at.item(index), format!("overlay `{name}` is laid by itself"))
            .label("remove it: it comes before those of the recipe")
    });
    own.chain(names(&at, &recipe.overlays, "overlay")).collect()
}

/// Templates name a variable `{{vars.NAME}}`, so it must be a word of their language.
fn vars(recipe: &Recipe) -> Vec<Problem> {
    let word = |name: &str| {
        name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
            && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
    };
    let wrong = recipe.vars.keys().filter(|name| !word(name));
    let at = KeyPath::root().key("vars");
    wrong
        .map(|name| {
            Problem::key(at.key(name), format!("templates can't name the variable `{name}`"))
                .label("expected letters, digits and `_`, no digit first")
        })
        .collect()
}

/// The least size of each partition, in MiB, that can hold what every image has in it.
const LEAST: [(&str, u64); 4] = [("root", 512), ("esp", 34), ("site", 8), ("data", 64)];

fn disk(disk: &Disk) -> Vec<Problem> {
    let at = KeyPath::root().key("disk");
    let sizes = [disk.root, disk.esp, disk.site, disk.data];
    let mut found = Vec::new();
    for ((name, least), size) in LEAST.into_iter().zip(sizes) {
        let least = Size::new(least, Unit::MiB);
        if let Some(size) = size.filter(|size| *size < least) {
            let problem = Problem::value(at.key(name), format!("the {name} partition can't be as small as {size}"));
            found.push(problem.label(format!("expected at least {least}")));
        }
    }
    found
}

fn images(images: &[ContainerImage]) -> Vec<Problem> {
    let at = KeyPath::root().key("images");
    let mut found: Vec<Problem> =
        images.iter().enumerate().flat_map(|(index, image)| one_image(&at.item(index), image)).collect();
    for (index, _) in repeated(images.iter().map(|image| &image.name)) {
        let name = &images[index].name;
        found.push(Problem::value(at.item(index).key("name"), format!("image `{name}` is there twice")));
    }
    found
}

fn one_image(at: &KeyPath, image: &ContainerImage) -> Vec<Problem> {
    let mut found = Vec::new();
    let name = &image.name;
    if !is_reference(name) {
        let problem = Problem::value(at.key("name"), format!("`{name}` is not the name and tag of a container image"));
        found.push(problem.label("expected such as `firstlight/hello:1`, in lower case, with a tag"));
    }
    let packaged = !image.packages.is_empty();
    match (&image.archive, packaged) {
        (Some(_), true) => {
            let what = format!("image `{name}` has both an archive and packages");
            found.push(Problem::key(at.key("packages"), what).label("one of the two says where it comes from"));
        }
        (None, false) => {
            let problem = Problem::value(at.clone(), format!("image `{name}` has neither an archive nor packages"));
            found.push(problem.hint("say where it comes from: `archive = \"FILE\"` or `packages = […]`"));
        }
        _ => {}
    }
    if packaged && image.archive.is_none() && image.entrypoint.is_empty() {
        let problem = Problem::value(at.key("entrypoint"), format!("image `{name}` does not say what runs in it"));
        found.push(problem.hint("add `entrypoint = [\"/usr/sbin/…\"]`"));
    }
    let idle = [("files", image.files.is_some()), ("entrypoint", !image.entrypoint.is_empty())];
    for (key, _) in idle.into_iter().filter(|(_, set)| *set && image.archive.is_some() && !packaged) {
        let what = format!("image `{name}`: `{key}` does nothing beside `archive`");
        found.push(Problem::key(at.key(key), what).label("it belongs to an image made of packages"));
    }
    found.extend(image.files.iter().filter(|path| !is_beside(path)).map(|path| elsewhere(at.key("files"), path)));
    found.extend(packages(&at.key("packages"), &image.packages, Family::Rpm));
    found
}

/// Whether `text` is a repository in lower case and a tag (OCI Distribution Specification 1.1, "Pulling manifests").
fn is_reference(text: &str) -> bool {
    let Some((repository, tag)) = text.rsplit_once(':') else { return false };
    let (host, rest) = match repository.split_once('/') {
        Some((host, rest)) if host.contains(['.', ':']) || host == "localhost" => (host, rest),
        _ => ("", repository),
    };
    let part = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_alphanumeric())
            && part.ends_with(|c: char| c.is_ascii_alphanumeric())
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "._-".contains(c))
    };
    let tag_fits = (1..=128).contains(&tag.len())
        && tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c))
        && !tag.starts_with(['.', '-']);
    tag_fits && rest.split('/').all(part) && host.chars().all(|c| c.is_ascii_alphanumeric() || ".:-".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::layout::{Content, Layout};

    /// Two places that know it, the one with the line, the other with the file system, agree.
    #[test]
    fn the_least_sizes_are_those_that_the_layout_takes() {
        for (index, (name, least)) in LEAST.into_iter().enumerate() {
            let asked = |mib: u64| {
                let mut sizes = [None; 4];
                sizes[index] = Some(Size::new(mib, Unit::MiB));
                let [root, esp, site, data] = sizes;
                Disk { root, esp, site, data }
            };
            assert_eq!(disk(&asked(least)), [], "{name}");
            assert_eq!(disk(&asked(least - 1)).len(), 1, "{name}");
            Layout::new(&asked(least), Content::default(), true).unwrap();
            assert!(name == "root" || Layout::new(&asked(least - 1), Content::default(), true).is_err(), "{name}");
        }
    }

    #[test]
    fn references_need_a_tag_and_lower_case() {
        for good in ["a:1", "firstlight/hello:1", "localhost:5000/a/b_c.d:v1.2-x", "registry.example/a:latest"] {
            assert!(is_reference(good), "{good}");
        }
        for bad in ["a", "a:", "A:1", "a//b:1", "a/:1", "a:1/b", "a:-1", "_a:1"] {
            assert!(!is_reference(bad), "{bad}");
        }
    }
}
