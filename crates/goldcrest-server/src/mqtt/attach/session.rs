//! One connection to the broker, from CONNECT to its end: MQTT 5, `QoS` 1 both ways, never more under way than the broker takes.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use anyhow::{Context, bail, ensure};
use mqtt_protocol_core::mqtt::packet::{Property, Qos, ReceiveMaximum, SessionExpiryInterval, SubEntry, SubOpts, v5_0};
use mqtt_protocol_core::mqtt::result_code::{ConnectReasonCode, MqttError};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use super::{Attached, incoming, states};
use crate::App;
use crate::mqtt::limits::MAX_PACKET;
use crate::mqtt::message::Message;
use crate::mqtt::reason;
use crate::mqtt::wire::encode::{self, Delivery};
use crate::mqtt::wire::{self, Packet, Version, Violation};

/// Longest silence of ours; the broker's at most three of them.
const PING_INTERVAL: Duration = Duration::from_secs(15);
const KEEP_ALIVE_S: u16 = 30;
/// How long the broker may take to answer CONNECT and SUBSCRIBE, and to take what is written.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// For this long the broker keeps what was not acknowledged.
const SESSION_EXPIRY_S: u32 = 300;
/// Messages from the broker under way to us.
const RECEIVE_MAXIMUM: u16 = 100;
/// Messages of ours under way, if the broker does not want fewer.
const WINDOW: u16 = 100;
/// Devices whose states are read at once.
const PAGE: usize = 200;
const SUBSCRIBE_ID: u16 = 1;

/// Whether the broker is to forget what it kept for us.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Clean,
    Resume,
}

struct Session<'a, S> {
    app: &'a Arc<App>,
    attached: &'a Attached,
    stream: S,
    inbox: Vec<u8>,
    waiting: VecDeque<(String, Vec<u8>)>,
    /// Packet ids that are not acknowledged.
    open: BTreeSet<u16>,
    last_id: u16,
    window: usize,
    /// What the broker was told: by device and topic, a hash of the payload.
    told: HashMap<i64, HashMap<String, u64>>,
    /// Devices up to this id were told of on this connection; none: all were.
    synced: Option<i64>,
    heard: Instant,
}

/// Talks with the broker until `stop`, which is no error.
pub(super) async fn converse(
    app: &Arc<App>,
    attached: &Attached,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    start: Start,
    stop: &CancellationToken,
) -> anyhow::Result<()> {
    let mut session = Session {
        app,
        attached,
        stream,
        inbox: Vec::new(),
        waiting: VecDeque::new(),
        open: BTreeSet::new(),
        last_id: SUBSCRIBE_ID,
        window: usize::from(WINDOW),
        told: HashMap::new(),
        synced: Some(0),
        heard: Instant::now(),
    };
    timeout(ANSWER_TIMEOUT, session.introduce(start)).await.context("the broker does not answer in time")??;
    attached.connects.fetch_add(1, Ordering::Relaxed);
    attached.is_up.store(true, Ordering::Release);
    tracing::info!(
        broker.host = attached.settings.host,
        broker.port = attached.settings.port,
        "attached to the broker"
    );
    session.attend(stop).await
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Session<'_, S> {
    /// CONNECT and SUBSCRIBE, and their answers.
    async fn introduce(&mut self, start: Start) -> anyhow::Result<()> {
        let bad = |error: MqttError| anyhow::anyhow!("{error:?}");
        let properties = vec![
            Property::SessionExpiryInterval(SessionExpiryInterval::new(SESSION_EXPIRY_S).map_err(bad)?),
            Property::ReceiveMaximum(ReceiveMaximum::new(RECEIVE_MAXIMUM).map_err(bad)?),
        ];
        let mut connect = v5_0::Connect::builder()
            .client_id(self.attached.client_id.as_str())
            .map_err(bad)?
            .clean_start(start == Start::Clean)
            .keep_alive(KEEP_ALIVE_S)
            .props(properties);
        if let Some((user, password)) = &self.attached.settings.user {
            connect =
                connect.user_name(user.as_str()).map_err(bad)?.password(password.clone().into_bytes()).map_err(bad)?;
        }
        let connect = connect.build().map_err(bad).context("user name or password can't be sent")?;
        self.write(&connect.to_continuous_buffer()).await?;
        let (kind, body) = self.next_frame().await?;
        ensure!(kind >> 4 == 2, "the broker did not answer as one of MQTT 5");
        let (welcome, _) =
            v5_0::Connack::parse(&body).map_err(bad).context("the broker did not answer as one of MQTT 5")?;
        if welcome.reason_code() != ConnectReasonCode::Success {
            bail!("the broker refuses us: {:?}; are user name and password right?", welcome.reason_code());
        }
        for property in welcome.props() {
            match property {
                Property::ReceiveMaximum(most) => self.window = usize::from(most.val().min(WINDOW)),
                Property::SharedSubscriptionAvailable(is) if is.val() == 0 => {
                    bail!("the broker has no shared subscriptions")
                }
                Property::RetainAvailable(is) if is.val() == 0 => bail!("the broker retains no messages"),
                _ => {}
            }
        }
        self.subscribe().await
    }

    async fn subscribe(&mut self) -> anyhow::Result<()> {
        let bad = |error: MqttError| anyhow::anyhow!("{error:?}");
        let mut entries = Vec::new();
        for filter in incoming::FILTERS {
            entries.push(SubEntry::new(filter, SubOpts::new().set_qos(Qos::AtLeastOnce)).map_err(bad)?);
        }
        let subscribe = v5_0::Subscribe::builder().packet_id(SUBSCRIBE_ID).entries(entries).build().map_err(bad)?;
        self.write(&subscribe.to_continuous_buffer()).await?;
        loop {
            let (first, body) = self.next_frame().await?;
            if first >> 4 != 9 {
                self.handle(first, &body).await?;
                continue;
            }
            let (answer, _) = v5_0::Suback::parse(&body).map_err(bad).context("the broker's answer is damaged")?;
            for (code, filter) in answer.reason_codes().iter().zip(incoming::FILTERS) {
                ensure!((*code as u8) < 0x80, "the broker does not let us subscribe to {filter}: {code:?}");
            }
            return Ok(());
        }
    }

    async fn attend(&mut self, stop: &CancellationToken) -> anyhow::Result<()> {
        let mut pinged = Instant::now();
        loop {
            self.send_waiting().await?;
            if self.waiting.is_empty() && self.load_page().await? {
                continue;
            }
            let attached = self.attached;
            tokio::select! {
                () = stop.cancelled() => {
                    // DISCONNECT; a broker that does not take it notices anyway.
                    let _ = self.write(&[0xe0, 0]).await;
                    return Ok(());
                }
                read = self.stream.read_buf(&mut self.inbox) => {
                    ensure!(read.context("the connection to the broker broke")? > 0, "the broker closed the connection");
                    self.heard = Instant::now();
                    self.handle_frames().await?;
                }
                // What changed is read once all that waits is gone.
                () = attached.has_changed.notified(), if self.waiting.is_empty() => self.load_changed().await?,
                () = tokio::time::sleep_until(pinged + PING_INTERVAL) => {
                    pinged = Instant::now();
                    ensure!(self.heard.elapsed() < 3 * PING_INTERVAL, "the broker is silent");
                    self.write(&[0xc0, 0]).await?;
                }
            }
        }
    }

    async fn handle_frames(&mut self) -> anyhow::Result<()> {
        while let Some((first, body)) = self.take_frame()? {
            self.handle(first, &body).await?;
        }
        Ok(())
    }

    async fn handle(&mut self, first: u8, body: &[u8]) -> anyhow::Result<()> {
        match first >> 4 {
            // PINGRESP; and what was said before SUBACK was awaited.
            13 | 9 => return Ok(()),
            14 => {
                let code = body.first().copied().unwrap_or(0);
                bail!("the broker ends the connection: code {code:#04x}");
            }
            _ => {}
        }
        let packet = wire::parse(Version::V5, first, body);
        let packet =
            packet.map_err(|Violation(code)| anyhow::anyhow!("a packet of the broker is damaged: {code:#04x}"))?;
        match packet {
            Packet::PubAck { id } => {
                self.open.remove(&id);
                if body.get(2).is_some_and(|code| *code >= 0x80) {
                    tracing::warn!(mqtt.code = body[2], "the broker does not let us publish what boards shall run");
                }
            }
            Packet::Publish(publish) => {
                let (id, qos) = (publish.id, publish.qos);
                let changed = incoming::take(self.app, publish).await?;
                self.attached.note(changed);
                if qos > 0 {
                    let mut out = Vec::new();
                    encode::acknowledgement(&mut out, Version::V5, 0x40, id, reason::SUCCESS);
                    self.write(&out).await?;
                }
            }
            _ => bail!("the broker said what no broker says"),
        }
        Ok(())
    }

    /// Reads the next devices of the first round. Whether there were any.
    async fn load_page(&mut self) -> anyhow::Result<bool> {
        let Some(after) = self.synced else { return Ok(false) };
        let ids = self.app.store.device_ids(after, PAGE).await?;
        self.synced = ids.last().copied();
        self.load(&ids).await?;
        Ok(!ids.is_empty())
    }

    async fn load_changed(&mut self) -> anyhow::Result<()> {
        for ids in self.attached.take_changed().chunks(PAGE) {
            self.load(ids).await?;
        }
        Ok(())
    }

    /// Queues what the broker does not know about these devices.
    async fn load(&mut self, device_ids: &[i64]) -> anyhow::Result<()> {
        for (device_id, wanted) in states::of(self.app, device_ids).await? {
            let told = self.told.entry(device_id).or_default();
            let gone: Vec<String> = told.keys().filter(|topic| !wanted.contains_key(*topic)).cloned().collect();
            for topic in gone {
                told.remove(&topic);
                self.waiting.push_back((topic, Vec::new()));
            }
            for (topic, payload) in wanted {
                if told.insert(topic.clone(), states::mark(&payload)) != Some(states::mark(&payload)) {
                    self.waiting.push_back((topic, payload));
                }
            }
        }
        Ok(())
    }

    async fn send_waiting(&mut self) -> anyhow::Result<()> {
        let mut out = Vec::new();
        while self.open.len() < self.window {
            let Some((topic, payload)) = self.waiting.pop_front() else { break };
            self.last_id = self.last_id.checked_add(1).unwrap_or(SUBSCRIBE_ID + 1);
            let message = Message { properties: incoming::OWN.into(), ..states::message(topic, payload) };
            let delivery = Delivery {
                version: Version::V5,
                topic: &message.topic,
                alias: None,
                qos: 1,
                id: self.last_id,
                retain: true,
                is_duplicate: false,
                identifiers: &[],
                expiry_s: None,
            };
            encode::publish(&mut out, &message, &delivery, u32::MAX);
            self.open.insert(self.last_id);
        }
        if out.is_empty() { Ok(()) } else { self.write(&out).await }
    }

    async fn write(&mut self, bytes: &[u8]) -> anyhow::Result<()> {
        let written = timeout(ANSWER_TIMEOUT, async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        });
        written.await.context("the broker takes nothing")?.context("the connection to the broker broke")
    }

    /// The next whole packet: its first byte and its body.
    async fn next_frame(&mut self) -> anyhow::Result<(u8, Vec<u8>)> {
        loop {
            if let Some(frame) = self.take_frame()? {
                return Ok(frame);
            }
            let read = self.stream.read_buf(&mut self.inbox).await.context("the connection to the broker broke")?;
            ensure!(read > 0, "the broker closed the connection");
        }
    }

    fn take_frame(&mut self) -> anyhow::Result<Option<(u8, Vec<u8>)>> {
        let frame = wire::frame(&self.inbox, MAX_PACKET);
        let frame = frame.map_err(|_| anyhow::anyhow!("a packet of the broker is damaged, or too large"))?;
        let Some((first, begin, end)) = frame else { return Ok(None) };
        let body = self.inbox[begin..end].to_vec();
        self.inbox.drain(..end);
        Ok(Some((first, body)))
    }
}
