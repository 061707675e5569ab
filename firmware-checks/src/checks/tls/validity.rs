//! `tls.validity`: now, and for some days to come.

use jiff::{SignedDuration, Timestamp};
use x509_parser::time::ASN1Time;

use super::material::{called, certificates, parse, put, requirement};
use crate::check::{Context, CouldNotRun, Finding};
use crate::site::CERTIFICATE;

pub(super) fn run(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let warn_days = requirement(context).warn_days;
    certificates(context)?.iter().map(|der| judge(context, der, warn_days)).collect()
}

fn judge(context: &Context<'_>, der: &[u8], warn_days: u32) -> Result<Finding, CouldNotRun> {
    let certificate = parse(der)?;
    let who = called(certificate.subject());
    let begins = timestamp(&certificate.validity().not_before)?;
    let ends = timestamp(&certificate.validity().not_after)?;
    let required = format!("valid now and for {warn_days} more days");
    let renewed = || put(context, CERTIFICATE, &format!("a renewed certificate for {who}"));
    let left = ends.duration_since(context.now);
    let days = left.as_secs() / (24 * 3600);
    let finding = if context.now < begins {
        let remedy = format!("see that the clock is right (it says {}); else {}", context.now, renewed());
        Finding::fail(format!("not valid before {begins}"), required, remedy)
    } else if context.now > ends {
        Finding::fail(format!("expired on {ends}"), required, renewed())
    } else if left < SignedDuration::from_hours(24 * i64::from(warn_days)) {
        Finding::warn(format!("expires on {ends}, in {days} days"), required, renewed())
    } else {
        Finding::pass(format!("valid until {ends}, for {days} days"), required)
    };
    Ok(finding.about(who))
}

fn timestamp(time: &ASN1Time) -> Result<Timestamp, CouldNotRun> {
    Timestamp::from_second(time.timestamp()).map_err(|error| {
        CouldNotRun::new(
            format!("reading the date {time} of a certificate: {error}"),
            "ask the authority for another certificate",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Authority, Scene};
    use super::*;
    use crate::check::State;

    /// What is found at `now` of a certificate for the years 2020 to 2029.
    fn at(now: &str) -> Finding {
        let mut scene = Scene::new().with(&Authority::root("Root").leaf_between("a.example", 2020, 2030));
        scene.now = now.parse().unwrap();
        run(&scene.context()).unwrap().remove(0)
    }

    #[test]
    fn dates_are_judged_to_the_second() {
        for (now, state) in [
            ("2019-12-31T23:59:59Z", State::Fail),
            ("2020-01-01T00:00:00Z", State::Pass),
            ("2029-12-01T23:59:59Z", State::Pass),
            ("2029-12-02T00:00:01Z", State::Warn),
            ("2030-01-01T00:00:00Z", State::Warn),
            ("2030-01-01T00:00:01Z", State::Fail),
        ] {
            let found = at(now);
            assert_eq!(found.state, state, "{now}: {}", found.observed);
        }
        assert!(at("2019-12-31T00:00:00Z").remedy.unwrap().contains("clock"));
    }

    #[test]
    fn every_certificate_of_the_chain_is_judged() {
        let root = Authority::root("Root");
        let old = root.intermediate_between("Old", 2010, 2020);
        let scene = Scene::new().with_chain(&old.leaf("a.example"), &[&old]);
        let found = run(&scene.context()).unwrap();
        assert_eq!(found.iter().map(|finding| finding.state).collect::<Vec<_>>(), [State::Pass, State::Fail]);
        assert_eq!(found[1].subject.as_deref(), Some("CN=Old"));
    }

    #[test]
    fn a_file_that_went_away_is_not_a_verdict() {
        assert!(run(&Scene::new().context()).is_err());
    }
}
