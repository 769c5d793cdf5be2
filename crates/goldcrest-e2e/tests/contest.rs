//! The device bench tells an update that worked from one that ran out of heap.

use goldcrest_e2e::device::contest::{AMPLE_HEAP, Outcome};
use goldcrest_e2e::device::ours;
use goldcrest_e2e::device::payload::{Case, Files};
use goldcrest_fleet::Micropython;

fn files(round: u8) -> Files {
    (0..3).map(|n| (format!("m{n}.py"), format!("# {round}\n").repeat(200).into_bytes())).collect()
}

#[tokio::test]
async fn an_update_is_a_success_only_when_the_flash_holds_it() {
    let bench = ours::bench("2048").expect("a server");
    let micropython = Micropython::find(None).expect("MicroPython");
    let case = Case { key: "three", title: "three files", before: files(1), after: files(2) };
    let mut contestant = ours::prepare(&bench, &micropython, &case).await.expect("a board with the first release");
    let outcome = contestant.run(AMPLE_HEAP).await.expect("the bench works");
    let Outcome::Updated(cost) = outcome else { panic!("{outcome:?}") };
    assert!(cost.bytes.down > 300 && cost.flash.programs > 3 && cost.heap_free > 400_000, "{cost:?}");
    // The same again: every run begins with the flash and the device as they were.
    let again = contestant.run(AMPLE_HEAP).await.expect("the bench works");
    assert!(matches!(again, Outcome::Updated(_)), "{again:?}");
    // As much heap as lets the emulator boot, but no agent.
    let small = contestant.run(32 * 1024).await.expect("the bench works");
    assert!(matches!(&small, Outcome::Failed(why) if why.contains("memory")), "{small:?}");
    // What the server calls confirmed and the flash does not hold is a failure.
    let other = files(3);
    contestant.expected = &other;
    let wrong = contestant.run(AMPLE_HEAP).await.expect("the bench works");
    assert!(matches!(&wrong, Outcome::Failed(why) if why.contains("m0.py")), "{wrong:?}");
}
