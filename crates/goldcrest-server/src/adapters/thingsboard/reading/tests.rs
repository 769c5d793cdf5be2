//! Forms of telemetry, and what a cut message still says.

use expect_test::{Expect, expect};
use proptest::proptest;
use serde_json::json;

use super::readings;

fn check(payload: &[u8], wanted: &Expect) {
    let text = match readings(payload) {
        Ok(readings) => {
            let line = |reading: &super::Reading| {
                let at = reading.at_ms.map_or("now".to_owned(), |at| at.to_string());
                format!("{at} {}", json!(reading.values))
            };
            readings.iter().map(line).collect::<Vec<_>>().join("\n")
        }
        Err(why) => format!("refused: {why}"),
    };
    wanted.assert_eq(&text);
}

#[test]
fn every_form_is_read() {
    check(
        br#"{"t":21.5,"ok":true,"s":"x","o":{"a":[1]}}"#,
        &expect![[r#"now {"o":{"a":[1]},"ok":true,"s":"x","t":21.5}"#]],
    );
    check(br#"{"ts":1500,"values":{"t":1}}"#, &expect![[r#"1500 {"t":1}"#]]);
    check(
        br#"[{"ts":1,"values":{"t":1}},{"t":2}]"#,
        &expect![[r#"
        1 {"t":1}
        now {"t":2}"#]],
    );
    check(b"{}", &expect!["now {}"]);
    check(br#"{"ts":5}"#, &expect![[r#"now {"ts":5}"#]]);
}

#[test]
fn what_is_none_is_refused() {
    check(b"", &expect!["refused: not JSON: EOF while parsing a value at line 1 column 0"]);
    check(b"21.5", &expect!["refused: not an object"]);
    check(b"[1]", &expect!["refused: not an object"]);
    check(br#"{"ts":"x","values":{}}"#, &expect!["refused: ts is not a number of milliseconds"]);
    check(br#"{"t":21"#, &expect!["refused: not JSON: EOF while parsing an object at line 1 column 7"]);
    check(b"{\"t\":\"\xff\"}", &expect!["refused: not JSON: invalid unicode code point at line 1 column 7"]);
}

#[test]
fn a_failure_is_read_however_much_of_its_end_is_lost() {
    // umqtt writes as many bytes as there are characters: each accent costs one at the end.
    check(
        "{\"fw_state\": \"FAILED\", \"fw_error\": \"Excepción\"".as_bytes(),
        &expect![[r#"now {"fw_error":"Excepción","fw_state":"FAILED"}"#]],
    );
    check(
        "{\"fw_state\": \"FAILED\", \"fw_error\": \"Título y versión".as_bytes(),
        &expect![[r#"now {"fw_error":"Título y versión","fw_state":"FAILED"}"#]],
    );
    // The order of the keys is MicroPython's.
    check(
        "{\"fw_error\": \"Excepción\", \"fw_state\": \"FAILED".as_bytes(),
        &expect![[r#"now {"fw_error":"Excepción","fw_state":"FAILED"}"#]],
    );
    check(
        "{\"fw_error\": \"(OSError) línea \\\"1\\\"\", \"fw_st".as_bytes(),
        &expect![[r#"now {"fw_error":"(OSError) línea \"1\"","fw_state":"FAILED"}"#]],
    );
    check(
        b"{\"current_fw_version\": \"v0\", \"fw_state\": \"FAIL",
        &expect![[r#"now {"current_fw_version":"v0","fw_state":"FAILED"}"#]],
    );
    check(
        b"{\"fw_error\": \"cut in a character \xc3",
        &expect![[r#"now {"fw_error":"cut in a character ","fw_state":"FAILED"}"#]],
    );
    check(
        b"{\"fw_error\": \"cut in an escape \\u00",
        &expect![[r#"now {"fw_error":"cut in an escape ","fw_state":"FAILED"}"#]],
    );
    // Nothing else is guessed.
    check(
        b"{\"fw_state\": \"UPDATED\"",
        &expect!["refused: not JSON: EOF while parsing an object at line 1 column 22"],
    );
}

proptest! {
    #[test]
    fn nothing_breaks_the_reader(payload: Vec<u8>) {
        let _ = readings(&payload);
    }

    #[test]
    fn no_cut_breaks_it(error in ".*", cut in 0usize..200) {
        let whole = json!({"fw_state": "FAILED", "fw_error": error, "n": 1}).to_string().into_bytes();
        let _ = readings(&whole[..cut.min(whole.len())]);
    }
}
