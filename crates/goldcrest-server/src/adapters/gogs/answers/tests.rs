//! Dates and addresses.

use super::{encode, rfc3339};

#[test]
fn dates_are_those_of_the_calendar() {
    // date -u -d @… +%FT%TZ
    assert_eq!(rfc3339(0), "1970-01-01T00:00:00Z");
    assert_eq!(rfc3339(951_782_400), "2000-02-29T00:00:00Z");
    assert_eq!(rfc3339(1_795_000_000), "2026-11-18T11:06:40Z");
    assert_eq!(rfc3339(-1), "1969-12-31T23:59:59Z");
}

#[test]
fn addresses_hold_no_other_characters() {
    assert_eq!(encode("contents/a b/é?#.py"), "contents/a%20b/%C3%A9%3F%23.py");
}
