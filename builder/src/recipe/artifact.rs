//! A file that goes into the image whole: how a recipe names one, and all that a recipe names.

use std::borrow::Cow;

use firmware_checks::document::KeyPath;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::Recipe;

/// A file that goes into the image whole, from a URL or from beside the recipe.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(from = "Form", into = "Form")]
pub struct Artifact {
    /// Its URL, or its path beside the recipe.
    pub from: String,
    /// Its SHA-256, where the recipe itself says it.
    pub sha256: Option<String>,
    /// The publisher's file of checksums, in the format of sha256sum: its URL, or its path beside the recipe.
    pub checksums: Option<String>,
}

/// As a recipe writes it: short where nothing is to be said but where it comes from.
#[derive(Clone, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
enum Form {
    /// The URL, or a path beside the recipe.
    Short(String),
    Whole(Whole),
}

/// A file that goes into the image whole, and how it is known to be the right one.
#[derive(Clone, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "Artifact", inline)]
struct Whole {
    /// Its URL, or its path beside the recipe.
    from: String,
    /// Its SHA-256: 64 lower-case hexadecimal digits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sha256: Option<String>,
    /// The publisher's own file of checksums, in the format of sha256sum, against which it is checked when it is locked: a URL,
    /// or a path beside the recipe.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    checksums: Option<String>,
}

impl From<Form> for Artifact {
    fn from(form: Form) -> Self {
        match form {
            Form::Short(from) => Self { from, sha256: None, checksums: None },
            Form::Whole(Whole { from, sha256, checksums }) => Self { from, sha256, checksums },
        }
    }
}

impl From<Artifact> for Form {
    fn from(artifact: Artifact) -> Self {
        match artifact {
            Artifact { from, sha256: None, checksums: None } => Self::Short(from),
            Artifact { from, sha256, checksums } => Self::Whole(Whole { from, sha256, checksums }),
        }
    }
}

impl Artifact {
    /// The path beside the recipe of one that comes from there.
    #[must_use]
    pub fn path(&self) -> Option<&str> {
        (!is_url(&self.from)).then_some(&self.from)
    }

    /// The file's own name: the last part of its path, in a URL without its query and percent-encoding.
    #[must_use]
    pub fn file_name(&self) -> Cow<'_, str> {
        let whole = self.from.as_str();
        match self.path() {
            Some(path) => Cow::Borrowed(path.rsplit('/').next().unwrap_or(path)),
            None => {
                let path = whole.split(['?', '#']).next().unwrap_or(whole);
                decoded(path.rsplit('/').next().unwrap_or(path))
            }
        }
    }
}

/// Whether `from` says where in the network something is, rather than beside the recipe.
#[must_use]
pub fn is_url(from: &str) -> bool {
    from.contains("://")
}

/// `text` without percent-encoding (RFC 3986 §2.1); as it is where that would be no UTF-8.
fn decoded(text: &str) -> Cow<'_, str> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|two| std::str::from_utf8(two).ok());
        match digits.filter(|_| *first == b'%').and_then(|two| u8::from_str_radix(two, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &after[2..];
            }
            None => {
                bytes.push(*first);
                rest = after;
            }
        }
    }
    String::from_utf8(bytes).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// One of a recipe's artifacts.
#[derive(Clone, Debug)]
pub struct Named<'a> {
    /// What it is, for a person and in the lock; no other of the recipe has the same.
    pub name: String,
    /// Where the recipe names it.
    pub at: KeyPath,
    /// Where it comes from.
    pub artifact: &'a Artifact,
}

/// What the archive of the container image `image` is called in a lock.
#[must_use]
pub fn of_image(image: &str) -> String {
    format!("image {image}")
}

impl Recipe {
    /// Every artifact of the recipe: the archives of its container images, then the platform's, in the recipe's order.
    #[must_use]
    pub fn artifacts(&self) -> Vec<Named<'_>> {
        let images = self.images.iter().enumerate().filter_map(|(index, image)| {
            let at = KeyPath::root().key("images").item(index).key("archive");
            Some(Named { name: of_image(&image.name), at, artifact: image.archive.as_ref()? })
        });
        images.chain(self.platform.artifacts()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn artifact(text: &str) -> Artifact {
        #[derive(Deserialize)]
        struct Holder {
            a: Artifact,
        }
        toml::from_str::<Holder>(&format!("a = {text}")).unwrap().a
    }

    #[test]
    fn a_string_is_short_for_a_table() {
        assert_eq!(artifact("'x.tar'"), artifact("{ from = 'x.tar' }"));
        assert_eq!(serde_json::to_string(&artifact("{ from = 'x.tar' }")).unwrap(), "\"x.tar\"");
        let whole = artifact("{ from = 'https://a.example/x', checksums = 'sums' }");
        assert_eq!(whole.checksums.as_deref(), Some("sums"));
        assert_eq!((whole.path(), artifact("'a/x.tar'").path()), (None, Some("a/x.tar")));
    }

    #[test]
    fn a_files_name_is_told_from_its_place() {
        for (from, name) in [
            ("a/x.tar", "x.tar"),
            ("https://a.example/v1%2Bk3s1/k3s", "k3s"),
            ("https://a.example/x%2By.tgz?token=a/b#c", "x+y.tgz"),
            ("https://a.example/100%", "100%"),
            ("https://a.example/%ff", "%ff"),
        ] {
            assert_eq!(artifact(&format!("'{from}'")).file_name(), name, "{from}");
        }
    }
}
