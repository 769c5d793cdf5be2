//! Tests of `path`; the cases that the board shares are in `vectors/path/`.

use proptest::prelude::*;

use super::*;

#[test]
fn folders_are_named_outermost_first() {
    let path: DevicePath = "a/b/c.py".parse().unwrap();
    assert_eq!(path.folders().collect::<Vec<_>>(), ["a", "a/b"]);
    assert_eq!("main.py".parse::<DevicePath>().unwrap().folders().count(), 0);
}

#[test]
fn a_refusal_says_what_and_where() {
    let detail = |text: &str| text.parse::<DevicePath>().unwrap_err().to_string();
    assert_eq!(detail("a/../b"), "path: \"a/../b\" is not a plain relative path");
    assert_eq!(
        detail("Boot.py"),
        "path: \"Boot.py\" is reserved for the agent; pack the project's boot.py as boot_user.py"
    );
}

/// What a glob means, written down without backtracking.
fn matches_by_definition(glob: &[u8], name: &[u8]) -> bool {
    match glob {
        [] => name.is_empty(),
        [b'*', rest @ ..] => (0..=name.len()).any(|skip| matches_by_definition(rest, &name[skip..])),
        [byte, rest @ ..] => name.first() == Some(byte) && matches_by_definition(rest, &name[1..]),
    }
}

proptest! {
    #[test]
    fn any_text_is_refused_or_stays_inside(text in "[a-b./\\\\ :\u{1}]{0,12}|\\PC{0,40}") {
        if let Ok(path) = text.parse::<DevicePath>() {
            prop_assert_eq!(path.as_str(), &text);
            prop_assert!(!text.starts_with('/') && !text.is_empty());
            prop_assert!(text.split('/').all(|segment| !matches!(segment, "" | "." | "..")));
        }
    }

    #[test]
    fn a_star_is_any_run_of_characters(glob in "[ab*]{1,8}", name in "[ab]{1,8}") {
        let pattern: Pattern = glob.parse().unwrap();
        let path: DevicePath = name.parse().unwrap();
        // `**` alone covers every file: it is then the end of a folder pattern.
        prop_assert_eq!(pattern.matches(&path), matches_by_definition(glob.as_bytes(), name.as_bytes()));
    }

    #[test]
    fn a_path_covers_itself_and_what_is_under_it(path in "[a-z]{1,5}(/[a-z]{1,5}){0,3}") {
        let inner: DevicePath = format!("{path}/x/y").parse().unwrap();
        prop_assert!(path.parse::<Pattern>().unwrap().matches(&path.parse().unwrap()));
        prop_assert!(!path.parse::<Pattern>().unwrap().matches(&inner));
        let pattern: Pattern = format!("{path}/**").parse().unwrap();
        prop_assert!(pattern.matches(&inner));
        prop_assert!(!pattern.matches(&path.parse().unwrap()));
    }
}
