//! The certificate that the site brings: on the machine, and on the admin's own computer by `firstlight site check`.

mod chain;
mod files;
mod material;
mod names;
mod pair;
mod self_signed;
#[cfg(test)]
mod testing;
mod validity;

pub(super) use chain::roots as trusted_roots;
pub(super) use material::put;

use crate::appliance::Appliance;
use crate::check::{Check, Phase};

const BOTH: &[Phase] = &[Phase::Admission, Phase::Acceptance];

fn applies(appliance: &Appliance) -> bool {
    appliance.requirements.tls.is_some()
}

/// The checks of this file.
pub const CHECKS: &[Check] = &[
    Check {
        id: "tls.files",
        title: "certificate and key are there and readable",
        phases: BOTH,
        after: &["site.configuration"],
        documentation: "The site's tls.crt holds certificates in PEM, tls.key one private key in PEM without a passphrase, and \
                        ca.crt, where there is one, certificates in PEM. Fails where a file is missing, is of another kind \
                        (swapped files, an encrypted key, DER, PKCS #12, a signing request are named as such), or where others \
                        than root may read the key. Could not run where a file is there and can't be read.",
        applies,
        run: files::run,
    },
    Check {
        id: "tls.pair",
        title: "the key belongs to the certificate",
        phases: BOTH,
        after: &["tls.files"],
        documentation: "Signs a message with tls.key and verifies the signature by the first certificate of tls.crt. Fails where \
                        it does not verify. Could not run for keys other than RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, \
                        and Ed25519.",
        applies,
        run: pair::run,
    },
    Check {
        id: "tls.chain",
        title: "the certificate leads to a trusted root",
        phases: BOTH,
        after: &["tls.files"],
        documentation: "tls.crt begins with the server's certificate, each is signed by the next, and the last by a root of the \
                        system's store or of the site's ca.crt; then the whole path is validated as a client does (RFC 5280). \
                        Fails and names the link that is missing, or the right order. Dates are left to tls.validity, and a \
                        certificate that signs itself to tls.self_signed. Could not run where there are no roots at all, or for \
                        signature algorithms that it can't verify.",
        applies,
        run: chain::run,
    },
    Check {
        id: "tls.public",
        title: "an authority that every client knows",
        phases: BOTH,
        after: &["tls.files"],
        documentation: "Where the recipe says that clients know none but public authorities, as phones do: the last certificate \
                        of tls.crt is signed by a root of the system's store alone. Any other authority, the site's ca.crt too, \
                        and a certificate that signs itself, warn. Could not run where the system has no roots, or for signature \
                        algorithms that it can't verify.",
        applies: |appliance| appliance.requirements.tls.as_ref().is_some_and(|tls| tls.public),
        run: chain::public,
    },
    Check {
        id: "tls.self_signed",
        title: "the certificate is not signed by itself",
        phases: BOTH,
        after: &["tls.files"],
        documentation: "A certificate that signs itself is trusted by no client of its own accord. Fails in mode `production`, \
                        warns in mode `test`. Could not run for signature algorithms that it can't verify.",
        applies,
        run: self_signed::run,
    },
    Check {
        id: "tls.names",
        title: "the certificate covers the names in use",
        phases: BOTH,
        after: &["tls.files"],
        documentation: "Each of the site's `names`, or where there are none its `hostname`, is among the certificate's subject \
                        alternative names; a wildcard stands for exactly one whole label, the first (RFC 9525); the common name \
                        does not count. Where the recipe says that the appliance is reached by address, its fixed addresses must \
                        be there as IP addresses. Could not run where the site gives no name.",
        applies,
        run: names::run,
    },
    Check {
        id: "tls.validity",
        title: "the certificate is valid now and for some time",
        phases: BOTH,
        after: &["tls.files", "time.synchronised"],
        documentation: "For every certificate of tls.crt: fails before its first and after its last day; warns within the \
                        recipe's `warn_days` of its end. Waits until the clock is trusted. Could not run where a date can't be read.",
        applies,
        run: validity::run,
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_appliance_without_tls_asks_for_none_of_them() {
        let mut appliance = testing::appliance();
        let asked = |check: &&Check| (check.applies)(&appliance);
        let others: Vec<&str> = CHECKS.iter().filter(|check| !asked(check)).map(|check| check.id).collect();
        assert_eq!(others, ["tls.public"]);
        appliance.requirements.tls = None;
        assert!(!CHECKS.iter().any(|check| (check.applies)(&appliance)));
    }

    #[test]
    fn all_but_the_first_wait_for_the_files_and_dates_for_the_clock() {
        assert!(CHECKS[1..].iter().all(|check| check.after.contains(&"tls.files")));
        assert_eq!(CHECKS.last().map(|check| check.after), Some(["tls.files", "time.synchronised"].as_slice()));
    }
}
