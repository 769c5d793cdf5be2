//! How tables and sizes look.

use expect_test::expect;

use super::{size, table};

#[test]
fn a_table_aligns_numbers_to_the_right_and_leaves_no_trailing_space() {
    let rows =
        [vec!["app/main.py".into(), "7".into(), "-".into()], vec!["küche.txt".into(), "12345".into(), "kept".into()]];
    expect![[r"
        PATH          SIZE  NOTE
        app/main.py      7  -
        küche.txt    12345  kept
    "]]
    .assert_eq(&table(&["PATH", "SIZE", "NOTE"], &rows));
}

#[test]
fn sizes_are_short() {
    let shown: Vec<String> = [0, 1023, 1024, 58_077, 1_300_000].into_iter().map(size).collect();
    assert_eq!(shown, ["0 B", "1023 B", "1.0 KB", "56.7 KB", "1.2 MB"]);
}
