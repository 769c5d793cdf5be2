//! Finds docstrings, and whether a body can do without.

use std::collections::HashMap;

use ruff_python_ast::statement_visitor::{StatementVisitor, walk_stmt};
use ruff_python_ast::token::TokenKind;
use ruff_python_ast::{Expr, ModModule, Stmt};
use ruff_python_parser::Parsed;
use ruff_text_size::{Ranged, TextSize};

/// What becomes of a docstring.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It goes with its line end.
    Dropped,
    /// `0` takes its place: a body needs a statement, and a `;` something before it.
    Replaced,
}

/// Every docstring of one literal, by where it starts.
pub(super) fn find(parsed: &Parsed<ModModule>) -> HashMap<TextSize, Fate> {
    let mut finder = Finder { parsed, found: HashMap::new() };
    let module = parsed.syntax();
    finder.add(&module.body, true);
    for statement in &module.body {
        finder.visit_stmt(statement);
    }
    finder.found
}

struct Finder<'a> {
    parsed: &'a Parsed<ModModule>,
    found: HashMap<TextSize, Fate>,
}

impl Finder<'_> {
    fn add(&mut self, body: &[Stmt], is_module: bool) {
        let Some(Stmt::Expr(statement)) = body.first() else { return };
        let Expr::StringLiteral(literal) = statement.value.as_ref() else { return };
        // Parentheses or joined literals are rare as docstrings: they stay.
        let [part] = literal.value.as_slice() else { return };
        if part.range() != statement.range() {
            return;
        }
        let next = self.parsed.tokens().after(part.end()).iter().find(|token| token.kind() != TokenKind::Comment);
        let has_own_line = next.is_some_and(|token| token.kind() == TokenKind::Newline);
        let fate = if has_own_line && (is_module || body.len() > 1) { Fate::Dropped } else { Fate::Replaced };
        self.found.insert(part.start(), fate);
    }
}

impl<'a> StatementVisitor<'a> for Finder<'_> {
    fn visit_stmt(&mut self, statement: &'a Stmt) {
        match statement {
            Stmt::FunctionDef(function) => self.add(&function.body, false),
            Stmt::ClassDef(class) => self.add(&class.body, false),
            _ => {}
        }
        walk_stmt(self, statement);
    }
}
