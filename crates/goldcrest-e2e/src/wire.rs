//! A cable with a meter: passes TCP connections on to the server and counts their bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

/// Bytes of TCP payload that crossed the cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes {
    /// From the boards.
    pub up: u64,
    /// To the boards.
    pub down: u64,
}

/// A cable; boards connect to [`Wire::url`].
#[derive(Clone)]
pub struct Wire {
    address: SocketAddr,
    up: Arc<AtomicU64>,
    down: Arc<AtomicU64>,
}

impl Wire {
    /// Listens on a free port and connects each caller to `server` (`http://host:port`).
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn to(server: &str) -> std::io::Result<Self> {
        let target = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let wire = Self { address: listener.local_addr()?, up: Arc::default(), down: Arc::default() };
        let (up, down) = (Arc::clone(&wire.up), Arc::clone(&wire.down));
        thread::spawn(move || {
            for board in listener.incoming().flatten() {
                if let Ok(server) = TcpStream::connect(&target) {
                    pump(&board, &server, &up);
                    pump(&server, &board, &down);
                }
            }
        });
        Ok(wire)
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Bytes since the last call.
    pub fn take(&self) -> Bytes {
        Bytes { up: self.up.swap(0, Ordering::AcqRel), down: self.down.swap(0, Ordering::AcqRel) }
    }
}

/// Copies one direction on a thread of its own until it ends.
fn pump(from: &TcpStream, to: &TcpStream, count: &Arc<AtomicU64>) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    let count = Arc::clone(count);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            count.fetch_add(length as u64, Ordering::AcqRel);
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        // The other side may have hung up first.
        to.shutdown(Shutdown::Write).ok();
    });
}
