//! What crosses the air on real boards: deltas, a newer agent, newer keys.

use std::fs;

use anyhow::Result;
use goldcrest_e2e::bench::Bench;
use goldcrest_e2e::rig::{program, quick, user_files};
use goldcrest_e2e::wire::Wire;
use goldcrest_fleet::Board;

/// A module of some length; `version` changes one line of it.
fn module(version: &str) -> Vec<u8> {
    let lines = (0..300).map(|n| format!("def f{n}(x):\n    return x * {n} + {}\n", n * n % 97));
    [format!("VERSION = '{version}'\n")].into_iter().chain(lines).collect::<Vec<_>>().concat().into_bytes()
}

fn recorded(wire: &Wire) -> Vec<u8> {
    wire.recorded().into_iter().flat_map(|(_, down)| down).collect()
}

fn count(bytes: &[u8], text: &str) -> usize {
    bytes.windows(text.len()).filter(|window| *window == text.as_bytes()).count()
}

/// A board that runs 1.0, confirmed, with a module at `path`; it is on, and its cable keeps what it carries.
async fn settled(path: &str) -> Result<(Bench, Wire, Board)> {
    let bench = Bench::start()?;
    let wire = Wire::to(&bench.url())?;
    bench.publish("1.0", &[("main.py", &program("1.0")), (path, &module("1.0"))])?;
    bench.cli(&["channel", "set", "stable", "1.0"])?;
    let mut board = bench.device_at(&wire.url(), "kitchen", &[("main.py", &program("0"))]).await?;
    board.power_on().await?;
    bench.confirmed("1.0").await?;
    Ok((bench, wire, board))
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_after_another_arrives_as_deltas() -> Result<()> {
    let (bench, wire, mut board) = settled("lib/sensor.py").await?;
    let first = recorded(&wire).len();
    bench.publish("2.0", &[("main.py", &program("1.0")), ("lib/sensor.py", &module("2.0"))])?;
    bench.cli(&["channel", "set", "stable", "2.0"])?;
    bench.confirmed("2.0").await?;
    let second = recorded(&wire).split_off(first);
    assert_eq!(count(&second, "HTTP/1.1 226 IM Used"), 2, "one delta of the manifest, one of the module");
    assert_eq!(count(&second, "HTTP/1.1 200 OK"), 0, "nothing came whole");
    board.power_cut().await?;
    let tree = user_files(&board.read_tree().await?);
    assert_eq!(tree["lib/sensor.py"], module("2.0"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_somebody_edited_arrives_whole() -> Result<()> {
    let (bench, wire, mut board) = settled("data.txt").await?;
    board.power_cut().await?;
    board.write_files(&[("data.txt".to_owned(), b"edited by hand\n".to_vec())].into_iter().collect()).await?;
    let first = recorded(&wire).len();
    board.power_on().await?;
    bench.publish("2.0", &[("main.py", &program("1.0")), ("data.txt", &module("2.0"))])?;
    bench.cli(&["channel", "set", "stable", "2.0"])?;
    bench.confirmed("2.0").await?;
    let second = recorded(&wire).split_off(first);
    assert_eq!((count(&second, "HTTP/1.1 226 IM Used"), count(&second, "HTTP/1.1 200 OK")), (1, 1));
    board.power_cut().await?;
    assert_eq!(user_files(&board.read_tree().await?)["data.txt"], module("2.0"));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_agent_replaces_itself_by_a_release() -> Result<()> {
    let bench = Bench::start()?;
    let added = bench.cli(&["device", "add", "kitchen", "--package", "demo"])?;
    let settings = quick(&bench.url(), added["token"].as_str().unwrap_or_default());
    // A board whose agent came as source, as `mip` brings it.
    let sources = concat!(env!("CARGO_MANIFEST_DIR"), "/../../agent/goldcrest");
    let mut source = Vec::new();
    for name in ["__init__.py", "checkin.py", "guard.py", "update.py"] {
        source.push((format!("lib/goldcrest/{name}"), fs::read(format!("{sources}/{name}"))?));
    }
    let main = program("0");
    let files = [("main.py", &main[..])];
    let board = bench.rig.board_with("kitchen", &settings, &bench.keyring, &files, |board| {
        board.files.retain(|path, _| !path.starts_with("lib/goldcrest/"));
        board.files.extend(source);
    });
    let mut board = board.await?;
    let toml = bench.path("project/goldcrest.toml");
    let with_agent = fs::read_to_string(&toml)?.replacen("[pack]", "[pack]\nagent = true", 1);
    fs::write(&toml, with_agent)?;
    bench.publish("1.0", &[("main.py", &program("1.0"))])?;
    bench.cli(&["channel", "set", "stable", "1.0"])?;
    board.power_on().await?;
    bench.confirmed("1.0").await?;
    // The new agent does the next update; its guard is the golden one from now on.
    bench.publish("2.0", &[("main.py", &program("2.0")), ("lib/added.py", b"X = 1\n")])?;
    bench.cli(&["channel", "set", "stable", "2.0"])?;
    bench.confirmed("2.0").await?;
    board.power_cut().await?;
    let tree = board.read_tree().await?;
    let agent: Vec<_> = tree.keys().filter_map(|path| path.strip_prefix("lib/goldcrest/")).collect();
    assert_eq!(agent, ["__init__.mpy", "agent.z"]);
    let golden: Vec<_> = tree.keys().filter(|path| path.starts_with(".ota/golden/")).collect();
    assert_eq!(golden, [".ota/golden/guard.mpy"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_rotate_over_the_air() -> Result<()> {
    let bench = Bench::start()?;
    bench.publish("1.0", &[("main.py", &program("1.0"))])?;
    bench.cli(&["channel", "set", "stable", "1.0"])?;
    let mut board = bench.device("kitchen", &[("main.py", &program("0"))]).await?;
    board.power_on().await?;
    bench.confirmed("1.0").await?;
    let rotated = bench.cli(&["keygen", "--name", "demo", "--rotate"])?;
    bench.publish("2.0", &[("main.py", &program("2.0"))])?;
    bench.cli(&["channel", "set", "stable", "2.0"])?;
    bench.confirmed("2.0").await?;
    board.power_cut().await?;
    let tree = board.read_tree().await?;
    // The second of the two files is in force now.
    assert!(tree[".ota/keyring1"].starts_with(b"goldcrest-keyring 1\nversion 2\n"), "{rotated:#}");
    Ok(())
}
