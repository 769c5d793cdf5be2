//! Boards on real MicroPython: resets, timers, watchdog, memory, power cuts and limits.

use std::path::Path;
use std::time::Duration;

use goldcrest_fleet::{Board, BoardEvent, BoardSettings, Events, Micropython, ResetCause, Tree};
use tempfile::TempDir;

/// What `cargo xtask` installs; the variable MICROPYTHON comes first.
const VENV: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/venv");
const LIMIT: Duration = Duration::from_secs(20);

/// Makes and starts a board with these files. The folder lives as long as the first value.
async fn board(files: &[(&str, &str)], change: impl FnOnce(&mut BoardSettings)) -> (TempDir, Board, Events) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let micropython =
        Micropython::find(Some(Path::new(VENV))).expect("MicroPython (run `cargo xtask test`, or set MICROPYTHON)");
    let mut settings = BoardSettings::new(folder.path(), "bench", &micropython);
    settings.files = files.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    change(&mut settings);
    let mut board = Board::create(settings).await.expect("a board");
    let events = board.events();
    board.power_on().await.expect("power on");
    (folder, board, events)
}

async fn plain(files: &[(&str, &str)]) -> (TempDir, Board, Events) {
    board(files, |_| {}).await
}

async fn boot_cause(events: &mut Events) -> ResetCause {
    match events.wait_for(LIMIT, |event| matches!(event, BoardEvent::Boot { .. })).await.expect("a boot") {
        BoardEvent::Boot { cause, .. } => cause,
        other => panic!("{other:?}"),
    }
}

async fn line(events: &mut Events, part: &str) -> String {
    events.wait_for_line(LIMIT, part).await.expect("a console line")
}

async fn repl(events: &mut Events) {
    events.wait_for(LIMIT, |event| *event == BoardEvent::Repl).await.expect("the prompt");
}

#[tokio::test]
async fn each_reset_has_its_cause_and_keeps_rtc_memory() {
    let main = "\
import machine, sys
print('cause', machine.reset_cause(), machine.RTC().memory(), len(machine.unique_id()))
n = machine.RTC().memory()
machine.RTC().memory(n + b'x')
if n == b'': machine.reset()
if n == b'x': machine.soft_reset()
if n == b'xx': sys.exit()
if n == b'xxx': machine.deepsleep(20)
";
    let (_folder, mut board, mut events) = plain(&[("main.py", main)]).await;
    assert_eq!(line(&mut events, "cause").await, "cause 1 b'' 6");
    assert_eq!(line(&mut events, "cause").await, "cause 2 b'x' 6");
    assert_eq!(line(&mut events, "cause").await, "cause 5 b'xx' 6");
    assert_eq!(line(&mut events, "cause").await, "cause 5 b'xxx' 6");
    assert_eq!(line(&mut events, "cause").await, "cause 4 b'xxxx' 6");
    repl(&mut events).await;
    board.power_cut().await.expect("power cut");
    board.power_on().await.expect("power on");
    assert_eq!(line(&mut events, "cause").await, "cause 1 b'' 6");
}

#[tokio::test]
async fn a_timer_ends_an_endless_loop_and_its_callback_resets() {
    let boot = "\
import machine
t = machine.Timer(-1)
if machine.reset_cause() == 1:
    t.init(mode=machine.Timer.ONE_SHOT, period=100, callback=lambda t: machine.reset())
";
    let main = "import machine\nprint('up', machine.reset_cause())\nwhile machine.reset_cause() == 1: pass\n";
    let (_folder, _board, mut events) = plain(&[("boot.py", boot), ("main.py", main)]).await;
    assert_eq!(line(&mut events, "up").await, "up 1");
    assert_eq!(line(&mut events, "up").await, "up 2");
}

#[tokio::test]
async fn a_timer_rings_between_two_lines_and_the_program_goes_on() {
    let main = "\
import machine
rang = []
machine.Timer(-1, mode=machine.Timer.ONE_SHOT, period=50, callback=rang.append)
n = 0
while not rang: n += 1
print('on it goes')
";
    let (_folder, _board, mut events) = plain(&[("main.py", main)]).await;
    let seen = events.wait_for_line(LIMIT, "").await.expect("a line");
    assert_eq!(seen, "on it goes");
}

#[tokio::test]
async fn a_timer_rings_for_a_program_that_sleeps_or_waits_for_a_connection() {
    for wait in ["time.sleep(100)", "s = socket.socket(); s.listen(1); s.accept()"] {
        let main = format!(
            "\
import machine, socket, time
print('up', machine.reset_cause())
if machine.reset_cause() == 1:
    machine.Timer(-1).init(mode=machine.Timer.ONE_SHOT, period=50, callback=lambda t: print('rang') or machine.reset())
    {wait}
"
        );
        let (_folder, _board, mut events) = plain(&[("main.py", &main)]).await;
        assert_eq!(line(&mut events, "rang").await, "rang");
        assert_eq!(line(&mut events, "up").await, "up 2");
    }
}

#[tokio::test]
async fn code_that_lets_no_timer_through_is_reset_by_it_all_the_same() {
    let main = "\
import machine
print('up', machine.reset_cause())
if machine.reset_cause() == 1:
    t = machine.Timer(0, mode=machine.Timer.ONE_SHOT, period=50, callback=lambda t: print('rang'))
    max(range(10 ** 12))
";
    let (_folder, _board, mut events) = plain(&[("main.py", main)]).await;
    assert_eq!(line(&mut events, "up").await, "up 1");
    assert_eq!(events.wait_for_line(LIMIT, "").await.expect("a line"), "up 2");
}

#[tokio::test]
async fn a_timer_of_a_program_that_writes_flash_runs_its_callback() {
    let main = "\
import machine, time
print('up', machine.reset_cause())
def late(timer):
    with open('late', 'w') as f: f.write('x' * 5000)
    machine.reset()
if machine.reset_cause() == 1:
    machine.Timer(-1).init(mode=machine.Timer.ONE_SHOT, period=150, callback=late)
    n = 0
    while True:
        with open('busy', 'w') as f: f.write('y' * 20000)
";
    let (_folder, mut board, mut events) = plain(&[("main.py", main)]).await;
    assert_eq!(line(&mut events, "up").await, "up 1");
    assert_eq!(line(&mut events, "up").await, "up 2");
    board.power_cut().await.expect("power cut");
    assert_eq!(board.read_tree().await.expect("the files")["late"].len(), 5000);
}

#[tokio::test]
async fn a_timer_that_was_stopped_does_nothing() {
    let main = "\
import machine, time
t = machine.Timer(-1)
t.init(mode=machine.Timer.ONE_SHOT, period=30, callback=lambda t: print('rang'))
t.deinit()
time.sleep_ms(150)
print('quiet')
";
    let (_folder, _board, mut events) = plain(&[("main.py", main)]).await;
    let seen = events.wait_for_line(LIMIT, "").await.expect("a line");
    assert_eq!(seen, "quiet");
}

#[tokio::test]
async fn a_watchdog_that_is_not_fed_resets_the_board() {
    let main = "\
import machine, time
print('up', machine.reset_cause())
if machine.reset_cause() == 1:
    w = machine.WDT(timeout=200)
    for _ in range(10):
        time.sleep_ms(50)
        w.feed()
    print('fed for 500 ms')
    while True: pass
";
    let (_folder, _board, mut events) = plain(&[("main.py", main)]).await;
    assert_eq!(line(&mut events, "up").await, "up 1");
    line(&mut events, "fed").await;
    assert_eq!(line(&mut events, "up").await, "up 3");
}

#[tokio::test]
async fn a_boot_file_that_raises_keeps_main_from_running() {
    let (_folder, _board, mut events) =
        plain(&[("boot.py", "import nothing_there"), ("main.py", "print('main')")]).await;
    let first = events.wait_for_line(LIMIT, "").await.expect("a line");
    assert_eq!(first, "Traceback (most recent call last):");
    assert_eq!(line(&mut events, "File").await, "  File \"boot.py\", line 1, in <module>");
    line(&mut events, "ImportError: no module named 'nothing_there'").await;
    let next = events.wait_for(LIMIT, |event| !matches!(event, BoardEvent::Console(text) if text != "main")).await;
    assert_eq!(next.expect("an event"), BoardEvent::Repl);
}

#[tokio::test]
async fn dupterm_gets_everything_that_the_console_gets() {
    let main = "\
import os, sys, asyncio
class Tap:
    seen = b''
    def write(self, data): Tap.seen += bytes(data)
os.dupterm(Tap())
print('one', 2, sep='-')
try: 1/0
except Exception as e: sys.print_exception(e)
async def fail(): raise ValueError('in a task')
async def run():
    asyncio.create_task(fail())
    await asyncio.sleep_ms(1)
asyncio.run(run())
os.dupterm(None)
for part in (b'one-2\\n', b'ZeroDivisionError', b'ValueError: in a task'):
    print('seen', part in Tap.seen)
";
    let (_folder, _board, mut events) = plain(&[("main.py", main)]).await;
    for _ in 0..3 {
        assert_eq!(line(&mut events, "seen").await, "seen True");
    }
}

#[tokio::test]
async fn the_files_of_the_computer_are_out_of_reach() {
    let main = "\
import os, vfs, uos, sys
print('folder', os.listdir('/'), sys.path)
print('names', [hasattr(m, 'VfsPosix') for m in (os, vfs, uos)], hasattr(os, 'system'))
try:
    open('/proc/version')
    print('result opened')
except OSError as e: print('result', e.errno)
try:
    import board_flash
    print('emulator imported')
except ImportError: print('emulator hidden')
";
    let (_folder, _board, mut events) = plain(&[("main.py", main)]).await;
    assert_eq!(line(&mut events, "folder").await, "folder ['main.py'] ['', '.frozen', '/lib']");
    assert_eq!(line(&mut events, "names").await, "names [False, False, False] False");
    assert_eq!(line(&mut events, "result").await, "result 2");
    assert_eq!(line(&mut events, "emulator").await, "emulator hidden");
}

#[tokio::test]
async fn a_power_cut_keeps_what_was_closed_before() {
    let main = "\
with open('closed', 'w') as f: f.write('kept')
g = open('open', 'w')
g.write('lost')
print('written')
while True: pass
";
    let (_folder, mut board, mut events) = plain(&[("main.py", main), ("lib/deep/er.py", "x = 1")]).await;
    line(&mut events, "written").await;
    board.power_cut().await.expect("power cut");
    let tree = board.read_tree().await.expect("the files");
    let expected = [("closed", "kept"), ("lib/deep/er.py", "x = 1"), ("main.py", main), ("open", "")];
    let expected: Tree = expected.iter().map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec())).collect();
    assert_eq!(tree, expected);
}

#[tokio::test]
async fn flash_operations_are_counted_and_an_idle_boot_has_none() {
    let (_folder, mut board, mut events) = plain(&[("main.py", "print('idle')")]).await;
    repl(&mut events).await;
    board.power_cut().await.expect("power cut");
    assert_eq!((board.flash().programs, board.flash().erases), (0, 0));
    let busy = Tree::from([("main.py".to_owned(), b"f = open('a', 'w'); f.write('x' * 9000); f.close()".to_vec())]);
    board.write_files(&busy).await.expect("write the files");
    board.power_on().await.expect("power on");
    repl(&mut events).await;
    board.power_cut().await.expect("power cut");
    let counted = board.flash();
    // 9,000 bytes are three blocks, erased and programmed, and the folder's entry.
    assert!((3..=6).contains(&counted.erases) && counted.programs >= 4, "{counted:?}");
}

#[tokio::test]
async fn a_cut_in_the_middle_of_writing_leaves_a_filesystem() {
    let main =
        "n = 0\nwhile True:\n    with open('n%d' % (n % 7), 'w') as f: f.write('z' * 3000)\n    n += 1\n    print(n)\n";
    let (_folder, mut board, mut events) = plain(&[("main.py", main)]).await;
    for round in 1..=5 {
        events.wait_for_line(LIMIT, "3").await.expect("progress");
        board.power_cut().await.expect("power cut");
        let tree = board.read_tree().await.expect("the files");
        assert_eq!(tree["main.py"], main.as_bytes(), "round {round}");
        board.power_on().await.expect("power on");
    }
}

#[tokio::test]
async fn a_full_flash_and_a_full_heap_are_errors_of_the_program() {
    let main = "\
try:
    with open('big', 'w') as f:
        for _ in range(1000): f.write('x' * 1000)
except OSError as e: print('flash', e.errno)
try: bytearray(100 * 1024)
except MemoryError: print('heap MemoryError')
";
    let (_folder, _board, mut events) = board(&[("main.py", main)], |settings| {
        settings.flash_blocks = 32;
        settings.heap = 96 * 1024;
    })
    .await;
    let booted = events.wait_for(LIMIT, |event| matches!(event, BoardEvent::Boot { .. })).await.expect("a boot");
    assert!(matches!(booted, BoardEvent::Boot { heap_free: 60_000..=96_000, .. }), "{booted:?}");
    assert_eq!(line(&mut events, "flash").await, "flash 28");
    assert_eq!(line(&mut events, "heap").await, "heap MemoryError");
}

#[tokio::test]
async fn an_interpreter_that_crashes_starts_again() {
    let main = "\
import machine, uctypes
print('up', machine.reset_cause())
if machine.reset_cause() == 1: uctypes.bytes_at(8, 8)
";
    let (_folder, _board, mut events) = plain(&[("main.py", main)]).await;
    assert_eq!(boot_cause(&mut events).await, ResetCause::PowerOn);
    let exit = events.wait_for(LIMIT, |event| matches!(event, BoardEvent::Exit(_))).await.expect("a crash");
    assert_eq!(exit, BoardEvent::Exit("signal: 11 (SIGSEGV)".to_owned()));
    assert_eq!(line(&mut events, "up").await, "up 2");
}

#[tokio::test]
async fn a_board_that_never_boots_is_switched_off() {
    let (_folder, _board, mut events) = board(&[], |settings| settings.heap = 6 * 1024).await;
    for _ in 0..5 {
        let exit = events.wait_for(LIMIT, |event| matches!(event, BoardEvent::Exit(_))).await.expect("an exit");
        assert_eq!(exit, BoardEvent::Exit("exit status: 1".to_owned()));
    }
    let next = events.wait_for(LIMIT, |event| !matches!(event, BoardEvent::Console(_))).await.expect("an event");
    assert_eq!(next, BoardEvent::Off);
}

#[tokio::test]
async fn what_does_not_fit_or_needs_the_power_off_is_refused() {
    let (_folder, mut board, mut events) = plain(&[]).await;
    repl(&mut events).await;
    let refused = format!("{:#}", board.read_tree().await.expect_err("it is on"));
    assert_eq!(refused, "cannot read the flash of board bench while it is on; cut its power first");
    board.power_cut().await.expect("power cut");
    let refused = board.write_files(&Tree::from([("x".to_owned(), vec![0; 3 * 1024 * 1024])])).await;
    let refused = format!("{:#}", refused.expect_err("does not fit"));
    assert!(refused.starts_with("cannot copy the flash of board bench (exit status: 1)"), "{refused}");
    assert!(refused.ends_with("OSError: [Errno 28] ENOSPC") || refused.ends_with("OSError: 28"), "{refused}");
    board.stop().await.expect("stop");
}

#[tokio::test]
async fn a_board_is_taken_up_again_with_its_flash() {
    let (folder, board, mut events) = plain(&[("main.py", "open('mark', 'w').close()\nprint('marked')")]).await;
    line(&mut events, "marked").await;
    board.stop().await.expect("stop");
    let micropython = Micropython::find(Some(Path::new(VENV))).expect("MicroPython");
    let again = Board::open(BoardSettings::new(folder.path(), "bench", &micropython)).expect("the same board");
    assert!(again.read_tree().await.expect("the files").contains_key("mark"));
    let other = Board::open(BoardSettings::new(folder.path(), "other", &micropython)).expect_err("no such board");
    assert!(other.to_string().ends_with("other.flash; make the board first"), "{other}");
}
