//! Talks to a controller's HTTP API: requests as JSON, answers as JSON or as streams. Knows no
//! command; what goes wrong is told in one line.

use std::io::{BufReader, Read};
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use splay_protocol::api::{BASE, ErrorBody, ErrorCode};
use ureq::unversioned::resolver::DefaultResolver;
use ureq::unversioned::transport::{Connector as _, TcpConnector};
use ureq::{Agent, Body, http};

use super::connector::Tls;
use crate::failure::Failure;

/// A controller in another part of the world answers within this, or not at all.
const CONNECT: Duration = Duration::from_secs(10);
/// Placement of a large job, or an upload of its files, may take a while before the answer begins.
const ANSWER: Duration = Duration::from_secs(60);
/// Streams are kept alive by a comment every few seconds; one that is silent for longer is cut.
const SILENCE: Duration = Duration::from_secs(60);
/// The largest answer that is read into memory: the listing of tens of thousands of instances.
const MOST_BYTES: u64 = 1 << 30;

/// A controller, and who asks.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    url: String,
    token: Option<String>,
}

/// The bytes of an answer, as they come.
pub type Stream = BufReader<Box<dyn Read + Send>>;

impl Client {
    /// For the controller at `url` whose certificate has this fingerprint (empty: one that the
    /// system's roots vouch for).
    pub fn new(url: &str, fingerprint: &str, token: Option<String>) -> Result<Client, Failure> {
        let config = splay_trust::client_config(fingerprint)
            .map_err(|why| Failure::Controller { url: url.to_owned(), message: why.to_string() })?;
        Ok(Client::with(url, Arc::new(config), token))
    }

    /// With other settings of TLS.
    pub fn with(url: &str, tls: Arc<rustls::ClientConfig>, token: Option<String>) -> Client {
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .proxy(None)
            .max_redirects(0)
            .user_agent(concat!("splay/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(ANSWER))
            .timeout_per_read(Some(SILENCE))
            .build();
        let connector = ().chain(TcpConnector::default()).chain(Tls(tls));
        let agent = Agent::with_parts(config, connector, DefaultResolver::default());
        Client { agent, url: url.trim_end_matches('/').to_owned(), token }
    }

    /// The controller's address.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// `GET`, the answer as a value.
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Failure> {
        let answer = self.request("GET", path, &[], None)?;
        self.value(answer)
    }

    /// A request with a body, the answer as a value.
    pub fn send<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = serde_json::to_vec(body).expect("API bodies are JSON");
        let answer = self.request(method, path, &[("content-type", "application/json")], Some(body))?;
        self.value(answer)
    }

    /// A request whose answer says nothing more than that it was done.
    pub fn tell(&self, method: &str, path: &str, body: Option<&impl Serialize>) -> Result<(), Failure> {
        let body = body.map(|body| serde_json::to_vec(body).expect("API bodies are JSON"));
        let kind: &[_] = if body.is_some() { &[("content-type", "application/json")] } else { &[] };
        self.request(method, path, kind, body).map(drop)
    }

    /// The bytes of an answer, as they come.
    pub fn stream(&self, path: &str, headers: &[(&str, &str)]) -> Result<Stream, Failure> {
        let body = self.request("GET", path, headers, None)?;
        Ok(BufReader::new(Box::new(body.into_reader())))
    }

    fn value<T: DeserializeOwned>(&self, body: Body) -> Result<T, Failure> {
        let bytes = body
            .into_with_config()
            .limit(MOST_BYTES)
            .read_to_vec()
            .map_err(|error| self.unreachable(&error))?;
        serde_json::from_slice(&bytes).map_err(|error| {
            let message = format!("answers what this version does not understand: {error}");
            Failure::Controller { url: self.url.clone(), message }
        })
    }

    fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Result<Body, Failure> {
        let mut request = http::Request::builder().method(method).uri(format!("{}{BASE}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let made = |error: http::Error| Failure::Usage(format!("`{}` is not an address: {error}", self.url));
        let answer = match body {
            Some(body) => self.agent.run(request.body(body).map_err(made)?),
            None => self.agent.run(request.body(()).map_err(made)?),
        };
        let mut answer = answer.map_err(|error| self.unreachable(&error))?;
        if answer.status().is_success() {
            return Ok(answer.into_body());
        }
        let status = answer.status();
        let text = answer.body_mut().read_to_string().unwrap_or_default();
        match serde_json::from_str::<ErrorBody>(&text) {
            Ok(body) => Err(Failure::Refused { code: body.error.code, message: body.error.message }),
            Err(_) => {
                let message = format!("answers {status} instead of what a controller says: is it one?");
                Err(Failure::Controller { url: self.url.clone(), message })
            }
        }
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        Failure::Controller { url: self.url.clone(), message: explain(error) }
    }
}

/// Whether asking again later may help: the controller is away or on its way down.
pub fn passes(failure: &Failure) -> bool {
    match failure {
        Failure::Controller { .. } => true,
        Failure::Refused { code, .. } => matches!(code, ErrorCode::Unavailable | ErrorCode::Internal),
        _ => false,
    }
}

/// What went wrong on the way, and what to try.
fn explain(error: &ureq::Error) -> String {
    use std::io::ErrorKind;
    match error {
        ureq::Error::Io(error) => match error.kind() {
            ErrorKind::ConnectionRefused => {
                "nothing listens there: is the controller running, is the port right?".to_owned()
            }
            ErrorKind::ConnectionReset | ErrorKind::UnexpectedEof | ErrorKind::BrokenPipe => {
                "the connection was cut".to_owned()
            }
            ErrorKind::HostUnreachable | ErrorKind::NetworkUnreachable => {
                format!("{error}: is this machine on the network?")
            }
            _ => splay_trust::explain(error),
        },
        ureq::Error::HostNotFound => "there is no host of this name: is it spelt right?".to_owned(),
        ureq::Error::Timeout(_) => "no answer in time: is it reachable from here?".to_owned(),
        error => error.to_string(),
    }
}

/// A text as one segment of a path.
pub fn segment(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => escaped.push(byte.into()),
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_escaped() {
        assert_eq!(segment("a/b ü.txt"), "a%2Fb%20%C3%BC.txt");
    }

    #[test]
    fn who_does_not_listen_is_named() {
        let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("https://{}", socket.local_addr().unwrap());
        drop(socket);
        let client = Client::new(&url, &"ab".repeat(32), None).unwrap();
        let error = client.get::<serde_json::Value>("/health").unwrap_err();
        assert_eq!(error.status(), 7);
        let told =
            format!("controller {url}: nothing listens there: is the controller running, is the port right?");
        assert_eq!(error.to_string(), told);
    }
}
