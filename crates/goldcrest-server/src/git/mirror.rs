//! A mirror of a remote repository: all its branches and tags, moved by force, and gone when they are gone there.

use std::fs;
use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, Once};
use std::time::Duration;

use anyhow::Context;
use gix::bstr::{BString, ByteSlice};
use gix::protocol::handshake::Ref as RemoteRef;
use gix::protocol::transport::client::blocking_io::http;
use gix::refs::transaction::{Change, LogChange, PreviousValue, RefEdit, RefLog};
use gix::refs::{FullName, Target};
use gix::remote::Direction;

/// What is mirrored; a branch that was moved back or rewritten is followed.
const REFSPECS: [&str; 2] = ["+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*"];
/// Longest time for one request of a fetch; the whole pack is one.
const REQUEST_TIMEOUT: Duration = Duration::from_mins(10);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(20);

/// Brings the mirror at `path` up to date, makes it when it is missing. Blocks; `stop` ends it early.
///
/// What is fetched stays, also when no branch leads there any more: a board may be in the middle of it.
///
/// # Errors
/// When the remote is out of reach, refuses, or is no git repository. The text holds no password.
pub(crate) fn fetch(path: &Path, url: &str, stop: &AtomicBool) -> anyhow::Result<()> {
    choose_crypto();
    let (url, login) = split_login(url);
    if path.exists() {
        remove_locks(path);
    } else {
        make(path).context("cannot make the mirror")?;
    }
    let repository = gix::open_opts(path, gix::open::Options::isolated()).context("cannot open the mirror")?;
    let remote = repository.remote_at(url.as_str()).context("the address of the remote is none")?;
    let remote = remote.with_refspecs(REFSPECS, Direction::Fetch)?.with_fetch_tags(gix::remote::fetch::Tags::None);
    let connection = remote.connect(Direction::Fetch).context("cannot reach the remote")?;
    // No helper is asked and nobody is prompted.
    let mut connection = connection.with_credentials(|_| Ok(None));
    if url.starts_with("http") {
        connection.set_transport_options(Box::new(http_options(login)));
    }
    let extra = gix::refspec::parse("HEAD".into(), gix::refspec::parse::Operation::Fetch)?.to_owned();
    let map = gix::remote::ref_map::Options { extra_refspecs: vec![extra], ..Default::default() };
    let prepared = connection.prepare_fetch(gix::progress::Discard, map).context("the remote does not answer")?;
    let remote_refs = prepared.ref_map().remote_refs.clone();
    if remote_refs.iter().any(|found| !matches!(found, RemoteRef::Unborn { .. })) {
        prepared.receive(gix::progress::Discard, stop).context("fetching failed")?;
    }
    follow(&repository, &remote_refs)
}

/// Makes an empty mirror, whole or not at all: a process that is killed leaves only what the next one removes.
fn make(path: &Path) -> anyhow::Result<()> {
    let new = path.with_extension("git.new");
    if new.exists() {
        fs::remove_dir_all(&new)?;
    }
    fs::create_dir_all(&new)?;
    let (kind, options) = (gix::create::Kind::Bare, gix::create::Options::default());
    gix::ThreadSafeRepository::init_opts(&new, kind, options, gix::open::Options::isolated())?;
    Ok(fs::rename(&new, path)?)
}

/// Removes what a process that was killed left locked: nobody else writes here, and one fetch at a time does.
fn remove_locks(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
        if is_folder && entry.file_name() != "objects" {
            remove_locks(&path);
        } else if path.extension().is_some_and(|extension| extension == "lock") {
            tracing::warn!(file = %path.display(), "a lock that was left behind is removed");
            // Fetching says so if it is still there.
            drop(fs::remove_file(&path));
        }
    }
}

/// Removes the names that the remote does not have any more, and points `HEAD` where the remote's points.
fn follow(repository: &gix::Repository, remote: &[RemoteRef]) -> anyhow::Result<()> {
    let is_there = |name: &[u8]| remote.iter().any(|found| found.unpack().0.as_bytes() == name);
    let mut gone = Vec::new();
    for reference in repository.references()?.all()? {
        let Ok(reference) = reference else { continue };
        let name = reference.name().as_bstr();
        if (name.starts_with(b"refs/heads/") || name.starts_with(b"refs/tags/")) && !is_there(name) {
            gone.push(RefEdit {
                change: Change::Delete { expected: PreviousValue::Any, log: RefLog::AndReference },
                name: reference.name().to_owned(),
                deref: false,
            });
        }
    }
    let head = remote.iter().find_map(|found| match found {
        RemoteRef::Symbolic { full_ref_name, target, .. } | RemoteRef::Unborn { full_ref_name, target } => {
            (full_ref_name == "HEAD").then_some(target)
        }
        _ => None,
    });
    if let Some(target) = head.filter(|target| target.starts_with(b"refs/heads/")) {
        let target: FullName = target.clone().try_into().context("the remote's HEAD is no name")?;
        gone.push(RefEdit {
            change: Change::Update {
                log: LogChange::default(),
                expected: PreviousValue::Any,
                new: Target::Symbolic(target),
            },
            name: FullName::try_from(BString::from("HEAD")).context("HEAD is a name")?,
            deref: false,
        });
    }
    if gone.is_empty() {
        return Ok(());
    }
    // A mirror has no log, so whoever is named as its author is written nowhere.
    let nobody = gix::actor::SignatureRef { name: "goldcrest".into(), email: "".into(), time: "0 +0000" };
    repository.edit_references_as(gone, Some(nobody)).context("cannot update the names of the mirror")?;
    Ok(())
}

/// The address without user and password, and those as `user:password`.
fn split_login(url: &str) -> (String, Option<String>) {
    let Some((scheme, rest)) = url.split_once("://").filter(|(scheme, _)| scheme.starts_with("http")) else {
        return (url.to_owned(), None);
    };
    let end = rest.find('/').unwrap_or(rest.len());
    match rest[..end].rsplit_once('@') {
        Some((login, host)) => (format!("{scheme}://{host}{}", &rest[end..]), Some(login.to_owned())),
        None => (url.to_owned(), None),
    }
}

fn http_options(login: Option<String>) -> http::Options {
    let configure = |client: reqwest::blocking::ClientBuilder| Ok(client.timeout(REQUEST_TIMEOUT));
    let backend = http::reqwest::Options { configure_client: Some(Box::new(configure)), ..Default::default() };
    let basic = |login: String| {
        let login = if login.contains(':') { login } else { login + ":" };
        format!("Authorization: Basic {}", data_encoding::BASE64.encode(login.as_bytes()))
    };
    http::Options {
        extra_headers: login.map(basic).into_iter().collect(),
        connect_timeout: Some(CONNECT_TIMEOUT),
        user_agent: Some("git/goldcrest".into()),
        backend: Some(Arc::new(Mutex::new(backend))),
        ..Default::default()
    }
}

/// The one crypto provider, for whoever asks the process for its own.
fn choose_crypto() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // Somebody else's choice stands.
        drop(tokio_rustls::rustls::crypto::ring::default_provider().install_default());
    });
}
