//! The tables of the specification (4.7), and that covering agrees with matching.

use proptest::prelude::*;

use super::{covers, is_filter, is_topic, matches, shared};

#[test]
fn wildcards_match_as_the_specification_says() {
    let cases = [
        ("sport/tennis/player1/#", "sport/tennis/player1", true),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", true),
        ("sport/#", "sport", true),
        ("sport/+", "sport", false),
        ("sport/+", "sport/", true),
        ("+/+", "/finance", true),
        ("/+", "/finance", true),
        ("+", "/finance", false),
        ("#", "$SYS/load", false),
        ("+/load", "$SYS/load", false),
        ("$SYS/#", "$SYS/load", true),
        ("a/+/c", "a/b/c", true),
        ("a/+/c", "a/b/d", false),
        ("a", "a/b", false),
    ];
    for (filter, topic, wanted) in cases {
        assert_eq!(matches(filter, topic), wanted, "{filter} {topic}");
    }
}

#[test]
fn broken_filters_and_topics_are_told() {
    for filter in ["", "a#", "a/#/b", "a+/b", "#/a", "a\0b", &"x".repeat(1025), &"/".repeat(40)] {
        assert!(!is_filter(filter), "{filter:?}");
    }
    for filter in ["#", "+", "+/+", "/", "a//b", "+/a/#"] {
        assert!(is_filter(filter), "{filter:?}");
    }
    assert!(is_topic("/a b/ü") && !is_topic("a/+") && !is_topic("#") && !is_topic(""));
    assert_eq!(shared("g/a/b"), Some(("g", "a/b")));
    assert_eq!((shared("g"), shared("/a"), shared("g/"), shared("+/a")), (None, None, None, None));
}

proptest! {
    #[test]
    fn what_covers_matches_no_less(wide in filter(), narrow in filter(), topic in "[ab$]{0,1}(/[ab]{0,1}){0,3}") {
        if covers(&wide, &narrow) && matches(&narrow, &topic) {
            prop_assert!(matches(&wide, &topic), "{wide} {narrow} {topic}");
        }
    }
}

fn filter() -> impl Strategy<Value = String> {
    "[ab$]{0,1}(/[ab]{0,1}|/\\+){0,3}(/#)?|\\+(/[ab]){0,2}|#".prop_filter("a filter", |text| is_filter(text))
}
