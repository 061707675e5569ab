//! Parts of the configuration by name: what a recipe may hand to its containers.

use url::Url;

use super::{Secret, Site};

/// The names of all parts but those of `values`.
pub const FIELDS: [&str; 16] = [
    "concurrent_users",
    "database.host",
    "database.name",
    "database.password",
    "database.port",
    "database.uri",
    "database.user",
    "hostname",
    "name",
    "object_storage.access_key",
    "object_storage.bucket",
    "object_storage.endpoint",
    "object_storage.folder",
    "object_storage.region",
    "object_storage.secret_key",
    "proxy.no_proxy",
];

/// How the names of this appliance's own values begin.
pub const VALUES: &str = "values.";

impl Site {
    /// The part `field`, one of [`FIELDS`] or a value; none where the site does not give it. `name` is the first of `names`, else
    /// the host name.
    #[must_use]
    pub fn field(&self, field: &str) -> Option<Secret> {
        if let Some(name) = field.strip_prefix(VALUES) {
            return self.values.get(name).cloned();
        }
        if let Some(part) = field.strip_prefix("database.") {
            return self.database.as_ref().and_then(|database| of_database(&database.uri, part));
        }
        let s3 = || self.object_storage.as_ref().and_then(|storage| storage.s3.as_ref());
        let text = match field {
            "concurrent_users" => self.concurrent_users.map(|users| users.to_string()),
            "hostname" => self.hostname.clone(),
            "name" => self.names.first().or(self.hostname.as_ref()).cloned(),
            "object_storage.access_key" => return s3().map(|s3| s3.access_key.clone()),
            "object_storage.secret_key" => return s3().map(|s3| s3.secret_key.clone()),
            "object_storage.bucket" => s3().map(|s3| s3.bucket.clone()),
            "object_storage.endpoint" => s3().map(|s3| s3.endpoint.clone()),
            "object_storage.region" => s3().map(|s3| s3.region.clone()),
            "object_storage.folder" => self.object_storage.as_ref().and_then(|storage| storage.folder.clone()),
            "proxy.no_proxy" => self.proxy.as_ref().map(super::Proxy::exceptions),
            _ => None,
        };
        text.map(|text| Secret::from(text.as_str()))
    }
}

fn of_database(uri: &Secret, part: &str) -> Option<Secret> {
    use super::database::{Database, Location};
    if part == "uri" {
        return Some(uri.clone());
    }
    let Ok(Location::Server { host, port, name, .. }) = (Database { uri: uri.clone() }).location() else { return None };
    let url = Url::parse(uri.expose()).ok()?;
    let text = match part {
        "host" => host,
        "port" => port.to_string(),
        "name" => name,
        "user" => decoded(url.username())?,
        "password" => decoded(url.password()?)?,
        _ => return None,
    };
    (!text.is_empty()).then(|| Secret::from(text.as_str()))
}

/// Percent-encoded bytes of UTF-8 (RFC 3986 §2.1).
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        let code = (*first == b'%').then(|| after.get(..2)).flatten();
        match code.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()) {
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
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::site::parse;

    #[test]
    fn each_part_has_a_name() {
        let text = r#"
            hostname = "rack7"
            names = ["cht.example"]
            concurrent_users = 8
            [database]
            uri = "postgresql://u%40x:p%2Fw@db.example/scot"
            [object_storage.s3]
            endpoint = "https://s3.example"
            bucket = "abc"
            access_key = "a"
            secret_key = "s"
            [proxy]
            http = "http://p"
            [values]
            cookie = "c"
        "#;
        let site = parse(Path::new("s"), text.as_bytes()).unwrap();
        let given = |name: &str| site.field(name).map(|secret| secret.expose().to_owned());
        for name in FIELDS.into_iter().filter(|name| *name != "object_storage.folder") {
            assert!(given(name).is_some(), "{name}");
            assert_eq!(Site::default().field(name), None, "{name}");
        }
        assert_eq!(given("database.user").as_deref(), Some("u@x"));
        assert_eq!(given("database.password").as_deref(), Some("p/w"));
        assert_eq!(given("database.port").as_deref(), Some("5432"));
        assert_eq!(given("name").as_deref(), Some("cht.example"));
        assert_eq!((given("values.cookie").as_deref(), given("values.other")), (Some("c"), None));
        assert_eq!(given("database.secret"), None);
    }
}
