//! Servers of others: looked up, connected to and asked, and at which step that went wrong.

#[cfg(test)]
pub(super) mod fixture;
mod greeting;
mod http;
pub(super) mod target;
mod tls;

use std::io;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

pub(super) use self::greeting::Protocol;
pub(super) use self::http::{Answer, Asker};
pub(super) use self::tls::secured;
use crate::command;

/// How long one server is given altogether.
const LIMIT: Duration = Duration::from_secs(30);
/// How long a connection, or one word of the server, may take to come about, of this.
const CONNECT: Duration = Duration::from_secs(10);

/// The step that went wrong, and why.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Obstacle {
    /// A name has no address.
    Name { host: String, said: String },
    /// No connection came about, to the server or to the proxy on the way.
    Connection(String),
    /// The server's certificate is not to be trusted.
    Certificate(String),
    /// There was a connection, and no answer, or one of something else.
    Answer(String),
}

/// A connection to the first address of `host` that takes one.
pub(super) fn connect(host: &str, port: u16) -> Result<TcpStream, Obstacle> {
    let addresses = addresses(host).map_err(|said| Obstacle::Name { host: host.to_owned(), said })?;
    let mut last = None;
    for address in addresses {
        let connected = TcpStream::connect_timeout(&SocketAddr::new(address, port), CONNECT).and_then(|stream| {
            stream.set_read_timeout(Some(CONNECT))?;
            stream.set_write_timeout(Some(CONNECT))?;
            Ok(stream)
        });
        match connected {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.map_or_else(|| Obstacle::Connection("it has no address".to_owned()), |error| no_connection(&error)))
}

fn no_connection(error: &io::Error) -> Obstacle {
    match error.kind() {
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            Obstacle::Connection(format!("nothing came back within {} s", CONNECT.as_secs()))
        }
        _ => http::of_io(error),
    }
}

/// The addresses of `host`, at least one: looked up as every program of the machine does, by its own C library, through getent(1),
/// since this program is static and has none of its parts.
pub(super) fn addresses(host: &str) -> Result<Vec<IpAddr>, String> {
    if let Ok(address) = host.parse() {
        return Ok(vec![address]);
    }
    let said = match command::run("getent", &["ahosts", host], LIMIT / 2) {
        Ok(said) => said,
        // getent(1): the key was not found; it has nothing more to say.
        Err(command::Error::Failed { status, .. }) if status.code() == Some(2) => {
            return Err("no name server knows it, or none answers".to_owned());
        }
        Err(error) => return Err(error.brief()),
    };
    let mut addresses: Vec<IpAddr> = Vec::new();
    for address in said.lines().filter_map(|line| line.split_whitespace().next()?.parse().ok()) {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    if addresses.is_empty() { Err("it has no address".to_owned()) } else { Ok(addresses) }
}
