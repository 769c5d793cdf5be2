//! Bad input, one test each: what the sender is told, and that others go on undisturbed.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::{Hello, Peer, hello, length, packet, text};
use crate::app::TestApp;

async fn metric(app: &TestApp, name: &str) -> u64 {
    let metrics = app.anonymous().send("GET", "/metrics", &[], b"").await.text();
    let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("goldcrest_mqtt_{name} ")));
    line.unwrap_or_else(|| panic!("{name} in {metrics}")).parse().unwrap()
}

#[tokio::test]
async fn an_oversized_packet_is_refused_by_its_length_alone() {
    let app = TestApp::start().await;
    let (mut witness, _) = Peer::join(app.mqtt, hello(4, "witness")).await;
    for (version, told) in [(4, None), (5, Some(0x95))] {
        let (mut a, _) = Peer::join(app.mqtt, hello(version, "a")).await;
        a.send(&[&[0x30][..], &length((256 << 10) + 1)].concat()).await;
        assert_eq!(a.ended().await, told);
    }
    assert_eq!(metric(&app, "ended_total{reason=\"too-large\"}").await, 2);
    // The largest that fits does.
    witness.subscribe("t", 0).await;
    let (mut a, _) = Peer::join(app.mqtt, hello(4, "a")).await;
    a.publish("t", &"x".repeat((256 << 10) - 10), 0).await;
    assert_eq!(witness.message().await.payload.len(), (256 << 10) - 10);
}

#[tokio::test]
async fn a_publish_before_connect_is_met_with_silence() {
    let app = TestApp::start().await;
    for bytes in [packet(0x30, b"\x00\x01tx"), packet(0xc0, &[]), packet(0x82, b"\x00\x01\x00\x01t\x00")] {
        let mut stranger = Peer::open(app.mqtt).await;
        stranger.send(&bytes).await;
        assert_eq!(stranger.receive().await, None);
    }
    assert_eq!(metric(&app, "refused_total{reason=\"protocol\"}").await, 3);
}

#[tokio::test]
async fn what_is_not_mqtt_is_closed() {
    let app = TestApp::start().await;
    for garbage in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc",
        b"\x10\x0c\x00\x02hj\x04\x02\x00\x00\x00\x00\x00\x00",
    ] {
        let mut stranger = Peer::open(app.mqtt).await;
        stranger.send(garbage).await;
        let _ = stranger.ended().await;
    }
    // MQTT 3.1 is told that its version is not spoken.
    let mut old = Peer::open(app.mqtt).await;
    old.send(&packet(0x10, b"\x00\x06MQIsdp\x03\x02\x00\x00\x00\x01a")).await;
    assert_eq!(old.receive().await, Some((0x20, vec![0, 1])));
    Peer::join(app.mqtt, hello(4, "a")).await;
}

#[tokio::test]
async fn an_endless_connect_ends() {
    let app = TestApp::start().await;
    // Announced too long: at once.
    let mut long = Peer::open(app.mqtt).await;
    long.send(&[&[0x10][..], &length((16 << 10) + 1)].concat()).await;
    assert_eq!(long.receive().await, None);
    // One that never comes: in ten seconds, whatever trickles in meanwhile.
    let mut slow = TcpStream::connect(app.mqtt).await.unwrap();
    slow.write_all(&[&[0x10][..], &length(16_000), b"\x00\x04MQTT\x04\x02"].concat()).await.unwrap();
    let (mut reading, mut writing) = slow.into_split();
    let trickle = tokio::spawn(async move {
        let mut tick = tokio::time::interval(std::time::Duration::from_millis(300));
        while writing.write_all(b"x").await.is_ok() {
            tick.tick().await;
        }
    });
    let started = std::time::Instant::now();
    assert_eq!(reading.read(&mut [0; 10]).await.unwrap_or(0), 0);
    let after = started.elapsed().as_secs();
    assert!((9..14).contains(&after), "{after} s");
    trickle.await.unwrap();
    assert_eq!(metric(&app, "refused_total{reason=\"timeout\"}").await, 1);
}

#[tokio::test]
async fn a_second_connect_is_a_violation() {
    let app = TestApp::start().await;
    for (version, told) in [(4, None), (5, Some(0x82))] {
        let (mut a, _) = Peer::join(app.mqtt, hello(version, "a")).await;
        a.send(&hello(version, "a").bytes()).await;
        assert_eq!(a.ended().await, told);
    }
}

#[tokio::test]
async fn text_that_is_not_utf_8_or_holds_a_nul_is_a_violation() {
    let app = TestApp::start().await;
    for (bytes, told) in [
        (packet(0x30, b"\x00\x02\xc3\x28\x00x"), 0x81),
        (packet(0x30, b"\x00\x03a\x00b\x00x"), 0x90),
        (packet(0x30, b"\x00\x03a/+\x00x"), 0x90),
        (packet(0x82, b"\x00\x01\x00\x00\x02\xff\xfe\x00"), 0x81),
    ] {
        let (mut a, _) = Peer::join(app.mqtt, hello(5, "a")).await;
        a.send(&bytes).await;
        assert_eq!(a.ended().await, Some(told), "{bytes:x?}");
    }
    let mut a = Peer::open(app.mqtt).await;
    a.send(&packet(0x10, b"\x00\x04MQTT\x04\x02\x00\x00\x00\x02\xff\xfe")).await;
    assert_eq!(a.ended().await, None);
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_nobody_falls_back_to_anonymous() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    for (user, password) in [("gcd_unknown", None), ("board", Some("gca_unknown")), ("gcd_x", Some("pswd"))] {
        let mut a = Peer::open(app.mqtt).await;
        assert_eq!(a.introduce(Hello { user: Some(user), password, ..hello(4, "a") }).await, [0, 4]);
        assert_eq!(a.ended().await, None);
    }
    assert_eq!(metric(&app, "refused_total{reason=\"credentials\"}").await, 3);
    // As ThingsBoard's clients do it: the token is the name, the password anything.
    let named = Hello { user: Some(&device.token), password: Some("pswd"), ..hello(4, "a") };
    Peer::join(app.mqtt, named).await;
}

#[tokio::test]
async fn nobody_comes_in_without_a_token_unless_that_is_allowed() {
    let app = TestApp::start_empty(|settings| settings.mqtt.anonymous = None).await;
    let mut a = Peer::open(app.mqtt).await;
    assert_eq!(a.introduce(hello(4, "a")).await, [0, 4]);
    let mut b = Peer::open(app.mqtt).await;
    assert_eq!(b.introduce(Hello { user: Some("me"), password: Some("secret"), ..hello(5, "b") }).await, [0, 0x86, 0]);
}

#[tokio::test]
async fn a_slow_reader_loses_messages_and_nobody_else_does() {
    let app = TestApp::start().await;
    let (mut slow, _) = Peer::join(app.mqtt, hello(4, "slow")).await;
    let (mut quick, _) = Peer::join(app.mqtt, hello(4, "quick")).await;
    slow.subscribe("t", 0).await;
    quick.subscribe("t", 0).await;
    let (mut sender, _) = Peer::join(app.mqtt, hello(4, "sender")).await;
    let payload = "x".repeat(100_000);
    // Far more than the system's buffers and the queue hold.
    for number in 0..200 {
        sender.publish("t", &format!("{number} {payload}"), 0).await;
        assert!(quick.message().await.payload.starts_with(&format!("{number} ")), "in order, none missing");
    }
    assert!(metric(&app, "dropped_total{reason=\"queue-full\"}").await > 50);
    // What was kept arrives in order once it reads.
    assert!(slow.message().await.payload.starts_with("0 "));
    assert!(slow.message().await.payload.starts_with("1 "));
}

#[tokio::test]
async fn the_queue_of_a_client_that_is_away_is_bounded() {
    let app = TestApp::start().await;
    let kept = Hello { is_clean: false, ..hello(4, "a") };
    let (mut a, _) = Peer::join(app.mqtt, kept).await;
    a.subscribe("t", 1).await;
    a.leave().await;
    let (mut b, _) = Peer::join(app.mqtt, hello(4, "b")).await;
    for number in 0..1200 {
        b.publish("t", &number.to_string(), 1).await;
    }
    assert_eq!(metric(&app, "queued_messages").await, 1000);
    assert_eq!(metric(&app, "dropped_total{reason=\"queue-full\"}").await, 200);
    assert!((64_000..80_000).contains(&metric(&app, "held_bytes").await));
    let (mut a, _) = Peer::join(app.mqtt, kept).await;
    for number in 0..1000 {
        assert_eq!(a.message().await.payload, number.to_string());
    }
    a.nothing().await;
    assert_eq!(metric(&app, "held_bytes").await, 0);
}

#[tokio::test]
async fn half_open_connections_and_floods_leave_room_for_boards() {
    let app = TestApp::start().await;
    let device = app.device("one").await;
    // Connections that say nothing, half a packet, or hang up in the middle.
    let mut open = Vec::new();
    for number in 0..300 {
        let mut stream = TcpStream::connect(app.mqtt).await.unwrap();
        if number % 3 > 0 {
            stream.write_all(b"\x10\x20\x00\x04MQ").await.unwrap();
        }
        if number % 3 == 2 {
            drop(stream);
        } else {
            open.push(stream);
        }
    }
    // Ten thousand connects within a minute, as after a power cut of a street.
    let start = std::time::Instant::now();
    for number in 0..10_000 {
        Peer::join(app.mqtt, hello(4, &format!("c{}", number % 50))).await;
    }
    let took = start.elapsed();
    assert!(took.as_secs() < 60, "{took:?}");
    let board = Hello { user: Some(&device.token), ..hello(4, "board") };
    let (mut board, _) = Peer::join(app.mqtt, board).await;
    board.nothing().await;
    assert_eq!(metric(&app, "accepted_total").await, 10_001);
    drop(open);
}

#[tokio::test]
async fn an_empty_or_broken_subscribe_is_a_violation() {
    let app = TestApp::start().await;
    let body = [&[0, 1, 0][..], &text("t"), &[3]].concat();
    for bytes in [packet(0x82, &[0, 1, 0]), packet(0x82, &body), packet(0xa2, &[0, 1, 0]), packet(0x80, &[0, 1, 0])] {
        let (mut a, _) = Peer::join(app.mqtt, hello(5, "a")).await;
        a.send(&bytes).await;
        let told = a.ended().await;
        assert!(matches!(told, Some(0x81 | 0x82)), "{bytes:x?}: {told:x?}");
    }
}

#[tokio::test]
async fn bytes_in_any_pieces_are_the_same_packets() {
    let app = TestApp::start().await;
    let (mut witness, _) = Peer::join(app.mqtt, hello(4, "w")).await;
    witness.subscribe("t/#", 0).await;
    let mut peer = Peer::open(app.mqtt).await;
    let mut all = hello(4, "pieces").bytes();
    for number in 0..20 {
        all.extend(peer.publish_bytes(&format!("t/{number}"), b"payload", 0, 0, &[]));
    }
    for byte in &all {
        peer.send(std::slice::from_ref(byte)).await;
    }
    for number in 0..20 {
        assert_eq!(witness.message().await.topic, format!("t/{number}"));
    }
}

/// The next of a sequence of numbers that looks random and is the same each time.
fn next(state: &mut u64) -> usize {
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    usize::try_from(*state >> 33).unwrap()
}

#[tokio::test]
async fn no_bytes_after_a_good_connect_do_more_than_end_the_connection() {
    let app = TestApp::start().await;
    let (mut witness, _) = Peer::join(app.mqtt, hello(5, "witness")).await;
    witness.subscribe("untouched", 1).await;
    let mut state = 0x9e37_79b9_7f4a_7c15;
    for round in 0..600 {
        let version = if round % 2 == 0 { 4 } else { 5 };
        let kept = Hello { is_clean: round % 3 == 0, ..hello(version, "fuzz") };
        let (mut peer, _) = Peer::join(app.mqtt, kept).await;
        let mut bytes = Vec::new();
        for _ in 0..8 {
            let id = u16::try_from(next(&mut state) % 5).unwrap();
            let body =
                [&id.to_be_bytes()[..], &text("t/+")[..next(&mut state) % 6], &[0; 3][..next(&mut state) % 4]].concat();
            bytes.extend(match next(&mut state) % 6 {
                0 => peer.publish_bytes("t/x", b"payload", [0, 1, 2, 4, 5][next(&mut state) % 5], id + 1, &[]),
                1 => packet(0x82, &[&[0, 1][..], if version == 5 { &[0] } else { &[] }, &text("t/#"), &[2]].concat()),
                2 => packet([0x40, 0x50, 0x62, 0x70][next(&mut state) % 4], &body[..2]),
                3 => packet(u8::try_from(next(&mut state) % 256).unwrap(), &body),
                _ => vec![0xc0, 0],
            });
        }
        for _ in 0..next(&mut state) % 4 {
            let at = next(&mut state) % bytes.len();
            bytes[at] = u8::try_from(next(&mut state) % 256).unwrap();
        }
        peer.send(&bytes).await;
        drop(peer);
    }
    // Each one was counted out again: a task that panicked would not have been.
    while metric(&app, "connections").await > 1 {
        tokio::task::yield_now().await;
    }
    witness.publish("untouched", "still", 1).await;
    assert_eq!(witness.message().await.payload, "still");
}
