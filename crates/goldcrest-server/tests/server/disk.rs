//! A full disk: the upload fails by name, nothing is left over, and the server goes on.

use serde_json::json;

use crate::app::TestApp;
use crate::releases::{Plan, keyring, release};

/// The n-th upload works in `tmp/upload-n`, so a test can put `/dev/full` in the way: every write to it is a real ENOSPC.
#[cfg(target_os = "linux")]
fn fill_disk_for(app: &TestApp, upload: u32, file: &str) {
    let folder = app.data().join(format!("tmp/upload-{upload}"));
    std::fs::create_dir(&folder).unwrap();
    std::os::unix::fs::symlink("/dev/full", folder.join(file)).unwrap();
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_disk_full_while_the_upload_arrives_is_507() {
    let app = TestApp::start().await;
    fill_disk_for(&app, 1, "archive");
    still_takes_it_once_there_is_room(&app).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_disk_full_while_objects_are_stored_is_507() {
    let app = TestApp::start().await;
    let one = release("1.0.0", 100);
    fill_disk_for(&app, 1, &one.objects.keys().next_back().unwrap().to_string());
    still_takes_it_once_there_is_room(&app).await;
}

#[cfg(target_os = "linux")]
async fn still_takes_it_once_there_is_room(app: &TestApp) {
    let one = release("1.0.0", 100);
    let error = app.admin().upload(&one.archive).await.expect_error(507, "disk-full").json();
    assert_eq!(error["message"], "the server's disk is full; nothing was changed");
    assert_eq!(std::fs::read_dir(app.data().join("tmp")).unwrap().count(), 0, "temporary files are left");
    assert_eq!(app.admin().see("/api/v1/releases").await["releases"], json!([]));
    app.admin().upload(&one.archive).await.expect(201);
    assert_eq!(app.admin().get("/api/v1/releases/sensor/1.0.0/archive").await.expect(200).body, one.archive);
}

#[tokio::test]
async fn a_database_that_cannot_grow_is_507_and_stays_intact() {
    let app = TestApp::start_empty(|settings| settings.max_database_bytes = Some(400 << 10)).await;
    app.admin().put_bytes("/api/v1/keyring", &keyring(1)).await.expect(200);
    let device = app.device("one").await;
    let mut taken = 0;
    let full = loop {
        // Many short files: the manifest, which is in the database, is what grows.
        let paths: Vec<String> = (0..400).map(|number| format!("folder/file_{taken}_{number:04}.py")).collect();
        let files = paths.iter().map(|path| (path.as_str(), b"pass\n".to_vec())).collect();
        let version = format!("{taken}.0");
        let plan = Plan { files, ..Plan::new(&version, 100 + taken) };
        let response = app.admin().upload(&plan.build().archive).await;
        if response.status != 201 {
            break response;
        }
        taken += 1;
        assert!(taken < 50, "400 KiB hold no 50 manifests");
    };
    full.expect_error(507, "disk-full");
    assert!(taken > 0);
    let app_restarted = {
        device.check_in("-", "ok", &[]).await.expect(304);
        drop(device);
        app.restart().await
    };
    let releases = app_restarted.admin().see("/api/v1/releases").await;
    assert_eq!(releases["releases"].as_array().unwrap().len() as u64, taken);
    assert_eq!(app_restarted.admin().device_line("one").await, "in-sync running=- desired=- failed=-");
}
