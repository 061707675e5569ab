//! What a `site.toml` says of the parts that only some appliances use, each with its explanation.

use firmware_checks::requirements::{DataFolder, Need, SiteNeeds};

/// Keys that stand before the first table.
pub(super) fn keys(needs: &SiteNeeds) -> String {
    part(needs.concurrent_users, CONCURRENT_USERS)
}

/// Tables, each after an empty line.
pub(super) fn tables(needs: &SiteNeeds) -> String {
    let tables = [
        part(needs.database, DATABASE),
        part(needs.object_storage, OBJECT_STORAGE),
        part(needs.alert, ALERT),
        part(needs.backup, BACKUP),
        values(needs),
    ];
    tables.concat()
}

/// A required part stands there with its dots to be filled in, since nothing right can be made up; another is commented out.
fn part(need: Option<Need>, text: &str) -> String {
    let Some(need) = need else { return String::new() };
    let how = match need {
        Need::Required => "# This appliance does not start without it: fill it in.",
        Need::Recommended => "# This appliance works better with it.",
    };
    let (explained, rest) = text.split_once("---\n").unwrap_or(("", text));
    format!("\n{explained}{how}\n{rest}")
}

/// Disks for those data folders that lie below the data partition, not on its mount point.
pub(super) fn disks(folders: &[DataFolder]) -> String {
    let folder = |folder: &&DataFolder| folder.path.trim_end_matches('/') != "/srv";
    let disk = |folder: &DataFolder| {
        format!("#[[disks]]\n#folder = \"{}\"\n#id = \"nvme-eui.0025385b01411e9c\"\n", folder.name)
    };
    let disks: String = folders.iter().filter(folder).map(disk).collect();
    if disks.is_empty() { String::new() } else { format!("{DISKS}{disks}") }
}

fn values(needs: &SiteNeeds) -> String {
    if needs.values.is_empty() {
        return String::new();
    }
    let line = |value: &firmware_checks::requirements::site::Value| {
        let how = match (value.generate, value.need) {
            (true, _) => "without it the machine makes one",
            (false, Need::Required) => "this appliance does not start without it",
            (false, Need::Recommended) => "optional",
        };
        format!("# {}: {how}.\n#{} = \"...\"\n", value.title, value.name)
    };
    let lines: String = needs.values.iter().map(line).collect();
    format!("\n# What this appliance alone asks for. Nothing of it shows in a report or a log.\n[values]\n{lines}")
}

const DISKS: &str = "
# A disk of its own for a data folder: by what ls /dev/disk/by-id calls it, or by its model or its size (\"1.9 TB\"). It must be empty, is given
# a file system, and found again in every boot; a disk that holds anything is never written.
";

/// The table of a machine in a cluster.
pub(super) const CLUSTER: &str = "
# Only where it is one of several machines. The first is a server and names no `server`; the others join it. All know the
# token (openssl rand -hex 32) and name the others, whom the firewall then lets in by the cluster's own ports.
#[cluster]
#role = \"agent\"
#server = \"https://10.3.7.11:6443\"
#token = \"0123456789abcdef0123456789abcdef\"
#nodes = [\"10.3.7.11\", \"10.3.7.12\"]
";

const CONCURRENT_USERS: &str = "\
# How many users work with it at the same time, at most: what the machine must be goes by it.
---
#concurrent_users = 8
";

const DATABASE: &str = "\
# The database, as SQLAlchemy writes it: postgresql, mysql, mariadb, mssql or sqlite, perhaps with a driver
# (postgresql+psycopg). In user and password, `@` is written as %40, `/` as %2F, `:` as %3A, `%` as %25.
---
#[database]
#uri = \"postgresql://USER:PASSWORD@db.clinic.example/NAME\"
";

const OBJECT_STORAGE: &str = "\
# Where files are kept: a folder on the data partition, or a bucket on a server that speaks S3.
---
#[object_storage]
#folder = \"/srv/objects\"
# or:
#[object_storage.s3]
#endpoint = \"https://s3.clinic.example\"
#bucket = \"appliance\"
#region = \"us-east-1\"
#access_key = \"...\"
#secret_key = \"...\"
";

const ALERT: &str = "\
# Who is told when something fails: one or more of these.
---
#[alert]
#webhook = \"https://alerts.clinic.example/hook\"
#[alert.email]
#relay = \"mail.clinic.example\"
#from = \"appliance@clinic.example\"
#to = [\"it@clinic.example\"]
#[alert.syslog]
#server = \"log.clinic.example\"
#transport = \"tls\"
";

const BACKUP: &str = "\
# Where the data is saved to, and when: one of the targets backup.s3 (as object_storage.s3), backup.sftp (server, user,
# folder, host_key, private_key) and backup.nfs.
---
#[backup]
#time = \"02:30\"
#days = [\"sunday\"]
#[backup.nfs]
#server = \"nas.clinic.example\"
#folder = \"/backup/appliance\"
";

/// The way out, and registries: for every appliance of containers.
pub(super) const REACH: &str = "
# The way out, where it must be asked for. A login may stand in the address.
#[proxy]
#http = \"http://proxy.clinic.example:3128\"
#https = \"http://proxy.clinic.example:3128\"
#no_proxy = [\".clinic.example\", \"10.0.0.0/8\"]

# Registries of container images: who stands in for them, and who logs in.
#[[registries]]
#name = \"docker.io\"
#mirrors = [\"https://mirror.clinic.example\"]
#username = \"...\"
#password = \"...\"

# The addresses that containers have among themselves: a private network that the site uses for nothing else.
#[containers]
#network = \"10.213.0.0/16\"
";

#[cfg(test)]
mod tests {
    use std::path::Path;

    use firmware_checks::requirements::site::Value;
    use firmware_checks::site::parse;

    use super::*;

    /// Takes the `#` from each line that is a proposal and no explanation.
    fn proposed(text: &str) -> String {
        let line = |line: &str| match line.strip_prefix('#') {
            Some(rest) if rest.starts_with(|c: char| c.is_ascii_alphabetic() || c == '[') => format!("{rest}\n"),
            _ => format!("{line}\n"),
        };
        text.lines().map(line).collect()
    }

    #[test]
    fn each_part_is_there_where_it_is_used_and_right_as_proposed() {
        let need = Some(Need::Required);
        let value = Value { name: "cookie".into(), title: "A cookie".into(), need: Need::Required, generate: false };
        let needs = SiteNeeds {
            concurrent_users: need,
            database: need,
            object_storage: None,
            alert: need,
            backup: need,
            values: vec![value],
        };
        let text = format!("{}{}{REACH}", keys(&needs), tables(&needs));
        parse(Path::new("site.toml"), text.as_bytes()).unwrap();
        let site = parse(Path::new("site.toml"), proposed(&text).as_bytes()).unwrap();
        assert_eq!(site.concurrent_users, Some(8));
        assert!(site.database.is_some() && site.alert.is_some() && site.backup.is_some() && site.proxy.is_some());
        assert!(site.values.contains_key("cookie") && site.object_storage.is_none());
        assert!(!text.contains("object_storage]") && text.contains("does not start without it"));
        assert_eq!(tables(&SiteNeeds::default()), "");
        let storage = SiteNeeds { object_storage: need, ..SiteNeeds::default() };
        let bucket = proposed(&tables(&storage)).replace("[object_storage]\nfolder = \"/srv/objects\"\n", "");
        assert!(parse(Path::new("site.toml"), bucket.as_bytes()).unwrap().object_storage.unwrap().s3.is_some());
    }
}
