//! Tests of `message`.

use proptest::prelude::*;

use super::*;

const RELEASE: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn parse(json: &str) -> Result<Report, Refused> {
    Report::parse(json.as_bytes())
}

#[test]
fn a_report_reads_and_writes_as_the_page_says() {
    let json = format!(
        r#"{{"stage":"rolled-back","release":"{RELEASE}","reason":"crash","detail":"main.py","trace":"Traceback","facts":{{"heap_free":8000,"machine":"ESP32","ok":true}}}}"#
    );
    let report = parse(&json).unwrap();
    assert_eq!(report.stage, ReportStage::RolledBack);
    assert_eq!(serde_json::to_string(&report).unwrap(), json);
    assert_eq!(serde_json::to_string(&parse(r#"{"stage":"boot"}"#).unwrap()).unwrap(), r#"{"stage":"boot"}"#);
}

#[test]
fn unknown_fields_are_ignored_and_facts_are_scalars() {
    let report = parse(r#"{"stage":"boot","later":[1],"facts":{"a":1,"b":[2],"c":{"d":3},"e":null,"f":"x"}}"#).unwrap();
    assert_eq!(report.facts.keys().collect::<Vec<_>>(), ["a", "f"]);
}

#[test]
fn the_agents_facts_get_their_names() {
    let facts = |state: &str, board: &str, fat: u16, files: u16| {
        let values = format!(
            r#"["0.1.0",[1,29,0,"preview"],2822,"ESP32","esp32",{board},[4096,4096,88,40,40,{files},0,0,0,255],{fat},8000,1,0,"{state}"]"#
        );
        let report = parse(&format!(r#"{{"stage":"boot","facts":{values}}}"#)).unwrap();
        serde_json::to_string(&report.facts).unwrap()
    };
    assert_eq!(
        facts("ok", "null", 0, 0),
        r#"{"agent":"0.1.0","board":"esp32","filesystem":"littlefs2","flash_free":163840,"flash_size":360448,"heap_free":8000,"machine":"ESP32","micropython":"1.29.0","mpy":2822,"platform":"esp32","reset_cause":1,"safe":false,"tries":0}"#
    );
    let other = facts("safe", r#""kitchen""#, 16384, 0);
    assert!(other.contains(r#""board":"kitchen""#) && other.contains(r#""safe":true"#) && other.contains(r#""fat""#));
    assert!(facts("ok", "null", 0, 9).contains(r#""other""#));
    assert_eq!(parse(r#"{"stage":"boot","facts":[1,2]}"#).unwrap().facts.len(), 0);
    assert_eq!(parse(r#"{"stage":"boot","facts":"none"}"#).unwrap().facts.len(), 0);
}

#[test]
fn long_text_is_cut_between_characters() {
    let (reason, detail, trace) = ("ü".repeat(40), "€".repeat(100), "😀".repeat(1500) + "End");
    let mut report = parse(r#"{"stage":"boot"}"#).unwrap();
    (report.reason, report.detail, report.trace) = (Some(reason), Some(detail), Some(trace));
    report.facts = (0..40).map(|n| (format!("f{n:02}"), Value::from("é".repeat(200)))).collect();
    report.limit();
    assert_eq!(report.reason.unwrap(), "ü".repeat(32));
    assert_eq!(report.detail.unwrap(), "€".repeat(85));
    let trace = report.trace.unwrap();
    assert!(trace.ends_with("😀End") && trace.len() <= MAX_TRACE && trace.len() > MAX_TRACE - 4);
    assert_eq!(report.facts.len(), MAX_FACTS);
    assert_eq!(report.facts["f00"], Value::from("é".repeat(128)));
}

#[test]
fn what_is_no_report_is_refused_by_name() {
    let refusal = |json: &str| parse(json).unwrap_err().refusal;
    assert_eq!(refusal("{"), Refusal::Format);
    assert_eq!(refusal("[]"), Refusal::Format);
    assert_eq!(refusal(r#"{"stage":"exploded"}"#), Refusal::Format);
    assert_eq!(refusal(r#"{"stage":"confirmed"}"#), Refusal::Format);
    assert_eq!(refusal(r#"{"stage":"confirmed","release":"abc"}"#), Refusal::Format);
    assert_eq!(refusal(&format!("{}{}", r#"{"stage":"boot"}"#, " ".repeat(MAX_REPORT))), Refusal::Endless);
}

#[test]
fn a_check_in_reads_back() {
    let run = Some(RELEASE.parse().unwrap());
    let check_in = CheckIn { run, state: RunState::Trial, keyring: 3, have: run, takes_delta: true };
    assert_eq!(check_in.to_string(), format!("run={RELEASE}&state=trial&k=3&have={RELEASE}&delta=1"));
    assert_eq!(CheckIn::parse(&check_in.to_string()), Ok(check_in));
    let first = CheckIn { run: None, state: RunState::Ok, keyring: 0, have: None, takes_delta: false };
    assert_eq!(CheckIn::parse(&first.to_string()), Ok(first));
    assert_eq!(CheckIn::parse(""), Ok(first));
    assert_eq!(CheckIn::parse("later=1&k=0&have=&delta=0"), Ok(first));
    for bad in ["run=", "run=abc", "state=good", "k=-1", "k=x"] {
        assert_eq!(CheckIn::parse(bad).unwrap_err().refusal, Refusal::Format, "{bad}");
    }
}

#[test]
fn unwanted_releases_are_the_digests_of_the_header() {
    let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
    assert_eq!(unwanted_releases(&format!("\"{one}\", W/\"{two}\"")), [one, two]);
    assert_eq!(unwanted_releases(&format!("\"x\",\"{one}\",*")), [one]);
    assert_eq!(unwanted_releases(""), []);
    assert_eq!(unwanted_releases(&vec![format!("\"{one}\""); 50].join(",")).len(), MAX_UNWANTED);
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200), query in "\\PC{0,80}") {
        let _ = Report::parse(&bytes);
        let _ = CheckIn::parse(&query);
        let _ = unwanted_releases(&query);
    }

    #[test]
    fn a_limited_report_keeps_every_limit(reason in "\\PC{0,80}", trace in "\\PC{0,3000}", names in prop::collection::btree_set("\\PC{0,20}", 0..40)) {
        let mut report = parse(r#"{"stage":"boot"}"#).unwrap();
        report.reason = Some(reason.clone());
        report.trace = Some(trace.clone());
        report.facts = names.into_iter().map(|name| (name, Value::from(trace.as_str()))).collect();
        report.limit();
        prop_assert!(reason.starts_with(report.reason.as_deref().unwrap()));
        prop_assert!(report.reason.unwrap().len() <= MAX_REASON);
        prop_assert!(trace.ends_with(report.trace.as_deref().unwrap()));
        prop_assert!(report.trace.unwrap().len() <= MAX_TRACE);
        prop_assert!(report.facts.len() <= MAX_FACTS);
        prop_assert!(report.facts.iter().all(|(name, value)| name.len() <= MAX_FACT_NAME && value.as_str().unwrap().len() <= MAX_FACT_TEXT));
    }
}
