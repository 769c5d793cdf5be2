//! `goldcrest import`: what fleets have today, read, published, and named where it cannot be taken.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use expect_test::expect;
use flate2::Compression;
use flate2::write::{GzEncoder, ZlibEncoder};

use crate::sandbox::{Sandbox, git};

/// Runs an import twice: what it says, and that the second time makes nothing.
#[track_caller]
fn twice(sandbox: &Sandbox, args: &[&str]) -> String {
    let dry = sandbox.ok(&[&["import"], args, &["--dry-run"]].concat());
    let said = sandbox.ok(&[&["import"], args].concat());
    assert_eq!(dry.replace("would make    ", "made          "), said, "the dry run says what is done");
    let again = sandbox.ok(&[&["import"], args].concat());
    assert_eq!(again.replace("there already ", "made          "), said, "twice is once");
    assert!(!again.contains("made  "), "{again}");
    said.replace(&*sandbox.path("").to_string_lossy(), "$DIR/")
}

fn get(url: &str, path: &str) -> String {
    let config = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build();
    let mut answer = ureq::Agent::from(config).get(format!("{url}{path}")).call().unwrap();
    format!("{} {}", answer.status().as_u16(), answer.body_mut().read_to_string().unwrap())
}

#[test]
fn the_document_root_of_micropython_ota() {
    let sandbox = Sandbox::new();
    let served = sandbox.serve();
    for (path, text) in [
        ("sample/version", "v1.0.10\n"),
        ("sample/v1.0.9_main.py", "print(9)\n"),
        ("sample/v1.0.9_boot.py", "print('boot')\n"),
        ("sample/v1.0.10_main.py", "print(10)\n"),
        ("sample/v1.0.10_boot.py", "print('boot')\n"),
        ("sample/v1.0.10_my_data.txt", "data\n"),
        ("sample/v1.0.10_secrets.py", "password = 'hunter2'\n"),
        ("sample/v1.0.1 boot.py", "a space instead of _\n"),
        ("Big Project/version", "2"),
        ("Big Project/1/main.py", "print('one')\n"),
        ("Big Project/2/main.py", "print('two')\n"),
        ("Big Project/2/lib/deep.py", "DEEP = 2\n"),
        ("gone/version", "7"),
        ("noversion/main.py", "x\n"),
    ] {
        sandbox.write(&format!("www/{path}"), text);
    }
    let www = sandbox.path("www");
    fs::rename(www.join("Big Project"), www.join("big_project")).unwrap();
    expect![[r#"
        made          release big_project 1 (1 files)
        made          release big_project 2 (2 files)
        made          release sample v1.0.9 (2 files)
        made          release sample v1.0.10 (3 files)
        made          channel big_project stable at 2
        made          channel sample stable at v1.0.10
        made          feed micropython-ota at /ota/big_project with big_project stable
        made          feed micropython-ota at /ota/sample with sample stable
        note          gone: version names 7, of which there is no file
        note          noversion: no file named version in it
        note          sample/v1.0.1 boot.py: no version is before it, as in v1.0.10_v1.0.1 boot.py
        note          sample v1.0.10: secrets.py: files named secrets* hold secrets; a release goes to every board; --allow-secret secrets.py if it must travel
        next          point ota_host of the boards at this server: docs/migrate-micropython-ota.md
    "#]]
    .assert_eq(&twice(&sandbox, &["micropython-ota", www.to_str().unwrap(), "--prefix", "ota"]));
    assert_eq!(get(&served.url, "/ota/sample/version"), "200 v1.0.10\n");
    assert_eq!(get(&served.url, "/ota/sample/v1.0.10_boot.py"), "200 print('boot')\n");
    assert_eq!(get(&served.url, "/ota/sample/v1.0.9_main.py"), "200 print(9)\n");
    assert_eq!(get(&served.url, "/ota/big_project/2/lib/deep.py"), "200 DEEP = 2\n");
    // What was moved since stays where it is.
    sandbox.ok(&["channel", "set", "stable", "v1.0.9", "--package", "sample"]);
    sandbox.ok(&["import", "micropython-ota", www.to_str().unwrap(), "--prefix", "ota"]);
    assert_eq!(get(&served.url, "/ota/sample/version"), "200 v1.0.9\n");
}

#[test]
fn the_folder_of_sensorclass() {
    let sandbox = Sandbox::new();
    let served = sandbox.serve();
    let charger =
        r#"{"name": "smartcharger", "smartcharger": "1", "sensorclass": "2", "mqttclass": "latest", "config": 6}"#;
    for (path, text) in [
        ("deadbeef1234", charger),
        ("DE:AD:BE:EF:00:02", r#"{"name": "smartcharger", "smartcharger": "latest"}"#),
        ("deadbeef0003", r#"{"name": "smartcharger", "smartcharger": "latest", "mqttclass": "99"}"#),
        ("deadbeef0004", r#"{"smartcharger": "1"}"#),
        ("deadbeef0005", "{not json"),
        ("latestversions", r#"{"smartcharger": "2", "sensorclass": "2", "mqttclass": "11"}"#),
        ("smartcharger1.py", "print(1)\n"),
        ("smartcharger2.py", "print(2)\n"),
        ("sensorclass2.py", "S = 2\n"),
        ("mqttclass9.py", "M = 9\n"),
        ("mqttclass11.py", "M = 11\n"),
        ("config6.py", "C = 6\n"),
        ("updater.py", "import config\n"),
        ("notes.txt", "hello"),
    ] {
        sandbox.write(&format!("code/{path}"), text);
    }
    let code = sandbox.path("code");
    expect![[r#"
        made          release config 6 (1 files)
        made          release mqttclass 9 (1 files)
        made          release mqttclass 11 (1 files)
        made          release sensorclass 2 (1 files)
        made          release smartcharger 1 (1 files)
        made          release smartcharger 2 (1 files)
        made          release sensorclass-files 1 (1 files)
        made          channel config stable at 6
        made          channel mqttclass stable at 11
        made          channel sensorclass stable at 2
        made          channel smartcharger stable at 2
        made          channel sensorclass-files stable at 1
        made          channel smartcharger pin-1 at 1
        made          feed sensorclass at /local/code with sensorclass-files stable
        made          device smartcharger-deadbeef0002 (smartcharger stable), 0 pins, known to sensorclass as deadbeef0002
        made          device smartcharger-deadbeef1234 (smartcharger pin-1), 3 pins, known to sensorclass as deadbeef1234
        note          deadbeef0005: not JSON: key must be a string at line 1 column 2
        note          notes.txt: neither a MAC address nor a module
        note          latestversions does not name config: its latest is 6, the newest file
        note          deadbeef0003: mqttclass 99, of which there is no file: the board is left out
        note          deadbeef0004: neither "name" nor "nodename", so it is not known what the board runs
        note          deadbeef1234: config is the number 6: taken as "6"
        next          updater.py have no version: they are the package sensorclass-files
        next          point the boards' web server address at this server: docs/migrate-sensorclass.md
    "#]]
    .assert_eq(&twice(&sandbox, &["sensorclass", code.to_str().unwrap(), "--prefix", "local/code"]));
    let list = get(&served.url, "/local/code/DEADBEEF1234");
    let expected = r#"200 {"config":"6","mqttclass":"11","name":"smartcharger","sensorclass":"2","smartcharger":"1"}"#;
    assert_eq!(list, expected);
    for (file, text) in
        [("smartcharger1.py", "print(1)\n"), ("mqttclass11.py", "M = 11\n"), ("updater.py", "import config\n")]
    {
        assert_eq!(get(&served.url, &format!("/local/code/{file}")), format!("200 {text}"));
    }
}

/// As its author's own folder has it: commas are missing, headings stand between the modules, one module holds passwords.
#[test]
fn the_folder_of_a_later_sensorclass() {
    let sandbox = Sandbox::new();
    let served = sandbox.serve();
    let latest = "{\n    \"------ Common\": \"\",\n    \"sensor\": \"17\",\n    \"config\": \"!16\"\n    \"secrets\": \"!13\"\n    \"charger\": \"10\"\n}\n";
    let kitchen = "{\n  \"nodename\":\"charger\"\n  \"charger\":\"9\",\n  \"sensor\":\"latest\"\n  \"config\":\"latest\"\n  \"secrets\":\"latest\"\n}\n";
    let secret = "mqttuser = 'esp'\nmqttpass = 'hunter2hunter2'\n";
    for (path, text) in [
        ("latestversions", latest),
        ("deadbeef0001", kitchen),
        ("deadbeef0002.config", r#"{"nodename": "charger", "charger": "latest", "wifi": "3"}"#),
        ("charger9.py", "print(9)\n"),
        ("charger10.py", "print(10)\n"),
        ("sensor17.py", "S = 17\n"),
        ("config16.py", "C = 16\n"),
        ("secrets13.py", secret),
        ("wifi3.py", "password = 'hunter2hunter2'\n"),
        ("deadbeef0003", r#"{"nodename": "charger", "charger": "10", "boot": "!0", "sensor-combined": "1"}"#),
        ("boot0.py", "print('boot')\n"),
        ("sensor-combined1.py", "S = 1\n"),
    ] {
        sandbox.write(&format!("code/{path}"), text);
    }
    let code = sandbox.path("code");
    expect![[r#"
        made          release boot 0 (1 files)
        made          release charger 9 (1 files)
        made          release charger 10 (1 files)
        made          release config 16 (1 files)
        made          release sensor 17 (1 files)
        made          release sensor-combined 1 (1 files)
        made          channel boot stable at 0
        made          channel charger stable at 10
        made          channel config stable at 16
        made          channel sensor stable at 17
        made          channel sensor-combined stable at 1
        made          channel charger pin-9 at 9
        made          channel charger pin-10 at 10
        made          feed sensorclass at /local/code
        made          device charger-deadbeef0001 (charger pin-9), 2 pins, known to sensorclass as deadbeef0001
        made          device charger-deadbeef0003 (charger pin-10), 2 pins, known to sensorclass as deadbeef0003
        note          deadbeef0001: a comma is wrong (expected `,` or `}` at line 3 column 3): taken as a board reads it
        note          latestversions: a comma is wrong (expected `,` or `}` at line 5 column 5): taken as a board reads it
        note          latestversions does not name boot: its latest is 0, the newest file
        note          latestversions does not name sensor-combined: its latest is 1, the newest file
        note          latestversions does not name wifi: its latest is 3, the newest file
        note          secrets 13: secrets.py: files named secrets* hold secrets; a release goes to every board; --allow-secret secrets.py if it must travel
        note          wifi 3: wifi.py: files named wifi* hold secrets; a release goes to every board; --allow-secret wifi.py if it must travel
        note          secrets 13: no file is left of it
        note          wifi 3: no file is left of it
        note          deadbeef0001: it keeps the secrets.py that it has
        note          deadbeef0002: wifi 3 is left out, so the board is too
        next          point the boards' web server address at this server: docs/migrate-sensorclass.md
    "#]].assert_eq(&twice(&sandbox, &["sensorclass", code.to_str().unwrap(), "--prefix", "local/code"]));
    let expected = r#"200 {"charger":"9","config":"!16","nodename":"charger","sensor":"17"}"#;
    assert_eq!(get(&served.url, "/local/code/DEADBEEF0001"), expected);
    assert_eq!(get(&served.url, "/local/code/config16.py"), "200 C = 16\n");
    let expected = r#"200 {"boot":"!0","charger":"10","nodename":"charger","sensor-combined":"1"}"#;
    assert_eq!(get(&served.url, "/local/code/deadbeef0003"), expected);
    assert_eq!(get(&served.url, "/local/code/boot0.py"), "200 print('boot')\n");
    assert_eq!(get(&served.url, "/local/code/sensor-combined1.py"), "200 S = 1\n");
    // The next version: the channel stays where it is, and that is said.
    sandbox.write("code/sensor18.py", "S = 18\n");
    sandbox.write("code/latestversions", &latest.replace("17", "18"));
    let said = sandbox.ok(&["import", "sensorclass", code.to_str().unwrap(), "--prefix", "local/code"]);
    assert!(said.contains("there already channel sensor stable at 17 (and not 18: goldcrest channel set)\n"), "{said}");
}

#[test]
fn a_repository_of_the_gogs_updater() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    let repo = sandbox.path("me/node.git");
    fs::create_dir_all(repo.join("src/lib")).unwrap();
    sandbox.write("me/node.git/src/main.py", "def start(env):\n    pass\n");
    sandbox.write("me/node.git/src/lib/deep.py", "DEEP = 1\n");
    sandbox.write("me/node.git/README.md", "not for boards\n");
    sandbox.write("me/node.git/src/big.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
    std::os::unix::fs::symlink("main.py", repo.join("src/link.py")).unwrap();
    git(&repo, &["init", "--quiet", "--initial-branch=master"]);
    git(&repo, &["add", "."]);
    git(&repo, &["commit", "--quiet", "-m", "one"]);
    git(&repo, &["tag", "v1"]);
    sandbox.write("me/node.git/src/wifisettings.py", "settings = {'wifiPassword': 'hunter2'}\n");
    sandbox.write("me/node.git/src/lib/deep.py", "DEEP = 2\n");
    git(&repo, &["add", "."]);
    git(&repo, &["commit", "--quiet", "-m", "two"]);
    let place = format!("file://{}", repo.display());
    let said = twice(&sandbox, &["gogs", &place]);
    let head = said.lines().nth(1).unwrap().split(' ').rev().nth(2).unwrap().to_owned();
    assert_eq!(head.len(), 12);
    expect![[r#"
        made          release node v1 (2 files)
        made          release node HEAD (2 files)
        made          channel node master at HEAD
        made          feed gogs at /me/node with node master
        note          big.bin: its content is in git LFS, not in the repository
        note          link.py: a link
        note          big.bin: its content is in git LFS, not in the repository
        note          link.py: a link
        note          node HEAD: wifisettings.py: files named wifi* hold secrets; a release goes to every board; --allow-secret wifisettings.py if it must travel
        next          point gogsRemote of the boards at this server: docs/migrate-gogs.md
        next          to go on with git, let the feed read the repository itself: docs/adapters.md, "gogs"
    "#]]
    .assert_eq(&said.replace(&head, "HEAD"));
    sandbox.run(&["import", "gogs", &place, "--branch", "main"]).refused(
        1,
        &expect![[r#"
            error: git rev-parse failed: fatal: Needed a single revision
            hint: is there a branch main? --branch names another
        "#]],
    );
    sandbox.run(&["import", "gogs", "http://user:hunter2@127.0.0.1:9/me/node"]).refused(
        1,
        &expect![[r#"
            error: git clone failed: fatal: unable to access 'http://127.0.0.1:9/me/node/': Failed to connect to 127.0.0.1 port 9 after 0 ms: Couldn't connect to server
        "#]],
    );
}

fn tar(from: &Path, to: &Path, args: &[&str]) {
    let done = Command::new("tar").args(args).arg("-cf").arg(to).arg("-C").arg(from).arg(".").status().unwrap();
    assert!(done.success());
}

#[test]
fn packages_for_thingsboard_and_insighio() {
    let sandbox = Sandbox::new();
    let _served = sandbox.serve();
    let long = format!("{}/{}.py", "folder".repeat(10), "file".repeat(14));
    for (path, text) in [
        ("FW_METADATA.json", "{\"title\": \"micropython-OTA-client\", \"version\": \"v0\"}\n"),
        ("main.py", "print('main')\n"),
        (long.as_str(), "LONG = 1\n"),
        ("config/thingsboard_config.json", "{\"device_access_token\": \"Aa0Bb1Cc2\"}\n"),
    ] {
        sandbox.write(&format!("board/{path}"), text);
    }
    let board = sandbox.path("board");
    for (format, extra) in [("gnu", ""), ("pax", ""), ("ustar", "")] {
        let file = sandbox.path(&format!("{format}{extra}.tar"));
        tar(&board, &file, &[&format!("--format={format}")]);
        let plain = fs::read(&file).unwrap();
        let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
        gzip.write_all(&plain).unwrap();
        fs::write(sandbox.path(&format!("{format}.tar.gz")), gzip.finish().unwrap()).unwrap();
        // microfreezer: the first eight bytes of a gzip head, a zlib stream, and a sum of what it likes.
        let mut zlib = ZlibEncoder::new(b"\x1f\x8b\x08\x00\x00\x00\x00\x00".to_vec(), Compression::default());
        zlib.write_all(&plain).unwrap();
        let mut pseudo = zlib.finish().unwrap();
        pseudo.extend([1, 2, 3, 4]);
        fs::write(sandbox.path(&format!("{format}-pseudo.tar.gz")), pseudo).unwrap();
    }
    let p4bloos = sandbox.path("gnu.tar.gz");
    expect![[r#"
        made          release micropython-ota-client v0 (3 files)
        made          channel micropython-ota-client stable at v0
        note          micropython-ota-client v0: config/thingsboard_config.json:1: "device_access_token" has a value; a release goes to every board; --allow-secret config/thingsboard_config.json if it must travel
        next          add its boards: goldcrest device add NAME --package micropython-ota-client --adapter thingsboard (docs/migrate-thingsboard.md)
    "#]]
    .assert_eq(&twice(&sandbox, &["thingsboard", p4bloos.to_str().unwrap()]));
    for name in ["pax.tar", "pax.tar.gz", "ustar.tar", "ustar.tar.gz", "gnu.tar", "pax-pseudo.tar.gz"] {
        // The same files, however they are wrapped: the release is there already.
        let said = sandbox.ok(&["import", "thingsboard", sandbox.path(name).to_str().unwrap()]);
        assert!(said.starts_with("there already release micropython-ota-client v0 (3 files)\n"), "{name}: {said}");
    }
    let micro = sandbox.path("pax-pseudo.tar.gz");
    let said = twice(&sandbox, &["insighio", micro.to_str().unwrap(), "--package", "node"]);
    expect![[r#"
        made          release node pax-pseudo (3 files)
        made          channel node stable at pax-pseudo
        note          $DIR/pax-pseudo.tar.gz: microfreezer's own compression, which MicroPython since 1.21 cannot read: boards get it as a plain archive
        note          node pax-pseudo: config/thingsboard_config.json:1: "device_access_token" has a value; a release goes to every board; --allow-secret config/thingsboard_config.json if it must travel
        next          add its boards: goldcrest device add NAME --package node --adapter insighio (docs/migrate-insighio.md)
    "#]]
    .assert_eq(&said);
    // Damage is named, and nothing is made of it.
    let whole = fs::read(sandbox.path("ustar.tar")).unwrap();
    sandbox.write_bytes("cut.tar", &whole[..1500]);
    sandbox.write("noise.tar", &"noise ".repeat(200));
    sandbox.write_bytes("cut.tar.gz", &fs::read(sandbox.path("gnu.tar.gz")).unwrap()[..100]);
    for (name, code) in [("cut.tar", 6), ("noise.tar", 6), ("cut.tar.gz", 6)] {
        let ran = sandbox.run(&["import", "insighio", sandbox.path(name).to_str().unwrap()]);
        assert_eq!(ran.code, code, "{name}: {}", ran.stderr);
    }
}
