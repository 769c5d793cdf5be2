//! Tests of `name`.

use std::str::FromStr;

use super::*;

fn check<T: FromStr<Err = Refused> + ToString>(good: &[&str], bad: &[&str]) {
    for text in good {
        assert_eq!(text.parse::<T>().map(|name| name.to_string()), Ok((*text).to_owned()));
    }
    for text in bad {
        assert_eq!(text.parse::<T>().err().map(|refused| refused.refusal), Some(Refusal::Format), "{text:?}");
    }
}

#[test]
fn each_name_has_its_rule() {
    let (n64, n65) = ("n".repeat(64), "n".repeat(65));
    let lower_bad = ["", "Kitchen", "-a", ".a", "_a", "a b", "a/b", "ä", "a+b", &n65];
    check::<PackageName>(&["kitchen-sensor", "0.x_y", &n64], &lower_bad);
    check::<ChannelName>(&["stable", "beta-2"], &lower_bad);
    check::<Version>(&["1.5.0", "1.5.0-rc.1+B", "_", &n64], &["", ".", "..", "1 5", "1/5", "é", &n65]);
    check::<DeviceName>(&["Kitchen.2", "-", &n64], &["", ".", "..", "a b", "a/b", "a+b", &n65]);
}

#[test]
fn serde_checks_too() {
    assert_eq!(serde_json::to_string(&"stable".parse::<ChannelName>().unwrap()).unwrap(), "\"stable\"");
    let error = serde_json::from_str::<DeviceName>("\"a b\"").unwrap_err().to_string();
    assert!(error.starts_with("format: device name \"a b\" may hold only A-Z a-z 0-9 - _ ."), "{error}");
}
