//! TLS over a connection that is there.

use std::net::TcpStream;
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};

use super::Obstacle;
use super::http::{of_io, of_tls};

/// The connection `stream` to `host`, by TLS as far as its first handshake; the server's certificate is judged by `roots`.
pub(crate) fn secured(
    mut stream: TcpStream,
    host: &str,
    roots: &[Vec<u8>],
) -> Result<StreamOwned<ClientConnection, TcpStream>, Obstacle> {
    let mut store = RootCertStore::empty();
    // As the judging of the site's own chain does: one that rustls can't use trusts nobody.
    store.add_parsable_certificates(roots.iter().map(|der| CertificateDer::from_slice(der)));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let config = builder.map_err(|error| of_tls(&error))?.with_root_certificates(store).with_no_client_auth();
    let name = ServerName::try_from(host.to_owned()).map_err(|error| Obstacle::Answer(format!("TLS: {error}")))?;
    let mut connection = ClientConnection::new(Arc::new(config), name).map_err(|error| of_tls(&error))?;
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).map_err(|error| match of_io(&error) {
            Obstacle::Connection(said) => Obstacle::Answer(format!("TLS: {said}")),
            other => other,
        })?;
    }
    Ok(StreamOwned::new(connection, stream))
}
