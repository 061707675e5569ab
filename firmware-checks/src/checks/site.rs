//! What the site gave, and what an admin waived.

use crate::admin;
use crate::appliance::Appliance;
use crate::check::{Check, Context, CouldNotRun, Finding, Phase};
use crate::requirements::Need;
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
            /etc/firstlight/site. Fails where the appliance needs a certificate or another part of it and none was \
            imported, and where a configuration was refused. An appliance that needs neither runs without.",
        applies: |_| true,
        run: configuration,
    },
    FIELDS,
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

/// Asked on the admin's own computer too.
pub const FIELDS: Check = Check {
    id: "site.fields",
    title: "What the appliance uses of the site configuration",
    phases: ALWAYS,
    after: &["site.configuration"],
    documentation: "Each part of site.toml that the recipe names under requirements.site: a database, object storage, the \
        number of users, and what this appliance alone asks for. Fails where one is missing that the appliance can't do \
        without, warns where one is missing that it could use.",
    applies: |appliance| appliance.requirements.site != Default::default(),
    run: fields,
};

fn needs_site(appliance: &Appliance) -> bool {
    appliance.requirements.tls.is_some() || appliance.requirements.site.any_required()
}

fn fields(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let nothing = site::Site::default();
    let uses = context.appliance.requirements.site.uses(context.site.unwrap_or(&nothing));
    let finding = |used: crate::requirements::site::Use| {
        let found = match (used.given, used.generated, used.need) {
            (true, ..) => Finding::pass("given", used.title),
            (false, true, _) => Finding::pass("made by the machine", used.title),
            (false, false, need) => {
                let remedy = format!("add `{}` to site.toml, then sudo firmware-checks site import FOLDER", used.field);
                let missing = format!("site.toml has no `{}`", used.field);
                match need {
                    Need::Required => Finding::fail(missing, used.title, remedy),
                    Need::Recommended => Finding::warn(missing, used.title, remedy),
                }
            }
        };
        found.about(used.field)
    };
    Ok(uses.into_iter().map(finding).collect())
}

fn configuration(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let certificate = context.appliance.requirements.tls.is_some();
    let required = match needs_site(context.appliance) {
        true if certificate => "a site configuration with a certificate",
        true => "a site configuration",
        false => "none, or one that is valid",
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
            let files = if certificate { "site.toml, tls.crt and tls.key" } else { "site.toml" };
            let wanted = format!("put {files} on the SITE partition of the disk or on a stick labelled SITE");
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

#[cfg(test)]
mod tests {
    use crate::check::State;
    use crate::facts::recorded::Recorded;
    use crate::requirements::site::Value;
    use crate::requirements::{Need, Requirements, SiteNeeds};
    use crate::site::Site;

    fn needs() -> Requirements {
        let value =
            |name: &str, generate| Value { name: name.into(), title: name.into(), need: Need::Required, generate };
        let site = SiteNeeds {
            database: Some(Need::Required),
            alert: Some(Need::Recommended),
            values: vec![value("licence", false), value("cookie", true)],
            ..SiteNeeds::default()
        };
        Requirements { site, ..Requirements::default() }
    }

    #[test]
    fn each_part_that_is_missing_is_told_by_its_name() {
        let found = Recorded::new().run("site.fields", &needs(), Some(&Site::default())).unwrap();
        let states: Vec<_> = found.iter().map(|one| (one.subject.clone().unwrap(), one.state)).collect();
        let expected = [
            ("database".into(), State::Fail),
            ("alert".into(), State::Warn),
            ("values.licence".into(), State::Fail),
            ("values.cookie".into(), State::Pass),
        ];
        assert_eq!(states, expected);
        assert!(found[0].remedy.as_ref().unwrap().contains("add `database` to site.toml"));
    }

    #[test]
    fn what_is_given_passes_and_is_not_shown() {
        let mut site = Site::default();
        site.values.insert("licence".into(), "canary".into());
        let found = Recorded::new().run("site.fields", &needs(), Some(&site)).unwrap();
        assert_eq!(found[2].state, State::Pass);
        assert!(!format!("{found:?}").contains("canary"));
    }

    #[test]
    fn an_appliance_that_needs_a_part_needs_a_site() {
        let found = Recorded::new().run("site.configuration", &needs(), None).unwrap();
        assert_eq!(found[0].state, State::Fail);
        assert!(found[0].remedy.as_ref().unwrap().contains("put site.toml on"), "{found:?}");
        let none = Recorded::new().run("site.configuration", &Requirements::default(), None).unwrap();
        assert_eq!(none[0].state, State::NotApplicable);
    }
}
