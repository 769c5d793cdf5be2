//! The HTTP half: packages, the list of pending actions, messages, and a key that is fetched once.

use std::collections::BTreeMap;
use std::sync::Arc;

use goldcrest_server::TlsSettings;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring::default_provider;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::version::{TLS12, TLS13};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::{CONTROL, DATA, ID, KEY, connect, control, download, everything, history, request, status, thing};
use crate::app::TestApp;
use crate::http::{Response, exchange, parse, send};
use crate::releases::{Plan, keyring, release};

/// A request with the key as the client shows it.
async fn ask(app: &TestApp, method: &str, path: &str, body: &str) -> Response {
    let headers = [("Authorization", KEY), ("Content-Type", "application/json")];
    send(app.address, method, path, &headers, body.as_bytes()).await
}

fn actions(rest: &str) -> String {
    format!("/mf-rproxy/device/pending-actions{rest}?id={ID}&channel={CONTROL}")
}

/// The steps of the client's unpacker: 100 bytes of name, 11 octal digits of size, whole blocks; a name that ends in `/` is a folder.
fn unpack(tar: &[u8]) -> (Vec<String>, BTreeMap<String, Vec<u8>>) {
    let (mut order, mut files, mut at) = (Vec::new(), BTreeMap::new(), 0);
    while tar[at] != 0 {
        let name = String::from_utf8(tar[at..at + 100].to_vec()).unwrap().trim_end_matches('\0').to_owned();
        let size = usize::from_str_radix(std::str::from_utf8(&tar[at + 124..at + 135]).unwrap(), 8).unwrap();
        at += 512;
        order.push(name.clone());
        if !name.ends_with('/') {
            files.insert(name, tar[at..at + size].to_vec());
        }
        at += size.next_multiple_of(512);
    }
    assert_eq!(tar.len(), at + 1024, "two blocks of zeroes end it");
    (order, files)
}

async fn pending(app: &TestApp) -> String {
    let mut board = connect(app).await;
    board.subscribe(&everything(), 0).await;
    request(&board.message().await.payload).0
}

#[tokio::test]
async fn the_package_is_what_the_client_unpacks() {
    let app = TestApp::start().await;
    thing(&app, "one", json!({})).await;
    let big: Vec<u8> = (0..70_000_u32).map(|i| i.to_le_bytes()[0]).collect();
    let files = vec![
        ("apps/demo/scenario.py", b"print(1)\n".to_vec()),
        ("apps/demo/data.bin", big.clone()),
        ("apps/empty.py", Vec::new()),
        ("boot_user.py", b"import main\n".to_vec()),
        ("main.py", vec![b'#'; 512]),
    ];
    let release = Plan { files, ..Plan::new("1.0.0", 1) }.build();
    app.admin().publish(&release).await;
    app.admin().set_stable("1.0.0").await;
    let file_id = pending(&app).await;
    let package = download(&app, &file_id).await.expect(200);
    assert!(package.head.starts_with("HTTP/1.1 200") && package.header("Transfer-Encoding").is_none());
    let (order, files) = unpack(&package.body);
    let shown =
        ["apps/", "apps/demo/", "apps/demo/data.bin", "apps/demo/scenario.py", "apps/empty.py", "boot.py", "main.py"];
    assert_eq!(order, shown);
    assert_eq!((files["apps/demo/data.bin"].as_slice(), files["apps/empty.py"].len()), (big.as_slice(), 0));
    // The client speaks HTTP/1.0 and reads to the end; a second download gives the same bytes.
    let path = format!("//mf-rproxy/packages/download?fuid={file_id}&did={ID}&dk={KEY}&cid={CONTROL}");
    let old = format!("GET {path} HTTP/1.0\r\nHost: console.insigh.io\r\nUser-Agent: MicroPython Client\r\n\r\n\r\n");
    let again = exchange(app.address, old.as_bytes()).await.expect(200);
    assert_eq!(again.body, package.body);
    assert_eq!(again.header("Connection"), Some("close"));
}

#[tokio::test]
async fn packages_come_over_https_too_and_nothing_is_managed_there() {
    let certified = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
    std::fs::write(&certificate, certified.cert.pem()).unwrap();
    std::fs::write(&key, certified.signing_key.serialize_pem()).unwrap();
    let listen = "127.0.0.1:0".parse().unwrap();
    let tls = TlsSettings { listen, certificate, key };
    let app = TestApp::start_empty(|settings| {
        (settings.https, settings.boards_https) = (Some(tls.clone()), Some(tls));
    })
    .await;
    app.admin().put_bytes("/api/v1/keyring", &keyring(1)).await.expect(200);
    thing(&app, "one", json!({})).await;
    app.admin().publish(&release("1.0.0", 1)).await;
    app.admin().set_stable("1.0.0").await;
    let file_id = pending(&app).await;
    let plain = download(&app, &file_id).await.expect(200).body;
    let path = format!("/mf-rproxy/packages/download?fuid={file_id}&did={ID}&dk={KEY}&cid={CONTROL}");
    let get = |path: &str| format!("GET {path} HTTP/1.0\r\nHost: localhost\r\nUser-Agent: MicroPython Client\r\n\r\n");
    let bearer = format!("Authorization: Bearer {}\r\n\r\n", app.admin().token);
    let managing = get("/api/v1/whoami").replacen("\r\n\r\n", &format!("\r\n{bearer}"), 1);
    for version in [&TLS12, &TLS13] {
        let connect = async |address, request: &str| {
            let mut roots = RootCertStore::empty();
            roots.add(certified.cert.der().clone()).unwrap();
            let config = ClientConfig::builder_with_provider(Arc::new(default_provider()))
                .with_protocol_versions(&[version])
                .unwrap()
                .with_root_certificates(roots)
                .with_no_client_auth();
            let tcp = TcpStream::connect(address).await.unwrap();
            let name = ServerName::try_from("localhost").unwrap();
            let mut stream = TlsConnector::from(Arc::new(config)).connect(name, tcp).await.unwrap();
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut received = Vec::new();
            stream.read_to_end(&mut received).await.unwrap();
            parse(&received)
        };
        assert_eq!(connect(app.boards_https.unwrap(), &get(&path)).await.expect(200).body, plain);
        assert_eq!(connect(app.https.unwrap(), &get(&path)).await.expect(200).body, plain);
        connect(app.boards_https.unwrap(), &managing).await.expect(404);
        connect(app.https.unwrap(), &managing).await.expect(200);
    }
    // Plain HTTP on that address: nothing is said, and others go on.
    let mut stray = TcpStream::connect(app.https.unwrap()).await.unwrap();
    stray.write_all(get(&path).as_bytes()).await.unwrap();
    let mut received = Vec::new();
    drop(stray.read_to_end(&mut received).await);
    assert!(!received.starts_with(b"HTTP"));
}

#[tokio::test]
async fn our_agent_gets_the_signed_release() {
    let app = TestApp::start().await;
    thing(&app, "one", json!({"package": "release"})).await;
    let release = release("1.0.0", 1);
    app.admin().publish(&release).await;
    app.admin().set_stable("1.0.0").await;
    let file_id = pending(&app).await;
    assert_eq!(download(&app, &file_id).await.expect(200).body, release.archive);
    // It says 1 when the release is confirmed on the board.
    ask(&app, "POST", &format!("/http/channels/{CONTROL}/messages/{ID}/ota"), &status(1, &file_id, ""))
        .await
        .expect(202);
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 confirmed");
}

#[tokio::test]
async fn nobody_else_gets_a_package() {
    let app = TestApp::start().await;
    thing(&app, "one", json!({})).await;
    app.admin().publish(&release("1.0.0", 1)).await;
    app.admin().set_stable("1.0.0").await;
    let file_id = pending(&app).await;
    let cases = [
        (format!("fuid={file_id}&did={ID}&dk=wrong&cid={CONTROL}"), 401),
        (format!("fuid={file_id}&did=nobody&dk={KEY}&cid={CONTROL}"), 401),
        (format!("fuid={file_id}&did={ID}&dk=&cid={CONTROL}"), 401),
        (format!("fuid={file_id}&did={ID}&dk={KEY}&cid={DATA}"), 403),
        (format!("fuid=fa8884d2&did={ID}&dk={KEY}&cid={CONTROL}"), 404),
        (format!("fuid=&did={ID}&dk={KEY}&cid={CONTROL}"), 404),
        (format!("did={ID}&dk={KEY}&cid={CONTROL}"), 400),
        (String::new(), 400),
    ];
    for (query, wanted) in cases {
        let path = format!("/mf-rproxy/packages/download?{query}");
        let response = send(app.address, "GET", &path, &[], b"").await.expect(wanted);
        assert!(response.body.len() < 32 && !response.body.starts_with(b"{"), "{}", response.text());
    }
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 notified");
    // Once it runs, the file is not for it any more.
    ask(&app, "POST", &format!("/http/channels/{CONTROL}/messages/{ID}/ota"), &status(1, &file_id, ""))
        .await
        .expect(202);
    download(&app, &file_id).await.expect(404);
}

#[tokio::test]
async fn a_whole_update_as_the_client_of_2026_does_it() {
    let app = TestApp::start().await;
    let admin = app.admin();
    thing(&app, "one", json!({})).await;
    admin.publish(&release("1.0.0", 1)).await;
    admin.set_stable("1.0.0").await;
    admin.post("/api/v1/devices/one/actions", json!({"type": "cmd", "content": "tare"})).await.expect(201);
    let list = ask(&app, "GET", &actions(""), "").await.expect(200).json();
    let entry = |index: usize| (list[index]["type"].as_str().unwrap(), list[index]["id"].as_str().unwrap().to_owned());
    assert_eq!(list.as_array().unwrap().len(), 2);
    let (kind, command) = entry(0);
    assert_eq!((kind, &list[0]["content"]), ("cmd", &json!("tare")));
    assert!(list[0]["createdAt"].is_i64() && list[1]["createdAt"].is_i64());
    ask(&app, "DELETE", &actions(&format!("/{command}")), "").await.expect(200);
    ask(&app, "DELETE", &actions(&format!("/{command}")), "").await.expect(404);
    let (kind, update) = entry(1);
    assert_eq!(kind, "ota");
    let (file_id, size) = request(list[1]["content"].as_str().unwrap());
    assert_eq!(download(&app, &file_id).await.expect(200).body.len() as u64, size);
    let ota = format!("/http/channels/{CONTROL}/messages/{ID}/ota");
    ask(&app, "POST", &ota, &status(1, &file_id, "")).await.expect(202);
    // Modems have no DELETE.
    ask(&app, "PUT", &actions(&format!("/{update}")), "").await.expect(200);
    assert_eq!(admin.deployment_line("one").await, "1.0.0 trial");
    assert_eq!(ask(&app, "GET", &actions(""), "").await.expect(200).json(), json!([]));
    assert_eq!(admin.deployment_line("one").await, "1.0.0 confirmed");
    assert_eq!(history(&app, "one").await, "downloading 1.0.0\ntrial 1.0.0\nconfirmed 1.0.0\n");
}

/// Something newer came while it installed: taking its own request away leaves the newer one, and what it runs is known.
#[tokio::test]
async fn a_request_that_came_during_the_installation_stays() {
    let app = TestApp::start().await;
    let admin = app.admin();
    thing(&app, "one", json!({})).await;
    for (version, counter) in [("1.0.0", 1), ("1.1.0", 2), ("1.2.0", 3)] {
        admin.publish(&release(version, counter)).await;
    }
    admin.set_stable("1.0.0").await;
    let wanted = async || {
        let list = ask(&app, "GET", &actions(""), "").await.expect(200).json();
        let entry = list.as_array().unwrap().last().cloned();
        entry.map(|entry| (entry["id"].as_str().unwrap().to_owned(), request(entry["content"].as_str().unwrap()).0))
    };
    let (first, first_file) = wanted().await.unwrap();
    admin.set_stable("1.1.0").await;
    let (second, second_file) = wanted().await.unwrap();
    assert_ne!(first, second);
    let ota = format!("/http/channels/{CONTROL}/messages/{ID}/ota");
    ask(&app, "POST", &ota, &status(1, &first_file, "")).await.expect(202);
    ask(&app, "DELETE", &actions(&format!("/{first}")), "").await.expect(200);
    assert_eq!(wanted().await.unwrap().0, second);
    assert_eq!(admin.device_line("one").await, "updating running=1.0.0 desired=1.1.0 failed=-");
    // The same over MQTT: the empty message follows an answer about the older file.
    let mut board = connect(&app).await;
    admin.set_stable("1.2.0").await;
    let third_file = wanted().await.unwrap().1;
    board.publish(&control("ota"), &status(1, &second_file, ""), 1).await;
    board.retain(&control("ota"), "", 1).await;
    assert_eq!(wanted().await.unwrap().1, third_file);
    assert_eq!(admin.device_line("one").await, "updating running=1.1.0 desired=1.2.0 failed=-");
    // Going back to what it ran before is an update, too.
    admin.set_stable("1.0.0").await;
    assert_eq!(wanted().await.unwrap().1, first_file);
}

/// A modem keeps its connection: a handshake costs it seconds. Clients that read to the end don't ask for it.
#[tokio::test]
async fn a_connection_stays_open_for_who_asks_for_it() {
    let app = TestApp::start().await;
    thing(&app, "one", json!({})).await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    for _ in 0..2 {
        let head = format!(
            "GET {} HTTP/1.1\r\nHost: t\r\nAuthorization: {KEY}\r\nConnection: keep-alive\r\n\r\n",
            actions("")
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut received = Vec::new();
        while !received.ends_with(b"[]") {
            assert!(stream.read_buf(&mut received).await.unwrap() > 0, "{}", String::from_utf8_lossy(&received));
        }
    }
    let head = format!("GET {} HTTP/1.0\r\nHost: t\r\nAuthorization: {KEY}\r\n\r\n", actions(""));
    assert_eq!(exchange(app.address, head.as_bytes()).await.header("Connection"), Some("close"));
}

#[tokio::test]
async fn a_modem_fetches_its_configuration() {
    let app = TestApp::start().await;
    thing(&app, "one", json!({})).await;
    let path = format!("/mf-rproxy/device/config?id={ID}&channel={CONTROL}");
    ask(&app, "GET", &path, "").await.expect(404);
    let content = "network=cellular&cell-apn=iot";
    app.admin().post("/api/v1/devices/one/actions", json!({"type": "config", "content": content})).await.expect(201);
    let mut board = connect(&app).await;
    board.subscribe(&everything(), 0).await;
    assert_eq!(board.message().await.topic, control("config"));
    assert_eq!(board.message().await.line(), format!("{} pending q0 retained", control("configRequest")));
    board.retain(&control("config"), "", 1).await;
    assert_eq!(ask(&app, "GET", &path, "").await.expect(200).text(), content);
    board.retain(&control("configRequest"), "", 1).await;
    ask(&app, "GET", &path, "").await.expect(404);
}

#[tokio::test]
async fn messages_over_http_are_those_over_mqtt() {
    let app = TestApp::start().await;
    thing(&app, "one", json!({})).await;
    let data = format!("/http/channels/{DATA}/messages/{ID}");
    let answered = ask(&app, "POST", &data, r#"[{"n":"t","v":1}]"#).await.expect(202);
    assert_eq!(answered.header("Content-Length"), Some("0"));
    ask(&app, "POST", &format!("/channels/{DATA}/messages/{ID}"), "[]").await.expect(202);
    let stat = format!("/http/channels/{CONTROL}/messages/{ID}/stat");
    ask(&app, "POST", &stat, r#"[{"n":"hw_version","vs":"esp32s3"}]"#).await.expect(202);
    assert_eq!(app.admin().see("/api/v1/devices/one").await["facts"]["hw_version"], "esp32s3");
    for (path, body, wanted) in [
        (format!("/http/channels/{CONTROL}/messages/{ID}/ota"), "[{\"n\":\"e\"", 400),
        (format!("/http/channels/strange/messages/{ID}"), "[]", 403),
        (format!("/http/channels/{DATA}/messages/nobody"), "[]", 401),
    ] {
        ask(&app, "POST", &path, body).await.expect(wanted);
    }
    for headers in [&[][..], &[("Authorization", "wrong")], &[("Authorization", "Thing wrong")]] {
        send(app.address, "POST", &data, headers, b"[]").await.expect(401);
    }
    send(app.address, "POST", &data, &[("Authorization", &format!("Thing {KEY}"))], b"[]").await.expect(202);
    let endless = vec![b' '; 300_000];
    send(app.address, "POST", &data, &[("Authorization", KEY)], &endless).await.expect(413);
}

#[tokio::test]
async fn measurements_are_kept() {
    let app = TestApp::start().await;
    thing(&app, "one", json!({})).await;
    let data = format!("/http/channels/{DATA}/messages/{ID}");
    let pack = r#"[{"bn":"aa00-","bt":1659612813,"n":"board_humidity","u":"%RH","v":27.96},{"n":"status","vs":"ok"},{"n":"none"}]"#;
    ask(&app, "POST", &data, pack).await.expect(202);
    ask(&app, "POST", &data, "not senml").await.expect(202);
    let mut board = connect(&app).await;
    board.publish(&data[6..], r#"[{"n":"on","vb":true}]"#, 1).await;
    let kept = app.admin().see("/api/v1/devices/one/telemetry").await;
    let now_ms = app.clock.now_ms();
    let wanted = json!({
        "aa00-board_humidity": [{"at_ms": 1_659_612_813_000_i64, "value": 27.96}],
        "aa00-status": [{"at_ms": 1_659_612_813_000_i64, "value": "ok"}],
        "on": [{"at_ms": now_ms, "value": true}],
    });
    assert_eq!(kept["telemetry"], wanted, "{kept}");
}

#[tokio::test]
async fn a_board_fetches_its_key_until_it_used_it() {
    let app = TestApp::start().await;
    let admin = app.admin();
    app.device("one").await;
    let offer = json!({"external_id": "AA:00:BB:11:CC:DD", "content": "network=wifi", "settings": {"data": DATA}});
    let made = admin.post("/api/v1/devices/one/bootstrap", offer).await.expect(201).json();
    assert!(made.get("key").is_none());
    let path = "/things/bootstrap/aa00bb11ccdd";
    let first_key = [("Authorization", "000000000000000000000"), ("accept", "application/json")];
    send(app.address, "GET", path, &[("Authorization", "1")], b"").await.expect(401);
    send(app.address, "GET", "/things/bootstrap/aa00bb11ccde", &first_key, b"").await.expect(401);
    let told = send(app.address, "GET", path, &first_key, b"").await.expect(200).json();
    assert_eq!(
        send(app.address, "GET", path, &first_key, b"").await.expect(200).json(),
        told,
        "power may fail in between"
    );
    assert_eq!((&told["mainflux_id"], &told["content"]), (&made["id"], &json!("network=wifi")));
    let channel = |name: &str| {
        let channels = told["mainflux_channels"].as_array().unwrap().iter();
        channels.into_iter().find(|channel| channel["name"] == name).unwrap()["id"].as_str().unwrap().to_owned()
    };
    assert_eq!(channel("data"), DATA);
    let (id, key) = (told["mainflux_id"].as_str().unwrap(), told["mainflux_key"].as_str().unwrap());
    let data = format!("/http/channels/{DATA}/messages/{id}");
    send(app.address, "POST", &data, &[("Authorization", key)], b"[]").await.expect(202);
    send(app.address, "GET", path, &first_key, b"").await.expect(401);
    // Offered again: the old key is worth nothing any more; the offer ends by itself.
    admin.post("/api/v1/devices/one/bootstrap", json!({"external_id": "aa00bb11ccdd", "hours": 1})).await.expect(201);
    send(app.address, "POST", &data, &[("Authorization", key)], b"[]").await.expect(401);
    app.clock.advance(3_600_001);
    send(app.address, "GET", path, &first_key, b"").await.expect(401);
}

#[tokio::test]
async fn what_people_may_not_ask_for() {
    let app = TestApp::start().await;
    let admin = app.admin();
    app.device("plain").await;
    let command = json!({"type": "cmd", "content": "reboot"});
    admin.post("/api/v1/devices/plain/actions", command.clone()).await.expect_error(409, "conflict");
    admin.post("/api/v1/devices/nobody/actions", command.clone()).await.expect_error(409, "conflict");
    thing(&app, "one", json!({})).await;
    for (body, wanted) in [
        (json!({"type": "format", "content": "x"}), 422),
        (json!({"type": "cmd", "content": ""}), 422),
        (json!({"type": "cmd", "content": "x".repeat(9000)}), 422),
    ] {
        admin.post("/api/v1/devices/one/actions", body).await.expect(wanted);
    }
    for _ in 0..16 {
        admin.post("/api/v1/devices/one/actions", command.clone()).await.expect(201);
    }
    admin.post("/api/v1/devices/one/actions", command).await.expect_error(409, "conflict");
    for settings in [
        json!({"control_channel": "a/b"}),
        json!({"control_channel": "#"}),
        json!({"give_up_after": 0}),
        json!({"unknown": 1}),
        json!({"package": "zip"}),
        json!({"channels": vec!["c"; 17]}),
    ] {
        let body = json!({"adapter": "insighio", "settings": settings});
        admin.post("/api/v1/devices/plain/credentials", body).await.expect_error(422, "invalid");
    }
    let body = json!({"adapter": "insighio", "id": "a/b"});
    admin.post("/api/v1/devices/plain/credentials", body).await.expect_error(422, "invalid");
    let made = admin.post("/api/v1/devices/plain/credentials", json!({"adapter": "insighio"})).await.expect(201).json();
    let settings: &Value = &made["settings"];
    assert!(settings["control_channel"].is_string() && settings["control_channel"] != settings["data_channel"]);
}
