//! Writes pieces with the least space between them, each on its line.

use ruff_python_ast::token::TokenKind;

use super::Piece;

/// The source with these pieces: parsing it again gives them back.
pub(super) fn write(pieces: &[Piece]) -> String {
    let mut out = String::new();
    let mut line = 1;
    let mut level = 0;
    let mut brackets = 0_usize;
    // The kind of the last piece of the statement; none at its start.
    let mut last: Option<TokenKind> = None;
    for piece in pieces {
        match piece.kind {
            TokenKind::Indent => level += 1,
            TokenKind::Dedent => level -= 1,
            TokenKind::Newline => last = None,
            kind => {
                while line < piece.line {
                    out.push_str(if last.is_some() && brackets == 0 { "\\\n" } else { "\n" });
                    line += 1;
                }
                match last {
                    None => out.extend(std::iter::repeat_n(' ', level)),
                    Some(last) if needs_space(&out, last, &piece.text) => out.push(' '),
                    Some(_) => {}
                }
                match kind {
                    TokenKind::Lpar | TokenKind::Lsqb | TokenKind::Lbrace => brackets += 1,
                    TokenKind::Rpar | TokenKind::Rsqb | TokenKind::Rbrace => brackets = brackets.saturating_sub(1),
                    _ => {}
                }
                out.push_str(&piece.text);
                line += piece.text.matches('\n').count();
                last = Some(kind);
            }
        }
    }
    if !out.is_empty() {
        out.push('\n');
    }
    out
}

/// Whether two neighbours would read as one.
fn needs_space(out: &str, last: TokenKind, next: &str) -> bool {
    let (Some(before), Some(after)) = (out.chars().next_back(), next.chars().next()) else { return false };
    let is_number = matches!(last, TokenKind::Int | TokenKind::Float | TokenKind::Complex);
    let is_word = |c: char| c.is_alphanumeric() || c == '_' || !c.is_ascii();
    let is_quote = |c: char| c == '"' || c == '\'';
    (is_word(before) && (is_word(after) || is_quote(after)))
        || (is_quote(before) && (is_word(after) || is_quote(after)))
        || (is_number && (after == '.' || is_word(after)))
}
