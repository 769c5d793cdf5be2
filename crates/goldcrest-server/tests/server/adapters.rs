//! Boards of other systems: what holds for every adapter, then one file for each.

mod micropython_ota;
mod sensorclass;

use serde_json::json;

use crate::app::TestApp;
use crate::http::exchange;
use crate::releases::{Plan, release};

/// A server with one release on `stable` and a feed of micropython-ota at `path`.
async fn app_with_feed(path: &str) -> TestApp {
    let app = TestApp::start().await;
    app.admin().publish(&release("v1.0.0", 100)).await;
    app.admin().set_stable("v1.0.0").await;
    let feed = json!({"adapter": "micropython-ota", "path": path, "package": "sensor"});
    app.admin().post("/api/v1/feeds", feed).await.expect(201);
    app
}

#[tokio::test]
async fn nothing_is_shown_before_a_feed_is_opened() {
    let app = TestApp::start().await;
    app.admin().publish(&release("v1.0.0", 100)).await;
    app.admin().set_stable("v1.0.0").await;
    app.anonymous().send("GET", "/sensor/version", &[], b"").await.expect(404);
}

#[tokio::test]
async fn answers_are_such_that_old_clients_survive_them() {
    let app = app_with_feed("sensor").await;
    for (path, status, body) in [
        ("/sensor/version", 200, "v1.0.0\n"),
        ("/sensor/v9_main.py", 404, "not-found\n"),
        ("/nothing", 404, "not-found\n"),
    ] {
        // As MicroPython's clients ask: HTTP/1.0, then read until the end.
        let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n");
        let answer = exchange(app.address, request.as_bytes()).await.expect(status);
        assert_eq!(answer.text(), body);
        assert_eq!(answer.header("Content-Length"), Some(body.len().to_string().as_str()), "{}", answer.head);
        assert_eq!(answer.header("Connection"), Some("close"), "{}", answer.head);
        assert_eq!(answer.header("Transfer-Encoding"), None);
        assert_eq!(answer.header("Location"), None);
    }
}

#[tokio::test]
async fn doubled_slashes_and_a_prefix_are_tolerated() {
    let app = app_with_feed("ota/boards/sensor").await;
    for path in ["/ota/boards/sensor/version", "//ota//boards/sensor//version", "/ota/boards/sensor/version?x=1"] {
        let answer = app.anonymous().send("GET", path, &[], b"").await.expect(200);
        assert_eq!(answer.text(), "v1.0.0\n", "{path}");
    }
}

#[tokio::test]
async fn paths_that_climb_find_nothing() {
    let app = app_with_feed("sensor").await;
    let climbing = [
        "/sensor/../sensor/version",
        "/sensor/%2e%2e/sensor/version",
        "/sensor/v1.0.0/..%2fmain.py",
        "/sensor/v1.0.0_..%5cmain.py",
        "/sensor/v1.0.0/%00main.py",
        "/sensor/v1.0.0/%ff",
        "/sensor/v1.0.0/%2",
    ];
    for path in climbing {
        let request = format!("GET {path} HTTP/1.0\r\nHost: x\r\n\r\n");
        exchange(app.address, request.as_bytes()).await.expect(404);
    }
}

#[tokio::test]
async fn the_address_for_boards_manages_nothing() {
    let app = TestApp::start_empty(|settings| settings.boards_listen = Some("127.0.0.1:0".parse().unwrap())).await;
    app.admin().put_bytes("/api/v1/keyring", &crate::releases::keyring(1)).await.expect(200);
    app.admin().publish(&release("v1.0.0", 100)).await;
    app.admin().set_stable("v1.0.0").await;
    let feed = json!({"adapter": "micropython-ota", "path": "sensor", "package": "sensor"});
    app.admin().post("/api/v1/feeds", feed).await.expect(201);
    let boards = app.boards.unwrap();
    let bearer = format!("Authorization: Bearer {}", app.admin().token);
    let ask = |path: &str| format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{bearer}\r\n\r\n");
    assert_eq!(exchange(boards, ask("/sensor/version").as_bytes()).await.expect(200).text(), "v1.0.0\n");
    exchange(boards, ask("/healthz").as_bytes()).await.expect(200);
    exchange(boards, ask("/d/v1/checkin").as_bytes()).await.expect(401);
    exchange(boards, ask("/api/v1/packages").as_bytes()).await.expect(404);
    exchange(boards, ask("/metrics").as_bytes()).await.expect(404);
    exchange(app.address, ask("/api/v1/packages").as_bytes()).await.expect(200);
}

#[tokio::test]
async fn a_feed_is_made_listed_and_closed() {
    let app = app_with_feed("sensor").await;
    let feed = json!({"adapter": "micropython-ota", "path": "/sensor/", "package": "sensor"});
    app.admin().post("/api/v1/feeds", feed).await.expect_error(409, "conflict");
    let list = app.admin().see("/api/v1/feeds?package=sensor").await;
    assert_eq!(list["feeds"][0]["path"], "sensor");
    assert_eq!(list["feeds"][0]["secret"], false);
    let id = list["feeds"][0]["id"].as_i64().unwrap();
    app.admin().delete(&format!("/api/v1/feeds/{id}")).await.expect(204);
    app.admin().delete(&format!("/api/v1/feeds/{id}")).await.expect_error(404, "not-found");
    app.anonymous().send("GET", "/sensor/version", &[], b"").await.expect(404);
}

#[tokio::test]
async fn a_feed_that_cannot_be_is_refused_by_name() {
    let app = TestApp::start().await;
    let refused = [
        (json!({"adapter": "mender", "path": "x"}), "is none of micropython-ota"),
        (json!({"adapter": "thingsboard", "path": "x"}), "has no feeds"),
        (json!({"adapter": "micropython-ota", "path": "a/../b"}), "segments of"),
        (json!({"adapter": "micropython-ota", "path": "a//b"}), "segments of"),
        (json!({"adapter": "micropython-ota", "path": "a b"}), "segments of"),
        (json!({"adapter": "micropython-ota", "path": "api/v1"}), "the server's own"),
        (json!({"adapter": "micropython-ota", "path": "x", "secret": ""}), "secret is not"),
    ];
    for (body, expected) in refused {
        let error = app.admin().post("/api/v1/feeds", body.clone()).await.expect_error(422, "invalid").json();
        assert!(error["message"].as_str().unwrap().contains(expected), "{body}: {error}");
    }
    assert_eq!(app.admin().see("/api/v1/feeds").await["feeds"], json!([]));
}

#[tokio::test]
async fn credentials_are_made_shown_once_and_removed() {
    let app = TestApp::start().await;
    app.device("kitchen").await;
    app.device("cellar").await;
    let path = "/api/v1/devices/kitchen/credentials";
    let made = app.admin().post(path, json!({"adapter": "sensorclass", "id": "DE:AD:BE:EF:12:34"})).await.expect(201);
    assert_eq!(made.json()["id"], "DE:AD:BE:EF:12:34");
    let token = app.admin().post(path, json!({"adapter": "thingsboard"})).await.expect(201).json();
    assert_eq!(token["id"].as_str().unwrap().len(), 20);
    let list = app.admin().see(path).await;
    assert_eq!(list["credentials"][0]["id"], "deadbeef1234");
    assert_eq!(list["credentials"][1]["id"], json!(null), "an access token is not shown again");
    let again = json!({"adapter": "sensorclass", "id": "dead.beef.1234"});
    app.admin().post("/api/v1/devices/cellar/credentials", again).await.expect_error(409, "conflict");
    for (body, expected) in [
        (json!({"adapter": "sensorclass"}), "MAC address of the board is wanted"),
        (json!({"adapter": "sensorclass", "id": "zz"}), "not a MAC address"),
        (json!({"adapter": "micropython-ota", "id": "x"}), "do not say who they are"),
    ] {
        let error = app.admin().post(path, body).await.expect_error(422, "invalid").json();
        assert!(error["message"].as_str().unwrap().contains(expected), "{error}");
    }
    let number = list["credentials"][0]["number"].as_i64().unwrap();
    app.admin().delete(&format!("{path}/{number}")).await.expect(204);
    app.admin().delete(&format!("{path}/{number}")).await.expect_error(404, "not-found");
    let device = json!({"name": "attic", "package": "sensor", "credential": {"adapter": "insighio", "id": "thing-1"}});
    let made = app.admin().post("/api/v1/devices", device).await.expect(201).json();
    assert_eq!(made["credential"]["secret"].as_str().unwrap().len(), 20);
}

#[tokio::test]
async fn what_a_feeds_boards_cannot_take_is_said_at_publish() {
    let app = app_with_feed("sensor").await;
    let mut plan = Plan::new("v2.0.0", 200);
    plan.files.push(("logo.bin", vec![0xff, 0xfe, 0]));
    let answer = app.admin().upload(&plan.build().archive).await.expect(201).json();
    assert_eq!(
        answer["warnings"],
        json!([
            "feed sensor: lib/shared.py: micropython-ota 2.1.0 makes no folders",
            "feed sensor: logo.bin: micropython-ota 2.1.0 takes text only"
        ])
    );
}
