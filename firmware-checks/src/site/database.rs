//! The database that the appliance keeps its data in.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use url::Url;

use super::secret::Secret;
use crate::document::{KeyPath, Problem, listed, nearest};

/// The database that the appliance keeps its data in.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Database {
    /// Where it is and who logs in, as SQLAlchemy writes it: `postgresql://USER:PASSWORD@HOST/NAME`, `mysql://…`,
    /// `mariadb://…`, `mssql://…`, `sqlite:////FOLDER/FILE`; a driver may follow the kind: `postgresql+psycopg://…`. What has a
    /// meaning in an address (`@`, `/`, `:`, `%`) is written as `%40` and so on in user and password.
    pub uri: Secret,
}

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// PostgreSQL.
    Postgresql,
    /// MySQL.
    Mysql,
    /// MariaDB.
    Mariadb,
    /// Microsoft SQL Server.
    Mssql,
    /// SQLite, a file on the machine itself.
    Sqlite,
}

impl Kind {
    const ALL: [(&'static str, Self); 5] = [
        ("postgresql", Self::Postgresql),
        ("mysql", Self::Mysql),
        ("mariadb", Self::Mariadb),
        ("mssql", Self::Mssql),
        ("sqlite", Self::Sqlite),
    ];

    /// Its name in an address.
    #[must_use]
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, kind)| *kind == self).map_or("", |(name, _)| name)
    }

    /// The port on which its server listens where the address says none; SQLite has no server.
    #[must_use]
    pub fn port(self) -> Option<u16> {
        match self {
            Self::Postgresql => Some(5432),
            Self::Mysql | Self::Mariadb => Some(3306),
            Self::Mssql => Some(1433),
            Self::Sqlite => None,
        }
    }
}

/// What of a database's address is no secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Location {
    /// On a server.
    Server {
        /// What kind of server.
        kind: Kind,
        /// Its name or address.
        host: String,
        /// Its TCP port.
        port: u16,
        /// The database's name; empty: the user's own.
        name: String,
    },
    /// In a file of SQLite.
    File(String),
}

impl Database {
    /// Where the database is.
    ///
    /// # Errors
    /// Why the address is none, in words for the admin that hold nothing of it but its kind.
    pub fn location(&self) -> Result<Location, Wrong> {
        let text = self.uri.expose();
        let Some((scheme, rest)) = text.split_once("://") else {
            return Err(Wrong::new("this is no address of a database", EXPECTED));
        };
        let kind = kind(scheme)?;
        if text.chars().any(|c| c.is_control() || c.is_whitespace()) {
            return Err(Wrong::new("the address has white space in it", EXPECTED));
        }
        if kind == Kind::Sqlite {
            return file(rest);
        }
        let url =
            Url::parse(text).map_err(|error| Wrong::new(format!("the address can't be read: {error}"), EXPECTED))?;
        let host = url.host_str().filter(|host| !host.is_empty());
        let host = host.ok_or_else(|| Wrong::new("the address names no server", "expected `…@HOST/NAME`"))?;
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        if url.port() == Some(0) {
            return Err(Wrong::new("0 is no port of a server", "expected 1 to 65535, or no port"));
        }
        let port = url.port().or(kind.port()).unwrap_or_default();
        Ok(Location::Server { kind, host, port, name: url.path().trim_start_matches('/').to_owned() })
    }

    pub(super) fn problems(&self, at: &KeyPath) -> Option<Problem> {
        let Wrong { what, expected } = self.location().err()?;
        let hint =
            "what has a meaning in an address is written by its code in user and password: `@` as `%40`, `/` as `%2F`";
        Some(Problem::value(at.key("uri"), what).label(expected).hint(hint))
    }
}

/// Why an address is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    what: String,
    expected: String,
}

impl Wrong {
    fn new(what: impl Into<String>, expected: impl Into<String>) -> Self {
        Self { what: what.into(), expected: expected.into() }
    }
}

const EXPECTED: &str = "expected such as `postgresql://USER:PASSWORD@HOST/NAME`";

fn kind(scheme: &str) -> Result<Kind, Wrong> {
    let (name, driver) = scheme.split_once('+').unwrap_or((scheme, "x"));
    let word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let known = Kind::ALL.iter().map(|(name, _)| *name);
    match Kind::ALL.iter().find(|(known, _)| *known == name) {
        Some(_) if driver.is_empty() || !driver.chars().all(word) => Err(Wrong::new(
            format!("no driver stands behind `{name}+`"),
            format!("expected `{name}://…` or such as `{name}+DRIVER://…`"),
        )),
        Some((_, kind)) => Ok(*kind),
        // SQLAlchemy 1.4 gave this one up; it is in many a handbook.
        None if name == "postgres" => {
            Err(Wrong::new("unknown kind of database `postgres`", "did you mean `postgresql`?"))
        }
        None => {
            // What is far from every kind may be a secret that was put into the wrong place.
            let near = nearest(name, known.clone()).map(|near| format!("did you mean `{near}`?"));
            let expected = near.unwrap_or_else(|| format!("expected {}", listed(known, "or")));
            Err(Wrong::new("unknown kind of database", expected))
        }
    }
}

/// `rest` follows `sqlite://`: a slash, then the file.
fn file(rest: &str) -> Result<Location, Wrong> {
    let path = rest.split('?').next().unwrap_or_default();
    let absolute = path.strip_prefix('/').filter(|path| path.starts_with('/') && !path.ends_with('/'));
    let absolute =
        absolute.filter(|path| Path::new(path).components().all(|part| part != std::path::Component::ParentDir));
    let expected = "expected four slashes and a file, such as `sqlite:////srv/data/app.db`";
    absolute
        .map(|path| Location::File(path.to_owned()))
        .ok_or_else(|| Wrong::new("no absolute path of a file of SQLite", expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(uri: &str) -> Result<Location, Wrong> {
        Database { uri: uri.into() }.location()
    }

    fn server(kind: Kind, host: &str, port: u16, name: &str) -> Result<Location, Wrong> {
        Ok(Location::Server { kind, host: host.into(), port, name: name.into() })
    }

    #[test]
    fn each_kind_is_read_with_and_without_a_driver() {
        let scot = "postgresql+psycopg://scot:p%40ss:w@db.clinic.example:5433/scot4?sslmode=require";
        assert_eq!(location(scot), server(Kind::Postgresql, "db.clinic.example", 5433, "scot4"));
        assert_eq!(location("postgresql://u@[2001:db8::1]/x"), server(Kind::Postgresql, "2001:db8::1", 5432, "x"));
        assert_eq!(location("mysql+pymysql://u:p@10.0.0.1/x"), server(Kind::Mysql, "10.0.0.1", 3306, "x"));
        assert_eq!(location("mariadb://u:p@h/x"), server(Kind::Mariadb, "h", 3306, "x"));
        let driver = "mssql+pyodbc://sa:p@h:1444/x?driver=ODBC+Driver+18+for+SQL+Server";
        assert_eq!(location(driver), server(Kind::Mssql, "h", 1444, "x"));
        assert_eq!(location("sqlite:////srv/data/app.db"), Ok(Location::File("/srv/data/app.db".into())));
        for (name, kind) in Kind::ALL {
            assert_eq!(kind.name(), name);
        }
    }

    #[test]
    fn what_is_none_is_told_without_its_words() {
        for (uri, told) in [
            ("", "no address"),
            ("host=canary user=canary", "no address"),
            ("canary://canary:canary@canary/canary", "unknown kind"),
            ("postgres://u:canary@h/x", "`postgres`"),
            ("postgresql+://u:canary@h/x", "no driver"),
            ("postgresql:///canary", "names no server"),
            ("postgresql://u:can ary@h/x", "white space"),
            ("postgresql://u:canary@h:99999/x", "invalid port"),
            ("postgresql://u:canary@h:0/x", "no port"),
            ("sqlite://canary.db", "no absolute path"),
            ("sqlite:///canary.db", "no absolute path"),
            ("sqlite:////srv/../canary", "no absolute path"),
        ] {
            let wrong = location(uri).unwrap_err();
            let text = format!("{} {}", wrong.what, wrong.expected);
            assert!(text.contains(told) && !text.contains("canary"), "{uri}: {text}");
        }
        assert_eq!(location("mysq://u:p@h/x").unwrap_err().expected, "did you mean `mysql`?");
    }
}
