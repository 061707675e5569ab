//! `tls.chain`: from the server's certificate to a trusted root.

use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, UnixTime};
use webpki::{EndEntityCert, KeyUsage, anchor_from_trusted_cert};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::{GeneralName, ParsedExtension};
use x509_parser::oid_registry::OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS;

use super::material::{authorities, called, certificates, certificates_in, parse, put};
use super::self_signed::{self, signed_by};
use crate::check::{Context, CouldNotRun, Finding};
use crate::facts::Machine;
use crate::site::{AUTHORITY, CERTIFICATE};

const REQUIRED: &str =
    "the server's certificate first, each signed by the next, the last by a trusted root (system's or ca.crt)";

/// Where distributions keep the roots that they trust, PEM: Debian, Ubuntu, Arch and Nix; AlmaLinux and Fedora; SUSE; BSD
/// and macOS.
const STORES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

pub(super) fn run(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let given = certificates(context)?;
    let given: Vec<X509Certificate<'_>> = given.iter().map(|der| parse(der)).collect::<Result<_, _>>()?;
    let roots = roots(context)?;
    let trusted: Vec<X509Certificate<'_>> = roots.iter().filter_map(|der| parse(der).ok()).collect();
    let path = path(&given)?;
    let last = path.last().copied().unwrap_or_default();
    let root = root_of(&given[last], &trusted)?;
    let leaf = &given[path[0]];
    let finding = if path.iter().copied().ne(0..path.len()) {
        out_of_order(context, &given, &path)
    } else if root.is_none() && path.len() == 1 && self_signed::is(leaf)? {
        Finding::not_applicable(format!("{} is signed by itself: see tls.self_signed", called(leaf.subject())))
    } else if let Some(root) = root {
        let along: Vec<&X509Certificate<'_>> = path.iter().map(|index| &given[*index]).collect();
        match refused(&along, &roots)? {
            Some(why) => {
                Finding::fail(why, REQUIRED, put(context, CERTIFICATE, "a certificate that is made for servers"))
            }
            None => whole(context, &given, &path, root),
        }
    } else {
        missing(context, &given[last])
    };
    Ok(vec![finding])
}

/// `tls.public`: the same by the system's roots alone.
pub(super) fn public(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    const REQUIRED: &str = "signed by an authority that every phone knows";
    let given = certificates(context)?;
    let given: Vec<X509Certificate<'_>> = given.iter().map(|der| parse(der)).collect::<Result<_, _>>()?;
    let roots = system_roots(context.machine)?;
    if roots.is_empty() {
        let what = format!("there are no roots that the system trusts: none of {} is there", STORES.join(", "));
        return Err(CouldNotRun::new(what, "install the package ca-certificates"));
    }
    let trusted: Vec<X509Certificate<'_>> = roots.iter().filter_map(|der| parse(der).ok()).collect();
    let last = path(&given)?.last().copied().unwrap_or_default();
    Ok(vec![match root_of(&given[last], &trusted)? {
        Some(root) => Finding::pass(format!("signed by {}", called(root.subject())), REQUIRED),
        None => Finding::warn(
            format!("signed by {}, whom phones do not know: they will refuse it", called(given[last].issuer())),
            REQUIRED,
            put(context, CERTIFICATE, "a certificate of a public authority"),
        ),
    }])
}

/// The roots to trust, in DER: the system's and the site's own.
pub(in crate::checks) fn roots(context: &Context<'_>) -> Result<Vec<Vec<u8>>, CouldNotRun> {
    let mut roots = system_roots(context.machine)?;
    roots.extend(authorities(context)?);
    if roots.is_empty() {
        return Err(CouldNotRun::new(
            format!(
                "there are no roots to trust: none of {} is there, and the site brings no {AUTHORITY}",
                STORES.join(", ")
            ),
            format!(
                "install the package ca-certificates, or {}",
                put(context, AUTHORITY, "your authority's certificate")
            ),
        ));
    }
    Ok(roots)
}

fn system_roots(machine: &Machine) -> Result<Vec<Vec<u8>>, CouldNotRun> {
    for store in STORES.map(|store| machine.path(store)) {
        match std::fs::read(&store) {
            Ok(bytes) => return Ok(certificates_in(&bytes)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(error) => {
                let what = format!("reading the trusted roots {}: {error}", store.display());
                return Err(CouldNotRun::new(what, format!("look at it as root: ls -l {}", store.display())));
            }
        }
    }
    Ok(Vec::new())
}

/// The way from the server's certificate (the first that is no authority's) to the last whose issuer is not in the file,
/// by places in the file. Never empty where `given` is not.
fn path(given: &[X509Certificate<'_>]) -> Result<Vec<usize>, CouldNotRun> {
    let start = given.iter().position(|certificate| !certificate.is_ca()).unwrap_or(0);
    let mut path = vec![start];
    loop {
        let current = &given[path[path.len() - 1]];
        if current.issuer().as_raw() == current.subject().as_raw() {
            return Ok(path);
        }
        let mut next = None;
        for (index, candidate) in given.iter().enumerate() {
            let named = candidate.subject().as_raw() == current.issuer().as_raw();
            if named && next.is_none() && !path.contains(&index) && signed_by(current, candidate)? {
                next = Some(index);
            }
        }
        match next {
            Some(index) => path.push(index),
            None => return Ok(path),
        }
    }
}

/// The trusted root that `last` is, or that signed it.
fn root_of<'a>(
    last: &X509Certificate<'_>,
    trusted: &'a [X509Certificate<'a>],
) -> Result<Option<&'a X509Certificate<'a>>, CouldNotRun> {
    if let Some(same) = trusted.iter().find(|root| root.as_raw() == last.as_raw()) {
        return Ok(Some(same));
    }
    for root in trusted.iter().filter(|root| root.subject().as_raw() == last.issuer().as_raw()) {
        if signed_by(last, root)? {
            return Ok(Some(root));
        }
    }
    Ok(None)
}

fn names(given: &[X509Certificate<'_>], places: impl IntoIterator<Item = usize>) -> String {
    let names: Vec<String> = places.into_iter().map(|index| called(given[index].subject())).collect();
    names.join(", ")
}

fn out_of_order(context: &Context<'_>, given: &[X509Certificate<'_>], path: &[usize]) -> Finding {
    Finding::fail(
        format!("{CERTIFICATE} is out of order: {}", names(given, 0..given.len())),
        format!("each followed by the one that signed it: {}", names(given, path.iter().copied())),
        put(context, CERTIFICATE, "the same certificates in that order"),
    )
}

fn missing(context: &Context<'_>, last: &X509Certificate<'_>) -> Finding {
    let (who, issuer) = (called(last.subject()), called(last.issuer()));
    if last.issuer().as_raw() == last.subject().as_raw() {
        let remedy = put(context, AUTHORITY, &format!("the certificate {who}, if this is your own authority,"));
        return Finding::fail(format!("ends at {who}, a root that is not trusted"), REQUIRED, remedy);
    }
    let from = published(last).map(|url| format!(" ({url} has it)")).unwrap_or_default();
    let remedy = put(context, CERTIFICATE, &format!("the certificate of {issuer}{from} after that of {who}"));
    Finding::fail(
        format!("a link is missing: {issuer}, which signed {who}"),
        REQUIRED,
        format!("{remedy}; if it is your own root, into {AUTHORITY} instead"),
    )
}

/// Where the issuer's certificate can be had, as the certificate says (RFC 5280 §4.2.2.1).
fn published(certificate: &X509Certificate<'_>) -> Option<String> {
    certificate.extensions().iter().find_map(|extension| match extension.parsed_extension() {
        ParsedExtension::AuthorityInfoAccess(access) => {
            access.accessdescs.iter().find_map(|one| match &one.access_location {
                GeneralName::URI(url) if one.access_method == OID_PKIX_ACCESS_DESCRIPTOR_CA_ISSUERS => {
                    Some((*url).to_owned())
                }
                _ => None,
            })
        }
        _ => None,
    })
}

/// Why a client refuses the path whose signatures hold, if it does: key usages, constraints, lengths (RFC 5280 §6). It is
/// judged at a moment at which all certificates are valid, since dates are another check's.
fn refused(along: &[&X509Certificate<'_>], roots: &[Vec<u8>]) -> Result<Option<String>, CouldNotRun> {
    let leaf = along[0];
    let begin = along.iter().map(|certificate| certificate.validity().not_before.timestamp()).max().unwrap_or_default();
    let end = along.iter().map(|certificate| certificate.validity().not_after.timestamp()).min().unwrap_or_default();
    if begin > end {
        return Ok(Some("the certificates of the chain are never valid at the same time".into()));
    }
    if roots.iter().any(|root| root == leaf.as_raw()) {
        return Ok(None);
    }
    let ders: Vec<CertificateDer<'_>> =
        along.iter().map(|certificate| CertificateDer::from(certificate.as_raw())).collect();
    let roots: Vec<CertificateDer<'_>> = roots.iter().map(|root| CertificateDer::from(root.as_slice())).collect();
    let anchors: Vec<_> = roots.iter().filter_map(|root| anchor_from_trusted_cert(root).ok()).collect();
    let moment = UnixTime::since_unix_epoch(std::time::Duration::from_secs(u64::try_from(begin).unwrap_or_default()));
    let algorithms = ring::default_provider().signature_verification_algorithms.all;
    let judged = EndEntityCert::try_from(&ders[0]).and_then(|entity| {
        entity
            .verify_for_usage(algorithms, &anchors, &ders[1..], moment, KeyUsage::server_auth(), None, None)
            .map(|_| ())
    });
    let who = called(leaf.subject());
    Ok(judged.err().map(|error| match error {
        webpki::Error::CaUsedAsEndEntity => format!("{who} is an authority's certificate (CA:TRUE), not a server's"),
        webpki::Error::RequiredEkuNotFoundContext(_) => {
            format!("{who} is not for servers: its extended key usage lacks serverAuth")
        }
        webpki::Error::NameConstraintViolation => {
            format!("an authority of the chain is not allowed to sign for {who}'s names")
        }
        webpki::Error::PathLenConstraintViolated => {
            "an authority of the chain is not allowed to sign other authorities".into()
        }
        webpki::Error::EndEntityUsedAsCa => {
            "a certificate of the chain is no authority's (CA:FALSE), and signed another".into()
        }
        other => format!("clients refuse the chain: {other:?}"),
    }))
}

fn whole(context: &Context<'_>, given: &[X509Certificate<'_>], path: &[usize], root: &X509Certificate<'_>) -> Finding {
    let observed = format!("{}, to the root {}", names(given, path.iter().copied()), called(root.subject()));
    if given.len() == path.len() {
        return Finding::pass(observed, REQUIRED);
    }
    let others = names(given, (0..given.len()).filter(|index| !path.contains(index)));
    let remedy = put(context, CERTIFICATE, &format!("the same without {others}"));
    Finding::warn(format!("{observed}; does not belong to the chain: {others}"), REQUIRED, remedy)
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Authority, Made, Scene};
    use super::*;
    use crate::check::State;

    fn told(scene: &Scene) -> (State, String, String) {
        let found = run(&scene.context()).unwrap().remove(0);
        (found.state, found.observed, found.remedy.unwrap_or_default())
    }

    #[test]
    fn a_chain_to_the_sites_own_authority_or_the_systems_passes() {
        let root = Authority::root("Root");
        let middle = root.intermediate("Middle");
        let chain = || Scene::new().with_chain(&middle.leaf("a.example"), &[&middle]);
        let (state, observed, _) = told(&chain().file(AUTHORITY, &root.certificate_pem()));
        assert_eq!((state, observed.as_str()), (State::Pass, "CN=a.example, CN=Middle, to the root CN=Root"));
        assert_eq!(told(&chain().system_root(&root)).0, State::Pass);
        let with_root = Scene::new().with_chain(&middle.leaf("a.example"), &[&middle, &root]).system_root(&root);
        assert_eq!(told(&with_root).0, State::Pass);
    }

    #[test]
    fn only_an_authority_of_the_systems_is_public() {
        let told = |scene: &Scene| {
            let found = public(&scene.context()).unwrap().remove(0);
            (found.state, found.observed)
        };
        let (root, other) = (Authority::root("Root"), Authority::root("Other"));
        let middle = root.intermediate("Middle");
        let chain =
            || Scene::new().with_chain(&middle.leaf("a.example"), &[&middle]).file(AUTHORITY, &root.certificate_pem());
        assert_eq!(told(&chain().system_root(&root)), (State::Pass, "signed by CN=Root".to_owned()));
        let (state, observed) = told(&chain().system_root(&other));
        assert!(state == State::Warn && observed.contains("CN=Root, whom phones do not know"), "{observed}");
        let own = Scene::new().with(&Made::self_signed("a.example")).system_root(&other);
        assert_eq!(told(&own).0, State::Warn);
        assert!(public(&chain().context()).is_err());
    }

    #[test]
    fn a_missing_link_is_named() {
        let root = Authority::root("Root");
        let leaf = root.intermediate("Middle").leaf("a.example");
        let (state, observed, remedy) = told(&Scene::new().with(&leaf).system_root(&root));
        assert_eq!(
            (state, observed.as_str()),
            (State::Fail, "a link is missing: CN=Middle, which signed CN=a.example")
        );
        assert!(remedy.contains("the certificate of CN=Middle after that of CN=a.example"), "{remedy}");
    }

    #[test]
    fn an_authority_of_the_same_name_with_another_key_is_not_the_link() {
        let (root, leaf) = (Authority::root("Root"), Authority::root("Root").leaf("a.example"));
        let (state, observed, _) = told(&Scene::new().with(&leaf).system_root(&root));
        assert_eq!(state, State::Fail, "{observed}");
        assert!(observed.contains("CN=Root, which signed"), "{observed}");
    }

    #[test]
    fn a_root_that_nobody_trusts_is_named() {
        let own = Authority::root("Own");
        let scene = Scene::new().with_chain(&own.leaf("a.example"), &[&own]).system_root(&Authority::root("Other"));
        let (state, observed, remedy) = told(&scene);
        assert_eq!((state, observed.as_str()), (State::Fail, "ends at CN=Own, a root that is not trusted"));
        assert!(remedy.contains("ca.crt"), "{remedy}");
    }

    #[test]
    fn a_chain_out_of_order_is_told_with_the_right_order() {
        let root = Authority::root("Root");
        let middle = root.intermediate("Middle");
        let text = format!("{}{}", middle.certificate_pem(), middle.leaf("a.example").certificate_pem());
        let found = run(&Scene::new().file(CERTIFICATE, &text).system_root(&root).context()).unwrap().remove(0);
        assert_eq!(found.state, State::Fail);
        assert!(found.observed.contains("out of order: CN=Middle, CN=a.example"), "{}", found.observed);
        assert!(found.required.ends_with("CN=a.example, CN=Middle"), "{}", found.required);
    }

    #[test]
    fn a_certificate_that_does_not_belong_warns() {
        let root = Authority::root("Root");
        let scene = Scene::new().with_chain(&root.leaf("a.example"), &[&Authority::root("Stray")]).system_root(&root);
        let (state, observed, _) = told(&scene);
        assert_eq!(state, State::Warn);
        assert!(observed.contains("does not belong to the chain: CN=Stray"), "{observed}");
    }

    #[test]
    fn a_self_signed_one_is_left_to_its_own_check_unless_it_is_trusted() {
        let own = Made::self_signed("a.example");
        let scene = || Scene::new().with(&own).system_root(&Authority::root("Root"));
        assert_eq!(told(&scene()).0, State::NotApplicable);
        assert_eq!(told(&scene().file(AUTHORITY, &own.certificate_pem())).0, State::Pass);
    }

    #[test]
    fn what_clients_refuse_although_the_signatures_hold_fails() {
        let root = Authority::root("Root");
        let client = root.leaf_for_clients("a.example");
        let (state, observed, _) = told(&Scene::new().with(&client).system_root(&root));
        assert_eq!(state, State::Fail);
        assert!(observed.contains("lacks serverAuth"), "{observed}");
        let (state, observed, _) = told(&Scene::new().with(&root.intermediate("Middle").made).system_root(&root));
        assert_eq!(state, State::Fail);
        assert!(observed.contains("CA:TRUE"), "{observed}");
    }

    #[test]
    fn an_expired_chain_is_still_a_chain() {
        let root = Authority::root("Root");
        let scene = Scene::new().with(&root.leaf_between("a.example", 2001, 2002)).system_root(&root);
        assert_eq!(told(&scene).0, State::Pass);
    }

    #[test]
    fn without_any_root_there_is_no_verdict() {
        let scene = Scene::new().with(&Authority::root("Root").leaf("a.example"));
        let error = run(&scene.context()).unwrap_err();
        assert!(error.remedy.contains("ca-certificates"), "{}", error.what);
    }
}
