//! Ranges by the book.

use axum::http::HeaderMap;

use super::{Part, part_of};

fn check(range: &str, size: u64, expected: Part) {
    let mut headers = HeaderMap::new();
    headers.insert("range", range.parse().unwrap());
    assert_eq!(part_of(&headers, "\"tag\"", size), expected, "{range} of {size}");
}

#[test]
fn a_single_range_is_cut_to_the_object() {
    check("bytes=0-0", 10, Part::Bytes { first: 0, last: 0 });
    check("bytes=2-5", 10, Part::Bytes { first: 2, last: 5 });
    check("bytes=2-99", 10, Part::Bytes { first: 2, last: 9 });
    check("bytes=9-", 10, Part::Bytes { first: 9, last: 9 });
    check("bytes=-4", 10, Part::Bytes { first: 6, last: 9 });
    check("bytes=-40", 10, Part::Bytes { first: 0, last: 9 });
    check("BYTES=0-1", 10, Part::Bytes { first: 0, last: 1 });
    check("bytes=5-99999999999999999999999", 10, Part::Bytes { first: 5, last: 9 });
}

#[test]
fn a_range_past_the_end_is_unsatisfiable() {
    check("bytes=10-", 10, Part::Unsatisfiable);
    check("bytes=99999999999999999999999-", 10, Part::Unsatisfiable);
    check("bytes=-0", 10, Part::Unsatisfiable);
    check("bytes=0-", 0, Part::Unsatisfiable);
    check("bytes=-5", 0, Part::Unsatisfiable);
}

#[test]
fn what_is_malformed_or_several_gets_everything() {
    for range in ["bytes=0-1,4-5", "bytes=5-2", "bytes=-", "bytes=a-b", "bytes", "lines=0-1", "bytes=+1-2", "bytes=1"] {
        check(range, 10, Part::Whole);
    }
}
