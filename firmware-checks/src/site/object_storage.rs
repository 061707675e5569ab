//! Where the appliance keeps its files: a folder of its own, or a bucket.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::secret::Secret;
use crate::document::{KeyPath, Problem};

/// Where the appliance keeps its files: exactly one of both.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ObjectStorage {
    /// A folder on the machine's data partition, such as `/srv/objects`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub folder: Option<String>,
    /// A bucket on a server that speaks S3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
}

/// A bucket on a server that speaks S3.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct S3 {
    /// The server, such as `https://s3.clinic.example:9000`.
    pub endpoint: String,
    /// The bucket's name.
    pub bucket: String,
    /// The region that requests are signed for; servers other than Amazon's mostly take any.
    #[serde(default = "region")]
    pub region: String,
    /// The access key's identifier.
    pub access_key: Secret,
    /// The secret access key.
    pub secret_key: Secret,
}

fn region() -> String {
    "us-east-1".to_owned()
}

impl ObjectStorage {
    pub(super) fn problems(&self, at: &KeyPath) -> Vec<Problem> {
        let (folder, s3) = (self.folder.as_deref(), self.s3.as_ref());
        match (folder, s3) {
            (Some(_), Some(_)) => {
                let problem = Problem::key(at.key("s3"), "a bucket beside a folder");
                vec![problem.label("one of the two is where the files are kept")]
            }
            (None, None) => {
                let problem = Problem::key(at.clone(), "neither a folder nor a bucket is named");
                vec![problem.hint("add `folder = \"/srv/…\"`, or the table `object_storage.s3`")]
            }
            (Some(folder), None) => data_folder(folder, at.key("folder")).into_iter().collect(),
            (None, Some(s3)) => s3.problems(&at.key("s3")),
        }
    }
}

/// What is wrong with `path` as a folder on the data partition.
pub(super) fn data_folder(path: &str, at: KeyPath) -> Option<Problem> {
    use std::path::Component;
    let plain = |part: Component<'_>| matches!(part, Component::RootDir | Component::Normal(_));
    let inside = path.starts_with("/srv/") && std::path::Path::new(path).components().all(plain);
    (!inside).then(|| {
        Problem::value(at, format!("`{path}` is no folder on the data partition"))
            .label("expected such as `/srv/NAME`")
            .hint(
                "only the data partition grows to fill the machine's disk, and an upgrade of the image leaves it alone",
            )
    })
}

impl S3 {
    pub(super) fn problems(&self, at: &KeyPath) -> Vec<Problem> {
        let mut found: Vec<Problem> = server(&self.endpoint, &at.key("endpoint")).into_iter().collect();
        if !is_bucket(&self.bucket) {
            let problem = Problem::value(at.key("bucket"), format!("`{}` can't be the name of a bucket", self.bucket));
            found.push(
                problem
                    .label("expected 3 to 63 lower-case letters, digits, `-` and `.`, a letter or digit at both ends"),
            );
        }
        let word = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        if self.region.is_empty() || !self.region.chars().all(word) {
            let problem = Problem::value(at.key("region"), format!("`{}` is not the name of a region", self.region));
            found.push(problem.label("expected such as `eu-central-1`"));
        }
        for (key, secret) in [("access_key", &self.access_key), ("secret_key", &self.secret_key)] {
            if secret.expose().is_empty() || secret.expose().chars().any(|c| c.is_whitespace() || c.is_control()) {
                let problem = Problem::value(at.key(key), format!("`{key}` is empty, or has white space in it"));
                found.push(problem.label("expected the key as the server gave it"));
            }
        }
        found
    }
}

/// Amazon's rules for the names of buckets, which other servers share.
fn is_bucket(name: &str) -> bool {
    let within = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    let end = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    (3..=63).contains(&name.len())
        && name.chars().all(within)
        && end(name.chars().next())
        && end(name.chars().next_back())
        && !name.contains("..")
        && name.parse::<std::net::Ipv4Addr>().is_err()
}

/// What is wrong with `text` as the address of an HTTP server without a path; nothing of a password in it is told.
fn server(text: &str, at: &KeyPath) -> Option<Problem> {
    let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let told =
        |what: &str| Some(Problem::value(at.clone(), what).label("expected such as `https://s3.clinic.example`"));
    let Some(url) = url else { return told("this is no address of an HTTP server") };
    if !url.username().is_empty() || url.password().is_some() {
        return told("the address of a server holds a login")
            .map(|problem| problem.hint("the keys have fields of their own"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return told("the address of a server has a path")
            .map(|problem| problem.hint("the bucket has a field of its own"));
    }
    None
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::site::parse;

    fn told(text: &str) -> String {
        parse(Path::new("s"), text.as_bytes()).map_or_else(|error| error.to_string(), |_| "fine".into())
    }

    fn s3(endpoint: &str, bucket: &str, rest: &str) -> String {
        told(&format!("[object_storage.s3]\nendpoint = \"{endpoint}\"\nbucket = \"{bucket}\"\n{rest}"))
    }

    const KEYS: &str = "access_key = \"a\"\nsecret_key = \"s\"\n";

    #[test]
    fn a_folder_or_a_bucket() {
        assert_eq!(told("[object_storage]\nfolder = \"/srv/objects\"\n"), "fine");
        assert_eq!(s3("https://s3.example:9000", "scot.4", KEYS), "fine");
        assert_eq!(s3("http://[2001:db8::1]", "abc", KEYS), "fine");
        assert!(told("[object_storage]\n").contains("s:1:2: neither a folder nor a bucket"));
        let both = format!(
            "[object_storage]\nfolder = \"/srv/a\"\n[object_storage.s3]\nendpoint = \"https://h\"\nbucket = \"abc\"\n{KEYS}"
        );
        assert!(told(&both).contains("a bucket beside a folder"));
    }

    #[test]
    fn what_no_server_would_take_is_refused_where_it_stands() {
        for folder in ["objects", "/var/objects", "/srv/../etc", "/srv"] {
            assert!(told(&format!("[object_storage]\nfolder = \"{folder}\"\n")).contains("s:2:10"), "{folder}");
        }
        for endpoint in ["s3.example", "ftp://h", "https://h/bucket", "https://u:p@h", "https://"] {
            assert!(s3(endpoint, "abc", KEYS).contains("s:2:12"), "{endpoint}");
        }
        for bucket in ["ab", "Abc", "-abc", "a..b", "10.0.0.1", "a_b"] {
            assert!(s3("https://h", bucket, KEYS).contains("s:3:10"), "{bucket}");
        }
        assert!(s3("https://h", "abc", "access_key = \"a\"\n").contains("`secret_key` is missing"));
        let keys = s3("https://h", "abc", "access_key = \"\"\nsecret_key = \"a b\"\nregion = \"x y\"\n");
        assert!(keys.contains("s:4:14") && keys.contains("s:5:14") && keys.contains("s:6:10"), "{keys}");
    }
}
