//! Bases, times, and what is no `SenML`.

use expect_test::expect;

use super::parse;

const NOW_MS: i64 = 1_800_000_000_000;

fn check(payload: &str, expected: &expect_test::Expect) {
    let shown = match parse(payload.as_bytes(), NOW_MS) {
        Ok(records) => {
            let line =
                |r: &super::Record| format!("{} {} {:?} {:?} {}\n", r.name, r.value, r.unit, r.at_ms, r.is_message);
            records.iter().map(line).collect()
        }
        Err(failure) => format!("{failure:?}\n"),
    };
    expected.assert_eq(&shown);
}

#[test]
fn bases_hold_for_the_records_that_follow() {
    check(
        r#"[{"bn":"aa00-","bt":1659612813,"bu":"Cel","n":"t1","v":27.5},{"n":"t2","v":3,"u":"K","t":-5},{"n":"s","vs":"ok"},{"n":"b","vb":true}]"#,
        &expect![[r#"
            aa00-t1 27.5 Some("Cel") Some(1659612813000) false
            aa00-t2 3 Some("K") Some(1659612808000) false
            aa00-s "ok" Some("Cel") Some(1659612813000) false
            aa00-b true Some("Cel") Some(1659612813000) false
        "#]],
    );
}

#[test]
fn small_times_count_from_now() {
    check(
        r#"[{"n":"a","v":1,"t":-10},{"bv":20,"n":"b","v":1.5},{"n":"c"},{"n":"d","v":[1]}]"#,
        &expect![[r"
            a 1 None Some(1799999990000) false
            b 21.5 None None false
            c null None None false
            d null None None false
        "]],
    );
}

#[test]
fn the_message_that_the_documentation_misspells_is_told_apart() {
    check(
        r#"[{"n":"e","v":2},{"n":"m","vs":"one"},{"m":"i","vs":"two"}]"#,
        &expect![[r#"
            e 2 None None false
            m "one" None None false
             "two" None None true
        "#]],
    );
}

#[test]
fn what_is_no_senml_is_said_to_be_none() {
    check(
        r#"[{"n":"e","v":1},{"n":"i""#,
        &expect![[r#"
            Invalid("not SenML: EOF while parsing an object at line 1 column 25")
        "#]],
    );
    check(
        r#"{"n":"e"}"#,
        &expect![[r#"
            Invalid("not SenML: invalid type: map, expected a sequence at line 1 column 0")
        "#]],
    );
    let many = format!("[{}]", vec!["{}"; 513].join(","));
    assert!(parse(many.as_bytes(), NOW_MS).is_err());
}
