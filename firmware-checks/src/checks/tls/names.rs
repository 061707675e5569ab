//! `tls.names`: the certificate covers the names and addresses under which clients come (RFC 9525, before it RFC 6125).

use std::net::IpAddr;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use super::material::{certificates, parse, put, requirement};
use crate::check::{Context, CouldNotRun, Finding};
use crate::site::{CERTIFICATE, CONFIGURATION, Site, interface_address};

pub(super) fn run(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let certificates = certificates(context)?;
    let leaf = parse(certificates.first().map_or(&[][..], Vec::as_slice))?;
    let covered = Covered::of(&leaf);
    let wanted = wanted(context.site)?;
    let mut findings: Vec<Finding> = wanted.iter().map(|name| judge_name(context, name, &covered)).collect();
    if requirement(context).reached_by_address {
        findings.extend(judge_addresses(context, &covered));
    }
    Ok(findings)
}

/// The names under which clients come.
fn wanted(site: Option<&Site>) -> Result<Vec<String>, CouldNotRun> {
    let names = site.map(|site| match site.names.as_slice() {
        [] => site.hostname.iter().cloned().collect(),
        names => names.to_vec(),
    });
    names.filter(|names| !names.is_empty()).ok_or_else(|| {
        CouldNotRun::new(
            "the site says no name under which clients come",
            format!("set `hostname`, or `names` where clients use others, in {CONFIGURATION}"),
        )
    })
}

/// What a certificate says it stands for.
struct Covered {
    names: Vec<String>,
    addresses: Vec<IpAddr>,
    common: Option<String>,
}

impl Covered {
    fn of(leaf: &X509Certificate<'_>) -> Self {
        let alternative = leaf.subject_alternative_name().ok().flatten();
        let all = alternative.map(|extension| extension.value.general_names.as_slice()).unwrap_or_default();
        let names = all.iter().filter_map(|name| match name {
            GeneralName::DNSName(name) => Some((*name).to_owned()),
            _ => None,
        });
        let addresses = all.iter().filter_map(|name| match name {
            GeneralName::IPAddress(bytes) => address(bytes),
            _ => None,
        });
        let common = leaf.subject().iter_common_name().next().and_then(|name| name.as_str().ok());
        Self { names: names.collect(), addresses: addresses.collect(), common: common.map(str::to_owned) }
    }

    /// For a report.
    fn words(&self) -> String {
        let addresses = self.addresses.iter().map(ToString::to_string);
        let all: Vec<String> = self.names.iter().cloned().chain(addresses).collect();
        match (all.as_slice(), &self.common) {
            ([], Some(common)) => {
                format!("no subject alternative names; its common name {common} does not count (RFC 9525)")
            }
            ([], None) => "no names at all".into(),
            (all, _) => all.join(", "),
        }
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(bytes).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}

/// Whether the certificate's name `pattern` stands for the host name `name`: letters of either case are the same; a `*`
/// stands for one label, and only where it is the whole first one and at least two labels follow (RFC 9525 §6.3).
fn matches(pattern: &str, name: &str) -> bool {
    let (pattern, name) = (pattern.to_ascii_lowercase(), name.trim_end_matches('.').to_ascii_lowercase());
    match pattern.strip_prefix("*.") {
        Some(rest) if rest.contains('*') || !rest.contains('.') => false,
        Some(rest) => name.split_once('.').is_some_and(|(first, parent)| !first.is_empty() && parent == rest),
        None => !pattern.contains('*') && pattern == name,
    }
}

fn judge_name(context: &Context<'_>, name: &str, covered: &Covered) -> Finding {
    let required = format!("a certificate for {name}");
    if let Some(pattern) = covered.names.iter().find(|pattern| matches(pattern, name)) {
        return Finding::pass(format!("covered by {pattern}"), required).about(name);
    }
    let wildcard =
        covered.names.iter().find(|pattern| pattern.contains('*')).map(|pattern| {
            format!(" ({pattern} stands for exactly one label before the rest, and so not for this name)")
        });
    let observed = format!("the certificate is for {}{}", covered.words(), wildcard.unwrap_or_default());
    let remedy = put(context, CERTIFICATE, &format!("a certificate with the subject alternative name DNS:{name}"));
    let remedy = format!("{remedy}; or if clients use another name, set `names` in {CONFIGURATION}");
    Finding::fail(observed, required, remedy).about(name)
}

fn judge_addresses(context: &Context<'_>, covered: &Covered) -> Vec<Finding> {
    let texts: Vec<&str> = context.site.into_iter().flat_map(|site| site.network.addresses()).collect();
    if texts.is_empty() {
        return vec![Finding::fail(
            "the site's address comes from DHCP, and can change",
            "a fixed address that the certificate names, since clients reach this appliance by its address",
            format!("set [network.static] in {CONFIGURATION}, and have that address in the certificate"),
        )];
    }
    let own = texts.into_iter().filter_map(|text| interface_address(text).ok()).map(|(address, _)| address);
    own.map(|address| {
        let required = format!("a certificate for {address}, since clients reach this appliance by its address");
        let finding = if covered.addresses.contains(&address) {
            Finding::pass("covered", required)
        } else {
            let what = format!("a certificate with the subject alternative name IP:{address}");
            Finding::fail(
                format!("the certificate is for {}", covered.words()),
                required,
                put(context, CERTIFICATE, &what),
            )
        };
        finding.about(address.to_string())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Authority, Scene};
    use super::*;
    use crate::check::State;
    use crate::site::Addressing;

    #[test]
    fn wildcards_stand_for_one_whole_first_label() {
        for (pattern, name) in [
            ("a.example", "a.example"),
            ("A.Example", "a.eXample"),
            ("*.clinic.example", "a.clinic.example"),
            ("a.example", "a.example."),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("*.clinic.example", "clinic.example"),
            ("*.clinic.example", "a.b.clinic.example"),
            ("*.clinic.example", ".clinic.example"),
            ("*.example", "a.example"),
            ("*", "a"),
            ("a*.clinic.example", "ab.clinic.example"),
            ("a.*.example", "a.b.example"),
            ("*.*.example.org", "a.b.example.org"),
            ("a.example", "b.example"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    fn states(scene: &Scene) -> Vec<State> {
        run(&scene.context()).unwrap().iter().map(|finding| finding.state).collect()
    }

    fn scene(names: &[&str]) -> Scene {
        let mut scene = Scene::new().with(&Authority::root("Root").leaf_for("cn.example", names));
        scene.site().hostname = Some("rack7.clinic.example".into());
        scene
    }

    #[test]
    fn the_host_name_counts_unless_clients_use_others() {
        assert_eq!(states(&scene(&["rack7.clinic.example"])), [State::Pass]);
        assert_eq!(states(&scene(&["*.clinic.example"])), [State::Pass]);
        let mut other = scene(&["imaging.example"]);
        assert_eq!(states(&other), [State::Fail]);
        other.site().names = vec!["imaging.example".into(), "pacs.example".into()];
        assert_eq!(states(&other), [State::Pass, State::Fail]);
    }

    #[test]
    fn a_common_name_alone_does_not_count_and_is_told_so() {
        let mut scene = scene(&[]);
        scene.site().hostname = Some("cn.example".into());
        let found = run(&scene.context()).unwrap().remove(0);
        assert_eq!(found.state, State::Fail);
        assert!(found.observed.contains("common name cn.example does not count"), "{}", found.observed);
    }

    #[test]
    fn addresses_count_where_clients_come_by_them() {
        let mut scene = scene(&["rack7.clinic.example", "10.3.7.12"]);
        scene.tls().reached_by_address = true;
        assert_eq!(states(&scene), [State::Pass, State::Fail], "an address by DHCP");
        let fixed = |addresses: &[&str]| Addressing {
            addresses: addresses.iter().map(ToString::to_string).collect(),
            gateway: None,
            dns: Vec::new(),
        };
        scene.site().network.fixed = Some(fixed(&["10.3.7.12/24"]));
        assert_eq!(states(&scene), [State::Pass, State::Pass]);
        scene.site().network.fixed = Some(fixed(&["10.3.7.13/24"]));
        assert_eq!(states(&scene), [State::Pass, State::Fail]);
    }

    #[test]
    fn an_address_written_as_a_name_does_not_count() {
        let mut scene = scene(&["rack7.clinic.example"]);
        scene.site().hostname = Some("10-3-7-12.example".into());
        assert_eq!(states(&scene), [State::Fail]);
    }

    #[test]
    fn without_a_name_to_compare_with_there_is_no_verdict() {
        let mut scene = scene(&["rack7.clinic.example"]);
        scene.site().hostname = None;
        assert!(run(&scene.context()).unwrap_err().remedy.contains("hostname"));
    }
}
