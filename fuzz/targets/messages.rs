//! What boards say: reports and the query of a check-in.
#![no_main]

use goldcrest_core::message::{CheckIn, MAX_TRACE, Report, unwanted_releases};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Ok(report) = Report::parse(bytes) {
        assert!(report.trace.is_none_or(|trace| trace.len() <= MAX_TRACE));
    }
    if let Ok(text) = std::str::from_utf8(bytes) {
        unwanted_releases(text);
        if let Ok(check_in) = CheckIn::parse(text) {
            assert_eq!(CheckIn::parse(&check_in.to_string()).ok(), Some(check_in));
        }
    }
});
