//! What becomes of one file: bytecode, small source, or the same bytes; `boot.py` becomes `boot_user.py`.

use goldcrest_core::minify::{self, SyntaxError};

use super::walk::Found;
use crate::Result;
use crate::failure::{Exit, Failure};
use crate::mpy_cross::{Lines, MpyCross};
use crate::project::Python;

/// A file as the board gets it.
pub(super) struct Made {
    pub(super) path: String,
    pub(super) bytes: Vec<u8>,
    /// `mpy`, `min` or `raw`.
    pub(super) form: &'static str,
}

pub(super) fn make(file: &Found, bytes: Vec<u8>, python: Python, compiler: Option<&MpyCross>) -> Result<Made> {
    let path = board_path(&file.path);
    if file.raw || !file.is_python() {
        return Ok(Made { path, bytes, form: "raw" });
    }
    let name = &file.path;
    let source = std::str::from_utf8(&bytes).map_err(|e| {
        let line = String::from_utf8_lossy(&bytes[..e.valid_up_to()]).matches('\n').count() + 1;
        Failure::new(Exit::Failed, format!("{name}:{line}: the source is not UTF-8"))
            .named("syntax")
            .hint(as_it_is(name))
    })?;
    let failed = |e: SyntaxError| {
        Failure::failed(format!("{name}:{}:{}: {}", e.line, e.column, lower(&e.message)))
            .named("syntax")
            .hint(as_it_is(name))
    };
    // The firmware runs these two by name and as source only.
    let stays_source = matches!(path.as_str(), "main.py" | "boot_user.py");
    if python == Python::Raw {
        minify::check_syntax(source).map_err(failed)?;
        return Ok(Made { path, bytes, form: "raw" });
    }
    let small = minify::minify(source).map_err(failed)?;
    if let (Python::Mpy, Some(compiler)) = (python, compiler) {
        // The compiler has the last word on what MicroPython understands, also for what stays source.
        let compiled = compiler.compile(name, &bytes, Lines::Keep)?.map_err(|e| {
            let line = e.line.map_or_else(String::new, |l| format!("{l}:"));
            let native = e.message.contains("invalid arch");
            let hint = if native {
                format!("native code is made for one architecture only: add {name:?} to [pack] raw, or ship a .mpy")
            } else {
                as_it_is(name)
            };
            Failure::failed(format!("{name}:{line} {}", lower(&e.message))).named("syntax").hint(hint)
        })?;
        if !stays_source {
            let path = format!("{}.mpy", path.trim_end_matches(".py"));
            return Ok(Made { path, bytes: compiled, form: "mpy" });
        }
    }
    Ok(Made { path, bytes: small.into_bytes(), form: "min" })
}

/// Where the board keeps the file: only the root's boot.py moves, because the board's own belongs to the agent.
fn board_path(path: &str) -> String {
    if path == "boot.py" { "boot_user.py".to_owned() } else { path.to_owned() }
}

fn as_it_is(name: &str) -> String {
    format!("correct it; if it is a template and not Python, add {name:?} to [pack] raw in goldcrest.toml")
}

fn lower(message: &str) -> String {
    let message = message.strip_prefix("SyntaxError: ").unwrap_or(message);
    let mut letters = message.chars();
    let first = letters.next().map(|c| c.to_lowercase().to_string()).unwrap_or_default();
    first + letters.as_str()
}
