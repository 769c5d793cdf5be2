//! The first thing that anybody runs, `goldcrest demo`, told by its closing line.

use std::process::{Command, Stdio};

use goldcrest_e2e::bench::binary;
use serde_json::{Value, json};

/// Five boards with the real server, two good releases and one that crashes: every figure is what the server knows at the end.
#[test]
fn the_demo_closes_with_what_the_server_knows() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new(binary().expect("the program"));
    command.args(["demo", "--once", "--json", "--data"]).arg(folder.path().join("demo"));
    let output = command.current_dir(folder.path()).stdin(Stdio::null()).output().expect("it runs");
    let (said, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}: {said}{complained}", output.status);
    assert_eq!(said.lines().count(), 1, "more than one line of data: {said}");
    let mut closing: Value = serde_json::from_str(&said).expect("a line of JSON");
    let seconds = closing.as_object_mut().and_then(|line| line.remove("seconds"));
    assert!(seconds.and_then(|seconds| seconds.as_f64()).is_some_and(|seconds| seconds > 1.0), "{said}");
    assert_eq!(closing, json!({"boards": 5, "updated": 5, "rolled_back": 1, "untouched": 4}));
    assert!(complained.contains("thermometer"), "the traceback of the canary is shown: {complained}");
}
