//! Servers of others that an appliance needs.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::Need;

/// A server of others that the machine must reach, such as a registry of container images (`egress.reachable`).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Egress {
    /// A short name that stays the same in every report, such as `registry`.
    pub name: String,
    /// What is asked for, such as `https://registry.example.org/v2/`: `http` or `https`, a host, and a path. What the answer names
    /// in its place is not followed.
    pub url: String,
    /// The HTTP status codes (RFC 9110) by which the right server answers, such as `[200, 401]` of a registry that wants a login
    /// for more. Empty stands for every code below 400.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<u16>,
    /// Whether the platform may start without it: `recommended` only warns.
    pub need: Need,
}

/// A URL that can't be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAsked {
    /// Not a URL at all.
    #[error("is no URL")]
    NoUrl,
    /// `ftp`, `oci` …
    #[error("is neither http nor https")]
    Scheme,
    /// A name or password.
    #[error("holds a login, which every report would show")]
    Login,
}

impl Egress {
    /// What is asked for.
    ///
    /// # Errors
    /// [`NotAsked`].
    pub fn target(&self) -> Result<Url, NotAsked> {
        let url = Url::parse(&self.url).map_err(|_| NotAsked::NoUrl)?;
        if !matches!(url.scheme(), "http" | "https") {
            return Err(NotAsked::Scheme);
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(NotAsked::Login);
        }
        Ok(url)
    }

    /// Whether `status` shows that the right server answered.
    #[must_use]
    pub fn expects(&self, status: u16) -> bool {
        if self.status.is_empty() { status < 400 } else { self.status.contains(&status) }
    }

    /// What [`Self::expects`] takes, in words.
    #[must_use]
    pub fn expected(&self) -> String {
        match self.status.as_slice() {
            [] => "a status below 400".to_owned(),
            [one] => format!("status {one}"),
            [rest @ .., last] => {
                let rest: Vec<String> = rest.iter().map(u16::to_string).collect();
                format!("status {} or {last}", rest.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn egress(url: &str, status: &[u16]) -> Egress {
        Egress { name: "registry".into(), url: url.into(), status: status.to_vec(), need: Need::Required }
    }

    #[test]
    fn only_what_can_be_asked_for_and_shown_is_a_target() {
        assert_eq!(egress("https://a.example/v2/", &[]).target().unwrap().path(), "/v2/");
        assert_eq!(egress("a.example", &[]).target(), Err(NotAsked::NoUrl));
        assert_eq!(egress("oci://a.example/x", &[]).target(), Err(NotAsked::Scheme));
        assert_eq!(egress("https://me:secret@a.example/", &[]).target(), Err(NotAsked::Login));
    }

    #[test]
    fn statuses_are_those_that_are_named_or_all_good_ones() {
        let (any, named) = (egress("https://a.example/", &[]), egress("https://a.example/", &[200, 204, 401]));
        assert!(any.expects(302) && !any.expects(401) && named.expects(401) && !named.expects(302));
        assert_eq!(named.expected(), "status 200, 204 or 401");
        assert_eq!(egress("https://a.example/", &[401]).expected(), "status 401");
    }
}
