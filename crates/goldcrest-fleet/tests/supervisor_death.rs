//! A board does not outlive its supervisor, even when that is killed without a chance to clean up.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use goldcrest_fleet::{Board, BoardEvent, BoardSettings, Micropython};

const FOLDER: &str = "GOLDCREST_TEST_BOARD_FOLDER";
/// What `cargo xtask` installs; the variable MICROPYTHON comes first.
const VENV: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/venv");
const LIMIT: Duration = Duration::from_secs(20);

/// The supervisor that is to be killed: this test binary once more, told by the variable.
async fn keep_a_board(folder: &Path) {
    let micropython = Micropython::find(Some(Path::new(VENV))).expect("MicroPython");
    let mut settings = BoardSettings::new(folder, "orphan", &micropython);
    settings.files.insert("main.py".to_owned(), b"while True: pass".to_vec());
    let mut board = Board::create(settings).await.expect("a board");
    let mut events = board.events();
    board.power_on().await.expect("power on");
    events.wait_for(LIMIT, |event| matches!(event, BoardEvent::Boot { .. })).await.expect("a boot");
    let mut output = std::io::stdout();
    output.write_all(b"\nboard runs\n").and_then(|()| output.flush()).expect("the test reads this");
    tokio::time::sleep(LIMIT).await;
}

#[tokio::test]
async fn boards_end_with_a_killed_supervisor() {
    if let Some(folder) = std::env::var_os(FOLDER) {
        return keep_a_board(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut supervisor = Command::new(std::env::current_exe().expect("this binary"))
        .args(["--nocapture", "boards_end_with_a_killed_supervisor"])
        .env(FOLDER, folder.path())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the supervisor");
    let output = BufReader::new(supervisor.stdout.take().expect("its output"));
    assert!(output.lines().any(|line| line.expect("a line") == "board runs"));
    assert_eq!(processes_of(folder.path()), 1);
    supervisor.kill().expect("kill -9");
    supervisor.wait().expect("its end");
    let since = Instant::now();
    while processes_of(folder.path()) > 0 {
        assert!(since.elapsed() < LIMIT, "the board is still there");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Processes whose command line names the folder.
fn processes_of(folder: &Path) -> usize {
    let list = Command::new("ps").args(["-e", "-o", "args"]).output();
    let list = match list {
        Ok(output) => String::from_utf8_lossy(&output.stdout).into_owned(),
        // A small container has no `ps`, but it has /proc.
        Err(_) => std::fs::read_dir("/proc")
            .expect("/proc")
            .filter_map(|entry| std::fs::read(entry.ok()?.path().join("cmdline")).ok())
            .map(|line| String::from_utf8_lossy(&line).replace('\0', " ") + "\n")
            .collect(),
    };
    let folder = folder.display().to_string();
    list.lines().filter(|line| line.contains(&folder)).count()
}
