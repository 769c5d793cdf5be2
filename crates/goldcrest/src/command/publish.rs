//! `goldcrest publish`: pack, sign, upload; the same thing twice is once.

use std::path::PathBuf;

use goldcrest_core::Digest;
use goldcrest_core::keyring::Keyring;
use goldcrest_core::signature::SigningKey;
use serde_json::{Value, json};

use super::pack::{ContentOptions, collect, summary, totals};
use crate::Result;
use crate::checkout::{self, Checkout};
use crate::client::{Client, encode};
use crate::context::Context;
use crate::failure::Failure;
use crate::pack::{self, Content, Identity, IdentityOptions};
use crate::progress::Progress;
use crate::project::Project;

/// Options of `publish`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    content: ContentOptions,
    #[command(flatten)]
    identity: IdentityOptions,
    /// Point this channel at the release afterwards: its devices update at once
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
    /// Do everything but the uploading
    #[arg(long)]
    dry_run: bool,
    /// Publish what git has at this branch, tag or commit, in place of the work tree: for CI and hooks
    #[arg(long, value_name = "REV")]
    git: Option<String>,
    /// The repository of --git, bare or not [default: the one that this folder is in]; --project is then the folder in it
    #[arg(long, value_name = "DIR", requires = "git")]
    git_dir: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let checkout = args.git.as_deref().map(|rev| checkout::take(rev, args.git_dir.as_deref(), context)).transpose()?;
    let own;
    let project = if let Some(checkout) = &checkout {
        &checkout.project
    } else {
        own = context.project()?;
        &own
    };
    let client = context.client()?;
    if args.dry_run {
        let plan = Plan::make(project, &args.content, &args.identity, &client, context)?;
        let state = if plan.is_there { "there already" } else { "not sent: --dry-run" };
        let mut value = summary(project, &plan.content, &plan.identity);
        value["digest"] = json!(plan.release.signed.digest);
        value["uploaded"] = json!(false);
        let text = totals(project, &plan.content, &plan.identity);
        context.output.result(&value, || format!("{text}digest    {}\n{state}\n", plan.release.signed.digest));
        return Ok(());
    }
    let (mut value, mut text) = publish(project, &args.content, &args.identity, &client, context)?;
    if let Some(checkout) = &checkout {
        settle(checkout, &client)?;
        value["commit"] = json!(checkout.commit);
        text += &format!("commit    {}\n", checkout.commit);
    }
    if let Some(channel) = &args.channel {
        let version = value["version"].as_str().unwrap_or_default();
        let set = super::channel::set(&client, project.name.as_str(), channel, version)?;
        let devices =
            crate::output::count(usize::try_from(set["devices"].as_u64().unwrap_or(0)).unwrap_or(0), "device");
        text += &format!("channel   {channel} is now {version}; it is followed by {devices}\n");
        value["channel"] = set;
    } else {
        text += "next      goldcrest deploy, or goldcrest channel set CHANNEL VERSION\n";
    }
    context.output.result(&value, || text);
    Ok(())
}

/// Tells the server that this commit has its release, where it is waiting for one.
fn settle(checkout: &Checkout, client: &Client) -> Result<()> {
    let package = encode(checkout.project.name.as_str());
    let waiting = client.find(&format!("/api/v1/pending-releases?package={package}"))?.unwrap_or_default();
    for row in waiting["pending"].as_array().into_iter().flatten() {
        if row["commit"] == checkout.commit.as_str() {
            let path = format!("/api/v1/pending-releases/{}/{}", row["feed"], checkout.commit);
            client.act("DELETE", &path)?;
        }
    }
    Ok(())
}

/// Packs, signs and uploads. Answers what happened, for scripts and for people.
pub(crate) fn publish(
    project: &Project,
    content: &ContentOptions,
    identity: &IdentityOptions,
    client: &Client,
    context: &Context,
) -> Result<(Value, String)> {
    let plan = Plan::make(project, content, identity, client, context)?;
    if let Some(keyring) = &plan.keyring {
        send_keyring(keyring, client, context)?;
    }
    let mut value = summary(project, &plan.content, &plan.identity);
    value["digest"] = json!(plan.release.signed.digest);
    value["key_id"] = json!(plan.release.key_id);
    value["uploaded"] = json!(!plan.is_there);
    let mut text = totals(project, &plan.content, &plan.identity);
    if plan.is_there {
        text += &format!("published before, with the same content, on {}\n", client.server());
        return Ok((value, text));
    }
    let archive = &plan.release.archive;
    let progress = Progress::new(&context.output, "uploading", archive.len() as u64);
    let answer =
        client.upload("POST", "/api/v1/releases", "application/x-tar", archive.len(), progress.reader(archive))?;
    for warning in answer["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        context.output.warn(warning);
    }
    value["warnings"] = answer["warnings"].clone();
    text += &format!("published on {}\n", client.server());
    Ok((value, text))
}

/// A release, and what the server has of it.
struct Plan {
    content: Content,
    identity: Identity,
    release: pack::Release,
    /// The keyring that the server needs first.
    keyring: Option<Keyring>,
    /// The server has exactly this release.
    is_there: bool,
}

impl Plan {
    fn make(
        project: &Project,
        content: &ContentOptions,
        options: &IdentityOptions,
        client: &Client,
        context: &Context,
    ) -> Result<Plan> {
        let keys = Context::key_folder()?;
        let key = keys.signing_key(Some(project))?;
        let (keyring, to_send) = keyring_for(Some(project), client)?;
        let content = collect(project, content, None, context)?;
        let mut identity = Identity::decide(project, &content, options)?;
        let package = encode(project.name.as_str());
        let known = client.find(&format!("/api/v1/releases/{package}/{}", encode(identity.version.as_str())))?;
        if let Some(known) = &known {
            identity = as_published(identity, known, options);
        } else if options.counter.is_none() {
            let releases = client.get(&format!("/api/v1/releases?package={package}"))?;
            let highest =
                releases["releases"].as_array().into_iter().flatten().filter_map(|r| r["counter"].as_u64()).max();
            identity.counter = identity.counter.max(highest.map_or(0, |h| h + 1));
        }
        let manifest = pack::manifest(project, &content, &identity)?;
        let release = pack::sign(&manifest, &content, &key, Some(&keyring))?;
        if let Some(known) = &known {
            same_content(&identity, known, release.signed.digest)?;
        }
        Ok(Plan { content, identity, release, keyring: to_send, is_there: known.is_some() })
    }
}

/// What the release was called the first time, so that the same content gives the same bytes.
fn as_published(identity: Identity, known: &Value, options: &IdentityOptions) -> Identity {
    let created = options.created.unwrap_or(known["created_ms"].as_u64().unwrap_or_default() / 1000);
    Identity {
        counter: options.counter.or(known["counter"].as_u64()).unwrap_or(created),
        floor: if options.floor == 0 { known["floor"].as_u64().unwrap_or(0) } else { options.floor },
        expires: options.expires_in.map(|days| created.saturating_add(days.saturating_mul(86_400))),
        created,
        version: identity.version,
    }
}

fn same_content(identity: &Identity, known: &Value, digest: Digest) -> Result<()> {
    if known["digest"].as_str() == Some(&digest.to_string()) {
        return Ok(());
    }
    let why = format!("version {} is published already, with other content: a version never changes", identity.version);
    Err(Failure::failed(why).named("conflict").hint("raise [app] version in goldcrest.toml, or --version"))
}

/// The keyring that will be in force on the server, and whether it has to be sent there first.
fn keyring_for(project: Option<&Project>, client: &Client) -> Result<(Keyring, Option<Keyring>)> {
    let path = Context::key_folder()?.keyring_of(project);
    let local = if path.exists() { Some(crate::keys::load_keyring(&path)?) } else { None };
    let remote = client.find_bytes("/api/v1/keyring")?;
    let remote = remote.map(|bytes| Keyring::parse(&bytes)).transpose();
    let remote = remote.map_err(|e| Failure::refused(e.refusal, format!("the server's keyring is refused: {e}")))?;
    match (local, remote) {
        (None, Some(remote)) => Ok((remote, None)),
        (Some(local), Some(remote)) if local.version() <= remote.version() => Ok((remote, None)),
        (Some(local), Some(remote)) => {
            remote.accept_successor(&local).map_err(|e| {
                Failure::refused(e.refusal, format!("{} cannot follow the server's keyring: {e}", path.display()))
                    .hint("use the keys that this server was set up with ([sign] in goldcrest.toml)")
            })?;
            Ok((local.clone(), Some(local)))
        }
        (Some(local), None) => Ok((local.clone(), Some(local))),
        (None, None) => {
            Err(Failure::not_found(format!("neither the server nor this machine ({}) has a keyring", path.display()))
                .hint("goldcrest keygen"))
        }
    }
}

/// The owner's key and the keyring that is in force on the server once this returns, for releases that are not made of a project.
pub(crate) fn publishing_keys(client: &Client, context: &Context) -> Result<(SigningKey, Keyring)> {
    let project = context.find_project()?;
    let key = Context::key_folder()?.signing_key(project.as_ref())?;
    let (keyring, to_send) = keyring_for(project.as_ref(), client)?;
    if let Some(keyring) = &to_send {
        send_keyring(keyring, client, context)?;
    }
    Ok((key, keyring))
}

fn send_keyring(keyring: &Keyring, client: &Client, context: &Context) -> Result<()> {
    let bytes = keyring.to_bytes();
    client.upload("PUT", "/api/v1/keyring", "text/plain", bytes.len(), bytes.as_slice())?;
    let what = if keyring.version() == 1 {
        "the first keyring: from now on, the server takes only releases signed by its keys"
    } else {
        "the new keyring"
    };
    context.output.note(&format!("sent {what} (version {})", keyring.version()));
    Ok(())
}
