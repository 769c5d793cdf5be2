//! The only writer of stdout (data) and stderr (everything said on the way).

use std::io::{self, ErrorKind, IsTerminal, Write};

use serde::Serialize;
use serde_json::json;

use crate::cli::{Color, Globals};
use crate::failure::Failure;

/// How this run talks: decided once from the global options and the terminal.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a decision of its own")]
pub struct Output {
    json: bool,
    quiet: bool,
    verbose: bool,
    color: bool,
    color_data: bool,
}

impl Output {
    /// Reads the options, `NO_COLOR`, `CLICOLOR_FORCE` and `TERM`.
    pub fn new(globals: &Globals) -> Output {
        let set = |name: &str| std::env::var_os(name).is_some_and(|v| !v.is_empty());
        let plain = set("NO_COLOR") || std::env::var_os("TERM").is_some_and(|t| t == "dumb");
        let decide = |terminal: bool| match globals.color {
            Color::Always => true,
            Color::Never => false,
            Color::Auto => set("CLICOLOR_FORCE") || (terminal && !plain),
        };
        Output {
            json: globals.json,
            quiet: globals.quiet,
            verbose: globals.verbose > 0,
            color: decide(io::stderr().is_terminal()),
            color_data: decide(io::stdout().is_terminal()),
        }
    }

    /// Whether the caller asked for JSON.
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Whether only errors are to be said.
    pub fn is_quiet(&self) -> bool {
        self.quiet
    }

    /// The command's result: `value` as one JSON line with `--json`, else the text for people.
    pub fn result(&self, value: &impl Serialize, text: impl FnOnce() -> String) {
        if self.json { self.object(value) } else { self.data(&text()) }
    }

    /// One JSON line on stdout.
    pub fn object(&self, value: &impl Serialize) {
        let line =
            serde_json::to_string(value).unwrap_or_else(|e| format!("{{\"error\":\"internal\",\"message\":\"{e}\"}}"));
        write(&mut io::stdout().lock(), format!("{line}\n").as_bytes());
    }

    /// Text on stdout; a missing line end is added, an empty text prints nothing.
    pub fn data(&self, text: &str) {
        if !text.is_empty() {
            let end = if text.ends_with('\n') { "" } else { "\n" };
            write(&mut io::stdout().lock(), format!("{text}{end}").as_bytes());
        }
    }

    /// Bytes on stdout, as they are.
    pub fn bytes(&self, bytes: &[u8]) {
        write(&mut io::stdout().lock(), bytes);
    }

    /// A line for people on stderr; silent with `--quiet`.
    pub fn note(&self, text: &str) {
        if !self.quiet {
            write(&mut io::stderr().lock(), format!("{text}\n").as_bytes());
        }
    }

    /// A line on stderr that only `--verbose` shows.
    pub fn detail(&self, text: &str) {
        if self.verbose {
            write(&mut io::stderr().lock(), format!("{text}\n").as_bytes());
        }
    }

    /// A warning on stderr, shown even with `--quiet`.
    pub fn warn(&self, text: &str) {
        let label = paint(self.color, "33;1", "warning:");
        write(&mut io::stderr().lock(), format!("{label} {text}\n").as_bytes());
    }

    /// The failure that ends the run: two lines on stderr, and with `--json` one object on stdout.
    pub fn failure(&self, failure: &Failure) {
        let mut text = format!("{} {}\n", paint(self.color, "31;1", "error:"), failure.message);
        if let Some(hint) = &failure.hint {
            text += &format!("{} {hint}\n", paint(self.color, "36;1", "hint:"));
        }
        write(&mut io::stderr().lock(), text.as_bytes());
        if self.json {
            let exit = failure.exit.code();
            let hint = failure.hint.as_deref();
            self.object(&json!({"error": failure.name, "message": failure.message, "hint": hint, "exit": exit}));
        }
    }

    /// `text` in the colour of a terminal code (`32` green, `33` yellow, `31` red), for use in data.
    pub fn painted(&self, code: &str, text: &str) -> String {
        paint(self.color_data && !self.json, code, text)
    }

    /// Asks a yes-or-no question on the terminal; anything but `y` or `yes` is a no.
    pub fn ask(&self, question: &str) -> bool {
        write(&mut io::stderr().lock(), format!("{question} [y/N] ").as_bytes());
        let mut answer = String::new();
        let read = io::stdin().read_line(&mut answer);
        read.is_ok() && matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
    }
}

/// Columns under a header, two spaces apart; a column whose cells are all numbers is right-aligned.
pub fn table(header: &[&str], rows: &[Vec<String>]) -> String {
    let width = |i: usize| rows.iter().map(|r| r[i].chars().count()).chain([header[i].len()]).max().unwrap_or(0);
    let numeric = |i: usize| !rows.is_empty() && rows.iter().all(|r| r[i].bytes().all(|b| b.is_ascii_digit()));
    let columns: Vec<(usize, bool)> = (0..header.len()).map(|i| (width(i), numeric(i))).collect();
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut line = String::new();
        for (cell, (width, right)) in cells.zip(&columns) {
            let gap = " ".repeat(width - cell.chars().count());
            line += &if *right { format!("{gap}{cell}  ") } else { format!("{cell}{gap}  ") };
        }
        format!("{}\n", line.trim_end())
    };
    let mut text = line(&mut header.iter().copied());
    for row in rows {
        text += &line(&mut row.iter().map(String::as_str));
    }
    text
}

/// `1 file`, `2 files`.
pub fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("1 {what}") } else { format!("{number} {what}s") }
}

/// `999 B`, `56.7 KB`, `1.2 MB` (1 KB = 1,024 bytes).
pub fn size(bytes: u64) -> String {
    let tenths = |unit: u64| format!("{}.{}", bytes / unit, bytes % unit * 10 / unit);
    match bytes {
        0..=1023 => format!("{bytes} B"),
        1024..=1_048_575 => format!("{} KB", tenths(1024)),
        _ => format!("{} MB", tenths(1_048_576)),
    }
}

fn paint(on: bool, code: &str, text: &str) -> String {
    if on { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
}

/// Writes all or ends the program: a reader that went away (`| head`) is no error, a full disk is.
fn write(to: &mut dyn Write, bytes: &[u8]) {
    if let Err(why) = to.write_all(bytes).and_then(|()| to.flush()) {
        std::process::exit(i32::from(why.kind() != ErrorKind::BrokenPipe));
    }
}

#[cfg(test)]
mod tests;
