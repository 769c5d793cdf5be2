//! Git's own protocol over HTTP, by git's own program: `git http-backend`, called as a web server calls it (CGI).

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use super::{Answer, Asked, parted};

pub(super) fn backend(bare: &Path, rest: &str, asked: &Asked) -> Result<Answer> {
    let (root, name) = parted(bare)?;
    let mut command = Command::new("git");
    command.arg("http-backend").env("GIT_PROJECT_ROOT", root).env("GIT_HTTP_EXPORT_ALL", "1");
    command.env("PATH_INFO", format!("/{name}/{rest}")).env("QUERY_STRING", &asked.query);
    command.env("REQUEST_METHOD", &asked.method).env("CONTENT_TYPE", asked.header("content-type"));
    command.env("CONTENT_LENGTH", asked.body.len().to_string());
    command.env("HTTP_CONTENT_ENCODING", asked.header("content-encoding"));
    command.env("GIT_PROTOCOL", asked.header("git-protocol"));
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    child.stdin.take().context("a pipe")?.write_all(&asked.body)?;
    let output = child.wait_with_output()?;
    ensure!(output.status.success(), "git http-backend: {}", String::from_utf8_lossy(&output.stderr));
    let split = output.stdout.windows(4).position(|window| window == b"\r\n\r\n").context("no head")?;
    let head = String::from_utf8(output.stdout[..split].to_vec())?;
    let mut answer = Answer::text("200 OK", output.stdout[split + 4..].to_vec());
    for (name, value) in head.lines().filter_map(|line| line.split_once(": ")) {
        if name == "Status" {
            answer.status = if value.starts_with("404") { "404 Not Found" } else { "403 Forbidden" };
        } else {
            answer = answer.with(name, value);
        }
    }
    Ok(answer)
}
