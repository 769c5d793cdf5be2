//! Gogs, Gitea and GitHub over a real bare repository, asked with the git command; each with its own habits.
//!
//! Gogs: a ref look-up is plain text, trees are listed one at a time, a blob's mode is always `120000`, errors are HTML. Gitea: pages of a
//! tree, a chunked body, the ref of a raw file in the query. GitHub: `Accept` makes the look-up plain text, with an `ETag`; raw files have
//! a host of their own. All three let `git` fetch, with a login when there is an account.

mod smart;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use anyhow::{Context, Result, bail, ensure};
use data_encoding::BASE64;
use serde_json::{Value, json};

/// Whose words are spoken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forge {
    /// Gogs 0.13.
    Gogs,
    /// Gitea, and Forgejo.
    Gitea,
    /// `api.github.com` and `raw.githubusercontent.com` in one.
    GitHub,
}

/// Who may read the repository.
#[derive(Clone, Copy, Debug)]
pub struct Account {
    /// For git.
    pub user: &'static str,
    /// For the API, and the password for git.
    pub token: &'static str,
}

/// A server that answers until the process ends.
#[derive(Debug)]
pub struct GitServer {
    address: SocketAddr,
    site: Arc<Site>,
}

#[derive(Debug)]
struct Site {
    forge: Forge,
    bare: PathBuf,
    /// `owner/name`.
    name: String,
    account: Option<Account>,
    asked: Mutex<Vec<String>>,
}

/// A request, with its body.
struct Asked {
    method: String,
    /// Decoded.
    path: String,
    query: String,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
    is_http_1_1: bool,
}

struct Answer {
    status: &'static str,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
    chunked: bool,
}

impl GitServer {
    /// Serves the repository as `name` (`owner/name`) on a free port.
    ///
    /// # Errors
    /// When no port can be bound.
    pub fn start(forge: Forge, bare: PathBuf, name: &str, account: Option<Account>) -> Result<Self> {
        let listener = TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let site = Arc::new(Site { forge, bare, name: name.to_owned(), account, asked: Mutex::default() });
        let shared = Arc::clone(&site);
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let site = Arc::clone(&shared);
                thread::spawn(move || site.serve(&stream).ok());
            }
        });
        Ok(Self { address, site })
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Method and path of every request so far.
    pub fn asked(&self) -> Vec<String> {
        self.site.asked.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Site {
    fn serve(&self, stream: &TcpStream) -> Result<()> {
        let asked = read(stream)?;
        let line = format!("{} {}", asked.method, asked.path);
        self.asked.lock().unwrap_or_else(PoisonError::into_inner).push(line);
        let answer = match self.answer(&asked) {
            Ok(answer) => answer,
            Err(error) => Answer::text("500 Internal Server Error", format!("{error:#}\n").into_bytes()),
        };
        write(stream, &asked, &answer)
    }

    fn answer(&self, asked: &Asked) -> Result<Answer> {
        if let Some(rest) = asked.path.strip_prefix(&format!("/{}.git/", self.name)) {
            return if self.is_login(asked) {
                smart::backend(&self.bare, rest, asked)
            } else {
                Ok(Answer::text("401 Unauthorized", Vec::new()).with("WWW-Authenticate", "Basic realm=\"git\""))
            };
        }
        if !self.has_token(asked) {
            return Ok(self.missing());
        }
        let api = if self.forge == Forge::GitHub { "/repos/" } else { "/api/v1/repos/" };
        let below = asked.path.strip_prefix(api).and_then(|path| path.strip_prefix(self.name.as_str()));
        let answer = match below.and_then(|path| path.strip_prefix('/')) {
            Some(path) => self.api(asked, path),
            None => {
                match asked.path.strip_prefix(&format!("/{}/", self.name)).filter(|_| self.forge == Forge::GitHub) {
                    Some(path) => self.raw(path),
                    None => bail!("no such page"),
                }
            }
        };
        // What git does not find is not there.
        Ok(answer.unwrap_or_else(|_| self.missing()))
    }

    fn api(&self, asked: &Asked, path: &str) -> Result<Answer> {
        let query = |name: &str| {
            let field = asked.query.split('&').find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
            field.map(decode).unwrap_or_default()
        };
        match (self.forge, path.split_once('/').unwrap_or((path, ""))) {
            (Forge::Gogs, ("commits", of)) => Ok(Answer::text("200 OK", self.commit(of)?.into_bytes())),
            (Forge::Gogs, ("contents", path)) => self.contents(path, &query("ref")),
            (Forge::GitHub, ("commits", of)) => {
                let commit = self.commit(&format!("refs/heads/{of}"))?;
                ensure!(asked.header("accept").contains("application/vnd.github.sha"), "only this form is known");
                let etag = format!("W/\"{commit}\"");
                let is_known = asked.header("if-none-match") == etag;
                let body = if is_known { Vec::new() } else { commit.into_bytes() };
                Ok(Answer::text(if is_known { "304 Not Modified" } else { "200 OK" }, body).with("ETag", &etag))
            }
            (Forge::Gitea, ("branches", name)) => {
                let id = self.commit(&format!("refs/heads/{name}"))?;
                // The commit's own fields hold more ids than the one that is wanted.
                let commit =
                    json!({"id": id, "message": "x", "author": {"name": "Ann", "username": ""}, "added": null});
                Ok(Answer::json(&json!({"name": name, "commit": commit, "protected": false})).chunked())
            }
            (_, ("git", rest)) => self.tree(rest.strip_prefix("trees/").context("only trees")?, &query),
            (Forge::Gogs, ("raw", path)) => self.raw(path),
            (Forge::Gitea, ("raw", path)) => self.raw(&format!("{}/{path}", query("ref"))),
            _ => bail!("no such page"),
        }
    }

    fn tree(&self, id: &str, query: &dyn Fn(&str) -> String) -> Result<Answer> {
        let is_recursive = self.forge != Forge::Gogs && !query("recursive").is_empty();
        let mut rows = Vec::new();
        for entry in self.entries(id, is_recursive)? {
            let mut row = json!({"path": entry.path, "mode": entry.mode, "type": entry.object, "sha": entry.id,
                "url": format!("https://example.org/{}", entry.id)});
            if self.forge == Forge::Gogs && entry.object == "blob" {
                row["mode"] = json!("120000");
            }
            if entry.object == "blob" {
                row["size"] = json!(entry.size);
            }
            rows.push(row);
        }
        match self.forge {
            Forge::Gogs => Ok(Answer::json(&json!({"sha": id, "url": "", "tree": rows}))),
            Forge::GitHub => Ok(Answer::json(&json!({"sha": id, "tree": rows, "truncated": false})).chunked()),
            Forge::Gitea => {
                // Small pages, so that there are several.
                let (page, size): (usize, usize) = (query("page").parse().unwrap_or(1), 3);
                let total = rows.len();
                let shown: Vec<Value> = rows.into_iter().skip((page.max(1) - 1) * size).take(size).collect();
                let answer = json!({"sha": id, "url": "", "tree": shown, "truncated": page * size < total,
                    "page": page, "total_count": total});
                Ok(Answer::json(&answer).chunked())
            }
        }
    }

    /// A folder with the bytes of its files, as only Gogs lists it.
    fn contents(&self, path: &str, of: &str) -> Result<Answer> {
        let mut rows = Vec::new();
        for entry in self.entries(&format!("{of}:{path}"), false)? {
            let kind = match (entry.object.as_str(), entry.mode.as_str()) {
                ("tree", _) => "dir",
                ("commit", _) => "submodule",
                (_, "120000") => "symlink",
                _ => "file",
            };
            let mut row =
                json!({"type": kind, "name": entry.path, "path": format!("{path}/{}", entry.path), "sha": entry.id});
            if kind == "file" {
                row["encoding"] = json!("base64");
                row["content"] = json!(BASE64.encode(&self.git(&["cat-file", "blob", &entry.id])?));
            }
            rows.push(row);
        }
        Ok(Answer::json(&json!(rows)))
    }

    fn raw(&self, path: &str) -> Result<Answer> {
        let (of, path) = path.split_once('/').context("a ref and a path")?;
        Ok(Answer::text("200 OK", self.git(&["cat-file", "blob", &format!("{of}:{path}")])?))
    }

    fn commit(&self, of: &str) -> Result<String> {
        let id = self.git(&["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{of}^{{commit}}")])?;
        Ok(String::from_utf8(id)?.trim().to_owned())
    }

    fn entries(&self, tree: &str, is_recursive: bool) -> Result<Vec<Entry>> {
        let mut args = vec!["ls-tree", "-z", "-l"];
        if is_recursive {
            args.extend(["-r", "-t"]);
        }
        args.push(tree);
        let text = String::from_utf8(self.git(&args)?)?;
        text.split_terminator('\0').map(|line| Entry::parse(line).context("a line of ls-tree")).collect()
    }

    fn git(&self, args: &[&str]) -> Result<Vec<u8>> {
        let output = Command::new("git").arg("--git-dir").arg(&self.bare).args(args).output()?;
        ensure!(output.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&output.stderr));
        Ok(output.stdout)
    }

    fn missing(&self) -> Answer {
        let body: &[u8] =
            if self.forge == Forge::Gogs { b"<!DOCTYPE html><p>404" } else { b"{\"message\":\"Not Found\"}" };
        Answer::text("404 Not Found", body.to_vec())
    }

    fn is_login(&self, asked: &Asked) -> bool {
        let Some(account) = self.account else { return true };
        let login = BASE64.encode(format!("{}:{}", account.user, account.token).as_bytes());
        asked.header("authorization") == format!("Basic {login}")
    }

    fn has_token(&self, asked: &Asked) -> bool {
        let Some(account) = self.account else { return true };
        let shown = asked.header("authorization");
        let word = if self.forge == Forge::GitHub { "Bearer" } else { "token" };
        shown == format!("{word} {}", account.token)
            || asked.query.split('&').any(|q| q == format!("token={}", account.token))
    }
}

/// A line of `git ls-tree -l`.
struct Entry {
    mode: String,
    object: String,
    id: String,
    size: u64,
    path: String,
}

impl Entry {
    fn parse(line: &str) -> Option<Self> {
        let (about, path) = line.split_once('\t')?;
        let mut about = about.split_whitespace().map(str::to_owned);
        let (mode, object, id) = (about.next()?, about.next()?, about.next()?);
        let size = about.next()?.parse().unwrap_or(0);
        Some(Self { mode, object, id, size, path: path.to_owned() })
    }
}

impl Answer {
    fn text(status: &'static str, body: Vec<u8>) -> Self {
        Self { status, headers: Vec::new(), body, chunked: false }
    }

    fn json(value: &Value) -> Self {
        Self::text("200 OK", value.to_string().into_bytes()).with("Content-Type", "application/json;charset=utf-8")
    }

    fn with(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    fn chunked(self) -> Self {
        Self { chunked: true, ..self }
    }
}

impl Asked {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }
}

fn read(stream: &TcpStream) -> Result<Asked> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next().context("a method")?.to_owned(), words.next().context("a path")?.to_owned());
    let is_http_1_1 = words.next() == Some("HTTP/1.1");
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|value| value == "chunked") {
        loop {
            let mut line = String::new();
            reader.read_line(&mut line)?;
            let size = u64::from_str_radix(line.trim(), 16).context("the size of a chunk")?;
            reader.by_ref().take(size).read_to_end(&mut body)?;
            reader.read_line(&mut String::new())?;
            if size == 0 {
                break;
            }
        }
    } else if let Some(length) = headers.get("content-length") {
        reader.by_ref().take(length.parse()?).read_to_end(&mut body)?;
    }
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    Ok(Asked { method, path: decode(path), query: query.to_owned(), headers, body, is_http_1_1 })
}

fn write(mut stream: &TcpStream, asked: &Asked, answer: &Answer) -> Result<()> {
    let mut bytes = format!("HTTP/1.1 {}\r\nConnection: close\r\n", answer.status).into_bytes();
    for (name, value) in &answer.headers {
        bytes.extend_from_slice(format!("{name}: {value}\r\n").as_bytes());
    }
    if answer.chunked && asked.is_http_1_1 {
        bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
        for piece in answer.body.chunks(100) {
            bytes.extend_from_slice(format!("{:x}\r\n", piece.len()).as_bytes());
            bytes.extend_from_slice(piece);
            bytes.extend_from_slice(b"\r\n");
        }
        bytes.extend_from_slice(b"0\r\n\r\n");
    } else {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n\r\n", answer.body.len()).as_bytes());
        bytes.extend_from_slice(&answer.body);
    }
    Ok(stream.write_all(&bytes)?)
}

/// Percent-decoded.
fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((byte, after)) = rest.split_first() {
        let digits = after.get(..2).and_then(|digits| std::str::from_utf8(digits).ok());
        let decoded = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()).filter(|_| *byte == b'%');
        bytes.push(decoded.unwrap_or(*byte));
        rest = if decoded.is_some() { &after[2..] } else { after };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// The folder above a repository, for programs that want it apart from its name.
fn parted(bare: &Path) -> Result<(&Path, &str)> {
    let name = bare.file_name().and_then(|name| name.to_str()).context("a repository has a name")?;
    Ok((bare.parent().context("a repository is in a folder")?, name))
}
