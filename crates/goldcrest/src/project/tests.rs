//! Sizes and versions as goldcrest.toml writes them.

use super::{byte_count, oldest_micropython};

#[test]
fn sizes_have_units_of_1024() {
    let read = |text: &str| byte_count(text).ok();
    assert_eq!(
        ["0", "300000", "700K", "700 KB", "1M", "2 mb"].map(read),
        [0, 300_000, 716_800, 716_800, 1_048_576, 2_097_152].map(Some)
    );
    assert_eq!(["", "K", "-1", "1.5M", "1G", "99999999999999999999", "18446744073709551615K"].map(read), [None; 7]);
}

#[test]
fn the_oldest_micropython_is_two_numbers() {
    assert_eq!([">=1.20", ">= 1.22.2", ">=2.0"].map(oldest_micropython), [Some((1, 20)), Some((1, 22)), Some((2, 0))]);
    assert_eq!(["1.20", ">=1", ">=x.y", ">1.20", ""].map(oldest_micropython), [None; 5]);
}
