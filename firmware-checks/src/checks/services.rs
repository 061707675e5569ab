//! Servers of the site that the appliance works with: its database, its bucket, its registries, where word and backups are sent to.

mod alert;
mod bucket;
#[cfg(test)]
mod tests;

use std::thread;

use url::Url;

use super::server::target::{self, Target, fail, warn};
use super::server::{Obstacle, Protocol};
use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::site::{Backup, DOCKER_HUB, Database, DatabaseKind, Location};

const BOTH: &[Phase] = &[Phase::Admission, Phase::Acceptance];
const AFTER: &[&str] = &["site.configuration", "network.address"];
/// NFS 4 listens nowhere else (RFC 7530 §3.1).
const NFS: u16 = 2049;
const SSH: u16 = 22;

/// The checks of this folder.
pub const CHECKS: &[Check] = &[
    Check {
        id: "database.reachable",
        title: "Database",
        phases: BOTH,
        after: AFTER,
        documentation: "The server in site.toml's [database] answers as one of its kind: its name is known, a connection comes \
            about, and what it says first is PostgreSQL's, MySQL's, MariaDB's or SQL Server's. Fails with the first of these that \
            went wrong. User and password are not tried. A database on the machine itself is asked once the platform runs, and one \
            that only the platform's own network knows is not asked.",
        applies: |_| true,
        run: database,
    },
    Check {
        id: "storage.reachable",
        title: "Object storage",
        phases: BOTH,
        after: AFTER,
        documentation: "The bucket in site.toml's [object_storage.s3] is there for the access key (a signed HeadBucket), and, before \
            the platform starts, takes an object and lets it be removed (`firstlight-probe`). Asked through the site's proxy where \
            it has one. Fails with the first of these that went wrong. One on the machine itself is asked once the platform runs.",
        applies: |_| true,
        run: storage,
    },
    Check {
        id: "alert.reachable",
        title: "Where alerts are sent to",
        phases: BOTH,
        after: AFTER,
        documentation: "Each way in site.toml's [alert]: the webhook's server answers by HTTP (its own address is not asked), the \
            mail relay greets, the log server takes a connection (by UDP nothing can tell more than that its name is known). Warns \
            with what went wrong: that nobody would be told does not keep the platform off.",
        applies: |_| true,
        run: alert::run,
    },
    Check {
        id: "backup.reachable",
        title: "Where backups are sent to",
        phases: BOTH,
        after: AFTER,
        documentation: "The target in site.toml's [backup]: the bucket as storage.reachable has it, or the SSH or NFS server answers as \
            one; login and folder are not tried. Warns with what went wrong.",
        applies: |_| true,
        run: backup,
    },
    Check {
        id: "registries.reachable",
        title: "Registries of the site",
        phases: BOTH,
        after: AFTER,
        documentation: "Each mirror in site.toml's [[registries]], and each registry for which it gives a login, answers under /v2/ as a \
            registry of containers does: with status 200, or 401 where it wants a login. Asked through the site's proxy where it \
            has one. Warns with what went wrong: what is preloaded needs none. Logins are not tried.",
        applies: |_| true,
        run: registries,
    },
];

fn none(what: &str) -> Vec<Finding> {
    vec![Finding::not_applicable(format!("the site names no {what}"))]
}

fn database(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let Some(database) = context.site.and_then(|site| site.database.as_ref()) else { return Ok(none("database")) };
    Ok(vec![judge_database(context, database)])
}

fn judge_database(context: &Context<'_>, database: &Database) -> Finding {
    let (kind, host, port) = match database.location() {
        Ok(Location::Server { kind, host, port, .. }) => (kind, host, port),
        Ok(Location::File(_)) => return Finding::not_applicable("SQLite keeps it in a file on this machine"),
        // That is site.configuration's to tell.
        Err(_) => return Finding::not_applicable("the site's address of the database is none"),
    };
    let protocol = match kind {
        DatabaseKind::Postgresql => Protocol::Postgresql,
        DatabaseKind::Mysql | DatabaseKind::Mariadb => Protocol::Mysql,
        DatabaseKind::Mssql => Protocol::SqlServer,
        DatabaseKind::Sqlite => return Finding::not_applicable("SQLite keeps it in a file on this machine"),
    };
    let target = Target::new(&host, port, protocol.name(), "`uri` in [database]");
    if let Some(why) = target.comes_with_the_platform(context) {
        return Finding::not_applicable(why);
    }
    target.finding(context, target.greeted(protocol), fail)
}

fn storage(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let s3 = context.site.and_then(|site| site.object_storage.as_ref()?.s3.as_ref());
    let Some(s3) = s3 else { return Ok(none("bucket")) };
    Ok(vec![bucket::judge(context, s3, "[object_storage.s3]", fail)?])
}

fn backup(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let Some(backup) = context.site.and_then(|site| site.backup.as_ref()) else { return Ok(none("target of backups")) };
    let ask = |protocol: Protocol, host: &str, port, key| {
        let target = Target::new(host, port, protocol.name(), key);
        target.finding(context, target.greeted(protocol), warn)
    };
    let Backup { s3, sftp, nfs, .. } = backup;
    let finding = match (s3, sftp, nfs) {
        (Some(s3), ..) => bucket::judge(context, s3, "[backup.s3]", warn)?,
        (_, Some(sftp), _) => ask(Protocol::Ssh, &sftp.server, SSH, "`server` in [backup.sftp]"),
        (.., Some(nfs)) => ask(Protocol::Nfs, &nfs.server, NFS, "`server` in [backup.nfs]"),
        (None, None, None) => return Ok(none("target of backups")),
    };
    Ok(vec![finding])
}

fn registries(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let Some(site) = context.site.filter(|site| !site.registries.is_empty()) else { return Ok(none("registry")) };
    let mut urls: Vec<Url> = Vec::new();
    for registry in &site.registries {
        let own = match registry.name.as_str() {
            // Whose name is not that of its server.
            DOCKER_HUB => "registry-1.docker.io",
            name => name,
        };
        let own = registry.login().map(|_| format!("https://{own}"));
        let servers = registry.mirrors.iter().chain(&own);
        // What can't be read is site.configuration's to tell.
        urls.extend(servers.filter_map(|server| Url::parse(server).ok()?.join("/v2/").ok()));
    }
    // Beside each other: each may take as long as it is given.
    thread::scope(|scope| {
        let asked: Vec<_> = urls.iter().map(|url| scope.spawn(move || judge_registry(context, url))).collect();
        asked.into_iter().map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))).collect()
    })
}

fn judge_registry(context: &Context<'_>, url: &Url) -> Result<Finding, CouldNotRun> {
    let target = Target::of_url(context, url, "a registry", "[[registries]]");
    let asked = target::asker(context, url)?.ask(url).and_then(|answer| match answer.status {
        200 | 401 => Ok(format!("status {}", answer.status)),
        status => Err(Obstacle::Answer(format!("it answers {} with status {status}, expected 200 or 401", url.path()))),
    });
    Ok(target.finding(context, asked, warn).about(target.host))
}
