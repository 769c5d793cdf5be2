//! What only MQTT 5 has: properties, aliases, flow control, reason codes.

use super::client::{Hello, Peer, hello, packet};
use crate::app::TestApp;

#[tokio::test]
async fn the_welcome_says_what_is_not_unlimited() {
    let app = TestApp::start().await;
    let (_, welcome) = Peer::join(app.mqtt, Hello { keep_alive_s: 120, ..hello(5, "a") }).await;
    // Receive maximum 32, packets of 256 KiB, 16 topic aliases, keep-alive 60 s.
    assert_eq!(
        welcome,
        [0, 0, 14, 0x21, 0, 32, 0x27, 0, 4, 0, 0, 0x22, 0, 16, 0x13, 0, 60],
        "and QoS 2, retained messages, wildcards, identifiers and shared subscriptions are there"
    );
    let forever = [0x11, 0xff, 0xff, 0xff, 0xff];
    let (_, welcome) = Peer::join(app.mqtt, Hello { properties: &forever, ..hello(5, "b") }).await;
    let week = [&[0x11][..], &(7 * 24 * 3600_u32).to_be_bytes()].concat();
    assert!(welcome.windows(5).any(|part| part == week), "{welcome:x?}");
}

#[tokio::test]
async fn properties_of_a_message_arrive_as_they_were_sent() {
    let app = TestApp::start().await;
    let (mut a, _) = Peer::join(app.mqtt, hello(5, "a")).await;
    a.subscribe("t", 1).await;
    let properties = [
        &b"\x01\x01"[..],
        b"\x03\x00\x04text",
        b"\x08\x00\x05reply",
        b"\x09\x00\x02\x00\xff",
        b"\x26\x00\x01a\x00\x012",
        b"\x26\x00\x01a\x00\x013",
    ]
    .concat();
    let (mut b, _) = Peer::join(app.mqtt, hello(5, "b")).await;
    for flags in [0, 2, 4] {
        b.publish_with("t", b"x", flags, &properties).await;
        assert_eq!(a.message().await.properties, properties);
    }
    // Kept with a retained message and with a will.
    b.publish_with("t2", b"x", 1, &properties).await;
    a.subscribe("t2", 0).await;
    assert_eq!(a.message().await.properties, properties);
    let will = Hello { will: Some(("t", "lost", &properties)), ..hello(5, "c") };
    drop(Peer::join(app.mqtt, will).await);
    assert_eq!(a.message().await.properties, properties);
    // MQTT 3.1.1 gets the message without them.
    let (mut old, _) = Peer::join(app.mqtt, hello(4, "old")).await;
    old.subscribe("t2", 0).await;
    assert_eq!(old.message().await.line(), "t2 x q0 retained");
}

#[tokio::test]
async fn every_matching_identifier_comes_with_the_message() {
    let app = TestApp::start().await;
    let (mut a, _) = Peer::join(app.mqtt, hello(5, "a")).await;
    a.subscribe_with("t", 1, &[0x0b, 2]).await;
    a.subscribe_with("t/#", 1, &[0x0b, 0xc8, 0xf0, 0x1b]).await;
    a.publish("t", "x", 1).await;
    let mut properties = a.message().await.properties;
    if properties[1] != 2 {
        properties.rotate_left(4);
    }
    assert_eq!(properties, [0x0b, 2, 0x0b, 0xc8, 0xf0, 0x1b]);
    a.nothing().await;
}

#[tokio::test]
async fn aliases_stand_for_topics_in_both_directions() {
    let app = TestApp::start().await;
    let one_alias = [0x22, 0, 1];
    let (mut a, _) = Peer::join(app.mqtt, Hello { properties: &one_alias, ..hello(5, "a") }).await;
    a.subscribe("+", 2).await;
    let (mut b, _) = Peer::join(app.mqtt, hello(5, "b")).await;
    b.publish_with("t", b"1", 0, &[0x23, 0, 5]).await;
    b.publish_with("", b"2", 2, &[0x23, 0, 5]).await;
    b.publish("u", "3", 0).await;
    let (one, two, three) = (a.message().await, a.message().await, a.message().await);
    assert_eq!((one.topic.as_str(), &one.properties[..], one.payload.as_str()), ("t", &[0x23, 0, 1][..], "1"));
    assert_eq!((two.topic.as_str(), &two.properties[..], two.payload.as_str()), ("", &[0x23, 0, 1][..], "2"));
    assert_eq!((three.topic.as_str(), &three.properties[..]), ("u", &[][..]), "it allows only one");
    // An alias of another connection, 0, or one above the maximum.
    for alias in [6, 0, 17] {
        let (mut c, _) = Peer::join(app.mqtt, hello(5, "c")).await;
        c.send(&c.publish_bytes("", b"x", 0, 0, &[0x23, 0, alias])).await;
        let reason = c.ended().await;
        assert!(matches!(reason, Some(0x94 | 0x82)), "{alias}: {reason:x?}");
    }
}

#[tokio::test]
async fn no_more_messages_are_open_than_the_client_wants() {
    let app = TestApp::start().await;
    let two = [0x21, 0, 2];
    let (mut a, _) = Peer::join(app.mqtt, Hello { properties: &two, ..hello(5, "a") }).await;
    a.subscribe("t", 1).await;
    let (mut b, _) = Peer::join(app.mqtt, hello(5, "b")).await;
    for number in 0..3 {
        b.publish("t", &number.to_string(), 1).await;
    }
    let first = a.message_without_answer().await;
    a.message_without_answer().await;
    a.nothing().await;
    let [high, low] = first.id.to_be_bytes();
    a.send(&[0x40, 2, high, low]).await;
    assert_eq!(a.message_without_answer().await.payload, "2");
}

#[tokio::test]
async fn who_has_more_open_than_the_server_wants_is_told_and_closed() {
    let app = TestApp::start().await;
    let (mut a, _) = Peer::join(app.mqtt, hello(5, "a")).await;
    // Sends everything before it reads a byte, as some clients do.
    for id in 1..=33 {
        a.send(&a.publish_bytes("t", b"x", 4, id, &[])).await;
    }
    let mut received = 0;
    let reason = loop {
        match a.receive().await {
            Some((0x50, _)) => received += 1,
            Some((0xe0, body)) => break body[0],
            other => panic!("{other:x?}"),
        }
    };
    assert_eq!((received, reason), (32, 0x93));
}

#[tokio::test]
async fn a_packet_that_is_too_large_for_a_client_is_not_sent() {
    let app = TestApp::start().await;
    let small = [0x27, 0, 0, 0, 64];
    let (mut a, _) = Peer::join(app.mqtt, Hello { properties: &small, ..hello(5, "a") }).await;
    a.subscribe("t", 1).await;
    let (mut b, _) = Peer::join(app.mqtt, hello(5, "b")).await;
    b.publish("t", &"x".repeat(64), 1).await;
    b.publish("t", &"y".repeat(32), 1).await;
    assert_eq!(a.message().await.payload, "y".repeat(32));
    let metrics = app.anonymous().send("GET", "/metrics", &[], b"").await.text();
    assert!(metrics.contains("goldcrest_mqtt_dropped_total{reason=\"too-large\"} 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_message_that_is_over_is_not_delivered_and_the_rest_says_how_long_it_has() {
    let app = TestApp::start().await;
    let kept = [0x11, 0, 0, 0, 100];
    let sleeper = Hello { is_clean: false, properties: &kept, ..hello(5, "a") };
    let (mut a, _) = Peer::join(app.mqtt, sleeper).await;
    a.subscribe("t", 1).await;
    a.leave().await;
    let (mut b, _) = Peer::join(app.mqtt, hello(5, "b")).await;
    b.publish_with("t", b"short", 2, &[2, 0, 0, 0, 1]).await;
    b.publish_with("t", b"long", 2, &[2, 0, 0, 0, 60]).await;
    let over = tokio::time::Instant::now() + std::time::Duration::from_millis(1100);
    tokio::time::sleep_until(over).await;
    let (mut a, _) = Peer::join(app.mqtt, sleeper).await;
    let got = a.message().await;
    assert_eq!(got.payload, "long");
    assert_eq!(&got.properties[..4], [2, 0, 0, 0]);
    assert!((50..60).contains(&got.properties[4]), "{:?}", got.properties);
    a.nothing().await;
}

#[tokio::test]
async fn a_will_waits_for_its_delay_but_not_past_the_session() {
    let app = TestApp::start().await;
    let (mut watcher, _) = Peer::join(app.mqtt, hello(5, "watcher")).await;
    watcher.subscribe("gone", 0).await;
    let delay = |seconds| [0x18, 0, 0, 0, seconds];
    let expiry = |seconds| [0x11, 0, 0, 0, seconds];
    let started = std::time::Instant::now();
    let (one, five, hour) = (delay(1), delay(5), expiry(100));
    let waits = Hello { will: Some(("gone", "delayed", &one)), properties: &hour, ..hello(5, "a") };
    drop(Peer::join(app.mqtt, waits).await);
    watcher.nothing().await;
    assert_eq!(watcher.message().await.payload, "delayed");
    assert!(started.elapsed().as_secs_f32() >= 0.9);
    // Without a session there is nothing to wait for.
    drop(Peer::join(app.mqtt, Hello { will: Some(("gone", "at once", &five)), ..hello(5, "b") }).await);
    assert_eq!(watcher.message().await.payload, "at once");
    // Who comes back in time is not missed.
    let back = Hello { will: Some(("gone", "never", &one)), properties: &hour, is_clean: false, ..hello(5, "c") };
    drop(Peer::join(app.mqtt, back).await);
    let (mut c, _) = Peer::join(app.mqtt, Hello { will: None, ..back }).await;
    c.nothing().await;
    let later = tokio::time::Instant::now() + std::time::Duration::from_millis(1500);
    tokio::time::sleep_until(later).await;
    watcher.nothing().await;
    // "Disconnect with will".
    let (mut d, _) = Peer::join(app.mqtt, Hello { will: Some(("gone", "on purpose", &[])), ..hello(5, "d") }).await;
    d.send(&[0xe0, 1, 4]).await;
    assert_eq!(watcher.message().await.payload, "on purpose");
}

#[tokio::test]
async fn acknowledgements_carry_reasons() {
    let app = TestApp::start().await;
    let (mut a, _) = Peer::join(app.mqtt, hello(5, "a")).await;
    assert_eq!(a.publish("t", "x", 1).await, 0x10, "nobody listens");
    assert_eq!(a.publish("goldcrest/v1/1/report", "x", 1).await, 0x87);
    // A release of what was never sent, and a receipt of what was never sent.
    a.send(&[0x62, 2, 0, 77]).await;
    assert_eq!(a.receive().await, Some((0x70, vec![0, 77, 0x92])));
    a.send(&[0x50, 2, 0, 78]).await;
    assert_eq!(a.receive().await, Some((0x62, vec![0, 78, 0x92])));
    let (mut b, _) = Peer::join(app.mqtt, hello(5, "b")).await;
    b.send(&packet(0xf0, &[])).await;
    assert_eq!(b.ended().await, Some(0x82), "no authentication was agreed on");
}

#[tokio::test]
async fn refusals_at_the_door_carry_reasons() {
    let app = TestApp::start().await;
    let mut a = Peer::open(app.mqtt).await;
    let method = b"\x15\x00\x05SCRAM";
    assert_eq!(a.introduce(Hello { properties: method, ..hello(5, "a") }).await, [0, 0x8c, 0]);
    let mut b = Peer::open(app.mqtt).await;
    assert_eq!(b.introduce(Hello { user: Some("gcd_wrong"), ..hello(5, "c") }).await, [0, 0x86, 0]);
    let mut c = Peer::open(app.mqtt).await;
    let will = Some(("goldcrest/v1/1/report", "x", &[][..]));
    assert_eq!(c.introduce(Hello { will, ..hello(5, "d") }).await, [0, 0x87, 0]);
}
