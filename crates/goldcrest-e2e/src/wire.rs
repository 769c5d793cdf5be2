//! A cable with a meter: passes TCP connections on to the server and counts their bytes.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
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
    connections: Arc<Mutex<Vec<Connection>>>,
}

/// What crossed in one connection, from the board and to it.
#[derive(Clone, Default)]
struct Connection {
    up: Arc<Mutex<Vec<u8>>>,
    down: Arc<Mutex<Vec<u8>>>,
}

impl Wire {
    /// Listens on a free port and connects each caller to `server` (`http://host:port`).
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn to(server: &str) -> std::io::Result<Self> {
        let target = server.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let wire = Self { address, up: Arc::default(), down: Arc::default(), connections: Arc::default() };
        let meter = wire.clone();
        thread::spawn(move || {
            for board in listener.incoming().flatten() {
                // A cable delays nothing: small writes must not wait for the other side's delayed ACK.
                let server = TcpStream::connect(&target).and_then(|s| s.set_nodelay(true).map(|()| s));
                if let (Ok(server), Ok(())) = (server, board.set_nodelay(true)) {
                    let connection = Connection::default();
                    lock(&meter.connections).push(connection.clone());
                    pump(&board, &server, &meter.up, connection.up);
                    pump(&server, &board, &meter.down, connection.down);
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
        lock(&self.connections).clear();
        Bytes { up: self.up.swap(0, Ordering::AcqRel), down: self.down.swap(0, Ordering::AcqRel) }
    }

    /// The connections that were made since the last [`Wire::take`], each as the bytes from the board and those to it.
    pub fn recorded(&self) -> Vec<(Vec<u8>, Vec<u8>)> {
        lock(&self.connections).iter().map(|c| (lock(&c.up).clone(), lock(&c.down).clone())).collect()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    // A thread that panicked while it added bytes has left whole bytes.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Copies one direction on a thread of its own until it ends.
fn pump(from: &TcpStream, to: &TcpStream, count: &Arc<AtomicU64>, record: Arc<Mutex<Vec<u8>>>) {
    let (Ok(mut from), Ok(mut to)) = (from.try_clone(), to.try_clone()) else { return };
    let count = Arc::clone(count);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length @ 1..) = from.read(&mut buffer) {
            count.fetch_add(length as u64, Ordering::AcqRel);
            lock(&record).extend_from_slice(&buffer[..length]);
            if to.write_all(&buffer[..length]).is_err() {
                break;
            }
        }
        // The other side may have hung up first.
        to.shutdown(Shutdown::Write).ok();
    });
}
