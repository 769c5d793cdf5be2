//! CONNECT: is it one, who is it, and may it come in?

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use data_encoding::HEXLOWER;
use ring::rand::{SecureRandom, SystemRandom};

use super::Client;
use super::socket::{Event, Socket, Transport};
use crate::App;
use crate::mqtt::access::Who;
use crate::mqtt::counters::Refusal;
use crate::mqtt::credentials::{Identified, identify};
use crate::mqtt::hub::{Arrival, Hub, Link};
use crate::mqtt::limits::{MAX_CLIENT_ID, MAX_CONNECT_PACKET, MAX_KEEP_ALIVE_S, MAX_SESSION_EXPIRY_S};
use crate::mqtt::wire::encode::{self, Welcome};
use crate::mqtt::wire::{self, Connect, Version, Violation, Will};
use crate::mqtt::{native, reason, topic};

/// First byte of a CONNECT packet.
const CONNECT: u8 = 0x10;

/// How many clients were let in.
static NEWCOMERS: AtomicU64 = AtomicU64::new(0);

/// Why a client is not let in, with the code it is told.
struct Refused(Refusal, u8);

/// Reads CONNECT and answers it. `Err(None)`: it left by itself.
pub(super) async fn welcome(socket: &mut Socket<impl Transport>, app: &Arc<App>) -> Result<Client, Option<Refusal>> {
    let mut connect = read_connect(socket).await?;
    let version = connect.version;
    let will = connect.will.take();
    match let_in(app, &mut connect, will, &mut socket.out).await {
        Ok(client) => Ok(client),
        Err(Refused(refusal, code)) => {
            encode::refusal(&mut socket.out, version, code);
            tracing::debug!(mqtt.refusal = ?refusal, mqtt.code = code, "mqtt client refused");
            Err(Some(refusal))
        }
    }
}

async fn read_connect(socket: &mut Socket<impl Transport>) -> Result<Connect, Option<Refusal>> {
    loop {
        // To who speaks something else nothing is said.
        if socket.first_byte().is_some_and(|first| first != CONNECT) {
            return Err(Some(Refusal::Protocol));
        }
        match socket.frame(MAX_CONNECT_PACKET) {
            Ok(Some((first, body))) => {
                let bytes = socket.body(&body);
                let version = wire::version_of(bytes);
                let connect = wire::parse_connect(first, bytes);
                socket.consumed(&body);
                return connect.map_err(|Violation(code)| {
                    // MQTT 3.1.1 has no word for most of it.
                    if version == Version::V5 || reason::connack_v3(code) != 3 {
                        encode::refusal(&mut socket.out, version, code);
                    }
                    Some(Refusal::Protocol)
                });
            }
            Ok(None) => {}
            Err(_) => return Err(Some(Refusal::Protocol)),
        }
        if socket.bytes().await == Event::Gone {
            return Err(None);
        }
    }
}

async fn let_in(
    app: &Arc<App>,
    connect: &mut Connect,
    will: Option<Will>,
    out: &mut Vec<u8>,
) -> Result<Client, Refused> {
    if connect.has_authentication_method {
        return Err(Refused(Refusal::Credentials, reason::BAD_AUTHENTICATION_METHOD));
    }
    let assigned_id = name_client(connect)?;
    let broken = |error: anyhow::Error| {
        tracing::error!(error = format!("{error:#}"), "mqtt client not let in");
        Refused(Refusal::Server, reason::SERVER_UNAVAILABLE)
    };
    let identified = identify(app, connect).await.map_err(broken)?;
    let identified = identified.ok_or(Refused(Refusal::Credentials, reason::BAD_CREDENTIALS))?;
    if connect.version == Version::V3 && !identified.who.has_sessions() {
        (connect.is_clean, connect.session_expiry_s) = (true, 0);
    }
    let hub = app.mqtt.hub(app, identified.project_id).await.map_err(broken)?;
    let will = will.map(|will| check_will(&hub, &identified.who, will)).transpose()?;
    let client = attach(app, hub, identified, connect, will, assigned_id.as_deref(), out)?;
    app.mqtt.counters.opened();
    client.touch();
    Ok(client)
}

/// Gives a client without an id one. Returns it.
fn name_client(connect: &mut Connect) -> Result<Option<String>, Refused> {
    let is_nameless = connect.client_id.is_empty();
    if connect.client_id.len() > MAX_CLIENT_ID || (is_nameless && connect.version == Version::V3 && !connect.is_clean) {
        return Err(Refused(Refusal::ClientId, reason::BAD_CLIENT_ID));
    }
    if !is_nameless {
        return Ok(None);
    }
    let mut random = [0; 12];
    SystemRandom::new().fill(&mut random).map_err(|_| Refused(Refusal::Server, reason::SERVER_UNAVAILABLE))?;
    connect.client_id = format!("gc-{}", HEXLOWER.encode(&random));
    Ok(Some(connect.client_id.clone()))
}

fn check_will(hub: &Hub, who: &Who, mut will: Will) -> Result<Will, Refused> {
    if !topic::is_topic(&will.topic) {
        return Err(Refused(Refusal::Protocol, reason::TOPIC_INVALID));
    }
    if let Some(spelled_out) = native::spelled_out(who, &will.topic) {
        will.topic = spelled_out;
    }
    let rules = Arc::clone(hub.lock().rules());
    // A report is the board's own word, at the time when it gives it.
    if !who.may_publish(&rules, &will.topic) || native::report_of(&will.topic).is_some() {
        return Err(Refused(Refusal::Forbidden, reason::NOT_AUTHORIZED));
    }
    Ok(will)
}

fn attach(
    app: &Arc<App>,
    hub: Arc<Hub>,
    identified: Identified,
    connect: &Connect,
    will: Option<Will>,
    assigned_id: Option<&str>,
    out: &mut Vec<u8>,
) -> Result<Client, Refused> {
    let link = Arc::new(Link::default());
    let key = identified.key(&connect.client_id, NEWCOMERS.fetch_add(1, Ordering::Relaxed));
    let Identified { project_id, who } = identified;
    let arrival = Arrival { key, who: who.clone(), connect, will, link: Arc::clone(&link) };
    let attached = hub.attach(arrival).map_err(|_| Refused(Refusal::Limit, reason::QUOTA_EXCEEDED))?;
    let is_v5 = connect.version == Version::V5;
    let keep_alive_s = if is_v5 { connect.keep_alive_s.min(MAX_KEEP_ALIVE_S) } else { connect.keep_alive_s };
    let expiry_s = connect.session_expiry_s.min(MAX_SESSION_EXPIRY_S);
    let welcome = Welcome {
        session_present: attached.session_present,
        session_expiry_s: Some(expiry_s).filter(|seconds| *seconds != connect.session_expiry_s),
        keep_alive_s: Some(keep_alive_s).filter(|seconds| *seconds != connect.keep_alive_s),
        assigned_id,
    };
    encode::welcome(out, connect, &welcome);
    Ok(Client {
        app: Arc::clone(app),
        hub,
        project_id,
        id: attached.id,
        link,
        who,
        version: connect.version,
        patience: Some(keep_alive_s).filter(|seconds| *seconds > 0).map(|s| Duration::from_millis(u64::from(s) * 1500)),
        aliases: Vec::new(),
    })
}
