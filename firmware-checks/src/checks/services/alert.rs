//! `alert.reachable`: each way by which word would be sent.

use std::thread::{self, ScopedJoinHandle};

use url::Url;

use crate::check::{Context, CouldNotRun, Finding};
use crate::checks::server::target::{self, Target, warn};
use crate::checks::server::{self, Obstacle, Protocol};
use crate::site::{Email, Syslog, Transport};

/// The port of mail by TLS from the first byte (RFC 8314).
const SMTPS: u16 = 465;

pub(super) fn run(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let Some(alert) = context.site.and_then(|site| site.alert.as_ref()) else {
        return Ok(super::none("one to alert"));
    };
    // An address that can't be read is site.configuration's to tell.
    let hook = alert.webhook.as_ref().and_then(|hook| Url::parse(hook.expose()).ok());
    let webhook = || hook.map(|url| webhook(context, url)).transpose();
    let email = || alert.email.as_ref().map(|one| email(context, one)).transpose();
    let syslog = || alert.syslog.as_ref().map(|one| syslog(context, one)).transpose();
    // Beside each other: each may take as long as it is given.
    let found = thread::scope(|scope| {
        let threads = [scope.spawn(webhook), scope.spawn(email), scope.spawn(syslog)];
        threads.map(|thread: ScopedJoinHandle<'_, _>| {
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    });
    found.into_iter().filter_map(Result::transpose).collect()
}

/// The server of the webhook alone: who asks its own address sends an alert.
fn webhook(context: &Context<'_>, mut url: Url) -> Result<Finding, CouldNotRun> {
    url.set_path("/");
    url.set_query(None);
    url.set_fragment(None);
    let asked = target::asker(context, &url)?.ask(&url).and_then(|answer| match answer.status {
        500.. => Err(Obstacle::Answer(format!("it answers with status {}", answer.status))),
        status => Ok(format!("status {status}")),
    });
    let target = Target::of_url(context, &url, "a web server", "`webhook` in [alert]");
    Ok(target.finding(context, asked, warn).about("webhook"))
}

fn email(context: &Context<'_>, email: &Email) -> Result<Finding, CouldNotRun> {
    let protocol = Protocol::Smtp;
    let target = Target::new(&email.relay, email.port, protocol.name(), "`relay` in [alert.email]");
    let asked = match email.port {
        SMTPS => target.secured(context)?.and_then(|stream| protocol.greet(stream)),
        _ => target.greeted(protocol),
    };
    Ok(target.finding(context, asked, warn).about("email"))
}

fn syslog(context: &Context<'_>, syslog: &Syslog) -> Result<Finding, CouldNotRun> {
    let (host, port) = (syslog.server.as_str(), syslog.port);
    let target = Target::new(host, port, "a log server", "`server` in [alert.syslog]");
    let asked = match syslog.transport {
        Transport::Udp => server::addresses(host)
            .map(|_| "nobody does by UDP, but its name is known".to_owned())
            .map_err(|said| Obstacle::Name { host: host.to_owned(), said }),
        Transport::Tcp => server::connect(host, port).map(|_| String::new()),
        Transport::Tls => target.secured(context)?.map(|_| String::new()),
    };
    Ok(target.finding(context, asked, warn).about("syslog"))
}
