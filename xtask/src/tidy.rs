//! `cargo xtask tidy`: holds the invariants of ARCHITECTURE.md that can be read off the source text.

mod pages;
mod source;
#[cfg(test)]
mod tests;

use std::fs;
use std::path::{Path, PathBuf};

/// Checks the tree at `root` and returns every broken rule, one line each: `<path>: <what> (<rule>)`.
///
/// With `accept`, the page locks in `docs/pages.lock` are written anew first: for whoever has just
/// read the page against the code.
pub(crate) fn check(root: &Path, accept: bool) -> Result<Vec<String>, String> {
    let files = source::files(root)?;
    let mut problems = Vec::new();
    for file in &files {
        first_line(file, &mut problems);
        length(file, &mut problems);
        module_name(file, &mut problems);
        sql(file, &mut problems);
        status_codes(file, &mut problems);
        pure_core(file, &mut problems);
        signing_keys(file, &mut problems);
        server_layers(file, &mut problems);
        adapters_apart(file, &mut problems);
        gix_apart(file, &mut problems);
        client_ids(file, &mut problems);
        renames(file, &mut problems);
        console_scripts(file, &mut problems);
    }
    crate_direction(root, &mut problems)?;
    dependencies(root, &mut problems)?;
    pages::check(root, accept, &mut problems)?;
    problems.sort();
    Ok(problems)
}

/// One source file of the tree.
struct Source {
    /// Path from the root, with `/`.
    path: String,
    text: String,
}

impl Source {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }

    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.ends_with("/tests.rs") || self.path.contains("goldcrest-e2e/")
    }

    /// Lines of code with their numbers: line comments and documentation are left out.
    fn code_lines(&self) -> impl Iterator<Item = (usize, &str)> {
        let comment = if self.is_rust() { "//" } else { "#" };
        self.text
            .lines()
            .enumerate()
            .map(|(i, l)| (i + 1, l))
            .filter(move |(_, l)| !l.trim_start().starts_with(comment))
    }

    fn report(&self, line: usize, what: &str, rule: &str) -> String {
        format!("{}:{line}: {what} ({rule})", self.path)
    }

    /// Reports every code line that holds one of `needles`.
    fn forbid(&self, needles: &[&str], rule: &str, problems: &mut Vec<String>) {
        for (number, line) in self.code_lines() {
            if let Some(found) = needles.iter().find(|n| line.contains(*n)) {
                problems.push(self.report(number, &format!("`{found}` has no place here"), rule));
            }
        }
    }
}

fn first_line(file: &Source, problems: &mut Vec<String>) {
    let lead = if file.is_rust() { "//! " } else { "\"\"\"" };
    let first = file.text.lines().find(|l| !l.starts_with("#!")).unwrap_or_default();
    if !first.starts_with(lead) || first.trim_end().len() < lead.len() + 10 {
        problems.push(file.report(1, "the first line must say what the file is for", "style 2"));
    }
}

/// A file longer than this is split by what its parts do.
const MAX_LINES: usize = 500;

fn length(file: &Source, problems: &mut Vec<String>) {
    let lines = file.text.lines().count();
    if lines > MAX_LINES && !file.is_test() {
        problems.push(file.report(lines, &format!("more than {MAX_LINES} lines: split it by what it does"), "style 3"));
    }
}

fn module_name(file: &Source, problems: &mut Vec<String>) {
    for part in file.path.split('/') {
        let stem = part.split('.').next().unwrap_or_default();
        if matches!(stem, "util" | "utils" | "helper" | "helpers" | "common" | "misc") {
            problems.push(file.report(1, &format!("`{stem}`: name a module after what it does"), "style 5"));
        }
    }
}

/// Invariant 3.
fn sql(file: &Source, problems: &mut Vec<String>) {
    if !file.is_rust() || file.path.starts_with("crates/goldcrest-server/src/store") || file.path.starts_with("xtask/")
    {
        return;
    }
    let needles = ["\"SELECT ", "\"INSERT ", "\"UPDATE ", "\"DELETE FROM", "\"CREATE ", "\"PRAGMA ", "sqlx::"];
    file.forbid(&needles, "invariant 3: only store/ holds SQL", problems);
}

/// Invariant 4.
fn status_codes(file: &Source, problems: &mut Vec<String>) {
    if file.path.starts_with("crates/goldcrest-server/src/") && !file.is_test() && !file.path.ends_with("/failure.rs") {
        let rule = "invariant 4: only failure.rs decides HTTP status codes";
        file.forbid(&["StatusCode::", "from_u16("], rule, problems);
    }
}

/// Invariants 1 and 5.
fn pure_core(file: &Source, problems: &mut Vec<String>) {
    if file.path.starts_with("crates/goldcrest-core/src/") && !file.is_test() {
        let needles = [
            "std::fs",
            "std::net",
            "std::env",
            "std::process",
            "std::thread",
            "std::time",
            "SystemTime",
            "Instant::",
            "tokio",
            "async fn",
            "SystemRandom",
            "OsRng",
            "println!",
            "eprintln!",
            "stdin()",
            "stdout()",
        ];
        let rule = "invariants 1 and 5: core does no I/O, reads no clock, draws no random numbers";
        // Signing with ring takes a random source by its type; PKCS#1 v1.5 does not use it.
        let signs = file.path == "crates/goldcrest-core/src/signature.rs";
        let needles: Vec<&str> = needles.into_iter().filter(|n| !(signs && *n == "SystemRandom")).collect();
        file.forbid(&needles, rule, problems);
    }
}

/// Invariant 6.
fn signing_keys(file: &Source, problems: &mut Vec<String>) {
    if file.path.starts_with("crates/goldcrest-server/src/") && !file.is_test() {
        file.forbid(
            &["SigningKey", "RsaKeyPair"],
            "invariant 6: the server never holds a release signing key",
            problems,
        );
    }
}

/// Modules of the server that a lower one must not know. Order: callers, then rules, then storage.
const SERVER_LAYERS: [&[&str]; 3] = [
    &["adapters", "native", "mqtt", "manage", "console", "jobs", "router"],
    &["rollout"],
    &["store", "blobs", "heartbeat"],
];

fn server_layers(file: &Source, problems: &mut Vec<String>) {
    let Some(rest) = file.path.strip_prefix("crates/goldcrest-server/src/") else { return };
    let module = rest.split(['/', '.']).next().unwrap_or_default();
    let Some(layer) = SERVER_LAYERS.iter().position(|names| names.contains(&module)) else { return };
    for upper in SERVER_LAYERS[..layer].iter().flat_map(|names| names.iter()) {
        let rule = "import direction: adapters, manage, console, jobs -> rollout, store, blobs -> core";
        file.forbid(&[&format!("crate::{upper}::"), &format!("crate::{upper};")], rule, problems);
    }
}

/// Invariant 12: `native` and every folder under `adapters/` stay apart.
fn adapters_apart(file: &Source, problems: &mut Vec<String>) {
    let Some(rest) = file.path.strip_prefix("crates/goldcrest-server/src/") else { return };
    let rule = "invariant 12: an adapter never touches another adapter";
    if rest.starts_with("native/") {
        file.forbid(&["crate::adapters"], rule, problems);
    } else if let Some(own) = rest.strip_prefix("adapters/").and_then(|r| r.split(['/', '.']).next()) {
        for (number, line) in file.code_lines() {
            let other = line.split("crate::adapters::").skip(1).any(|r| !r.starts_with(own));
            if own != "mod" && (other || line.contains("crate::native")) {
                problems.push(file.report(number, "reaches into another adapter", rule));
            }
        }
    }
}

/// Invariant 13: gix breaks monthly, so one module meets it.
fn gix_apart(file: &Source, problems: &mut Vec<String>) {
    let own = ["crates/goldcrest-server/src/git.rs", "crates/goldcrest-server/src/git/", "xtask/"];
    if !own.iter().any(|place| file.path.starts_with(place)) {
        file.forbid(&["gix::"], "invariant 13: only the server's module git names gix", problems);
    }
}

/// Invariant 11: only the modules that speak MQTT may even name the client id.
fn client_ids(file: &Source, problems: &mut Vec<String>) {
    let Some(rest) = file.path.strip_prefix("crates/goldcrest-server/src/") else { return };
    let speaks_mqtt = rest.split(['/', '.']).any(|part| part == "mqtt");
    if !speaks_mqtt && !file.is_test() {
        let rule = "invariant 11: identity comes from the credential, never from an MQTT client id";
        file.forbid(&["client_id", "ClientId"], rule, problems);
    }
}

/// Invariant 7: every rename on the board starts in `/.ota/`, the folder that the agent's code calls `D` or `guard.D`.
///
/// The first argument is spelled from it (`D + …`, `guard.D + …`), or is a name of which the same line says where it is: `# in .ota`.
fn renames(file: &Source, problems: &mut Vec<String>) {
    if !file.path.starts_with("agent/") || file.is_test() {
        return;
    }
    for (number, line) in file.code_lines() {
        for call in line.split("rename(").skip(1) {
            let (from, _) = call.trim_start().split_once(',').unwrap_or_default();
            let spelled = ["D +", "D+", "guard.D +"].iter().any(|folder| from.starts_with(folder));
            let is_name = !from.is_empty() && from.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
            let is_in_ota = spelled || (is_name && line.trim_end().ends_with("# in .ota"));
            if !is_in_ota {
                let what = "a rename whose source is neither spelled as `D + …` nor a name with `# in .ota` at the end of the line";
                problems.push(file.report(number, what, "invariant 7: the agent renames only out of /.ota/"));
            }
        }
    }
}

/// Invariant 9: a console page must not need a script to be read or used.
fn console_scripts(file: &Source, problems: &mut Vec<String>) {
    if file.path.starts_with("crates/goldcrest-server/src/console") {
        file.forbid(&["onclick=", "javascript:"], "invariant 9: console pages work without JavaScript", problems);
    }
}

/// What each crate may depend on inside the workspace.
const CRATES: [(&str, &[&str]); 5] = [
    ("goldcrest-core", &[]),
    ("goldcrest-server", &["goldcrest-core"]),
    ("goldcrest-fleet", &["goldcrest-core"]),
    ("goldcrest", &["goldcrest-core", "goldcrest-server", "goldcrest-fleet"]),
    ("goldcrest-e2e", &["goldcrest", "goldcrest-core", "goldcrest-server", "goldcrest-fleet"]),
];

fn crate_direction(root: &Path, problems: &mut Vec<String>) -> Result<(), String> {
    for name in source::folders(&root.join("crates"))? {
        let path = format!("crates/{name}/Cargo.toml");
        let text = source::read(&root.join(&path))?;
        let Some((_, allowed)) = CRATES.iter().find(|(n, _)| *n == name) else {
            problems.push(format!("{path}: a crate that xtask/src/tidy.rs does not know (import direction)"));
            continue;
        };
        for (number, line) in text.lines().enumerate() {
            let key = line.split(['.', '=', ' ']).next().unwrap_or_default();
            if key.starts_with("goldcrest") && !allowed.contains(&key) {
                problems.push(format!("{path}:{}: {name} must not depend on {key} (import direction)", number + 1));
            }
        }
    }
    Ok(())
}

/// Crates that cost minutes of build or a system library, and what takes their place.
const BANNED: [(&str, &str); 5] = [
    ("aws-lc-sys", "ring is the one crypto provider"),
    ("aws-lc-rs", "ring is the one crypto provider"),
    ("openssl-sys", "rustls with ring"),
    ("bindgen", "needs libclang at build"),
    ("cmake", "needs cmake at build"),
];

fn dependencies(root: &Path, problems: &mut Vec<String>) -> Result<(), String> {
    let lock = source::read(&root.join("Cargo.lock"))?;
    for (name, instead) in BANNED {
        if lock.contains(&format!("name = \"{name}\"\n")) {
            problems.push(format!("Cargo.lock: `{name}` is banned: {instead} (lean build)"));
        }
    }
    let xtask = source::read(&root.join("xtask/Cargo.toml"))?;
    if xtask.contains("dependencies]") {
        problems.push("xtask/Cargo.toml: xtask has no dependencies, so that it starts at once (lean build)".into());
    }
    Ok(())
}

/// Reads a file's bytes as they are; the caller names the file in its error.
fn bytes(path: &Path) -> Result<Vec<u8>, String> {
    fs::read(path).map_err(|e| format!("{}: {e}", path.display()))
}

/// Path from the root with `/`, for messages.
fn relative(root: &Path, path: &Path) -> String {
    let path: PathBuf = path.strip_prefix(root).unwrap_or(path).to_path_buf();
    path.to_string_lossy().replace('\\', "/")
}
