//! Updates: announced, downloaded in chunks of any size, reported state by state.

use std::io::Read;

use expect_test::expect;
use flate2::read::GzDecoder;
use goldcrest_core::Digest;
use serde_json::{Value, json};

use super::{announced, application, ask, board, chunk, connect, fetch, settled, tell, two_releases};
use crate::app::TestApp;
use crate::releases::Plan;

fn states(version: &str, state: &str) -> Value {
    json!({"current_fw_title": "sensor", "current_fw_version": version, "fw_state": state})
}

#[tokio::test]
async fn a_board_goes_the_whole_way() {
    let app = two_releases().await;
    let mut peer = settled(&app, "one").await;
    expect!["in-sync running=1.0.0 desired=1.0.0 failed=-"].assert_eq(&app.admin().device_line("one").await);
    app.admin().set_stable("1.1.0").await;
    let told = peer.message().await;
    assert_eq!(told.topic, "v1/devices/me/attributes");
    let told: Value = serde_json::from_str(&told.payload).unwrap();
    assert_eq!(
        (&told["fw_title"], &told["fw_version"], &told["fw_tag"]),
        (&json!("sensor"), &json!("1.1.0"), &json!("sensor 1.1.0"))
    );
    expect!["1.0.0 confirmed, 1.1.0 notified"].assert_eq(&app.admin().deployment_line("one").await);
    for (state, wanted) in [
        ("DOWNLOADING", "downloading"),
        ("DOWNLOADED", "downloading"),
        ("VERIFIED", "verified"),
        ("UPDATING", "installing"),
    ] {
        tell(&mut peer, states("1.0.0", state)).await;
        if state == "DOWNLOADING" {
            let package = fetch(&mut peer).await;
            assert_eq!(json!(package.len()), told["fw_size"]);
            assert_eq!(json!(Digest::of(&package).to_string()), told["fw_checksum"]);
        }
        assert_eq!(app.admin().deployment_line("one").await, format!("1.0.0 confirmed, 1.1.0 {wanted}"));
    }
    tell(&mut peer, states("1.1.0", "UPDATED")).await;
    expect!["1.0.0 confirmed, 1.1.0 confirmed"].assert_eq(&app.admin().deployment_line("one").await);
    expect!["in-sync running=1.1.0 desired=1.1.0 failed=-"].assert_eq(&app.admin().device_line("one").await);
    let events = app.admin().see("/api/v1/devices/one/events").await;
    let stages: Vec<&str> =
        events["events"].as_array().unwrap().iter().rev().map(|e| e["stage"].as_str().unwrap()).collect();
    expect!["confirmed downloading downloading verified installing confirmed"].assert_eq(&stages.join(" "));
}

#[tokio::test]
async fn a_package_is_what_the_installer_of_the_board_unpacks() {
    let app = two_releases().await;
    let mut peer = settled(&app, "one").await;
    let package = fetch(&mut peer).await;
    let mut tar = Vec::new();
    GzDecoder::new(&package[..]).read_to_end(&mut tar).unwrap();
    // Read as micropython-lib's tarfile does: name, size and the type that the name's end tells.
    let (mut lines, mut at) = (Vec::new(), 0);
    while tar[at] != 0 {
        let text = |from: usize, to: usize| {
            String::from_utf8(tar[at + from..at + to].iter().copied().take_while(|b| *b != 0).collect()).unwrap()
        };
        let (name, size) = (text(0, 100), usize::from_str_radix(&text(124, 136), 8).unwrap());
        let start = String::from_utf8_lossy(&tar[at + 512..at + 512 + size.min(60)]).trim_end().to_owned();
        lines.push(if name.contains("noise") {
            format!("{name} {size}")
        } else {
            format!("{name} {size} {start}").trim_end().to_owned()
        });
        at += 512 + size.next_multiple_of(512);
    }
    expect![[r#"
        boot.py 14 print('boot')
        lib/ 0
        lib/deep/ 0
        lib/deep/noise.bin 5000
        main.py 15 print('1.0.0')
        FW_METADATA.json 36 {"title":"sensor","version":"1.0.0"}"#]]
    .assert_eq(&lines.join("\n"));
    assert_eq!(&tar[at..], &[0; 1024][..]);
    // The same release gives the same bytes on another server.
    let other = two_releases().await;
    assert_eq!(fetch(&mut settled(&other, "two").await).await, package);
}

#[tokio::test]
async fn a_package_comes_in_chunks_of_any_size() {
    let app = two_releases().await;
    let mut peer = settled(&app, "one").await;
    let whole = fetch(&mut peer).await;
    for (request, size) in [(2, 1), (3, 100), (4, 4096), (5, whole.len() - 1), (6, whole.len())] {
        let count = whole.len().div_ceil(size).min(60);
        for number in 0..count {
            let got = chunk(&mut peer, "fw", &format!("{request}/chunk/{number}"), &size.to_string()).await.unwrap();
            let start = number * size;
            assert_eq!(got, whole[start..(start + size).min(whole.len())], "chunk {number} of {size}");
        }
    }
    // More than there is, and all of it in the words of ThingsBoard's other clients.
    for size in ["1000000", "4294967295", "0", " "] {
        assert_eq!(chunk(&mut peer, "fw", "9/chunk/0", size).await.unwrap(), whole, "{size:?}");
    }
    assert_eq!(chunk(&mut peer, "sw", "1/chunk/1", "64").await.unwrap(), whole[64..128]);
}

#[tokio::test]
async fn a_download_stays_at_the_package_it_began_with() {
    let app = two_releases().await;
    let mut peer = settled(&app, "one").await;
    let whole = fetch(&mut peer).await;
    let first = chunk(&mut peer, "fw", "8/chunk/0", "600").await.unwrap();
    app.admin().set_stable("1.1.0").await;
    let second = chunk(&mut peer, "fw", "8/chunk/1", "600").await.unwrap();
    assert_eq!([first, second].concat(), whole[..1200]);
    assert_ne!(chunk(&mut peer, "fw", "9/chunk/0", "").await.unwrap(), whole);
}

/// What a board says while another release is wanted already is about the one that it fetched: a bad one must not be blamed on the way back.
#[tokio::test]
async fn states_are_about_the_release_that_was_fetched() {
    let app = two_releases().await;
    let mut peer = settled(&app, "one").await;
    app.admin().set_stable("1.1.0").await;
    peer.message().await;
    tell(&mut peer, states("1.0.0", "DOWNLOADING")).await;
    fetch(&mut peer).await;
    app.admin().publish(&application("1.2.0", 300)).await;
    app.admin().set_stable("1.2.0").await;
    tell(&mut peer, states("1.0.0", "DOWNLOADED")).await;
    // Without an acknowledgement, which the other release could overtake: with this state the download is over, and that is told.
    let verified = states("1.0.0", "VERIFIED").to_string();
    peer.send(&peer.publish_bytes("v1/devices/me/telemetry", verified.as_bytes(), 0, 0, &[])).await;
    let told: Value = serde_json::from_str(&peer.message().await.payload).unwrap();
    assert_eq!(told["fw_version"], "1.2.0");
    tell(&mut peer, states("1.0.0", "FAILED")).await;
    expect!["1.0.0 confirmed, 1.1.0 cancelled(replaced), 1.2.0 notified"]
        .assert_eq(&app.admin().deployment_line("one").await);
    // What is said next is about the other one.
    fetch(&mut peer).await;
    tell(&mut peer, states("1.0.0", "VERIFIED")).await;
    assert!(app.admin().deployment_line("one").await.ends_with("1.2.0 verified"));
    tell(&mut peer, states("1.2.0", "UPDATED")).await;
    assert_eq!(app.admin().device_line("one").await, "in-sync running=1.2.0 desired=1.2.0 failed=-");
}

/// Names above 100 bytes can't be in a package; of files above 64 KiB the known installer writes the beginning.
#[tokio::test]
async fn what_boards_could_not_unpack_is_said_at_publish_and_fails() {
    let app = two_releases().await;
    let _peer = settled(&app, "one").await;
    let long = format!("{}/{}.py", "d".repeat(60), "f".repeat(50));
    let files = vec![(long.as_str(), b"1\n".to_vec()), ("big.bin", vec![0; 70_000])];
    let release = Plan { files, ..Plan::new("2.0.0", 900) }.build();
    let published = app.admin().upload(&release.archive).await.expect(201).json();
    assert_eq!(
        published["warnings"],
        json!([
            format!("boards of ThingsBoard: {long} has 114 bytes: boards of ThingsBoard read names of 100"),
            "boards of ThingsBoard: big.bin: its installer writes the first 65536 bytes of 70000",
        ])
    );
    app.admin().set_stable("2.0.0").await;
    while app.admin().deployment_line("one").await != "1.0.0 confirmed, 2.0.0 failed(path-long)" {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn every_kind_of_checksum_is_announced() {
    let app = two_releases().await;
    for (at, kind) in
        ["SHA256", "SHA384", "SHA512", "MD5", "MURMUR3_32", "MURMUR3_128", "CRC32"].into_iter().enumerate()
    {
        let token = board(&app, &format!("b{at}"), json!({"checksum": kind})).await;
        let mut peer = connect(&app, &token).await;
        let told = announced(&mut peer).await;
        assert_eq!(told["shared"]["fw_checksum_algorithm"], kind);
        let digits = told["shared"]["fw_checksum"].as_str().unwrap().len();
        assert_eq!(digits, [64, 96, 128, 32, 8, 32, 8][at], "{kind}");
        if kind == "CRC32" {
            let mut crc = flate2::Crc::new();
            crc.update(&fetch(&mut peer).await);
            let wanted: String = crc.sum().to_le_bytes().map(|byte| format!("{byte:02x}")).concat();
            assert_eq!(told["shared"]["fw_checksum"], wanted);
        }
    }
    let body = json!({"adapter": "thingsboard", "settings": {"checksum": "ADLER32"}});
    app.admin().post("/api/v1/devices/b0/credentials", body).await.expect_error(422, "invalid");
}

#[tokio::test]
async fn software_is_announced_by_its_own_names() {
    let app = two_releases().await;
    let token = board(&app, "one", json!({"software": true})).await;
    let mut peer = connect(&app, &token).await;
    let told = ask(&mut peer, json!({"sharedKeys": "sw_title,sw_version,fw_title"})).await;
    assert_eq!(told, json!({"shared": {"sw_title": "sensor", "sw_version": "1.0.0"}}));
    tell(&mut peer, json!({"current_sw_title": "sensor", "current_sw_version": "1.0.0", "sw_state": "UPDATED"})).await;
    expect!["1.0.0 confirmed"].assert_eq(&app.admin().deployment_line("one").await);
}

#[tokio::test]
async fn boards_with_our_agent_get_the_signed_release() {
    let app = two_releases().await;
    let token = board(&app, "one", json!({"package": "release"})).await;
    let mut peer = connect(&app, &token).await;
    let wanted = app.admin().get("/api/v1/releases/sensor/1.0.0/archive").await.expect(200);
    assert_eq!(fetch(&mut peer).await, wanted.body);
}

#[tokio::test]
async fn a_board_that_runs_something_else_is_brought_to_its_channel() {
    let app = two_releases().await;
    let token = board(&app, "one", json!({})).await;
    let mut peer = connect(&app, &token).await;
    tell(
        &mut peer,
        json!({"current_fw_title": "Initial", "current_fw_version": "v0", "fw_state": "IDLE", "fw_error": ""}),
    )
    .await;
    expect!["updating running=- desired=1.0.0 failed=-"].assert_eq(&app.admin().device_line("one").await);
    tell(&mut peer, states("1.0.0", "UPDATED")).await;
    tell(&mut peer, states("0.9.9", "UPDATED")).await;
    expect!["updating running=- desired=1.0.0 failed=-"].assert_eq(&app.admin().device_line("one").await);
    expect!["1.0.0 confirmed, 1.0.0 notified"].assert_eq(&app.admin().deployment_line("one").await);
}

#[tokio::test]
async fn an_interrupted_board_that_says_updated_of_its_old_release_is_not_believed() {
    let app = two_releases().await;
    let mut peer = settled(&app, "one").await;
    app.admin().set_stable("1.1.0").await;
    peer.message().await;
    tell(&mut peer, states("1.0.0", "DOWNLOADING")).await;
    tell(&mut peer, states("1.0.0", "UPDATED")).await;
    expect!["1.0.0 confirmed, 1.1.0 downloading"].assert_eq(&app.admin().deployment_line("one").await);
}

#[tokio::test]
async fn a_wrong_checksum_passes_but_not_for_ever() {
    let app = two_releases().await;
    let token = board(&app, "one", json!({"attempts": 3})).await;
    let mut peer = connect(&app, &token).await;
    for wanted in ["1.0.0 downloading(hash)", "1.0.0 downloading(hash)", "1.0.0 failed(error)"] {
        assert_eq!(announced(&mut peer).await["shared"]["fw_version"], "1.0.0");
        tell(&mut peer, states("v0", "DOWNLOADING")).await;
        fetch(&mut peer).await;
        tell(&mut peer, states("v0", "DOWNLOADED")).await;
        tell(&mut peer, states("v0", "FAILED")).await;
        assert_eq!(app.admin().deployment_line("one").await, wanted);
    }
    assert!(peer.message().await.payload.contains("deleted"));
    // It is not announced again until somebody wants that.
    assert_eq!(announced(&mut peer).await, json!({}));
}

#[tokio::test]
async fn a_failed_installation_fails_the_deployment_and_says_why() {
    let app = two_releases().await;
    let mut peer = settled(&app, "one").await;
    app.admin().set_stable("1.1.0").await;
    peer.message().await;
    for state in ["DOWNLOADING", "DOWNLOADED", "VERIFIED"] {
        tell(&mut peer, states("1.0.0", state)).await;
    }
    tell(&mut peer, json!({"fw_state": "FAILED", "fw_error": "(OSError) 28"})).await;
    expect!["1.0.0 confirmed, 1.1.0 failed(error)"].assert_eq(&app.admin().deployment_line("one").await);
    expect!["failed running=1.0.0 desired=1.0.0 failed=1.1.0"].assert_eq(&app.admin().device_line("one").await);
    let deployments = app.admin().see("/api/v1/deployments?device=one").await;
    assert_eq!(deployments["deployments"][0]["detail"], "(OSError) 28");
    // It was told of the other: now it hears of what it has.
    assert!(peer.message().await.payload.contains("\"fw_version\":\"1.0.0\""));
}

#[tokio::test]
async fn so_many_boards_are_told_within_a_minute() {
    let app = TestApp::start_empty(|settings| settings.thingsboard_per_minute = 2).await;
    app.admin().put_bytes("/api/v1/keyring", &crate::releases::keyring(1)).await.expect(200);
    for (version, counter) in [("1.0.0", 1), ("1.1.0", 2)] {
        app.admin().publish(&application(version, counter)).await;
    }
    let mut peers = Vec::new();
    for name in ["a", "b", "c"] {
        let token = board(&app, name, json!({})).await;
        peers.push(connect(&app, &token).await);
    }
    app.admin().set_stable("1.0.0").await;
    for peer in &mut peers[..2] {
        assert!(peer.message().await.payload.contains("1.0.0"));
    }
    peers[2].nothing().await;
    // Who asks is answered all the same.
    assert_eq!(announced(&mut peers[2]).await["shared"]["fw_version"], "1.0.0");
}

#[tokio::test]
async fn a_board_that_shall_run_nothing_more_hears_so() {
    let app = two_releases().await;
    let token = board(&app, "one", json!({})).await;
    let mut peer = connect(&app, &token).await;
    tell(&mut peer, json!({"fw_state": "FAILED", "fw_error": "no room"})).await;
    let told: Value = serde_json::from_str(&peer.message().await.payload).unwrap();
    assert_eq!(told["deleted"].as_array().map(Vec::len), Some(6), "{told}");
}
