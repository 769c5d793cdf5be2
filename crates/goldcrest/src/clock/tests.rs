//! Dates there and back.

use super::{ago, http_date, utc};

#[test]
fn dates_round_trip_over_leap_days_and_centuries() {
    for (seconds, shown, header) in [
        (0, "1970-01-01 00:00:00", "Thu, 01 Jan 1970 00:00:00 GMT"),
        (951_782_400, "2000-02-29 00:00:00", "Tue, 29 Feb 2000 00:00:00 GMT"),
        (1_795_234_508, "2026-11-21 04:15:08", "Sat, 21 Nov 2026 04:15:08 GMT"),
        (4_107_542_399, "2100-02-28 23:59:59", "Sun, 28 Feb 2100 23:59:59 GMT"),
    ] {
        assert_eq!(utc(seconds * 1000), shown);
        assert_eq!(http_date(header), Some(seconds));
    }
    assert_eq!(http_date("yesterday"), None);
    assert_eq!(http_date("Sat, 00 Nov 2026 04:15:08 GMT"), None);
}

#[test]
fn an_age_is_told_in_the_unit_that_says_enough() {
    let shown: Vec<String> =
        [0, 90, 600, 10_000, 400_000].iter().map(|s| ago(500_000_000, 500_000_000 - s * 1000)).collect();
    assert_eq!(shown, ["0 s ago", "90 s ago", "10 min ago", "2 h ago", "4 days ago"]);
}
