//! What outlives a connection, and who takes over from whom.

use super::client::{Hello, Peer, hello};
use crate::app::TestApp;

/// Session Expiry Interval.
fn expiry(seconds: u32) -> Vec<u8> {
    [&[0x11][..], &seconds.to_be_bytes()].concat()
}

#[tokio::test]
async fn messages_wait_for_a_client_that_is_away() {
    let app = TestApp::start().await;
    let kept = expiry(1000);
    for version in [4, 5] {
        let properties: &[u8] = if version == 5 { &kept } else { &[] };
        let fresh = Hello { is_clean: version == 5, properties, ..hello(version, "sleeper") };
        let (a, welcome) = Peer::join(app.mqtt, Hello { is_clean: true, ..fresh }).await;
        assert_eq!(welcome[0], 0);
        a.leave().await;
        let (mut a, welcome) = Peer::join(app.mqtt, fresh).await;
        assert_eq!(welcome[0], 0);
        a.subscribe("t/+", 2).await;
        a.leave().await;
        let (mut b, _) = Peer::join(app.mqtt, hello(4, "b")).await;
        for qos in 0..3 {
            b.publish("t/x", &format!("m{qos}"), qos).await;
        }
        let (mut a, welcome) = Peer::join(app.mqtt, Hello { is_clean: false, ..fresh }).await;
        assert_eq!(welcome[0], 1, "session present");
        assert_eq!(a.message().await.line(), "t/x m1 q1");
        assert_eq!(a.message().await.line(), "t/x m2 q2");
        a.nothing().await;
        a.leave().await;
    }
}

#[tokio::test]
async fn what_was_not_acknowledged_is_said_again() {
    let app = TestApp::start().await;
    let kept = Hello { is_clean: false, ..hello(4, "a") };
    let (mut a, _) = Peer::join(app.mqtt, kept).await;
    a.subscribe("t", 2).await;
    let (mut b, _) = Peer::join(app.mqtt, hello(4, "b")).await;
    b.publish("t", "one", 1).await;
    b.publish("t", "two", 2).await;
    let one = a.message_without_answer().await;
    let two = a.message_without_answer().await;
    assert!(!one.is_duplicate && !two.is_duplicate);
    drop(a);
    let (mut a, _) = Peer::join(app.mqtt, kept).await;
    let again = a.message_without_answer().await;
    assert_eq!((again.id, again.is_duplicate, again.line()), (one.id, true, "t one q1".into()));
    let again = a.message_without_answer().await;
    assert_eq!((again.id, again.is_duplicate), (two.id, true));
    // Half of the QoS 2 exchange, then the connection breaks once more: only the release is repeated.
    let [high, low] = two.id.to_be_bytes();
    a.send(&[0x40, 2, 0, u8::try_from(one.id).unwrap(), 0x50, 2, high, low]).await;
    assert_eq!(a.receive().await, Some((0x62, vec![high, low])));
    drop(a);
    let (mut a, _) = Peer::join(app.mqtt, kept).await;
    assert_eq!(a.receive().await, Some((0x62, vec![high, low])));
    a.send(&[0x70, 2, high, low]).await;
    a.nothing().await;
}

#[tokio::test]
async fn a_qos_2_message_that_comes_twice_is_delivered_once() {
    let app = TestApp::start().await;
    let kept = Hello { is_clean: false, ..hello(4, "a") };
    let (mut a, _) = Peer::join(app.mqtt, kept).await;
    let (mut b, _) = Peer::join(app.mqtt, hello(4, "b")).await;
    b.subscribe("t", 0).await;
    let publish = a.publish_bytes("t", b"x", 4, 5, &[]);
    a.send(&publish).await;
    assert_eq!(a.receive().await, Some((0x50, vec![0, 5])));
    drop(a);
    let (mut a, _) = Peer::join(app.mqtt, kept).await;
    a.send(&a.publish_bytes("t", b"x", 0x0c, 5, &[])).await;
    assert_eq!(a.receive().await, Some((0x50, vec![0, 5])));
    a.send(&[0x62, 2, 0, 5]).await;
    assert_eq!(a.receive().await, Some((0x70, vec![0, 5])));
    assert_eq!(b.message().await.payload, "x");
    b.nothing().await;
}

#[tokio::test]
async fn the_newest_connection_of_a_client_id_wins() {
    let app = TestApp::start().await;
    let (mut old, _) = Peer::join(app.mqtt, hello(5, "same")).await;
    let (mut new, _) = Peer::join(app.mqtt, hello(5, "same")).await;
    assert_eq!(old.ended().await, Some(0x8e));
    new.nothing().await;
}

#[tokio::test]
async fn two_boards_with_one_client_id_do_not_disturb_each_other() {
    let app = TestApp::start().await;
    let (one, two) = (app.device("one").await, app.device("two").await);
    let named = |token| Hello { user: Some("x"), password: Some(token), ..hello(4, "umqtt_client") };
    let (mut a, _) = Peer::join(app.mqtt, named(&one.token)).await;
    let (mut b, _) = Peer::join(app.mqtt, named(&two.token)).await;
    a.nothing().await;
    b.nothing().await;
    // One board that calls itself differently is one board: the newest connection counts.
    let (mut again, _) = Peer::join(app.mqtt, Hello { user: Some(&one.token), ..hello(5, "other") }).await;
    assert_eq!(a.ended().await, None);
    again.nothing().await;
    b.nothing().await;
}

#[tokio::test]
async fn a_session_lives_as_long_as_it_was_asked_for() {
    let app = TestApp::start().await;
    let (short, none) = (expiry(1), expiry(0));
    let join = |is_clean, properties| Peer::join(app.mqtt, Hello { is_clean, properties, ..hello(5, "a") });
    let (a, _) = join(true, &short[..]).await;
    a.leave().await;
    let (mut a, welcome) = join(false, &none[..]).await;
    assert_eq!(welcome[0], 1);
    // It cannot be prolonged at its end.
    a.send(&[&[0xe0, 7, 0, 5][..], &expiry(9)].concat()).await;
    assert_eq!(a.ended().await, Some(0x82));
    let (a, welcome) = join(false, &short[..]).await;
    assert_eq!(welcome[0], 0, "it ended with the connection");
    a.leave().await;
    let over = std::time::Instant::now() + std::time::Duration::from_secs(2);
    tokio::time::sleep_until(over.into()).await;
    let (_, welcome) = join(false, &short[..]).await;
    assert_eq!(welcome[0], 0, "it is over");
}

#[tokio::test]
async fn a_client_without_a_name_gets_one_or_is_refused() {
    let app = TestApp::start().await;
    let (_, welcome) = Peer::join(app.mqtt, hello(5, "")).await;
    let name = welcome.windows(4).position(|part| part == [0x12, 0, 27, b'g']);
    assert!(name.is_some(), "{welcome:x?}");
    Peer::join(app.mqtt, hello(4, "")).await;
    let mut nameless = Peer::open(app.mqtt).await;
    assert_eq!(nameless.introduce(Hello { is_clean: false, ..hello(4, "") }).await, [0, 2]);
    assert_eq!(nameless.ended().await, None);
}

#[tokio::test]
async fn everybody_is_told_when_the_server_stops() {
    let app = TestApp::start().await;
    let (mut a, _) = Peer::join(app.mqtt, hello(5, "a")).await;
    let told = tokio::spawn(async move { a.ended().await });
    let app = app.restart().await;
    assert_eq!(told.await.unwrap(), Some(0x8b));
    Peer::join(app.mqtt, hello(5, "a")).await;
}
