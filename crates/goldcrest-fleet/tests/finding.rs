//! Which binaries are taken for MicroPython, and what is said of the others.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::{Mutex, PoisonError};

use goldcrest_fleet::Micropython;

/// A process that a neighbouring test starts has, until it becomes its program, the file open that is written here: running it
/// would fail as "text file busy".
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// Runs the check on a program that prints `answer`; its version, or the error.
fn check(answer: &str, expected: Result<(u32, u32), &str>) {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("micropython");
    fs::write(&path, format!("#!/bin/sh\nprintf '{answer}'\n")).expect("a program");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("an executable");
    let found = Micropython::at(&path)
        .map(|found| found.version())
        .map_err(|error| format!("{error:#}").replace(&path.display().to_string(), "IT"));
    assert_eq!(found.as_ref().copied().map_err(String::as_str), expected);
}

#[test]
fn a_new_unix_port_with_littlefs_is_taken() {
    check("micropython 1 27\\nTrue\\n", Ok((1, 27)));
    check("micropython 2 0\\nTrue\\n", Ok((2, 0)));
}

#[test]
fn an_old_one_is_refused_by_its_version() {
    check("micropython 1 20\\n", Err("IT is MicroPython 1.20, too old for virtual boards"));
    check("micropython 1 26\\nTrue\\n", Err("IT is MicroPython 1.26, too old for virtual boards"));
}

#[test]
fn one_without_littlefs_is_refused() {
    check("micropython 1 29\\nFalse\\n", Err("IT was built without littlefs (vfs.VfsLfs2)"));
}

#[test]
fn another_program_is_refused() {
    check("cpython 3 11\\nFalse\\n", Err("IT is not a MicroPython that starts: it said nothing"));
}
