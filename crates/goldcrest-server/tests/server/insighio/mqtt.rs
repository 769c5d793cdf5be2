//! The MQTT half: what is retained, what answers mean, whose topics are whose.

use expect_test::expect;
use serde_json::json;

use super::{CONTROL, DATA, ID, KEY, connect, control, download, everything, history, request, status, thing};
use crate::app::TestApp;
use crate::mqtt::client::{Hello, Peer, hello};
use crate::releases::{Plan, release};

async fn people(app: &TestApp) -> Peer {
    let token = app.admin().token;
    Peer::join(app.mqtt, Hello { user: Some(&token), ..hello(5, "ops") }).await.0
}

#[tokio::test]
async fn a_whole_update_as_the_client_does_it() {
    let app = TestApp::start().await;
    let (admin, new) = (app.admin(), release("1.0.0", 1));
    thing(&app, "one", json!({})).await;
    admin.publish(&new).await;
    admin.set_stable("1.0.0").await;
    let mut board = connect(&app).await;
    assert_eq!(board.subscribe(&everything(), 0).await, 0);
    let told = board.message().await;
    assert_eq!(told.topic, control("ota"));
    assert!(told.retain && told.qos == 0);
    let (file_id, size) = request(&told.payload);
    assert_eq!(
        told.payload,
        format!(r#"[{{"n":"e","v":0}},{{"n":"i","vs":"{file_id}"}},{{"n":"t","vs":".tar"}},{{"n":"s","v":{size}}}]"#)
    );
    assert_eq!(admin.deployment_line("one").await, "1.0.0 notified");
    let package = download(&app, &file_id).await.expect(200);
    assert_eq!(package.body.len() as u64, size);
    assert_eq!(package.header("Content-Length"), Some(size.to_string().as_str()));
    assert_eq!(admin.deployment_line("one").await, "1.0.0 downloading");
    // Applied, then the request is taken away: both before the reset.
    assert_eq!(board.publish(&control("ota"), &status(1, &file_id, ""), 1).await, 0);
    assert_eq!(board.retain(&control("ota"), "", 1).await, 0);
    board.nothing().await;
    assert_eq!(admin.deployment_line("one").await, "1.0.0 trial");
    drop(board);
    // It is there again: so it runs.
    let mut board = connect(&app).await;
    board.subscribe(&everything(), 0).await;
    board.nothing().await;
    assert_eq!(admin.deployment_line("one").await, "1.0.0 confirmed");
    assert_eq!(admin.device_line("one").await, "in-sync running=1.0.0 desired=1.0.0 failed=-");
    expect![[r"
        downloading 1.0.0
        trial 1.0.0
        confirmed 1.0.0
    "]]
    .assert_eq(&history(&app, "one").await);
}

#[tokio::test]
async fn the_request_is_there_for_each_subscription_until_the_thing_takes_it_away() {
    let app = TestApp::start().await;
    thing(&app, "one", json!({})).await;
    app.admin().publish(&release("1.0.0", 1)).await;
    app.admin().set_stable("1.0.0").await;
    let mut board = connect(&app).await;
    for filter in [everything(), control("ota"), everything()] {
        board.subscribe(&filter, 1).await;
        assert_eq!(board.message().await.topic, control("ota"));
    }
    board.subscribe(&control("cmd"), 1).await;
    board.nothing().await;
    // Empty and not retained is no order to forget.
    board.publish(&control("ota"), "", 1).await;
    board.subscribe(&everything(), 1).await;
    assert_eq!(board.message().await.topic, control("ota"));
    board.retain(&control("ota"), "", 1).await;
    let app = app.restart().await;
    let mut board = connect(&app).await;
    board.subscribe(&everything(), 1).await;
    board.nothing().await;
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 notified");
    // Another release is another request.
    app.admin().publish(&release("1.1.0", 2)).await;
    app.admin().set_stable("1.1.0").await;
    let live = board.message().await;
    assert_eq!((live.topic, live.retain), (control("ota"), false));
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 cancelled(replaced), 1.1.0 notified");
}

#[tokio::test]
async fn what_a_failed_thing_says_becomes_the_reason() {
    let cases = [
        (status(2, "ID", "can not apply"), "error", "can not apply"),
        (status(2, "ID", "not enough space"), "space", "not enough space"),
        // As our agent says it.
        (status(2, "ID", "can not apply: crash"), "crash", "can not apply: crash"),
        (status(2, "ID", ""), "error", "the thing did not say why"),
        // As the documentation of the platform spells it.
        (
            r#"[{"n":"e","v":2},{"n":"i","vs":"ID"},{"m":"i","vs":"not enough space"}]"#.into(),
            "space",
            "not enough space",
        ),
        (status(3, "ID", ""), "cancelled", "by the thing"),
    ];
    for (answer, reason, detail) in cases {
        let app = TestApp::start().await;
        thing(&app, "one", json!({})).await;
        app.admin().publish(&release("1.0.0", 1)).await;
        app.admin().set_stable("1.0.0").await;
        let mut board = connect(&app).await;
        board.subscribe(&everything(), 0).await;
        let (file_id, _) = request(&board.message().await.payload);
        board.publish(&control("ota"), &answer.replace("ID", &file_id), 1).await;
        assert_eq!(app.admin().deployment_line("one").await, format!("1.0.0 failed({reason})"), "{answer}");
        assert_eq!(history(&app, "one").await, format!("failed 1.0.0 {reason} {detail}\n"));
        // It is not asked again, although it did not take the request away.
        board.subscribe(&everything(), 0).await;
        board.nothing().await;
    }
}

#[tokio::test]
async fn who_can_not_download_is_given_up_after_a_while() {
    let app = TestApp::start().await;
    thing(&app, "one", json!({"give_up_after": 3})).await;
    app.admin().publish(&release("1.0.0", 1)).await;
    app.admin().set_stable("1.0.0").await;
    for attempt in 1..=3 {
        let mut board = connect(&app).await;
        board.subscribe(&everything(), 0).await;
        let (file_id, _) = request(&board.message().await.payload);
        board.publish(&control("ota"), &status(2, &file_id, "can not download"), 1).await;
        let state = if attempt < 3 { "notified".to_owned() } else { "failed".to_owned() };
        let line = app.admin().deployment_line("one").await;
        assert!(line.contains(&state) || line.contains("downloading"), "{attempt}: {line}");
    }
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 failed(download)");
    let mut board = connect(&app).await;
    board.subscribe(&everything(), 0).await;
    board.nothing().await;
    expect![[r"
        downloading 1.0.0 download can not download: 1 of 3 times
        downloading 1.0.0 download can not download: 2 of 3 times
        failed 1.0.0 download can not download: 3 of 3 times
    "]]
    .assert_eq(&history(&app, "one").await);
}

#[tokio::test]
async fn a_release_that_the_client_could_not_unpack_fails_before_it_is_sent() {
    let app = TestApp::start().await;
    thing(&app, "one", json!({})).await;
    let long = format!("lib/{}/{}.py", "a".repeat(60), "b".repeat(40));
    let plan = Plan::new("1.0.0", 1);
    let release = Plan { files: vec![(&long, b"1\n".to_vec())], ..plan }.build();
    app.admin().publish(&release).await;
    app.admin().set_stable("1.0.0").await;
    let mut board = connect(&app).await;
    board.subscribe(&everything(), 0).await;
    board.nothing().await;
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 failed(path-long)");
}

#[tokio::test]
async fn a_thing_uses_its_own_channels_and_nothing_else() {
    let app = TestApp::start().await;
    let one = thing(&app, "one", json!({"channels": ["shared"]})).await;
    let id = app.admin().see("/api/v1/devices/one").await["id"].to_string();
    let mut board = Peer::join(app.mqtt, Hello { user: Some(ID), password: Some(KEY), ..hello(5, "b") }).await.0;
    let other = "11111111-07a0-4f3a-87ed-ee17232cd7e7";
    for filter in [
        format!("channels/{CONTROL}/messages/{other}/#"),
        format!("channels/{CONTROL}/messages/+/ota"),
        format!("channels/{CONTROL}/messages/#"),
        format!("channels/strange/messages/{ID}/#"),
        format!("channels/{CONTROL}/messages/{ID}x/#"),
        format!("goldcrest/v1/{id}/desired"),
        "goldcrest/v1/me/desired".into(),
        "#".into(),
    ] {
        assert_eq!(board.subscribe(&filter, 0).await, 0x80, "{filter}");
    }
    for topic in [
        format!("channels/{CONTROL}/messages/{other}/ota"),
        format!("channels/{CONTROL}/messages"),
        format!("channels/strange/messages/{ID}"),
        format!("goldcrest/v1/{id}/report"),
        "goldcrest/v1/me/app/x".into(),
    ] {
        assert_eq!(board.publish(&topic, "x", 1).await, 0x87, "{topic}");
    }
    for filter in [everything(), format!("channels/{DATA}/messages/{ID}"), format!("channels/shared/messages/{ID}/#")] {
        assert_eq!(board.subscribe(&filter, 0).await, 0, "{filter}");
    }
    // The same device with its own token is a board as any other.
    let mut native = Peer::join(app.mqtt, Hello { user: Some(&one.token), ..hello(5, "n") }).await.0;
    assert_eq!(native.subscribe(&everything(), 0).await, 0x80);
    assert_eq!(native.subscribe("goldcrest/v1/me/desired", 0).await, 0);
}

#[tokio::test]
async fn a_wrong_key_is_refused_and_a_removed_thing_goes() {
    let app = TestApp::start_empty(|settings| settings.mqtt.anonymous = None).await;
    thing(&app, "one", json!({})).await;
    for (user, password) in
        [(Some(ID), Some("wrong")), (Some(ID), None), (Some("nobody"), Some(KEY)), (Some(ID), Some(""))]
    {
        let mut peer = Peer::open(app.mqtt).await;
        assert_eq!(peer.introduce(Hello { user, password, ..hello(4, "x") }).await, [0, 4], "{user:?} {password:?}");
    }
    let mut board = Peer::join(app.mqtt, Hello { user: Some(ID), password: Some(KEY), ..hello(5, "b") }).await.0;
    let list = app.admin().see("/api/v1/devices/one/credentials").await;
    let number = &list["credentials"][0]["number"];
    app.admin().delete(&format!("/api/v1/devices/one/credentials/{number}")).await.expect(204);
    assert_eq!(board.ended().await, Some(0x87));
}

#[tokio::test]
async fn bad_answers_change_nothing() {
    let app = TestApp::start().await;
    thing(&app, "one", json!({})).await;
    app.admin().publish(&release("1.0.0", 1)).await;
    app.admin().set_stable("1.0.0").await;
    let mut board = Peer::join(app.mqtt, Hello { user: Some(ID), password: Some(KEY), ..hello(5, "b") }).await.0;
    board.subscribe(&everything(), 0).await;
    let (file_id, _) = request(&board.message().await.payload);
    let whole = status(1, &file_id, "");
    for bad in [
        &whole[..whole.len() - 2],
        "{}",
        "[]",
        "\u{7f}",
        r#"[{"n":"e","v":1}]"#,
        &format!(r#"[{{"n":"e","v":9}},{{"n":"i","vs":"{file_id}"}}]"#),
        &format!(r#"[{{"n":"e","vs":"1"}},{{"n":"i","vs":"{file_id}"}}]"#),
    ] {
        assert_eq!(board.publish(&control("ota"), bad, 1).await, 0x99, "{bad}");
    }
    // About another file: taken, and of no effect.
    let code = board.publish(&control("ota"), &status(1, "fa8884d2", ""), 1).await;
    assert!(code < 0x80);
    assert_eq!(app.admin().deployment_line("one").await, "1.0.0 notified");
    assert_eq!(history(&app, "one").await, "");
}

#[tokio::test]
async fn people_see_what_things_say_and_never_what_stands_for_others() {
    let app = TestApp::start().await;
    thing(&app, "one", json!({})).await;
    let mut ops = people(&app).await;
    ops.subscribe("channels/#", 0).await;
    let mut board = connect(&app).await;
    let data = format!("channels/{DATA}/messages/{ID}");
    board.publish(&data, r#"[{"bn":"aa00-","n":"t","v":27.96}]"#, 1).await;
    assert_eq!(ops.message().await.line(), format!(r#"{data} [{{"bn":"aa00-","n":"t","v":27.96}}] q0"#));
    // The platform passes any form of measurement.
    board.publish(&data, "not senml", 1).await;
    assert_eq!(ops.message().await.payload, "not senml");
    // An answer on the topic of requests does not stay there, even if it asks to.
    board.retain(&control("ota"), &status(1, "fa8884d2", ""), 1).await;
    assert_eq!(ops.message().await.topic, control("ota"));
    let mut late = people(&app).await;
    late.subscribe("channels/#", 0).await;
    late.nothing().await;
    // Its own answer does not come back to it.
    board.subscribe(&everything(), 0).await;
    board.publish(&control("ota"), &status(1, "fa8884d2", ""), 1).await;
    board.nothing().await;
}

#[tokio::test]
async fn commands_and_configurations_stay_until_taken() {
    let app = TestApp::start().await;
    let admin = app.admin();
    thing(&app, "one", json!({})).await;
    admin.publish(&release("1.0.0", 1)).await;
    admin.set_stable("1.0.0").await;
    let mut live = connect(&app).await;
    live.subscribe(&control("cmd"), 0).await;
    let action = |kind: &str, content: &str| json!({"type": kind, "content": content});
    admin.post("/api/v1/devices/one/actions", action("cmd", "reboot")).await.expect(201);
    assert_eq!(live.message().await.line(), format!("{} reboot q0", control("cmd")));
    admin.post("/api/v1/devices/one/actions", action("cmd", "tare")).await.expect(201);
    assert_eq!(live.message().await.payload, "tare");
    admin.post("/api/v1/devices/one/actions", action("config", "network=wifi&period=60")).await.expect(201);
    admin.post("/api/v1/devices/one/actions", action("partialConfig", "period=30")).await.expect(201);
    let listen = async |board: &mut Peer| {
        board.subscribe(&everything(), 0).await;
        let mut leaves = String::new();
        loop {
            let got = board.message().await;
            let leaf = got.topic.rsplit('/').next().unwrap().to_owned();
            let shown = if leaf == "ota" { "…" } else { got.payload.as_str() };
            leaves += &[leaf.as_str(), "=", shown, " "].concat();
            if leaf == "ota" {
                return leaves;
            }
        }
    };
    let mut board = connect(&app).await;
    let all = "cmd=reboot config=network=wifi&period=60 configRequest=pending partialConfig=period=30 ota=… ";
    assert_eq!(listen(&mut board).await, all);
    // A client with Wi-Fi: it takes the content and drops the other.
    board.retain(&control("cmd"), "", 1).await;
    board.retain(&control("configRequest"), "", 1).await;
    assert_eq!(listen(&mut board).await, "cmd=tare config=network=wifi&period=60 partialConfig=period=30 ota=… ");
    board.retain(&control("config"), "", 1).await;
    board.retain(&control("partialConfig"), "", 1).await;
    board.retain(&control("cmd"), "", 1).await;
    assert_eq!(listen(&mut board).await, "ota=… ");
    assert_eq!(admin.see("/api/v1/devices/one/actions").await["actions"], json!([]));
    // The client leaves what it does not know where it is: nothing waits behind that.
    admin.post("/api/v1/devices/one/actions", action("cmd", "dance")).await.expect(201);
    admin.post("/api/v1/devices/one/actions", action("partialConfig", "period=30")).await.expect(201);
    let mut board = connect(&app).await;
    assert_eq!(listen(&mut board).await, "partialConfig=period=30 ota=… ");
    assert_eq!(board.message().await.payload, "dance");
    // It takes away what it was told.
    admin.post("/api/v1/devices/one/actions", action("cmd", "tare")).await.expect(201);
    assert_eq!(board.message().await.payload, "tare");
    board.retain(&control("cmd"), "", 1).await;
    let left = admin.see("/api/v1/devices/one/actions").await;
    let left: Vec<&str> = left["actions"].as_array().unwrap().iter().map(|a| a["content"].as_str().unwrap()).collect();
    assert_eq!(left, ["dance", "period=30"]);
}

#[tokio::test]
async fn what_a_thing_tells_of_itself_is_kept() {
    let app = TestApp::start().await;
    thing(&app, "one", json!({})).await;
    let mut board = connect(&app).await;
    let stat = r#"[{"n":"sw_commit","vs":"cd9dd2f"},{"n":"hw_version","vs":"esp32s3"},{"n":"fw_v_major","v":3},{"n":"free_flash","v":812,"u":"KiBy"}]"#;
    board.publish(&control("stat"), stat, 1).await;
    let facts = app.admin().see("/api/v1/devices/one").await["facts"].clone();
    assert_eq!(facts, json!({"sw_commit": "cd9dd2f", "hw_version": "esp32s3", "fw_v_major": 3, "free_flash": 812}));
    board.publish(&control("configResponse"), r#"[{"n":"config","vs":"network=wifi"},{"n":"e","v":9}]"#, 1).await;
    let told = app.admin().see("/api/v1/devices/one/actions").await;
    assert_eq!(told["config"]["content"], "network=wifi");
    // The will of the client stands on its control channel.
    let will = Some((control("connStat"), "gone"));
    let (topic, payload) = will.as_ref().unwrap();
    let hello = Hello { user: Some(ID), password: Some(KEY), will: Some((topic, payload, b"")), ..hello(4, "w") };
    Peer::join(app.mqtt, hello).await;
}
