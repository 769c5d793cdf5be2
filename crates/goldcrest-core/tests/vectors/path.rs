//! Cases of paths and of `keep` patterns.

use goldcrest_core::path::{DevicePath, Pattern};

use super::{Files, check, read};

const PATHS: &str = "\
ok main.py
ok app/__init__.mpy
ok a/b/c/d/e/f/g.txt
ok .hidden
ok with space.txt
ok boot_user.py
ok lib/boot.py
ok lib/goldcrest.json
ok lib/.ota
ok boot.py.bak
ok data/über.txt
ok ...x
path ../x
path app/../../x
path ..
path .
path ./x
path app/./x
path /abs
path /
path a//b
path a/
path 
path .ota/x
path .ota
path .OTA/x
path boot.py
path BOOT.PY
path Boot.mpy
path goldcrest.json
path Goldcrest.JSON
path a\\b
path ..\\x
path C:x
path a*b
path a?b
path a\"b
path a<b
path a>b
path a|b
path a\tb
path a\x7fb
path a\x01b
path name.
path name 
path folder./x
path folder /x
";

const PATTERNS: &str = "\
covers config.json config.json
differs config.json config.jso
differs config.json lib/config.json
covers data/* data/log.txt
differs data/* data/2026/log.txt
differs data/* data
covers data/** data/log.txt
covers data/** data/2026/log.txt
differs data/** data
differs data/** database/log.txt
covers *.json config.json
differs *.json lib/config.json
covers */secrets.py lib/secrets.py
covers log-*-*.txt log-2026-11.txt
differs log-*-*.txt log-2026.txt
covers *a*b* xxaxxbxx
differs *a*b* xxbxxaxx
covers a** abc
differs a** a/b
";

pub(crate) fn generate() -> Files {
    let (s63, s64) = ("s".repeat(63), "s".repeat(64));
    let long = format!("ok {s63}\npath-long {s64}\nok {s63}/{}\npath-long {s63}/{}\n", "t".repeat(56), "t".repeat(57));
    // 57 two-byte letters: the limits count bytes.
    let wide = format!("ok {}\npath-long {}\n", "ü".repeat(31), "ü".repeat(32));
    Files::from([
        ("cases.txt".to_owned(), [PATHS, &long, &wide].concat().into_bytes()),
        ("patterns.txt".to_owned(), PATTERNS.as_bytes().to_vec()),
    ])
}

#[test]
fn path_cases_hold() {
    let text = String::from_utf8(read("path", "cases.txt")).unwrap();
    for (expected, path) in text.split_terminator('\n').map(|line| line.split_once(' ').unwrap()) {
        check(path, expected, path.parse::<DevicePath>());
    }
}

#[test]
fn pattern_cases_hold() {
    let text = String::from_utf8(read("path", "patterns.txt")).unwrap();
    for line in text.split_terminator('\n') {
        let [expected, pattern, path] = line.split(' ').collect::<Vec<_>>()[..] else { panic!("{line}") };
        let pattern: Pattern = pattern.parse().unwrap();
        assert_eq!(pattern.matches(&path.parse().unwrap()), expected == "covers", "{line}");
    }
}
