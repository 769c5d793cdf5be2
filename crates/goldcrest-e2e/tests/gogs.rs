//! Boards with the Gogs updater, on real MicroPython, served by our server from a package and from a repository that people push to.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use goldcrest_e2e::bench::{Bench, binary};
use goldcrest_e2e::emulators::git::{Account, Forge, GitServer};
use goldcrest_e2e::origin::Origin;
use goldcrest_e2e::rig::{LIMIT, eventually};
use goldcrest_fleet::{Board, BoardEvent, Events, ResetCause, Tree};

const CLIENT: &[u8] = include_bytes!("clients/gogs_updater.py");
const TOKEN: &str = "1234567890abcdef";

/// What a release holds below `src`: text, an empty file, bytes that are no text, folders.
fn files(version: &str) -> Vec<(&'static str, Vec<u8>)> {
    let main = format!(
        "from src.lib.name import NAME\n\n\ndef start(env):\n    print('app {version}', NAME)\n    import time\n\n    while True:\n        \
         env['wdt'].feed()\n        time.sleep_ms(50)\n        env['updater'].check_for_update()\n"
    );
    let every_byte = (0..=255).collect();
    let mut files = vec![
        ("main.py", main.into_bytes()),
        ("lib/__init__.py", Vec::new()),
        ("lib/name.py", format!("NAME = 'named {version}'\n").into_bytes()),
        ("data/logo.bin", every_byte),
    ];
    if version == "1.0" {
        files.push(("only_in_the_first.txt", b"gone later\n".to_vec()));
    }
    files
}

fn borrowed<'a>(files: &'a [(&'static str, Vec<u8>)]) -> Vec<(&'static str, &'a [u8])> {
    files.iter().map(|(path, bytes)| (*path, bytes.as_slice())).collect()
}

/// A server that lets MQTT clients in without a login, as the brokers of these boards do, and opens repositories in its folder.
fn bench() -> Result<Bench> {
    Bench::start_with("2048", |folder| {
        let root = folder.to_string_lossy().into_owned();
        ["--mqtt-anonymous-project", "nodes", "--git-root", &root].map(str::to_owned).to_vec()
    })
}

/// A board that was set up for this server, with a program that was put there by cable.
struct Node {
    board: Board,
    events: Events,
}

impl Node {
    async fn on(bench: &Bench, server: &str, path: &str, branch: &str, token: &str) -> Result<Self> {
        let (host, port) = bench.mqtt().split_once(':').context("host and port")?;
        let settings = format!(
            "settings = {{'controllerName': 'node1', 'gogsRemote': '{server}/{path}', 'gogsBranch': '{branch}', \
             'gogsToken': '{token}', 'mqttHost': '{host}', 'mqttPort': {port}}}\n"
        );
        let mut tree: Tree = files("0").into_iter().map(|(path, bytes)| (format!("src/{path}"), bytes)).collect();
        tree.insert("nodesettings.py".into(), settings.into_bytes());
        tree.insert("gogs_updater.py".into(), CLIENT.to_vec());
        tree.insert("main.py".into(), b"import gogs_updater\n\ngogs_updater.run()\n".to_vec());
        let mut board = bench.rig.foreign_board("node1", tree).await?;
        let events = board.events();
        board.power_on().await?;
        Ok(Self { board, events })
    }

    async fn goes_to(&mut self, version: &str) -> Result<()> {
        self.events.wait_for_line(LIMIT, &format!("app {version} named {version}")).await?;
        Ok(())
    }

    /// At the end `src` is that of one release, to the last byte.
    async fn ends_with(mut self, version: &str) -> Result<()> {
        self.board.power_cut().await?;
        let tree = self.board.read_tree().await?;
        let wanted: Tree = files(version).into_iter().map(|(path, bytes)| (format!("src/{path}"), bytes)).collect();
        let found: Tree = tree.into_iter().filter(|(path, _)| path.starts_with("src/")).collect();
        ensure!(found.get("src/.version").is_some_and(|sha| sha.len() == 40), "the client notes its commit");
        let found: Tree = found.into_iter().filter(|(path, _)| path != "src/.version").collect();
        ensure!(found == wanted, "src holds {:?}", found.keys().collect::<Vec<_>>());
        Ok(())
    }
}

/// Publishes a release of the package as it is, without compiling.
fn publish(bench: &Bench, version: &str) -> Result<()> {
    bench.write_project(&borrowed(&files(version)))?;
    bench.cli(&["publish", "--python", "raw", "--version", version])?;
    bench.cli(&["channel", "set", "stable", version])?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_of_a_package_reach_the_board_and_go_back() -> Result<()> {
    let bench = bench()?;
    publish(&bench, "1.0")?;
    bench.cli_with(&["feed", "add", "gogs", "gogs/node1", "--package", "demo", "--token-stdin"], TOKEN)?;
    let mut node = Node::on(&bench, &bench.url(), "gogs/node1", "master", TOKEN).await?;
    node.goes_to("1.0").await?;
    publish(&bench, "2.0")?;
    node.events.wait_for(LIMIT, |event| *event == BoardEvent::Reset(ResetCause::Hard)).await?;
    node.goes_to("2.0").await?;
    bench.cli(&["channel", "set", "stable", "1.0"])?;
    node.goes_to("1.0").await?;
    publish(&bench, "3.0")?;
    node.goes_to("3.0").await?;
    node.ends_with("3.0").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_token_changes_nothing() -> Result<()> {
    let bench = bench()?;
    publish(&bench, "1.0")?;
    bench.cli_with(&["feed", "add", "gogs", "gogs/node1", "--package", "demo", "--token-stdin"], TOKEN)?;
    let mut node = Node::on(&bench, &bench.url(), "gogs/node1", "master", "another").await?;
    node.events.wait_for_line(LIMIT, "Failed to OTA update: unexpected: 404:").await?;
    node.goes_to("0").await?;
    let log = std::fs::read_to_string(bench.path("server.log"))?;
    ensure!(!log.contains("another") && !log.contains(TOKEN), "a token is in the log");
    Ok(())
}

/// git push -> the hook of the origin calls -> the mirror fetches -> the board asks.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_reaches_the_board() -> Result<()> {
    let bench = bench()?;
    let origin = Origin::new(&bench.path("origin"))?;
    origin.replace("src", &borrowed(&files("1.0")))?;
    origin.push("one")?;
    let remote = format!("remote=file://{}", origin.bare().display());
    let settings = ["--set", &remote, "--set", "interval_s=3600", "--set", "webhook_secret=hush"];
    let made = bench.cli(&[&["feed", "add", "gogs", "gogs/node1"][..], &settings].concat())?;
    let hook = format!(
        "#!/bin/sh\nexec curl -sS --fail -X POST -H 'X-Gitlab-Token: hush' -d pushed {}/hooks/git/{}\n",
        bench.url(),
        made["id"]
    );
    origin.on_push(&hook)?;
    let mut node = Node::on(&bench, &bench.url(), "gogs/node1", "main", TOKEN).await?;
    // It may ask before the mirror is there; then it asks again.
    node.goes_to("1.0").await?;
    origin.replace("src", &borrowed(&files("2.0")))?;
    origin.push("two")?;
    node.goes_to("2.0").await?;
    // Somebody rewrites the branch.
    origin.git("work", &["reset", "-q", "--hard", "HEAD~1"])?;
    origin.replace("src", &borrowed(&files("3.0")))?;
    origin.push("another two")?;
    node.goes_to("3.0").await?;
    node.ends_with("3.0").await
}

/// git push -> the hook of the origin packs and signs -> the server has a release -> the board asks.
#[tokio::test(flavor = "multi_thread")]
async fn a_push_becomes_a_signed_release() -> Result<()> {
    let bench = bench()?;
    let origin = Origin::new(&bench.path("origin"))?;
    let toml = b"[app]\nname = \"demo\"\n[pack]\nroot = \"src\"\npython = \"raw\"\n[sign]\nkey = \"demo\"\n";
    let hook = format!(
        "#!/bin/sh\nexec '{}' --server {} publish --git main --channel stable 2>&1\n",
        binary()?.display(),
        bench.url()
    );
    origin.on_push(&hook)?;
    bench.cli(&["feed", "add", "gogs", "gogs/node1", "--package", "demo"])?;
    let mut node = Node::on(&bench, &bench.url(), "gogs/node1", "main", TOKEN).await?;
    node.goes_to("0").await?;
    for version in ["1.0", "2.0"] {
        origin.replace("src", &borrowed(&files(version)))?;
        origin.replace(".", &[("goldcrest.toml", toml)])?;
        let tag = format!("v{version}");
        origin.commit(version)?;
        origin.git("work", &["tag", &tag])?;
        let environment = [("XDG_CONFIG_HOME", bench.path("config")), ("GOLDCREST_TOKEN", bench.token().into())];
        origin.push_with(&environment)?;
        node.goes_to(version).await?;
        let shown = bench.cli(&["release", "show", version])?;
        ensure!(shown["key_ids"].as_array().is_some_and(|keys| keys.len() == 1), "{shown}");
    }
    node.ends_with("2.0").await
}

/// A mirror over HTTP, of a git server that asks for a login.
#[tokio::test(flavor = "multi_thread")]
async fn a_remote_is_mirrored_over_http() -> Result<()> {
    let bench = bench()?;
    let origin = Origin::new(&bench.path("origin"))?;
    origin.replace("src", &borrowed(&files("1.0")))?;
    origin.push("one")?;
    let server =
        GitServer::start(Forge::Gogs, origin.bare(), "gogs/node1", Some(Account { user: "ann", token: "s3cret" }))?;
    let host = server.url().replace("http://", "");
    let remote = format!("remote=http://ann:s3cret@{host}/gogs/node1.git");
    let settings = ["--set", &remote, "--set", "interval_s=10"];
    bench.cli(&[&["feed", "add", "gogs", "gogs/node1"][..], &settings].concat())?;
    let mut node = Node::on(&bench, &bench.url(), "gogs/node1", "main", TOKEN).await?;
    node.goes_to("1.0").await?;
    origin.replace("src", &borrowed(&files("2.0")))?;
    origin.push("two")?;
    // Nobody calls: the interval is over after ten seconds.
    node.goes_to("2.0").await?;
    node.ends_with("2.0").await?;
    // A changed password is an error in the list, without the password, and what was mirrored stays.
    bench.cli(&["--yes", "feed", "rm", "1"])?;
    let wrong = format!("remote=http://ann:wr0ng@{host}/gogs/node1.git");
    bench.cli(&["feed", "add", "gogs", "gogs/other", "--set", &wrong])?;
    let error = eventually("the error of a fetch", || {
        let feeds = bench.cli(&["feed", "list"]).ok()?;
        feeds["feeds"][0]["git"]["error"].as_str().map(str::to_owned)
    });
    let error = error.await?;
    ensure!(!error.contains("wr0ng"), "{error}");
    let log = std::fs::read_to_string(bench.path("server.log"))?;
    ensure!(!log.contains("wr0ng") && !log.contains("s3cret"), "a password is in the log");
    Ok(())
}

/// curl, as people try things out.
#[test]
fn curl_sees_files_and_archives() -> Result<()> {
    let bench = bench()?;
    publish(&bench, "1.0")?;
    bench.cli_with(&["feed", "add", "gogs", "acme/kitchen", "--package", "demo", "--token-stdin"], TOKEN)?;
    let curl = |args: &[&str], path: &str| -> Result<Vec<u8>> {
        let url = format!("{}/{path}", bench.url());
        let output = Command::new("curl").args(["-sS", "--fail"]).args(args).arg(&url).output()?;
        ensure!(output.status.success(), "{url}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    };
    let header = format!("Authorization: token {TOKEN}");
    let sha = curl(&["-H", &header], "api/v1/repos/acme/kitchen/commits/refs/heads/stable")?;
    let sha = String::from_utf8(sha)?;
    let login = format!("{TOKEN}:x-oauth-basic");
    let raw = curl(&["-u", &login], &format!("acme/kitchen/raw/{sha}/src/data/logo.bin"))?;
    ensure!(raw == (0..=255).collect::<Vec<u8>>(), "a binary file comes as it is");
    ensure!(curl(&[], "acme/kitchen/raw/stable/src/main.py").is_err(), "without the token there is nothing");
    let archive = bench.path("stable.tar.gz");
    let path = archive.to_str().context("a path")?;
    curl(&["-H", &header, "-o", path], "acme/kitchen/archive/stable.tar.gz")?;
    let listed = Command::new("tar").arg("-tzf").arg(&archive).output()?;
    ensure!(
        String::from_utf8(listed.stdout)?.lines().any(|line| line == "kitchen/src/main.py"),
        "the archive is a tar"
    );
    // A poll that finds nothing new.
    let etag = format!("If-None-Match: \"{sha}\"");
    let head = curl(&["-i", "-H", &header, "-H", &etag], "api/v1/repos/acme/kitchen/branches/stable")?;
    ensure!(head.starts_with(b"HTTP/1.1 304 Not Modified\r\n"), "{}", String::from_utf8_lossy(&head));
    ensure!(Path::new(path).is_file());
    Ok(())
}
