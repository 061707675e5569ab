//! Where and when the appliance's data is saved to.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::alert::server;
use super::object_storage::S3;
use super::secret::Secret;
use crate::document::{KeyPath, Problem};

/// Where and when the appliance's data is saved to: exactly one target.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Backup {
    /// A bucket on a server that speaks S3.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub s3: Option<S3>,
    /// A folder on a server, by SSH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sftp: Option<Sftp>,
    /// A folder that a server shares by NFS.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nfs: Option<Nfs>,
    /// The time of day at which it begins, in the machine's time zone (UTC), such as `02:30`.
    pub time: String,
    /// The days on which it does; none: every day.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// What it is encrypted with before it leaves the machine; without it nobody can restore.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub passphrase: Option<Secret>,
}

/// A folder on a server, by SSH.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Sftp {
    /// The server's name or address.
    pub server: String,
    /// Who logs in.
    pub user: String,
    /// The folder, an absolute path there.
    pub folder: String,
    /// The server's own key as in `known_hosts`, without the name: so that nobody else can take the backup.
    pub host_key: String,
    /// The private key with which the machine logs in, in OpenSSH's format.
    pub private_key: Secret,
}

/// A folder that a server shares by NFS.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nfs {
    /// The server's name or address.
    pub server: String,
    /// What it shares, an absolute path there.
    pub folder: String,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Day {
    Monday,
    Tuesday,
    Wednesday,
    Thursday,
    Friday,
    Saturday,
    Sunday,
}

impl Backup {
    pub(super) fn problems(&self, at: &KeyPath) -> Vec<Problem> {
        let mut found = Vec::new();
        let targets = [("s3", self.s3.is_some()), ("sftp", self.sftp.is_some()), ("nfs", self.nfs.is_some())];
        let named: Vec<&str> = targets.iter().filter(|(_, named)| *named).map(|(key, _)| *key).collect();
        match named.as_slice() {
            [] => {
                let problem = Problem::key(at.clone(), "no target is named");
                found.push(problem.hint("add one of the tables `backup.s3`, `backup.sftp` and `backup.nfs`"));
            }
            [_] => {}
            [_, second, ..] => {
                let problem = Problem::key(at.key(second), "a second target");
                found.push(problem.label(format!("`backup.{}` is where the data is saved to", named[0])));
            }
        }
        if !is_time(&self.time) {
            let problem = Problem::value(at.key("time"), format!("`{}` is not a time of day", self.time));
            found.push(problem.label("expected such as `02:30`"));
        }
        for (index, day) in self.days.iter().enumerate() {
            if self.days[..index].contains(day) {
                found.push(Problem::value(at.key("days").item(index), "the day is given twice"));
            }
        }
        found.extend(self.s3.iter().flat_map(|s3| s3.problems(&at.key("s3"))));
        found.extend(self.sftp.iter().flat_map(|sftp| sftp.problems(&at.key("sftp"))));
        found.extend(self.nfs.iter().flat_map(|nfs| place(&nfs.server, &nfs.folder, &at.key("nfs"))));
        found
    }
}

impl Sftp {
    fn problems(&self, at: &KeyPath) -> Vec<Problem> {
        let mut found = place(&self.server, &self.folder, at);
        let word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
        if self.user.is_empty() || !self.user.chars().all(word) || self.user.starts_with('-') {
            found.push(Problem::value(at.key("user"), format!("`{}` is not the name of a user", self.user)));
        }
        if let Some(why) = super::ssh_key::wrong(&self.host_key) {
            let problem = Problem::value(at.key("host_key"), why);
            found.push(problem.label("expected such as `ssh-ed25519 AAAA…`").hint("ssh-keyscan SERVER shows it"));
        }
        let key = self.private_key.expose().trim();
        if !key.starts_with("-----BEGIN ") || !key.ends_with("PRIVATE KEY-----") {
            let problem = Problem::value(at.key("private_key"), "this is no private key");
            found.push(problem.label("expected the file's content between `'''` and `'''`"));
        }
        found
    }
}

fn place(name: &str, folder: &str, at: &KeyPath) -> Vec<Problem> {
    let mut found: Vec<Problem> = server(name, at.key("server")).into_iter().collect();
    if !folder.starts_with('/') || folder.chars().any(|c| c.is_control() || c.is_whitespace()) {
        let problem = Problem::value(at.key("folder"), format!("`{folder}` is no absolute path"));
        found.push(problem.label("expected such as `/backup/NAME`"));
    }
    found
}

fn is_time(text: &str) -> bool {
    let digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    let part = |text: &str, most: u8| digits(text) && text.parse::<u8>().is_ok_and(|part| part <= most);
    text.split_once(':').is_some_and(|(hour, minute)| part(hour, 23) && part(minute, 59))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::site::parse;

    fn told(text: &str) -> String {
        parse(Path::new("s"), text.as_bytes()).map_or_else(|error| error.to_string(), |_| "fine".into())
    }

    const NFS: &str = "[backup.nfs]\nserver = \"nas.example\"\nfolder = \"/backup\"\n";

    #[test]
    fn one_target_and_a_time() {
        assert_eq!(told(&format!("[backup]\ntime = \"02:30\"\ndays = [\"sunday\"]\n{NFS}")), "fine");
        assert!(told("[backup]\ntime = \"02:30\"\n").contains("no target is named"));
        assert!(told(&format!("[backup]\n{NFS}")).contains("not a time of day"));
        for time in ["24:00", "2:30", "02:60", "+2:30", "noon"] {
            assert!(told(&format!("[backup]\ntime = \"{time}\"\n{NFS}")).contains("s:2:8"), "{time}");
        }
        let twice = format!("[backup]\ntime = \"02:30\"\ndays = [\"sunday\", \"sunday\"]\n{NFS}");
        assert!(told(&twice).contains("s:3:19: the day is given twice"));
        let sftp =
            "[backup.sftp]\nserver = \"a b\"\nuser = \"-x\"\nfolder = \"x\"\nhost_key = \"x\"\nprivate_key = \"x\"\n";
        let both = told(&format!("[backup]\ntime = \"02:30\"\n{NFS}{sftp}"));
        for place in ["a second target", "s:7:10", "s:8:8", "s:9:10", "s:10:12", "s:11:15"] {
            assert!(both.contains(place), "{place} in {both}");
        }
    }
}
