//! A server that lies: serves one manifest and its objects to boards the way an attacker or a broken link would.
//!
//! Our own server checks what it stores, so it can't serve these. This one speaks docs/protocol.md over plain
//! threads and shares no code with the product.

use std::collections::{BTreeMap, VecDeque};
use std::io::{BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use serde_json::Value;

/// How a body is sent.
#[derive(Clone, Debug)]
pub enum Body {
    /// All of it, with its true length.
    Whole(Vec<u8>),
    /// The true length is announced, the connection ends after `at` bytes.
    CutAt {
        /// The whole body.
        bytes: Vec<u8>,
        /// Bytes that are sent.
        at: usize,
    },
    /// Another length is announced than is sent; the connection stays open.
    Lies {
        /// The `Content-Length` sent.
        announced: usize,
        /// The bytes sent.
        bytes: Vec<u8>,
    },
    /// No length, and bytes until the board hangs up (at most 4 MiB).
    Endless,
}

/// What the server offers.
#[derive(Clone, Debug, Default)]
pub struct Offer {
    /// The release digest of the `ETag`, and the body of the check-in; `None` answers 304 always.
    pub manifest: Option<(String, Body)>,
    /// Objects by digest; a missing one is 404.
    pub objects: BTreeMap<String, Body>,
    /// Version announced at each check-in, and the keyring served.
    pub keyring: Option<(u64, Vec<u8>)>,
}

/// A running hostile server; it ends with its last handle.
#[derive(Clone)]
pub struct Hostile {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    offer: Offer,
    later: VecDeque<Offer>,
    reports: Vec<Value>,
    requests: Vec<String>,
}

impl Hostile {
    /// Listens on a free port of 127.0.0.1.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn start(offer: Offer) -> std::io::Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let server =
            Self { address: listener.local_addr()?, state: Arc::new(Mutex::new(State { offer, ..State::default() })) };
        let accepting = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let server = accepting.clone();
                // A board that hangs up is part of the game: the thread just ends.
                thread::spawn(move || server.converse(&stream).ok());
            }
        });
        Ok(server)
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Replaces what is offered.
    pub fn offer(&self, offer: Offer) {
        self.lock().offer = offer;
    }

    /// Makes each check-in take the next of these offers; the last one stays.
    pub fn offer_in_turn(&self, offers: Vec<Offer>) {
        self.lock().later = offers.into();
    }

    /// Offers of [`Self::offer_in_turn`] that no check-in has taken yet.
    pub fn offers_left(&self) -> usize {
        self.lock().later.len()
    }

    /// Every report received so far.
    pub fn reports(&self) -> Vec<Value> {
        self.lock().reports.clone()
    }

    /// Every request line received so far.
    pub fn requests(&self) -> Vec<String> {
        self.lock().requests.clone()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn offer_for(&self, path: &str) -> Offer {
        let mut state = self.lock();
        if path.starts_with("/d/v1/checkin")
            && let Some(next) = state.later.pop_front()
        {
            state.offer = next;
        }
        state.offer.clone()
    }

    fn converse(&self, stream: &TcpStream) -> std::io::Result<()> {
        stream.set_read_timeout(Some(Duration::from_mins(1)))?;
        stream.set_nodelay(true)?;
        let mut reader = BufReader::new(stream.try_clone()?);
        while let Some(request) = Request::read(&mut reader)? {
            self.lock().requests.push(request.line.clone());
            if !self.answer(stream, &request)? {
                return stream.shutdown(Shutdown::Both);
            }
        }
        Ok(())
    }

    /// Answers one request; false when the connection has to end.
    fn answer(&self, stream: &TcpStream, request: &Request) -> std::io::Result<bool> {
        let path = request.line.split(' ').nth(1).unwrap_or_default();
        let offer = self.offer_for(path);
        if path.starts_with("/d/v1/report") {
            let report = serde_json::from_slice(&request.body).unwrap_or(Value::Null);
            self.lock().reports.push(report);
            return send(stream, "204 No Content", "", &Body::Whole(Vec::new()));
        }
        let mut headers = String::from("Goldcrest-Poll: 1\r\n");
        if let Some((version, bytes)) = &offer.keyring {
            if path.starts_with("/d/v1/keyring") {
                return send(stream, "200 OK", "", &Body::Whole(bytes.clone()));
            }
            headers += &format!("Goldcrest-Keyring: {version}\r\n");
        }
        if path.starts_with("/d/v1/checkin") {
            return match &offer.manifest {
                Some((digest, body)) if !request.if_none_match.contains(digest.as_str()) => {
                    send(stream, "200 OK", &format!("{headers}ETag: \"{digest}\"\r\n"), body)
                }
                _ => send(stream, "304 Not Modified", &headers, &Body::Whole(Vec::new())),
            };
        }
        let body = path.strip_prefix("/d/v1/objects/").and_then(|rest| offer.objects.get(rest.split('?').next()?));
        match body {
            Some(body) => send(stream, "200 OK", "", body),
            None => send(stream, "404 Not Found", "", &Body::Whole(b"no such object\n".to_vec())),
        }
    }
}

fn send(mut stream: &TcpStream, status: &str, headers: &str, body: &Body) -> std::io::Result<bool> {
    let head = |length: usize| format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {length}\r\n\r\n");
    match body {
        Body::Whole(bytes) => {
            stream.write_all(&[head(bytes.len()).as_bytes(), bytes].concat())?;
            Ok(true)
        }
        Body::CutAt { bytes, at } => {
            stream.write_all(&[head(bytes.len()).as_bytes(), &bytes[..*at]].concat())?;
            Ok(false)
        }
        Body::Lies { announced, bytes } => {
            stream.write_all(&[head(*announced).as_bytes(), bytes].concat())?;
            Ok(true)
        }
        Body::Endless => {
            stream.write_all(format!("HTTP/1.1 {status}\r\n{headers}\r\n").as_bytes())?;
            let piece = [b'x'; 4096];
            for _ in 0..1024 {
                stream.write_all(&piece)?;
            }
            Ok(false)
        }
    }
}

struct Request {
    line: String,
    if_none_match: String,
    body: Vec<u8>,
}

impl Request {
    fn read(reader: &mut impl BufRead) -> std::io::Result<Option<Self>> {
        let mut request = Self { line: String::new(), if_none_match: String::new(), body: Vec::new() };
        if reader.read_line(&mut request.line)? == 0 {
            return Ok(None);
        }
        request.line.truncate(request.line.trim_end().len());
        let mut length = 0;
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 || line.trim_end().is_empty() {
                break;
            }
            if let Some((name, value)) = line.trim_end().split_once(':') {
                match name.to_ascii_lowercase().as_str() {
                    "content-length" => length = value.trim().parse().unwrap_or(0),
                    "if-none-match" => request.if_none_match = value.trim().to_owned(),
                    _ => {}
                }
            }
        }
        request.body = vec![0; length];
        reader.read_exact(&mut request.body)?;
        Ok(Some(request))
    }
}
