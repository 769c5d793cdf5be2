//! One connection from its first byte to its last.
//!
//! A connection that has nothing to say owns no buffer: bytes are read into one that the thread's connections share, and what goes out
//! is made from the session when the socket takes it.

mod packets;
mod publish;
mod socket;
mod subscribe;
mod thingsboard;
mod welcome;

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Sleep};

use self::packets::Errand;
pub(super) use self::socket::Transport;
use self::socket::{Event, Socket};
use super::access::Who;
use super::counters::{End, Refusal};
use super::hub::{Departure, Hub, Link, SessionId};
use super::limits::{CONNECT_TIMEOUT, MAX_PACKET, NEWCOMER_TIMEOUT, WRITE_TIMEOUT};
use super::listener::Slots;
use super::reason;
use super::wire::encode;
use super::wire::{self, Packet, Version, Violation};
use crate::App;
use crate::adapters::thingsboard::mqtt::TELEMETRY;

/// How long a board is heard whose place another connection took.
const HEAR_OUT: Duration = Duration::from_secs(3);

/// A client that was let in.
struct Client {
    app: Arc<App>,
    hub: Arc<Hub>,
    project_id: i64,
    id: SessionId,
    link: Arc<Link>,
    who: Who,
    version: Version,
    /// How long it may be silent; none: for ever.
    patience: Option<Duration>,
    /// Topics that the client gave a number: the first has 1.
    aliases: Vec<Option<Box<str>>>,
}

/// Why the connection of a client ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Closing {
    end: End,
    /// Told in MQTT 5; 0: nothing is.
    code: u8,
}

impl From<Violation> for Closing {
    fn from(Violation(code): Violation) -> Self {
        let end = if code == reason::PACKET_TOO_LARGE { End::TooLarge } else { End::Protocol };
        Self { end, code }
    }
}

/// Serves a connection: lets its client in, or not. The conversation is a task of its own, because the memory of a task is that of its
/// hungriest moment, and thousands of clients stay.
pub(super) async fn serve(stream: impl Transport + 'static, app: Arc<App>, slots: Slots) {
    let Slots { open, pending } = slots;
    let mut socket = Socket::new(stream);
    let welcomed = tokio::time::timeout(CONNECT_TIMEOUT, Box::pin(welcome::welcome(&mut socket, &app))).await;
    drop(pending);
    let refusal = match welcomed {
        Ok(Ok(client)) => {
            app.mqtt.spawn(converse(socket, client, open));
            return;
        }
        Ok(Err(refusal)) => refusal,
        Err(_) => Some(Refusal::Timeout),
    };
    if let Some(refusal) = refusal {
        app.mqtt.counters.refused(refusal);
    }
    Box::pin(socket.close()).await;
}

/// Talks with a client to the end.
#[expect(
    clippy::manual_async_fn,
    reason = "an async fn would keep its arguments twice, for each of thousands of clients"
)]
fn converse<S: Transport>(
    mut socket: Socket<S>,
    mut client: Client,
    open: OwnedSemaphorePermit,
) -> impl Future<Output = ()> + Send {
    async move {
        let closing = {
            let mut alarm = pin!(tokio::time::sleep(WRITE_TIMEOUT));
            talk(&mut socket, &mut client, alarm.as_mut()).await
        };
        leave(&mut socket, &client, closing);
        if closing.end != End::Lost {
            Box::pin(socket.close()).await;
        }
        drop(open);
    }
}

fn leave(socket: &mut Socket<impl Transport>, client: &Client, closing: Closing) {
    let departure = if closing.end == End::Goodbye { Departure::Goodbye } else { Departure::Lost };
    client.hub.detach(client.id, &client.link, departure);
    client.tell_board_is_gone();
    client.app.mqtt.counters.closed(closing.end);
    tracing::debug!(mqtt.end = ?closing.end, mqtt.code = closing.code, "mqtt client left");
    if closing.code != reason::SUCCESS {
        encode::disconnect(&mut socket.out, client.version, closing.code);
    }
}

async fn talk(socket: &mut Socket<impl Transport>, client: &mut Client, mut alarm: Pin<&mut Sleep>) -> Closing {
    let mut heard = Instant::now();
    let mut more_waits = true;
    loop {
        loop {
            match client.take_frames(socket) {
                Ok(None) => break,
                Ok(Some(errand)) => {
                    if let Err(closing) = Box::pin(client.run(errand, &mut socket.out)).await {
                        return closing;
                    }
                }
                Err(closing) => return closing,
            }
        }
        if more_waits && !socket.is_writing() {
            more_waits = client.hub.take_packets(client.id, &client.link, &mut socket.out);
        }
        set(alarm.as_mut(), client.deadline(heard, socket));
        match socket.event(&client.link, alarm.as_mut()).await {
            Event::Bytes => {
                heard = Instant::now();
                client.touch();
            }
            Event::Written => {}
            Event::Packets => more_waits = true,
            Event::Close(code) => {
                if code == reason::TAKEN_OVER && client.is_thingsboard() {
                    let _ = tokio::time::timeout(HEAR_OUT, hear_out(socket, client)).await;
                }
                return Closing { end: end_of(code), code };
            }
            Event::Gone => return Closing { end: End::Lost, code: reason::SUCCESS },
            Event::Alarm => {
                if let Some(closing) = client.overdue(heard, socket) {
                    return closing;
                }
            }
        }
    }
}

/// Another connection of this board took its place. What it said last may still be on its way, and is said once only: boards of ThingsBoard
/// tell how an update went by a connection of its own, at `QoS` 0, and go on with the next.
async fn hear_out(socket: &mut Socket<impl Transport>, client: &mut Client) {
    let mut unsent = Vec::new();
    loop {
        while let Ok(Some((first, body))) = socket.frame(MAX_PACKET) {
            let packet = wire::parse(client.version, first, socket.body(&body));
            socket.consumed(&body);
            match packet {
                Ok(Packet::Publish(publish)) if publish.topic == TELEMETRY => {
                    if let Ok(Some(errand)) = client.take_publish(publish, &mut unsent) {
                        let _ = Box::pin(client.run(errand, &mut unsent)).await;
                    }
                    unsent.clear();
                }
                Ok(Packet::Disconnect { .. }) | Err(_) => return,
                Ok(_) => {}
            }
        }
        if socket.bytes().await == Event::Gone {
            return;
        }
    }
}

/// The end that a session asked for.
fn end_of(code: u8) -> End {
    match code {
        reason::TAKEN_OVER => End::TakenOver,
        reason::SHUTTING_DOWN => End::Stopping,
        _ => End::Expelled,
    }
}

/// Sets the alarm. It is moved only when it would ring too late, or has rung: most packets only push it back.
fn set(mut alarm: Pin<&mut Sleep>, deadline: Instant) {
    if alarm.is_elapsed() || deadline < alarm.deadline() {
        alarm.as_mut().reset(deadline);
    }
}

impl Client {
    /// Handles every whole packet that has been read, up to one that needs the database.
    fn take_frames(&mut self, socket: &mut Socket<impl Transport>) -> Result<Option<Errand>, Closing> {
        while let Some((first, body)) = socket.frame(MAX_PACKET)? {
            let packet = wire::parse(self.version, first, socket.body(&body));
            socket.consumed(&body);
            if let Some(errand) = self.handle(packet?, &mut socket.out)? {
                return Ok(Some(errand));
            }
        }
        Ok(None)
    }

    /// When to look whether something is overdue.
    fn deadline(&self, heard: Instant, socket: &Socket<impl Transport>) -> Instant {
        let silence = self.patience.map(|patience| heard + patience);
        let writing = socket.stuck_since().map(|since| since + WRITE_TIMEOUT);
        let expiry = match &self.who {
            Who::Member { expires_ms: Some(expires_ms), .. } => {
                let left_ms = (expires_ms - self.app.clock.now_ms()).clamp(1_000, 60_000);
                Some(Instant::now() + Duration::from_millis(left_ms.unsigned_abs()))
            }
            Who::Newcomer => Some(Instant::from_std(self.link.since) + NEWCOMER_TIMEOUT),
            _ => None,
        };
        let idle = Instant::now() + Duration::from_hours(24);
        silence.into_iter().chain(writing).chain(expiry).min().unwrap_or(idle)
    }

    fn overdue(&self, heard: Instant, socket: &Socket<impl Transport>) -> Option<Closing> {
        let now = Instant::now();
        if socket.stuck_since().is_some_and(|since| since + WRITE_TIMEOUT <= now) {
            // It takes nothing: there is nobody to tell.
            return Some(Closing { end: End::SlowReader, code: reason::SUCCESS });
        }
        if self.patience.is_some_and(|patience| heard + patience <= now) {
            return Some(Closing { end: End::KeepAlive, code: reason::KEEP_ALIVE_TIMEOUT });
        }
        let has_expired = matches!(&self.who, Who::Member { expires_ms: Some(expires_ms), .. } if *expires_ms <= self.app.clock.now_ms());
        let was_long = matches!(self.who, Who::Newcomer) && self.link.since.elapsed() >= NEWCOMER_TIMEOUT;
        (has_expired || was_long).then_some(Closing { end: End::Expelled, code: reason::NOT_AUTHORIZED })
    }
}
