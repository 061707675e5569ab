//! The metadata services of clouds: plain HTTP to an address of the link, which the cloud's own network answers.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use ureq::http::{Response, StatusCode};
use ureq::{Agent, Body, RequestBuilder};

use super::{Cloud, azure};

/// More than any cloud hands to a machine.
const MOST: u64 = 1 << 20;

/// The head of an answer, and its body.
type Answer = (Response<()>, Vec<u8>);

/// Where a cloud's services are.
#[derive(Clone, Debug)]
pub struct Service {
    cloud: Cloud,
    metadata: String,
    fabric: String,
    agent: Agent,
}

/// A service gave no answer, or none that it should give.
#[derive(Debug, thiserror::Error)]
#[error("asking {url} of {}: {what}", cloud.name())]
pub struct Error {
    cloud: Cloud,
    url: String,
    what: String,
    /// Whether the same question may be answered later: the network may not be up yet.
    pub passing: bool,
}

impl Service {
    /// The services of `cloud` at the addresses that are the same for all of its machines.
    #[must_use]
    pub fn of(cloud: Cloud) -> Self {
        Self::at(cloud, "http://169.254.169.254", "http://168.63.129.16")
    }

    /// The same at other addresses: of the metadata, and of Azure's fabric.
    #[must_use]
    pub fn at(cloud: Cloud, metadata: &str, fabric: &str) -> Self {
        // Neither a proxy nor another address that an answer names: what is asked is on this machine's own link.
        let agent = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .timeout_global(Some(Duration::from_secs(10)))
            .build()
            .into();
        Self { cloud, metadata: metadata.to_owned(), fabric: fabric.to_owned(), agent }
    }

    /// What the admin handed to this machine; nothing where they handed it nothing.
    ///
    /// # Errors
    /// [`Error`].
    pub fn user_data(&self) -> Result<Option<Vec<u8>>, Error> {
        let found = match self.cloud {
            Cloud::Amazon => self.amazon(),
            Cloud::Azure => self.azure(),
            Cloud::Google => self.google(),
            Cloud::OpenStack => self.read("/openstack/latest/user_data", &[]).map(|found| found.map(|(_, body)| body)),
        };
        found.map(|found| found.filter(|body| !body.is_empty()))
    }

    /// The second version of the service, which asks for a token: a question that was forged through a proxy gets none.
    fn amazon(&self) -> Result<Option<Vec<u8>>, Error> {
        let url = format!("{}/latest/api/token", self.metadata);
        let ask = self.agent.put(&url).header("X-aws-ec2-metadata-token-ttl-seconds", "60").send_empty();
        let (_, token) = self.answer(&url, ask)?.ok_or_else(|| self.error(&url, "no token", false))?;
        let token = String::from_utf8(token).map_err(|_| self.error(&url, "the token is no text", false))?;
        let found = self.read("/latest/user-data", &[("X-aws-ec2-metadata-token", &token)])?;
        Ok(found.map(|(_, body)| body))
    }

    fn azure(&self) -> Result<Option<Vec<u8>>, Error> {
        let path = "/metadata/instance/compute/userData?api-version=2021-01-01&format=text";
        let Some((_, body)) = self.read(path, &[("Metadata", "true")])? else { return Ok(None) };
        let text: Vec<u8> = body.into_iter().filter(|byte| !byte.is_ascii_whitespace()).collect();
        let decoded = BASE64_STANDARD.decode(text);
        decoded.map(Some).map_err(|error| self.error(&format!("{}{path}", self.metadata), &error.to_string(), false))
    }

    fn google(&self) -> Result<Option<Vec<u8>>, Error> {
        let path = "/computeMetadata/v1/instance/attributes/user-data";
        let Some((response, body)) = self.read(path, &[("Metadata-Flavor", "Google")])? else { return Ok(None) };
        // Google's documentation says to look for it: other servers have the same path.
        if response.headers().get("Metadata-Flavor").is_none_or(|flavor| flavor != "Google") {
            return Err(self.error(
                &format!("{}{path}", self.metadata),
                "the answer is not of Google's service",
                false,
            ));
        }
        Ok(Some(body))
    }

    /// Tells Azure that the machine has started: it is taken for failed otherwise. Other clouds ask for no such word.
    ///
    /// # Errors
    /// [`Error`].
    pub fn report_ready(&self) -> Result<(), Error> {
        if self.cloud != Cloud::Azure {
            return Ok(());
        }
        let url = format!("{}/machine/?comp=goalstate", self.fabric);
        let (_, goal) = self.get(&url, &azure::HEADERS)?.ok_or_else(|| self.error(&url, "there is none", false))?;
        let report = azure::report(&String::from_utf8_lossy(&goal));
        let report = report.ok_or_else(|| self.error(&url, "the goal state names no machine", false))?;
        let url = format!("{}/machine?comp=health", self.fabric);
        let ask = azure::HEADERS.iter().fold(self.agent.post(&url), |ask, (name, value)| ask.header(*name, *value));
        self.answer(&url, ask.header("Content-Type", "text/xml; charset=utf-8").send(&report))?;
        Ok(())
    }

    fn read(&self, path: &str, headers: &[(&str, &str)]) -> Result<Option<Answer>, Error> {
        self.get(&format!("{}{path}", self.metadata), headers)
    }

    fn get(&self, url: &str, headers: &[(&str, &str)]) -> Result<Option<Answer>, Error> {
        let with = |ask: RequestBuilder<_>, (name, value): &(&str, &str)| ask.header(*name, *value);
        self.answer(url, headers.iter().fold(self.agent.get(url), with).call())
    }

    /// The head and the body of an answer; nothing where there is no such thing (404, 204).
    fn answer(&self, url: &str, asked: Result<Response<Body>, ureq::Error>) -> Result<Option<Answer>, Error> {
        let response = asked.map_err(|error| self.error(url, &error.to_string(), true))?;
        let status = response.status();
        let (head, mut body) = response.into_parts();
        match status {
            StatusCode::NOT_FOUND | StatusCode::NO_CONTENT => return Ok(None),
            status if !status.is_success() => {
                let passing = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
                return Err(self.error(url, &format!("status {status}"), passing));
            }
            _ => {}
        }
        let body = body.with_config().limit(MOST).read_to_vec();
        let body = body.map_err(|error| self.error(url, &error.to_string(), true))?;
        Ok(Some((Response::from_parts(head, ()), body)))
    }

    fn error(&self, url: &str, what: &str, passing: bool) -> Error {
        Error { cloud: self.cloud, url: url.to_owned(), what: what.to_owned(), passing }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::net::TcpListener;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// A stand-in that answers each request by `answer`, which is given its head and body; and what it was asked.
    fn stand_in(answer: fn(&str) -> String) -> (String, Arc<Mutex<Vec<String>>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let asked = Arc::new(Mutex::new(Vec::new()));
        let seen = asked.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut text = String::new();
                let mut buffer = [0; 4096];
                let whole = |text: &str| {
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
                    let length = head
                        .lines()
                        .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                    body.len() >= length.unwrap_or(0)
                };
                while !whole(&text) {
                    let read = stream.read(&mut buffer).unwrap();
                    text += &String::from_utf8_lossy(&buffer[..read]);
                }
                stream.write_all(answer(&text).as_bytes()).unwrap();
                seen.lock().unwrap().push(text);
            }
        });
        (address, asked)
    }

    fn ok(headers: &str, body: &str) -> String {
        format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {}\r\n{headers}\r\n{body}", body.len())
    }

    const NONE: &str = "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";

    fn user_data(cloud: Cloud, answer: fn(&str) -> String) -> Result<Option<String>, Error> {
        let (address, _) = stand_in(answer);
        let found = Service::at(cloud, &address, &address).user_data()?;
        Ok(found.map(|body| String::from_utf8(body).unwrap()))
    }

    fn has(request: &str, header: &str) -> bool {
        request.to_lowercase().contains(&header.to_lowercase())
    }

    #[test]
    fn amazon_is_asked_with_a_token() {
        let answer = |request: &str| match request {
            _ if request.starts_with("PUT /latest/api/token ")
                && has(request, "x-aws-ec2-metadata-token-ttl-seconds: 60") =>
            {
                ok("", "secret")
            }
            _ if request.starts_with("GET /latest/user-data ") && has(request, "x-aws-ec2-metadata-token: secret") => {
                ok("", "hostname = \"a\"")
            }
            _ => NONE.to_owned(),
        };
        assert_eq!(user_data(Cloud::Amazon, answer).unwrap().as_deref(), Some("hostname = \"a\""));
        assert!(user_data(Cloud::Amazon, |_| NONE.to_owned()).unwrap_err().to_string().contains("no token"));
    }

    #[test]
    fn azures_is_base64_and_googles_is_signed_by_its_flavour() {
        let azure = |request: &str| match request {
            _ if request.starts_with("GET /metadata/instance/compute/userData?") && has(request, "metadata: true") => {
                ok("", "aG9z\ndA==")
            }
            _ => NONE.to_owned(),
        };
        assert_eq!(user_data(Cloud::Azure, azure).unwrap().as_deref(), Some("host"));
        assert!(user_data(Cloud::Azure, |_| ok("", "%")).is_err());
        let google = |request: &str| match has(request, "metadata-flavor: google") {
            true => ok("Metadata-Flavor: Google\r\n", "x"),
            false => NONE.to_owned(),
        };
        assert_eq!(user_data(Cloud::Google, google).unwrap().as_deref(), Some("x"));
        assert!(user_data(Cloud::Google, |_| ok("", "x")).unwrap_err().to_string().contains("not of Google's"));
    }

    #[test]
    fn nothing_handed_over_is_nothing_and_a_redirection_is_not_followed() {
        assert_eq!(user_data(Cloud::OpenStack, |_| NONE.to_owned()).unwrap(), None);
        assert_eq!(user_data(Cloud::OpenStack, |_| ok("", "")).unwrap(), None);
        let error = user_data(Cloud::OpenStack, |_| {
            "HTTP/1.1 302 Found\r\nConnection: close\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
                .to_owned()
        });
        assert!(!error.unwrap_err().passing);
        let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let nobody = Service::at(Cloud::OpenStack, &format!("http://{closed}"), "");
        assert!(nobody.user_data().unwrap_err().passing);
    }

    #[test]
    fn azure_is_told_that_this_machine_is_ready_and_no_other_cloud_is() {
        let fabric = |request: &str| match request {
            _ if request.starts_with("GET /machine/?comp=goalstate ") && has(request, "x-ms-version: 2012-11-30") => {
                ok("", azure::tests::GOAL)
            }
            _ if request.starts_with("POST /machine?comp=health ") => ok("", ""),
            _ => NONE.to_owned(),
        };
        let (address, asked) = stand_in(fabric);
        Service::at(Cloud::Azure, "", &address).report_ready().unwrap();
        let report = asked.lock().unwrap().last().cloned().unwrap();
        assert!(
            report.contains("<State>Ready</State>") && report.contains("<InstanceId>a1.host</InstanceId>"),
            "{report}"
        );
        let (address, asked) = stand_in(fabric);
        Service::at(Cloud::Google, &address, &address).report_ready().unwrap();
        assert!(asked.lock().unwrap().is_empty());
    }
}
