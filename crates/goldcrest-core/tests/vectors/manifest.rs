//! Cases of manifests: each line has the board that reads it.

use goldcrest_core::manifest::{BoardContext, SignedManifest, admit};
use goldcrest_core::signature::Signature;

use super::{Files, cases, check, in_force, key, read, signature_line, signed, with};

/// What every case starts from. Sorted, two files, one deletion.
const TEXT: &str = "\
goldcrest 1
package kitchen-sensor
version 1.5.0
counter 1795000000
floor 1794000000
agent 1
boards esp32 rp2
mpy 6
created 1795000000
expires 1826536000
keep config.json
keep data/*
files 2
e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 - app/__init__.mpy
9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 4 - main.py
- old/leftover.py
";
const FIRST: &str = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855 0 - app/__init__.mpy\n";
const SECOND: &str = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08 4 - main.py\n";

/// package, board, platform, mpy, floor, agent, now: an ESP32 whose `sys.implementation._mpy` is 11014 (6.3.10: xtensawin).
const BOARD: &str = "kitchen-sensor - esp32 11014 1794000000 1 1795000100";

pub(crate) fn generate() -> Files {
    let mut out = Output { files: Files::new(), lines: String::new() };
    add_good(&mut out);
    add_signatures(&mut out);
    add_verdicts(&mut out);
    add_header_defects(&mut out);
    add_path_defects(&mut out);
    add_byte_defects(&mut out);
    add_clashes(&mut out);
    out.files.insert("cases.txt".to_owned(), out.lines.into_bytes());
    out.files
}

struct Output {
    files: Files,
    lines: String,
}

impl Output {
    fn add(&mut self, name: &str, expected: &str, by: &str, bytes: &[u8], board: &str) {
        self.files.insert(format!("{name}.manifest"), bytes.to_vec());
        self.lines += &format!("{name}.manifest {expected} {by} {board}\n");
    }

    /// A case whose text is signed with the release key.
    fn text(&mut self, name: &str, expected: &str, text: &str) {
        self.add(name, expected, "all", &signed(text, &["release"]), BOARD);
    }

    fn replaced(&mut self, name: &str, expected: &str, old: &str, new: &str) {
        self.text(name, expected, &with(TEXT, old, new));
    }

    /// A case that only the packer and the server must refuse: a board that streams cannot see it.
    fn server(&mut self, name: &str, expected: &str, old: &str, new: &str) {
        self.add(name, expected, "server", &signed(&with(TEXT, old, new), &["release"]), BOARD);
    }

    fn board(&mut self, name: &str, expected: &str, text: &str, board: &str) {
        self.add(name, expected, "all", &signed(text, &["release"]), board);
    }
}

fn add_good(out: &mut Output) {
    out.text("good", "ok", TEXT);
    let least = "goldcrest 1\npackage a\nversion 1\ncounter 0\nfloor 0\nagent 1\ncreated 0\nfiles 0\n";
    out.board("least", "ok", least, "- - esp32 6 0 1 -");
    out.replaced("unknown-header-skipped", "ok", "expires", "channel-hint beta\nexpires");
    out.replaced("unknown-header-skipped-before-files", "ok", "files 2", "x-later 1 2 3\nfiles 2");
    out.replaced("path-with-space", "ok", "main.py", "main program.py");
    out.add("key-of-3072-bits", "ok", "all", &signed(TEXT, &["release-3072"]), BOARD);
}

fn add_signatures(out: &mut Output) {
    let mut add = |name, expected, bytes: &[u8]| out.add(name, expected, "all", bytes, BOARD);
    let release = key("release").public().id();
    add("signed-by-stranger-and-release", "ok", &signed(TEXT, &["stranger", "release"]));
    add("signed-by-revoked-and-release", "ok", &signed(TEXT, &["revoked", "release"]));
    add("signed-by-stranger", "unknown-key", &signed(TEXT, &["stranger"]));
    add("signed-by-root", "unknown-key", &signed(TEXT, &["root-a"]));
    add("signed-by-revoked", "revoked-key", &signed(TEXT, &["revoked"]));
    let other = String::from_utf8(signed(TEXT, &["release"])).unwrap();
    add("signature-of-other-bytes", "bad-signature", with(&other, "version 1.5.0", "version 1.5.1").as_bytes());
    let stolen = Signature { key_id: release, ..key("stranger").sign(TEXT.as_bytes()) };
    add("signature-under-other-key-id", "bad-signature", (TEXT.to_owned() + &signature_line(&stolen)).as_bytes());
    for (name, bytes) in [("signature-zero", vec![0; 256]), ("signature-above-modulus", vec![255; 256])] {
        let signature = Signature { key_id: release, bytes };
        add(name, "bad-signature", (TEXT.to_owned() + &signature_line(&signature)).as_bytes());
    }
    add("unsigned", "format", TEXT.as_bytes());
    let after = [&signed(TEXT, &["release"])[..], b"- main.pyc\n"].concat();
    add("line-after-signature", "format", &after);
    out.add("signatures-nine", "format", "server", &signed(TEXT, &["release"; 9]), BOARD);
}

fn add_verdicts(out: &mut Output) {
    out.board("other-package", "package", TEXT, "garden-sensor - esp32 11014 1794000000 1 1795000100");
    out.board("any-package", "ok", TEXT, "- - esp32 11014 1794000000 1 1795000100");
    out.board("other-board", "board", TEXT, "kitchen-sensor - esp8266 11014 1794000000 1 1795000100");
    out.board(
        "board-by-setting",
        "ok",
        &with(TEXT, "boards esp32 rp2", "boards kitchen-v2"),
        "- kitchen-v2 esp32 6 0 1 -",
    );
    out.board("other-board-by-setting", "board", &with(TEXT, "esp32 rp2", "kitchen-v1"), "- kitchen-v2 esp32 6 0 1 -");
    out.board("board-name-is-a-part", "board", &with(TEXT, "esp32 rp2", "esp32s3"), BOARD);
    out.board("any-board", "ok", &with(TEXT, "boards esp32 rp2\n", ""), "- - samd 6 0 1 -");
    out.board("mpy-of-other-version", "mpy", TEXT, "kitchen-sensor - esp32 5 1794000000 1 1795000100");
    let native = with(TEXT, "mpy 6", "mpy 6.3.10");
    out.board("mpy-native", "ok", &native, BOARD);
    out.board("mpy-of-other-architecture", "mpy", &native, "kitchen-sensor - rp2 4870 1794000000 1 1795000100");
    out.board("mpy-of-other-sub-version", "mpy", &native, "kitchen-sensor - esp32 10758 1794000000 1 1795000100");
    out.board("mpy-native-board-has-none", "mpy", &native, "kitchen-sensor - esp32 6 1794000000 1 1795000100");
    out.board("mpy-absent", "ok", &with(TEXT, "mpy 6\n", ""), "kitchen-sensor - esp32 5 0 1 -");
    out.board("newer-agent-needed", "agent", &with(TEXT, "agent 1", "agent 2"), BOARD);
    out.board("below-floor", "floor", TEXT, "kitchen-sensor - esp32 11014 1795000001 1 1795000100");
    out.board("at-floor", "ok", TEXT, "kitchen-sensor - esp32 11014 1795000000 1 1795000100");
    out.board("expired", "expired", TEXT, "kitchen-sensor - esp32 11014 1794000000 1 1826536001");
    out.board("expires-now", "ok", TEXT, "kitchen-sensor - esp32 11014 1794000000 1 1826536000");
    let long_ago = with(TEXT, "created 1795000000", "created 1826000000");
    out.board("clock-never-set", "ok", &long_ago, "kitchen-sensor - esp32 11014 1794000000 1 946684800");
    let past = with(TEXT, "expires 1826536000", "expires 1700000000");
    out.board("clock-older-than-release", "ok", &past, "kitchen-sensor - esp32 11014 1794000000 1 1750000000");
    out.board("without-clock", "ok", TEXT, "kitchen-sensor - esp32 11014 1794000000 1 -");
}

fn add_header_defects(out: &mut Output) {
    for (name, old, new) in [
        ("format-2", "goldcrest 1", "goldcrest 2"),
        ("not-a-manifest", "goldcrest 1", "<html>"),
        ("package-missing", "package kitchen-sensor\n", ""),
        ("package-twice", "package kitchen-sensor\n", "package kitchen-sensor\npackage kitchen-sensor\n"),
        ("known-header-after-created", "files 2", "mpy 6\nfiles 2"),
        ("blank-line", "files 2", "\nfiles 2"),
        ("counter-negative", "counter 1795000000", "counter -1"),
        ("counter-empty", "counter 1795000000", "counter "),
        ("counter-hex", "counter 1795000000", "counter 0x6afd6ac0"),
        ("floor-above-counter", "floor 1794000000", "floor 1795000001"),
        ("count-too-high", "files 2", "files 3"),
        ("count-too-low", "files 2", "files 1"),
        ("count-above-limit", "files 2", "files 4097"),
    ] {
        out.replaced(name, "format", old, new);
    }
    // Only a broken packer signs these, and they do a board no harm: it leaves them to the packer and the server.
    let swapped = "floor 1794000000\ncounter 1795000000";
    out.server("header-out-of-order", "format", "counter 1795000000\nfloor 1794000000", swapped);
    out.server("unknown-header-before-created", "format", "agent 1", "agent 1\nx-later 1");
    out.server("package-with-capital", "format", "package kitchen", "package Kitchen");
    out.server("counter-with-leading-zero", "format", "counter 1795000000", "counter 01795000000");
    out.server("counter-too-large", "format", "counter 1795000000", "counter 9007199254740992");
    out.server("version-with-space", "format", "1.5.0", "1.5 0");
    out.server("mpy-malformed", "format", "mpy 6", "mpy six");
    let keep = |count: usize| (0..count).map(|n| format!("keep k{n:02}\n")).collect::<String>();
    out.replaced("keep-lines-64", "ok", "keep config.json\nkeep data/*\n", &keep(64));
    out.server("keep-lines-65", "format", "keep config.json\nkeep data/*\n", &keep(65));
    out.server("keep-leaves-the-root", "path", "keep data/*", "keep ../*");
}

fn add_path_defects(out: &mut Output) {
    for (name, path) in [
        ("path-parent", "../main.py"),
        ("path-parent-inside", "m/../../x"),
        ("path-absolute", "/main.py"),
        ("path-empty-segment", "m//x"),
        ("path-empty", ""),
        ("path-agent-folder", ".ota/state"),
        ("path-agent-folder-in-capitals", ".OTA/state"),
        ("path-boot", "boot.py"),
        ("path-boot-in-capitals", "BOOT.PY"),
        ("path-boot-compiled", "boot.mpy"),
        ("path-settings", "goldcrest.json"),
        ("path-backslash", "m\\x"),
        ("path-trailing-dot", "main."),
    ] {
        // Alone, so that the order of paths cannot be the reason.
        out.text(name, "path", &TEXT.replace(FIRST, "").replace("files 2", "files 1").replace("main.py", path));
    }
    out.server("path-drive", "path", "main.py", "main:x");
    out.server("path-control-character", "path", "main.py", "main\u{1}x");
    out.replaced("path-too-long", "path-long", "main.py", &format!("{}/{}", "m".repeat(60), "n".repeat(60)));
    out.replaced("path-segment-too-long", "path-long", "main.py", &"m".repeat(64));
    out.replaced("path-longest", "ok", "main.py", &format!("{}/{}", "m".repeat(60), "n".repeat(59)));
    out.replaced("deletion-path-parent", "path", "- old/leftover.py", "- ../leftover.py");
    out.replaced("deletion-agent-folder", "path", "- old/leftover.py", "- .ota/state");
    out.replaced("duplicate", "duplicate", FIRST, SECOND);
    let twice = "- old/leftover.py\n- old/leftover.py\n";
    out.replaced("deletion-duplicate", "duplicate", "- old/leftover.py\n", twice);
    out.replaced("unsorted", "format", &[FIRST, SECOND].concat(), &[SECOND, FIRST].concat());
    out.replaced("deletions-unsorted", "format", "- old/leftover.py\n", "- old/x\n- old/leftover.py\n");
    out.replaced("deletion-before-files", "format", FIRST, &["- a.py\n", FIRST].concat());
    for (name, line) in [
        ("file-digest-short", "9f86d081 4 - main.py\n"),
        ("file-size-missing", &SECOND.replace(" 4 -", " -")),
        ("file-flag-unknown", &SECOND.replace(" 4 -", " 4 z")),
        ("file-without-path", &SECOND.replace(" - main.py", "")),
    ] {
        out.replaced(name, "format", SECOND, line);
    }
    out.server("file-size-signed", "format", SECOND, &SECOND.replace(" 4 -", " +4 -"));
    out.server("file-size-above-limit", "format", SECOND, &SECOND.replace(" 4 -", " 16777217 -"));
    out.server("file-digest-in-capitals", "format", SECOND, &SECOND.replace("9f86d0", "9F86D0"));
}

fn add_byte_defects(out: &mut Output) {
    out.text("carriage-returns", "format", &TEXT.replace('\n', "\r\n"));
    out.server("carriage-return-in-unknown-header", "format", "files 2", "x-later 1\r\nfiles 2");
    out.text("byte-order-mark", "format", &format!("\u{feff}{TEXT}"));
    let line = |len: usize| format!("x-later {}\nfiles 2", "y".repeat(len - "x-later ".len()));
    out.replaced("line-longest", "ok", "files 2", &line(1024));
    out.replaced("line-too-long", "format", "files 2", &line(1025));
    let good = signed(TEXT, &["release"]);
    out.add("empty", "format", "all", b"", BOARD);
    out.add("cut-in-header", "format", "all", &good[..60], BOARD);
    out.add("cut-in-signature", "format", "all", &good[..good.len() - 100], BOARD);
    out.add("no-final-line-end", "format", "all", &good[..good.len() - 1], BOARD);
    let latin = TEXT.replace("main.py", "ma\u{fffd}n.py");
    let mut bytes = signed(&latin, &["release"]);
    let at = bytes.windows(3).position(|three| three == "\u{fffd}".as_bytes()).unwrap();
    bytes.splice(at..at + 3, [0xe9]);
    out.add("not-utf-8", "format", "server", &bytes, BOARD);
}

fn add_clashes(out: &mut Output) {
    let files = format!("files 2\n{FIRST}{SECOND}");
    let other_folder = SECOND.replace("main.py", "apP/x.py");
    let capital = SECOND.replace("main.py", "app/__init__.mpY");
    out.server("paths-differ-by-case", "duplicate", &files, &format!("files 3\n{capital}{FIRST}{SECOND}"));
    out.server("folders-differ-by-case", "duplicate", &files, &format!("files 3\n{other_folder}{FIRST}{SECOND}"));
    let (app, rest) = (SECOND.replace("main.py", "app"), [FIRST, SECOND].concat());
    out.server("file-is-a-folder-too", "path", &files, &format!("files 3\n{app}{rest}"));
    out.server("file-is-deleted-too", "duplicate", "- old/leftover.py", "- main.py");
    out.server("kept-file-packed", "path", "keep data/*", "keep main.*");
    out.server("kept-file-deleted", "path", "keep data/*", "keep old/**");
    out.server("keep-unsorted", "format", "keep config.json\nkeep data/*", "keep data/*\nkeep config.json");
    out.server("sizes-of-one-object-differ", "format", SECOND, &SECOND.replace(&SECOND[..64], &FIRST[..64]));
    let huge: String =
        (0..5).map(|n| SECOND.replace(" 4 -", " 16777216 -").replace("main", &format!("m{n}"))).collect();
    out.server("total-above-limit", "format", &files, &format!("files 6\n{FIRST}{huge}"));
}

#[test]
fn manifest_cases_hold() {
    let keyring = in_force();
    for case in cases("manifest") {
        let [file, expected, _by, columns @ ..] = &case[..] else { panic!("{case:?}") };
        let context = context(columns);
        let outcome = SignedManifest::parse(&read("manifest", file)).and_then(|signed| {
            signed.verify(&keyring)?;
            admit(&signed.manifest, &context)
        });
        check(file, expected, outcome);
    }
}

#[test]
fn good_manifests_come_back_byte_for_byte() {
    for case in cases("manifest").iter().filter(|case| case[1] == "ok") {
        let bytes = read("manifest", &case[0]);
        let signed = SignedManifest::parse(&bytes).unwrap();
        assert!(signed.to_bytes() == bytes, "{}", case[0]);
        let is_of_this_version =
            !String::from_utf8(bytes.clone()).unwrap().contains("later") && !case[0].contains("unknown");
        if is_of_this_version {
            assert!(bytes.starts_with(signed.manifest.to_text().as_bytes()), "{}", case[0]);
        }
    }
}

fn context(columns: &[String]) -> BoardContext {
    let [package, board, platform, mpy, floor, agent, now] = columns else { panic!("{columns:?}") };
    let text = |column: &String| (column != "-").then(|| column.clone());
    let number = |column: &String| text(column).map(|text| text.parse::<u64>().unwrap());
    BoardContext {
        package: text(package),
        board: text(board),
        platform: text(platform),
        mpy: number(mpy),
        floor: number(floor).unwrap(),
        agent: number(agent).map(|agent| u32::try_from(agent).unwrap()),
        now: number(now),
    }
}
