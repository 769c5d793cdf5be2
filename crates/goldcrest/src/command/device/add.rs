//! `goldcrest device add`: enrols a device and prepares its board.

use std::io::Read;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::label;
use crate::Result;
use crate::board_files::{self, BoardSettings};
use crate::client::{Client, Server};
use crate::command::feed::value_of;
use crate::command::show::field;
use crate::context::Context;
use crate::failure::Failure;
use crate::mpy_cross::MpyCross;

/// What a blank board runs until its first release: without it nobody would ask for one.
const FIRST_MAIN: &str = include_str!("first_main.py.txt");
/// Where the board has the certificate that its server must show.
const CA: &str = "ca.der";
/// How a certificate in DER begins: a sequence of more than 255 bytes.
const DER: [u8; 2] = [0x30, 0x82];

/// Options of `device add`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Blank board:  goldcrest device add kitchen --board-files board\n              mpremote cp -r board/. :"
)]
pub struct Args {
    /// Name of the device
    name: String,
    /// Package it runs [default: the project's]
    #[arg(long)]
    package: Option<String>,
    /// Channel it follows [default: the project's, else stable]
    #[arg(long)]
    channel: Option<String>,
    /// Hardware id, for example the MAC address
    #[arg(long, value_name = "ID")]
    hardware_id: Option<String>,
    /// Label; may be given several times
    #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
    label: Vec<(String, String)>,
    /// The system whose client its board runs, when it is not our agent
    #[arg(long, value_parser = ["sensorclass", "thingsboard", "insighio"], conflicts_with_all = ["board_files", "out"])]
    adapter: Option<String>,
    /// By what that board is known: its MAC address, access token or device id [default: a random one, where the system allows it]
    #[arg(long, requires = "adapter", value_name = "ID")]
    id: Option<String>,
    /// For insighio: read the key that its board has from stdin [default: a random one]
    #[arg(long, requires = "adapter")]
    key_stdin: bool,
    /// For sensorclass: a module that its board is to have in this version, or in the latest; may be given several times
    #[arg(long, requires = "adapter", value_name = "MODULE=VERSION", value_parser = label)]
    pin: Vec<(String, String)>,
    /// Setting of the adapter (docs/adapters.md); may be given several times
    #[arg(long = "set", requires = "adapter", value_name = "KEY=VALUE", value_parser = label)]
    settings: Vec<(String, String)>,
    /// Name of the board that releases are made for [default: its sys.platform]
    #[arg(long)]
    board: Option<String>,
    /// Server address as the board reaches it [default: the one used here]
    #[arg(long, value_name = "URL")]
    board_server: Option<String>,
    /// Certificate (PEM or DER) that an https:// server must show to the board, or the one of its authority
    #[arg(long, value_name = "FILE", requires = "board_files")]
    board_ca: Option<PathBuf>,
    /// Write goldcrest.json to this file (mode 0600) instead of printing it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write what a blank board needs into this new folder: agent, keyring, goldcrest.json, a main.py that waits for the first release
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    board_files: Option<PathBuf>,
}

pub(super) fn run(args: &Args, client: &Client, context: &Context) -> Result<()> {
    let project = context.find_project()?;
    let package = context.package(args.package.as_deref())?;
    let channel =
        args.channel.as_deref().or(project.as_ref().map(crate::project::Project::channel)).unwrap_or("stable");
    let server = args.board_server.as_deref().map_or_else(|| Ok(client.server().clone()), Server::parse)?;
    // Everything that can fail here fails before the device exists.
    let keyring = if args.board_files.is_some() { Some(keyring(client, context)?) } else { None };
    let compiler = if args.board_files.is_some() { MpyCross::find()? } else { None };
    for path in args.out.iter().chain(&args.board_files) {
        let in_the_way =
            if path.is_dir() { path.read_dir().is_ok_and(|mut d| d.next().is_some()) } else { path.exists() };
        if in_the_way {
            return Err(Failure::failed(format!("{} is there already: nothing was done", path.display()))
                .hint("name a new one"));
        }
    }
    let ca = args.board_ca.as_deref().map(|path| certificate(path, &server)).transpose()?;
    let body = body(args, &package, channel)?;
    let mut answer = client.call("POST", "/api/v1/devices", &body)?;
    if args.adapter.is_some() {
        context.output.result(&answer, || foreign(&answer));
        return Ok(());
    }
    let settings = BoardSettings {
        server: server.to_string(),
        token: answer["token"].as_str().unwrap_or_default().to_owned(),
        package: Some(package),
        board: args.board.clone(),
        poll_s: None,
        trial_s: None,
        confirm: None,
        ca: ca.as_ref().map(|_| CA.to_owned()),
    };
    context.output.note(&format!("added {} on channel {channel}", args.name));
    if answer["device"]["desired"].is_null() {
        context.output.note(&format!(
            "channel {channel} points at no release of {} yet: its board waits for goldcrest publish --channel {channel}",
            field(&answer["device"], "package")
        ));
    }
    if server.is_loopback() {
        context.output.warn(&format!(
            "a board cannot reach {server}, this machine's own name for itself: give --board-server http://ADDRESS:PORT"
        ));
    }
    if server.is_https() && ca.is_none() {
        context.output.note(
            "the board will not verify the server's certificate: its token is at stake, its releases are signed; --board-ca FILE",
        );
    }
    let mut text = settings.to_json();
    if let Some(path) = &args.out {
        board_files::write_new(path, settings.to_json().as_bytes(), 0o600)?;
        text =
            format!("wrote {}; copy it to the board: mpremote cp {} :goldcrest.json\n", path.display(), path.display());
    }
    if let Some(dir) = &args.board_files {
        let mut files = board_files::board_files(&settings, keyring.as_deref(), compiler.as_ref())?;
        files.push(("main.py".to_owned(), FIRST_MAIN.as_bytes().to_vec()));
        files.extend(ca.map(|der| (CA.to_owned(), der)));
        board_files::write(dir, &files)?;
        let form = if compiler.is_some() { "compiled" } else { "as source: mpy-cross is not on this machine" };
        text = format!("wrote {} files to {} (agent {form})\n", files.len(), dir.display());
        text += "network  a board on Wi-Fi also needs its boot_user.py: see docs/getting-started.md\n";
        text += &format!("next     mpremote cp -r {}/. : && mpremote reset\n", dir.display());
        answer["files"] = json!(files.iter().map(|f| &f.0).collect::<Vec<_>>());
    }
    answer["settings"] = json!(settings);
    context.output.result(&answer, || text);
    Ok(())
}

/// The certificate in a file, as boards read it.
fn certificate(path: &Path, server: &Server) -> Result<Vec<u8>> {
    if !server.is_https() {
        return Err(Failure::usage(format!("--board-ca is for an https server, and the board's is {server}"))
            .hint("--board-server https://ADDRESS:PORT"));
    }
    let bytes = std::fs::read(path).map_err(|e| Failure::file("read the certificate", path, &e))?;
    if bytes.starts_with(&DER) {
        return Ok(bytes);
    }
    match ureq::tls::Certificate::from_pem(&bytes) {
        Ok(certificate) => Ok(certificate.der().to_vec()),
        Err(e) => Err(Failure::failed(format!("{} holds no certificate, neither PEM nor DER: {e}", path.display()))
            .hint("the file that goldcrest serve --tls-cert reads, or the certificate of its authority")),
    }
}

/// What a board of another system needs to know of this device.
fn foreign(answer: &Value) -> String {
    let credential = &answer["credential"];
    let mut text = format!("added {} for {}\n", field(&answer["device"], "name"), field(credential, "adapter"));
    for (key, label) in [("id", "id"), ("secret", "key")] {
        if let Some(value) = credential[key].as_str() {
            text += &format!("{label:<9} {value}\n");
        }
    }
    if credential["adapter"] == "sensorclass" {
        return text;
    }
    text + "shown this once; docs/adapters.md says where it goes on the board\n"
}

/// What the server is asked to make.
fn body(args: &Args, package: &str, channel: &str) -> Result<Value> {
    let labels: serde_json::Map<_, _> = args.label.iter().map(|(k, v)| (k.clone(), json!(v))).collect();
    let mut body = json!({"name": args.name, "package": package, "channel": channel, "labels": labels});
    if let Some(id) = &args.hardware_id {
        body["hardware_id"] = json!(id);
    }
    if let Some(adapter) = &args.adapter {
        body["credential"] = json!({"adapter": adapter, "settings": settings(args)});
        if let Some(id) = &args.id {
            body["credential"]["id"] = json!(id);
        }
        if args.key_stdin {
            body["credential"]["secret"] = json!(key()?);
        }
    }
    Ok(body)
}

/// The key of a board that has one already. Not an option: those are seen by everybody on this machine.
fn key() -> Result<String> {
    let mut text = String::new();
    let read = std::io::stdin().read_to_string(&mut text);
    read.map_err(|e| Failure::failed(format!("cannot read the key from stdin: {e}")))?;
    let key = text.trim();
    if key.is_empty() {
        return Err(Failure::usage("stdin held no key").hint("printf %s KEY | goldcrest device add ..."));
    }
    Ok(key.to_owned())
}

/// What the adapter is told of the device.
fn settings(args: &Args) -> Map<String, Value> {
    let mut settings: Map<String, Value> =
        args.settings.iter().map(|(key, value)| (key.clone(), value_of(value))).collect();
    if !args.pin.is_empty() {
        let pins: Map<String, Value> =
            args.pin.iter().map(|(module, version)| (module.clone(), json!(version))).collect();
        settings.insert("pins".to_owned(), Value::Object(pins));
    }
    settings
}

/// The keyring that the board is to trust: the server's, which is checked against the one on this machine if there is one.
fn keyring(client: &Client, context: &Context) -> Result<Vec<u8>> {
    let path = Context::key_folder()?.keyring_of(context.find_project()?.as_ref());
    let local = if path.exists() { Some(crate::keys::load_keyring(&path)?) } else { None };
    let remote = client.find_bytes("/api/v1/keyring")?;
    match (local, remote) {
        (Some(local), Some(remote)) if local.to_bytes() != remote => {
            // A board trusts what it is born with: better this machine's than a server's.
            context
                .output
                .note(&format!("the server's keyring is not the one in {}: the board gets the latter", path.display()));
            Ok(local.to_bytes())
        }
        (Some(local), _) => Ok(local.to_bytes()),
        (None, Some(remote)) => {
            context.output.note("this machine has no keyring: the board gets the server's");
            Ok(remote)
        }
        (None, None) => {
            Err(Failure::not_found("there is no keyring yet, so the board could trust nobody").hint("goldcrest keygen"))
        }
    }
}
