//! The management API over HTTP (docs/api.md): JSON in, JSON out, every error with its exit code.

use std::fmt;
use std::io::{self, Read};
use std::time::Duration;

use goldcrest_core::Refusal;
use serde::Deserialize;
use serde_json::Value;
use ureq::http::{Request, Response};
use ureq::{Agent, AsSendBody, Body, SendBody};

use crate::Result;
use crate::failure::{Exit, Failure};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// From the end of the request to the first byte of the answer: the server may be checking 80 MiB of objects.
const ANSWER_TIMEOUT: Duration = Duration::from_mins(2);
/// Most bytes of an answer: an archive, docs/api.md.
const MAX_ANSWER: u64 = 80 << 20;

/// The address of a server: `http://` or `https://`, host and port, without a path or a trailing slash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server(String);

impl Server {
    /// Reads an address.
    ///
    /// # Errors
    /// When it is not `http[s]://host[:port]`.
    pub fn parse(text: &str) -> Result<Server> {
        let trimmed = text.trim_end_matches('/');
        let host = trimmed.strip_prefix("http://").or_else(|| trimmed.strip_prefix("https://"));
        let plain = |h: &str| !h.is_empty() && !h.contains(['/', '?', '#', '@', ' ']);
        match host {
            Some(host) if plain(host) && trimmed.parse::<ureq::http::Uri>().is_ok() => Ok(Server(trimmed.to_owned())),
            _ => Err(Failure::usage(format!("{text:?} is not the address of a server"))
                .hint("write it as http://host:8700, without a path")),
        }
    }

    /// The address as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether what is sent there is encrypted.
    pub fn is_https(&self) -> bool {
        self.0.starts_with("https:")
    }

    /// Whether the address means this very machine, so that no board can use it.
    pub fn is_loopback(&self) -> bool {
        let host = self.0.split("://").nth(1).unwrap_or_default();
        host.starts_with("127.") || host.starts_with("localhost") || host.starts_with("[::1]")
    }
}

impl fmt::Display for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Talks to one server.
pub struct Client {
    server: Server,
    token: Option<String>,
    agent: Agent,
}

impl Client {
    /// A client that sends the token, if there is one, with every request.
    pub fn new(server: Server, token: Option<String>) -> Client {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT))
            .user_agent(concat!("goldcrest/", env!("CARGO_PKG_VERSION")));
        if server.is_loopback() {
            config = config.proxy(None);
        }
        Client { server, token, agent: config.build().into() }
    }

    /// The server this client talks to.
    pub fn server(&self) -> &Server {
        &self.server
    }

    /// `GET`, answered with JSON.
    ///
    /// # Errors
    /// Everything that the server refuses, and [`Exit::Unreachable`].
    pub fn get(&self, path: &str) -> Result<Value> {
        json(self.send("GET", path, None, ())?)
    }

    /// `GET` of something that may be absent: nothing for 404.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn find(&self, path: &str) -> Result<Option<Value>> {
        absent(self.get(path))
    }

    /// `GET`, answered with bytes.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn download(&self, path: &str) -> Result<Vec<u8>> {
        read(self.send("GET", path, None, ())?)
    }

    /// `GET` of bytes that may be absent: nothing for 404.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn find_bytes(&self, path: &str) -> Result<Option<Vec<u8>>> {
        absent(self.download(path))
    }

    /// A request with a JSON body, answered with JSON; an empty answer is `null`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn call(&self, method: &str, path: &str, body: &Value) -> Result<Value> {
        let length = body.to_string().len();
        json(self.send(method, path, Some(("application/json", length)), body.to_string())?)
    }

    /// `DELETE`, or `POST` of nothing, answered with JSON; an empty answer is `null`.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn act(&self, method: &str, path: &str) -> Result<Value> {
        if method == "DELETE" {
            json(self.send(method, path, None, ())?)
        } else {
            json(self.send(method, path, None, "")?)
        }
    }

    /// Sends `length` bytes read from `body`, answered with JSON.
    ///
    /// # Errors
    /// As [`Client::get`].
    pub fn upload(&self, method: &str, path: &str, kind: &str, length: usize, mut body: impl Read) -> Result<Value> {
        json(self.send(method, path, Some((kind, length)), SendBody::from_reader(&mut body))?)
    }

    /// The `Date` header of the server's health answer, or the answer's status when it is not healthy.
    ///
    /// # Errors
    /// [`Exit::Unreachable`], and what the server says when it is not well.
    pub fn health(&self) -> Result<(Value, Option<String>)> {
        let answer = self.send("GET", "/healthz", None, ())?;
        let date = answer.headers().get("date").and_then(|d| d.to_str().ok()).map(str::to_owned);
        Ok((json(answer)?, date))
    }

    fn send(
        &self,
        method: &str,
        path: &str,
        content: Option<(&str, usize)>,
        body: impl AsSendBody,
    ) -> Result<Response<Body>> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.server));
        if let Some(token) = &self.token {
            request = request.header("Authorization", format!("Bearer {token}"));
        }
        if let Some((kind, length)) = content {
            request = request.header("Content-Type", kind).header("Content-Length", length);
        }
        let request = request.body(body).map_err(|_| {
            Failure::usage("the token or a name has a character that cannot travel in a request")
                .hint("goldcrest login, with the token exactly as it was printed")
        })?;
        let answer = self.agent.run(request).map_err(|why| self.out_of_reach(&why))?;
        if answer.status().is_success() { Ok(answer) } else { Err(self.refusal(answer)) }
    }

    fn out_of_reach(&self, why: &ureq::Error) -> Failure {
        let why = match why {
            ureq::Error::Io(e) if e.kind() == io::ErrorKind::ConnectionRefused => "nothing listens there".to_owned(),
            ureq::Error::HostNotFound => "its name cannot be resolved".to_owned(),
            ureq::Error::Timeout(_) => "it does not answer in time".to_owned(),
            other => other.to_string(),
        };
        Failure::new(Exit::Unreachable, format!("cannot reach the server {}: {why}", self.server))
            .hint("check the address with --server, or start one: goldcrest serve")
    }

    /// The failure that an error answer stands for.
    fn refusal(&self, answer: Response<Body>) -> Failure {
        let status = answer.status().as_u16();
        let said: ApiError = read(answer).ok().and_then(|b| serde_json::from_slice(&b).ok()).unwrap_or_default();
        let exit = match status {
            401 | 403 => Exit::NotAllowed,
            404 => Exit::NotFound,
            422 if said.error.parse::<Refusal>().is_ok() => Exit::Verification,
            502..=504 => Exit::Unreachable,
            _ => Exit::Failed,
        };
        let message = if said.message.is_empty() {
            format!("{} answered with status {status}", self.server)
        } else {
            said.message
        };
        let name = if said.error.is_empty() { format!("status-{status}") } else { said.error };
        let mut failure = Failure::new(exit, message).named(name);
        // The server's hints are for every caller of the API; here the next step is a command.
        failure.hint = said.hint.filter(|_| status != 401);
        match status {
            401 => failure.hint(format!(
                "goldcrest login {}, with a valid token (goldcrest token create makes one)",
                self.server
            )),
            404 => match list_of(&failure.message) {
                Some(command) => failure.hint(command),
                None => failure,
            },
            500 => failure.hint("look at the server's log"),
            _ => failure,
        }
    }
}

/// The command that lists what a message about something missing begins with.
fn list_of(message: &str) -> Option<&'static str> {
    match message.split(' ').next()? {
        "release" => Some("goldcrest release list"),
        "device" => Some("goldcrest device list"),
        "rollout" => Some("goldcrest rollout list"),
        "token" => Some("goldcrest token list"),
        _ => None,
    }
}

/// Body of an error answer, docs/api.md.
#[derive(Default, Deserialize)]
struct ApiError {
    #[serde(default)]
    error: String,
    #[serde(default)]
    message: String,
    hint: Option<String>,
}

fn absent<T>(answer: Result<T>) -> Result<Option<T>> {
    match answer {
        Ok(found) => Ok(Some(found)),
        Err(failure) if failure.exit == Exit::NotFound => Ok(None),
        Err(failure) => Err(failure),
    }
}

fn json(answer: Response<Body>) -> Result<Value> {
    let bytes = read(answer)?;
    if bytes.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_slice(&bytes).map_err(|e| {
        Failure::failed(format!("the server's answer is not JSON: {e}")).hint("is --server a Goldcrest server?")
    })
}

fn read(answer: Response<Body>) -> Result<Vec<u8>> {
    let read = answer.into_body().into_with_config().limit(MAX_ANSWER).read_to_vec();
    read.map_err(|e| Failure::new(Exit::Unreachable, format!("the server's answer broke off: {e}")).hint("try again"))
}

/// One segment of a URL path or one value of a query: everything but unreserved characters is percent-encoded.
pub fn encode(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            _ => encoded += &format!("%{byte:02X}"),
        }
    }
    encoded
}
