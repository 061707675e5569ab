//! What the site gave, and what an admin waived.

use crate::admin;
use crate::appliance::Appliance;
use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::site;
use crate::waivers::{self, Waivers};

const ALWAYS: &[Phase] = &[Phase::Admission, Phase::Acceptance];

/// The checks of this file.
pub const CHECKS: &[Check] = &[
    Check {
        id: "site.configuration",
        title: "Site configuration",
        phases: ALWAYS,
        after: &[],
        documentation: "The configuration of this installation, imported from a medium labelled SITE into \
            /etc/firstlight/site. Fails where the appliance needs a certificate and none was imported, and where a \
            configuration was refused. An appliance that needs no certificate runs without.",
        applies: |_| true,
        run: configuration,
    },
    Check {
        id: "waivers.file",
        title: "Waivers",
        phases: ALWAYS,
        after: &[],
        documentation: "What /etc/firstlight/waivers.toml lets pass, with reasons and ends. Warns as long as there is \
            one, since a waived check is not a passed one; fails where the file can't be read, since then no waiver \
            counts.",
        applies: |_| true,
        run: waived,
    },
];

fn needs_site(appliance: &Appliance) -> bool {
    appliance.requirements.tls.is_some()
}

fn configuration(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let required = if needs_site(context.appliance) {
        "a site configuration with a certificate"
    } else {
        "none, or one that is valid"
    };
    let status = site::status(context.machine.root());
    let finding = match (status.site, status.error) {
        (Some(site), None) => {
            let name = site.hostname.unwrap_or_else(|| "no host name set".to_owned());
            Finding::pass(format!("imported ({name})"), required)
        }
        (Some(_), Some(error)) => Finding::warn(
            format!("an earlier configuration holds; the newest was not taken: {error}"),
            required,
            "mend it on the medium, then sudo firmware-checks site import FOLDER",
        ),
        (None, Some(error)) => Finding::fail(
            error,
            required,
            "mend it on the medium, then plug it in again or sudo firmware-checks site import FOLDER",
        ),
        (None, None) if needs_site(context.appliance) => {
            let wanted =
                "put site.toml, tls.crt and tls.key on the SITE partition of the disk or on a stick labelled SITE";
            // Where it can't be told who may log in, admin.login says so.
            let by_hand = if admin::may_enrol(context.machine).unwrap_or_default() {
                "or log in as admin at this console, which asks for a new password, then"
            } else {
                "or"
            };
            let remedy = format!("{wanted}; {by_hand} sudo firmware-checks site import FOLDER");
            Finding::fail("none was imported", required, remedy)
        }
        (None, None) => Finding::not_applicable("none was imported, and the appliance needs none"),
    };
    Ok(vec![finding])
}

fn waived(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let path = context.machine.path(waivers::PATH);
    let waivers = match Waivers::load(&path) {
        Ok(waivers) => waivers,
        Err(error @ waivers::Error::Parse { .. }) => {
            return Ok(vec![Finding::fail(
                error.to_string(),
                "a file that can be read, or none",
                format!("edit {0}, or remove it; sudo firmware-checks waive writes it too", waivers::PATH),
            )]);
        }
        Err(error) => {
            return Err(CouldNotRun::new(error.to_string(), format!("check the permissions of {}", waivers::PATH)));
        }
    };
    if waivers.list.is_empty() {
        return Ok(vec![Finding::not_applicable("nothing is waived")]);
    }
    Ok(waivers
        .list
        .into_iter()
        .map(|waiver| {
            let ended = if waiver.counts(context.now) { "until" } else { "ended on" };
            let remedy = format!("when it is mended: sudo firmware-checks waive {} --revoke", waiver.id);
            Finding::warn(format!("waived {ended} {}: {}", waiver.until, waiver.reason), "no waiver", remedy)
                .about(waiver.id)
        })
        .collect())
}
