//! A minifier for `MicroPython` source that keeps every statement on its line, so that a traceback of a board fits the repository.
//!
//! It takes out comments, docstrings and blank space and indents with one space. It never renames, hoists or joins: a board reads names at
//! run time, and the decorators and `const()` of `MicroPython` mean what their spelling says.

use std::fmt;

use ruff_python_ast::ModModule;
use ruff_python_ast::token::{Token, TokenKind};
use ruff_python_parser::{ParseError, Parsed, parse_module};
use ruff_text_size::{Ranged, TextSize};

mod docstring;
mod write;

/// Where and why a source does not parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SyntaxError {
    /// From 1.
    pub line: usize,
    /// In characters, from 1.
    pub column: usize,
    /// What the parser says.
    pub message: String,
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for SyntaxError {}

/// Makes a source smaller without changing what it does or on which line.
///
/// The result is parsed again and compared token by token and line by line; if anything differs the source comes back unchanged.
///
/// # Errors
/// When the source is not Python.
pub fn minify(source: &str) -> Result<String, SyntaxError> {
    // MicroPython reads every kind of line end as LF, in strings too.
    let normal = source.trim_start_matches('\u{feff}').replace("\r\n", "\n").replace('\r', "\n");
    let parsed = parse(&normal)?;
    let wanted = pieces(&normal, &parsed);
    let small = write::write(&wanted);
    let is_same = parse(&small).is_ok_and(|parsed| pieces(&small, &parsed) == wanted);
    Ok(if is_same && small.len() < source.len() { small } else { source.to_owned() })
}

/// Checks that a source is Python.
///
/// # Errors
/// When it is not.
pub fn check_syntax(source: &str) -> Result<(), SyntaxError> {
    parse(source.trim_start_matches('\u{feff}')).map(|_| ())
}

/// A token that matters, or an f-string as one piece.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Piece {
    kind: TokenKind,
    /// As in the source; `0` for a docstring that is the only statement of its body; empty where only the kind counts.
    text: String,
    /// Line of the first character, from 1.
    line: usize,
}

/// The tokens without comments, blank lines and docstrings.
fn pieces(source: &str, parsed: &Parsed<ModModule>) -> Vec<Piece> {
    let docstrings = docstring::find(parsed);
    let lines = LineIndex::new(source);
    let mut pieces = Vec::new();
    let mut tokens = parsed.tokens().iter().peekable();
    while let Some(token) = tokens.next() {
        let (start, end) = match token.kind() {
            TokenKind::Comment | TokenKind::NonLogicalNewline | TokenKind::EndOfFile => continue,
            TokenKind::FStringStart | TokenKind::TStringStart => (token.start(), end_of_nested(token, &mut tokens)),
            _ => (token.start(), token.end()),
        };
        let line = lines.line(start);
        match docstrings.get(&start) {
            Some(docstring::Fate::Dropped) => {
                while tokens.next_if(|next| next.kind() == TokenKind::Comment).is_some() {}
                tokens.next_if(|next| next.kind() == TokenKind::Newline);
                continue;
            }
            Some(docstring::Fate::Replaced) => {
                pieces.push(Piece { kind: TokenKind::Int, text: "0".to_owned(), line });
                continue;
            }
            None => {}
        }
        let piece = match token.kind() {
            // Where an indent or a line end stands depends on the blank space around it.
            kind @ (TokenKind::Newline | TokenKind::Indent | TokenKind::Dedent) => {
                Piece { kind, text: String::new(), line: 0 }
            }
            kind => Piece { kind, text: source[start.to_usize()..end.to_usize()].to_owned(), line },
        };
        pieces.push(piece);
    }
    pieces
}

/// The end of the f-string that starts here: what is between its quotes is copied as it is.
fn end_of_nested<'a>(start: &Token, tokens: &mut impl Iterator<Item = &'a Token>) -> TextSize {
    let mut depth = 1;
    let mut end = start.end();
    while depth > 0 {
        let Some(token) = tokens.next() else { break };
        match token.kind() {
            TokenKind::FStringStart | TokenKind::TStringStart => depth += 1,
            TokenKind::FStringEnd | TokenKind::TStringEnd => depth -= 1,
            _ => {}
        }
        end = token.end();
    }
    end
}

fn parse(source: &str) -> Result<Parsed<ModModule>, SyntaxError> {
    parse_module(source).map_err(|error| syntax_error(source, &error))
}

fn syntax_error(source: &str, error: &ParseError) -> SyntaxError {
    let at = error.location.start().to_usize().min(source.len());
    let before = &source[..source.floor_char_boundary(at)];
    let line_start = before.rfind(['\n', '\r']).map_or(0, |newline| newline + 1);
    SyntaxError {
        line: LineIndex::new(source).line(error.location.start()),
        column: before[line_start..].chars().count() + 1,
        message: error.error.to_string(),
    }
}

/// Where the lines of a source start. A line ends with LF, CR or both.
struct LineIndex(Vec<usize>);

impl LineIndex {
    fn new(source: &str) -> Self {
        let bytes = source.as_bytes();
        let is_end = |at: usize| bytes[at] == b'\n' || (bytes[at] == b'\r' && bytes.get(at + 1) != Some(&b'\n'));
        Self((0..bytes.len()).filter(|&at| is_end(at)).map(|at| at + 1).collect())
    }

    fn line(&self, at: TextSize) -> usize {
        self.0.partition_point(|&start| start <= at.to_usize()) + 1
    }
}

#[cfg(test)]
mod tests;
