//! How mirrors are asked.

use std::io::Read;
use std::time::Duration;

use ureq::http::{Response, StatusCode, header};
use ureq::{Agent, Body};

use super::{Error, Result};

/// Limits of patience, and how many files are fetched at a time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// Files fetched at a time.
    pub connections: usize,
    /// How long a connection may take to be made.
    pub connect: Duration,
    /// How long a server may send nothing.
    pub stall: Duration,
    /// How often all mirrors are tried in vain before a file is given up. A try that brought bytes is not in vain.
    pub rounds: u32,
    /// The pause after the first round in vain; each later one is twice as long, up to sixteen times.
    pub pause: Duration,
    /// Whether it must not be used at all.
    pub offline: bool,
}

impl Default for Network {
    fn default() -> Self {
        Self {
            connections: 8,
            connect: Duration::from_secs(15),
            stall: Duration::from_secs(30),
            rounds: 3,
            pause: Duration::from_secs(1),
            offline: false,
        }
    }
}

impl Network {
    /// The pause after so many rounds in vain (from 1).
    pub(super) fn pause_after(&self, rounds: u32) -> Duration {
        self.pause * 2_u32.pow(rounds.saturating_sub(1).min(4))
    }
}

/// A small file from a mirror.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Its bytes.
    Found(Vec<u8>),
    /// The server says that there is none (404, 410).
    Absent(String),
}

/// What a try was worth.
#[derive(Debug)]
pub(super) enum Failure {
    /// Trying this URL again is of no use.
    Lasting(String),
    /// It may go better the next time.
    Passing(String),
}

impl Failure {
    pub fn reason(self) -> String {
        match self {
            Self::Lasting(reason) | Self::Passing(reason) => reason,
        }
    }
}

pub(super) fn agent(network: &Network) -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(network.connect))
        .timeout_recv_response(Some(network.stall))
        .timeout_per_read(Some(network.stall))
        .timeout_per_write(Some(network.stall))
        .max_idle_connections(network.connections)
        .max_idle_connections_per_host(network.connections)
        .user_agent(concat!("firstlight/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// Asks for `url` from byte `from` on. Gives any answer with a body that may be of use: 200, 206.
pub(super) fn request(agent: &Agent, url: &str, from: u64) -> std::result::Result<Response<Body>, Failure> {
    let mut request = agent.get(url);
    if from > 0 {
        request = request.header(header::RANGE, format!("bytes={from}-"));
    }
    let response = request.call().map_err(|error| judge(&error))?;
    match response.status() {
        StatusCode::OK | StatusCode::PARTIAL_CONTENT => Ok(response),
        status if is_passing(status) => Err(Failure::Passing(status.to_string())),
        status => Err(Failure::Lasting(status.to_string())),
    }
}

fn is_passing(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::REQUEST_TIMEOUT
                | StatusCode::TOO_EARLY
                | StatusCode::TOO_MANY_REQUESTS
                | StatusCode::RANGE_NOT_SATISFIABLE
        )
}

fn judge(error: &ureq::Error) -> Failure {
    match error {
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::RequireHttpsOnly(_) => {
            Failure::Lasting(error.to_string())
        }
        ureq::Error::Timeout(timeout) => Failure::Passing(format!("no answer in time ({timeout})")),
        _ => Failure::Passing(error.to_string()),
    }
}

/// The length of the body that was announced, in bytes.
pub(super) fn announced_length(response: &Response<Body>) -> Option<u64> {
    response.headers().get(header::CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// The offset at which a partial body begins (RFC 9110 §14.4).
pub(super) fn range_start(response: &Response<Body>) -> Option<u64> {
    let range = response.headers().get(header::CONTENT_RANGE)?.to_str().ok()?;
    range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok()
}

/// Fetches a small file into memory.
pub(super) fn get(
    agent: &Agent,
    network: &Network,
    label: &str,
    url: &str,
    limit: u64,
    headers: &[(&str, &str)],
) -> Result<Answer> {
    let mut rounds = 0;
    let failure = loop {
        rounds += 1;
        match try_get(agent, url, limit, headers) {
            Ok(answer) => return Ok(answer),
            Err(failure @ Failure::Lasting(_)) => break failure,
            Err(failure) if rounds >= network.rounds => break failure,
            Err(_) => std::thread::sleep(network.pause_after(rounds)),
        }
    };
    Err(Error::Unavailable { label: label.to_owned(), attempts: vec![(url.to_owned(), failure.reason())] })
}

fn try_get(agent: &Agent, url: &str, limit: u64, headers: &[(&str, &str)]) -> std::result::Result<Answer, Failure> {
    let request = headers.iter().fold(agent.get(url), |request, (name, value)| request.header(*name, *value));
    let response = request.call().map_err(|error| judge(&error))?;
    match response.status() {
        StatusCode::OK => {}
        status @ (StatusCode::NOT_FOUND | StatusCode::GONE) => return Ok(Answer::Absent(status.to_string())),
        status if is_passing(status) => return Err(Failure::Passing(status.to_string())),
        status => return Err(Failure::Lasting(status.to_string())),
    }
    let announced = announced_length(&response);
    let mut bytes = Vec::new();
    let mut reader = response.into_body().into_reader().take(limit + 1);
    reader.read_to_end(&mut bytes).map_err(|error| Failure::Passing(error.to_string()))?;
    if bytes.len() as u64 > limit {
        return Err(Failure::Lasting(format!("more than {limit} bytes")));
    }
    if announced.is_some_and(|announced| announced != bytes.len() as u64) {
        return Err(Failure::Passing(format!("the connection ended after {} bytes", bytes.len())));
    }
    Ok(Answer::Found(bytes))
}
