//! Cases of deltas: each line has the base, and the size and digest of what is to be made.

use goldcrest_core::Digest;
use goldcrest_core::delta::{apply_to_object, create};

use super::{Files, cases, check, read, signed};

/// Kinds of ops.
const INSERT: u64 = 0;
const COPY: u64 = 1;
const ADD: u64 = 2;
const TEXT: u64 = 3;

pub(crate) fn generate() -> Files {
    let (old, new) = (source(200), source(200).replace("sensor 3", "sensor three").replace("reading 100 ", ""));
    let (old, new) = (old.into_bytes(), new.into_bytes());
    let mut code = noise();
    let bytecode = code.clone();
    code.iter_mut().step_by(9).for_each(|byte| *byte = byte.wrapping_add(1));
    let (first, second) = manifests();
    let mut out = Output { files: Files::new(), lines: String::new() };
    for (name, base) in [("old", &old), ("bytecode", &bytecode), ("manifest", &first), ("empty", &Vec::new())] {
        out.files.insert(format!("{name}.base"), base.clone());
    }

    out.add("source", "ok", "old", &create(&old, &new), &new);
    out.add("same", "ok", "old", &create(&old, &old), &old);
    out.add("bytecode", "ok", "bytecode", &create(&bytecode, &code), &code);
    out.add("manifest", "ok", "manifest", &create(&first, &second), &second);
    out.add("manifest-without-base", "ok", "empty", &create(b"", &second), &second);
    // A base that is there does not disturb a delta that needs none.
    out.add("manifest-with-unused-base", "ok", "manifest", &create(b"", &second), &second);
    out.add("to-nothing", "ok", "old", &create(&old, b""), b"");
    every_op(&mut out, &old);
    malformed(&mut out, &old);

    out.add("other-base", "hash", "bytecode", &stored(&copy(0, 100)), &old[..100]);
    out.add("other-result", "hash", "old", &create(&old, &old.to_ascii_uppercase()), &old);
    let whole = create(&old, &new);
    out.add("truncated-to-nothing", "truncated", "old", b"", &new);
    out.add("truncated-in-stream", "truncated", "old", &whole[..whole.len() / 2], &new);
    out.add("truncated-in-last-byte", "truncated", "old", &whole[..whole.len() - 1], &new);
    out.add_for("server", "bytes-after-stream", "endless", "old", &[&whole[..], b"tail"].concat(), &new);
    // A block of the reserved type 3: no inflater can go on.
    out.add("damaged-stream", "hash", "old", &[7; 40], &new);

    out.files.insert("cases.txt".to_owned(), out.lines.into_bytes());
    out.files
}

/// Every kind of op in one delta, written by hand.
fn every_op(out: &mut Output, old: &[u8]) {
    let ops = [
        insert(b"new "),
        // Forward, then backward, then on where the first one ended.
        copy(10 - 4, 20),
        copy(-10, 5),
        op(ADD, 3, &[&number(zigzag(10))[..], &[1, 0, 255]].concat()),
        op(TEXT, 2 << 1, &[0xab, 0x01]),
        op(TEXT, 2 << 1 | 1, &[0xff, 0xfe]),
        copy(0, 300),
    ]
    .concat();
    let mut made = [&b"new "[..], &old[10..30], &old[20..25]].concat();
    let at = made.len() + 6;
    made.extend([old[at].wrapping_add(1), old[at + 1], old[at + 2].wrapping_sub(1)]);
    made.extend(b"ab01//4=");
    let at = made.len() + 6;
    made.extend(&old[at..at + 300]);
    out.add("every-op", "ok", "old", &stored(&ops), &made);
}

fn malformed(out: &mut Output, old: &[u8]) {
    let end = old.len();
    let last = i64::try_from(end).unwrap();
    out.add("whole-base", "ok", "old", &stored(&copy(0, end)), old);
    out.add("copy-past-the-end", "format", "old", &stored(&copy(1, end)), old);
    out.add("copy-from-the-end", "format", "old", &stored(&copy(last, 1)), &old[..1]);
    out.add("copy-before-the-start", "format", "old", &stored(&copy(-1, 10)), &old[..10]);
    out.add("copy-far-outside", "format", "old", &stored(&copy(1 << 26, 10)), &old[..10]);
    out.add("copy-of-an-empty-base", "format", "empty", &stored(&copy(0, 1)), b"a");
    let add = op(ADD, 10, &[&number(zigzag(last - 5))[..], &[0; 10]].concat());
    out.add("add-past-the-end", "format", "old", &stored(&add), &old[..10]);
    let nothing = [(INSERT, vec![]), (COPY, number(0)), (ADD, number(0)), (TEXT, vec![])];
    for (name, (kind, rest)) in ["insert", "copy", "add", "text"].into_iter().zip(nothing) {
        let ops = [op(kind, 0, &rest), copy(0, 10)].concat();
        out.add_for("server", &format!("{name}-of-nothing"), "format", "old", &stored(&ops), &old[..10]);
    }
    out.add("number-too-long", "format", "old", &stored(&[0x81, 0x80, 0x80, 0x80, 0x80, 0, 0]), &old[..10]);
    out.add("number-too-large", "format", "old", &stored(&[0x81, 0x80, 0x80, 0x80, 0x01, 0]), &old[..10]);
    out.add("ends-in-a-number", "truncated", "old", &stored(&[0x81]), &old[..10]);
    out.add("ends-before-the-shift", "truncated", "old", &stored(&number(10 << 2 | COPY)), &old[..10]);
    out.add("ends-in-an-insert", "truncated", "old", &stored(&op(INSERT, 10, &old[..9])), &old[..10]);
    out.add("ends-in-an-add", "truncated", "old", &stored(&op(ADD, 10, &[0; 10])), &old[..10]);
    out.add("ends-in-a-text", "truncated", "old", &stored(&op(TEXT, 4 << 1, b"abc")), b"61626364");
    out.add("makes-less", "truncated", "old", &stored(&copy(0, 9)), &old[..10]);
    out.add("makes-nothing", "truncated", "old", &stored(b""), &old[..10]);
    out.add("makes-more", "endless", "old", &stored(&copy(0, 11)), &old[..10]);
    let more = op(TEXT, 6 << 1, &[0; 6]);
    out.add("makes-more-text", "endless", "old", &stored(&more), &old[..10]);
    out.add("makes-far-more", "endless", "old", &stored(&copy(0, 1000).repeat(60)), &old[..10]);
}

struct Output {
    files: Files,
    lines: String,
}

impl Output {
    fn add(&mut self, name: &str, expected: &str, base: &str, delta: &[u8], announced: &[u8]) {
        self.add_for("all", name, expected, base, delta, announced);
    }

    /// `by` is `server` for what makes the right bytes all the same: a board need not look.
    fn add_for(&mut self, by: &str, name: &str, expected: &str, base: &str, delta: &[u8], announced: &[u8]) {
        self.files.insert(format!("{name}.delta"), delta.to_vec());
        let (size, digest) = (announced.len(), Digest::of(announced));
        self.lines += &format!("{name}.delta {expected} {by} {base}.base {size} {digest}\n");
    }
}

fn source(lines: u32) -> String {
    (0..lines).map(|n| format!("reading {n:03} of sensor {}: {}\n", n % 7, n * n)).collect()
}

fn noise() -> Vec<u8> {
    let mut state = 7_u32;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    };
    std::iter::repeat_with(next).take(1200).collect()
}

/// The signed part of one manifest, and the next one with its signature.
fn manifests() -> (Vec<u8>, Vec<u8>) {
    let text = |version: &str, counter: u32, main: &str| {
        let digests = [Digest::of(b"library"), Digest::of(main.as_bytes())];
        format!(
            "goldcrest 1\npackage kitchen-sensor\nversion {version}\ncounter {counter}\nfloor 1\nagent 1\ncreated {counter}\n\
             files 2\n{} 7 - lib/library.py\n{} {} - main.py\n",
            digests[0],
            digests[1],
            main.len()
        )
    };
    let second = text("1.1.0", 1_795_086_400, "print('two')");
    (text("1.0.0", 1_795_000_000, "print('one')").into_bytes(), signed(&second, &["release-3072"]))
}

/// Ops in one stored block.
fn stored(ops: &[u8]) -> Vec<u8> {
    let length = u16::try_from(ops.len()).unwrap();
    [&[1][..], &length.to_le_bytes(), &(!length).to_le_bytes(), ops].concat()
}

fn insert(bytes: &[u8]) -> Vec<u8> {
    op(INSERT, bytes.len() as u64, bytes)
}

fn copy(jump: i64, length: usize) -> Vec<u8> {
    op(COPY, length as u64, &number(zigzag(jump)))
}

fn op(kind: u64, length: u64, rest: &[u8]) -> Vec<u8> {
    [&number(length << 2 | kind)[..], rest].concat()
}

fn zigzag(jump: i64) -> u64 {
    ((jump << 1) ^ (jump >> 63)).cast_unsigned()
}

fn number(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).unwrap());
    bytes
}

#[test]
fn delta_cases_hold() {
    for case in cases("delta") {
        let [file, expected, _by, base, size, digest] = &case[..] else { panic!("{case:?}") };
        let (base, delta) = (read("delta", base), read("delta", file));
        check(file, expected, apply_to_object(&base, &delta, size.parse().unwrap(), &digest.parse().unwrap()));
    }
}
