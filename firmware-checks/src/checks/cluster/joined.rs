//! The server that the machine joins, asked as k3s asks before it sends its token: whose cluster is it, and does its certificate
//! hold (k3s documentation, "k3s token", "TLS Bootstrapping").

use sha2::{Digest, Sha256};
use url::Url;
use x509_parser::pem::Pem;

use crate::check::{Context, CouldNotRun, Finding};
use crate::checks::server::target::{Target, fail};
use crate::checks::server::{self, Asker, Obstacle};

/// What keeps the machine from joining.
#[derive(Debug)]
enum Trouble {
    /// It does not answer as a server of k3s does.
    Obstacle(Obstacle),
    /// It belongs to another cluster than the token: the digests of its authority and of the token's.
    Stranger { found: String, expected: String },
}

pub(super) fn run(context: &Context<'_>) -> Result<Vec<Finding>, CouldNotRun> {
    let cluster = context.site.and_then(|site| site.cluster.as_ref());
    let Some((server, token)) = cluster.and_then(|one| Some((one.server.as_deref()?, one.token.as_ref()?))) else {
        return Ok(vec![Finding::not_applicable("the machine joins no server")]);
    };
    let Some((url, host, port)) = place(server) else {
        // That is site.configuration's to tell.
        return Ok(vec![Finding::not_applicable("the site's address of the server is none")]);
    };
    let target = Target::new(&host, port, "a server of k3s", "`server` in [cluster]");
    Ok(vec![finding(context, &target, ask(&url, &host, port, token.expose()))])
}

/// The URL, host (of an IPv6 address without brackets) and port of `server`.
fn place(server: &str) -> Option<(Url, String, u16)> {
    let url = Url::parse(server).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let port = url.port_or_known_default()?;
    Some((url.join("/cacerts").ok()?, host, port))
}

fn finding(context: &Context<'_>, target: &Target<'_>, asked: Result<String, Trouble>) -> Finding {
    let place = target.place();
    let imported = "then sudo firmware-checks site import FOLDER";
    match asked {
        Ok(said) => target.finding(context, Ok(said), fail),
        Err(Trouble::Obstacle(Obstacle::Certificate(said))) => Finding::fail(
            format!("the certificate of {place} does not hold: {said}"),
            format!("a certificate of the cluster's authority for {}", target.host),
            format!(
                "see that the clocks of both machines are right; or name the server by what its certificate names, in [cluster] of \
                 site.toml, {imported}: openssl s_client -connect {place} </dev/null | openssl x509 -noout -ext subjectAltName"
            ),
        ),
        Err(Trouble::Obstacle(obstacle)) => target.finding(context, Err(obstacle), fail),
        Err(Trouble::Stranger { found, expected }) => Finding::fail(
            format!(
                "{place} is of another cluster than the token: its authority is {found}, the token's is {expected}"
            ),
            "a server of the token's cluster",
            format!(
                "correct `token` in [cluster] of site.toml (on the server: sudo cat /var/lib/rancher/k3s/server/token), or `server`, \
                 {imported}"
            ),
        ),
    }
}

/// Asks the server at `host` and `port`, whose authorities are at `url`.
fn ask(url: &Url, host: &str, port: u16, token: &str) -> Result<String, Trouble> {
    let bundle = Asker::of_anybody().fetch(url).map_err(Trouble::Obstacle)?;
    let authorities: Vec<Vec<u8>> = Pem::iter_from_buffer(&bundle)
        .filter_map(Result::ok)
        .filter(|block| block.label == "CERTIFICATE")
        .map(|block| block.contents)
        .collect();
    if authorities.is_empty() {
        let said = format!("what it has at {} holds no certificate, as a server of k3s has it", url.path());
        return Err(Trouble::Obstacle(Obstacle::Answer(said)));
    }
    if let Some(expected) = authority(token) {
        // Of an authority that k3s made, the file's digest; of one that it was given, the certificate's.
        let mut digests = authorities.iter().chain([&bundle]).map(|bytes| hex::encode(Sha256::digest(bytes)));
        if !digests.any(|digest| digest.eq_ignore_ascii_case(expected)) {
            let short = |digest: &str| format!("sha256:{}…", &digest[..12]);
            let found = short(&hex::encode(Sha256::digest(&bundle)));
            return Err(Trouble::Stranger { found, expected: short(expected) });
        }
    }
    let secured = server::connect(host, port).and_then(|stream| server::secured(stream, host, &authorities));
    secured.map_err(Trouble::Obstacle)?;
    Ok(match authority(token) {
        Some(_) => "it is of the token's cluster".to_owned(),
        None => "the token does not say of which cluster it is".to_owned(),
    })
}

/// The digest of the cluster's authority in a token of the secure format, `K10DIGEST::CREDENTIALS`; a short one has none.
fn authority(token: &str) -> Option<&str> {
    let (digest, _) = token.strip_prefix("K10")?.split_once("::")?;
    (digest.len() == 64 && digest.bytes().all(|byte| byte.is_ascii_hexdigit())).then_some(digest)
}

#[cfg(test)]
mod tests {
    use std::io::Write;
    use std::net::TcpListener;

    use super::*;
    use crate::checks::server::fixture::{secure_with, served};

    fn asked(port: u16, host: &str, token: &str) -> Result<String, Trouble> {
        let (url, host, port) = place(&format!("https://{host}:{port}")).unwrap();
        ask(&url, &host, port, token)
    }

    /// A server whose certificate is for `name`, and the digests of its authority's file and certificate.
    fn k3s(name: &str) -> (u16, [String; 2]) {
        let (root, port) = secure_with(name, 2099, str::to_owned);
        (port, [root.pem().as_bytes(), root.der()].map(|bytes| hex::encode(Sha256::digest(bytes))))
    }

    #[test]
    fn a_server_of_the_tokens_cluster_is_joined() {
        let (port, digests) = k3s("127.0.0.1");
        for digest in digests {
            let token = format!("K10{digest}::server:canary");
            assert_eq!(asked(port, "127.0.0.1", &token).unwrap(), "it is of the token's cluster");
        }
        let short = asked(port, "127.0.0.1", "canary-0123456789").unwrap();
        assert_eq!(short, "the token does not say of which cluster it is");
    }

    #[test]
    fn a_server_of_another_cluster_is_told_from_one_that_is_none() {
        let (port, _) = k3s("127.0.0.1");
        let token = format!("K10{}::server:canary", "0".repeat(64));
        match asked(port, "127.0.0.1", &token).unwrap_err() {
            Trouble::Stranger { found, expected } => {
                assert!(found.starts_with("sha256:") && expected == "sha256:000000000000…", "{found}, {expected}");
            }
            other => panic!("{other:?}"),
        }
        // Its name is not the one in its certificate.
        let (other, _) = k3s("elsewhere.example");
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (_, empty) = secure_with("127.0.0.1", 2099, |_| String::new());
        for (port, words) in [
            (other, "Certificate(\"it is made out to another name"),
            (closed, "Connection(\"connection refused"),
            (empty, "holds no certificate"),
            (served(|mut stream| drop(stream.write_all(b"SSH-2.0-OpenSSH\r\n"))), "Answer("),
        ] {
            let told = format!("{:?}", asked(port, "127.0.0.1", "canary-0123456789").unwrap_err());
            assert!(told.contains(words), "{told}, expected {words}");
        }
    }

    #[test]
    fn only_a_token_in_the_secure_format_names_its_cluster() {
        let digest = "ab".repeat(32);
        assert_eq!(authority(&format!("K10{digest}::node:x")), Some(digest.as_str()));
        for short in ["K10abc::node:x", &digest, &format!("K10{digest}"), &format!("K10{}::x", "zz".repeat(32))] {
            assert_eq!(authority(short), None, "{short}");
        }
    }
}
