//! `goldcrest feed`: packages opened to boards that run another system's client.

use std::io::Read as _;

use serde_json::{Map, Value, json};

use super::show::{field, list};
use crate::Result;
use crate::client::encode;
use crate::context::Context;
use crate::failure::Failure;

/// Commands of `feed`.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Open a package to boards of another system
    Add(Add),
    /// List feeds
    #[command(visible_alias = "ls")]
    List {
        /// Only feeds of this package [default: of all]
        #[arg(long)]
        package: Option<String>,
    },
    /// Close a feed: its boards find nothing there any more
    Rm {
        /// Its number, from `goldcrest feed list`
        number: u64,
    },
}

/// Options of `feed add`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Boards with micropython-ota, ota_host http://SERVER:8700 and project_name sample:
  goldcrest feed add micropython-ota sample --package sample
Boards with sensorclass that read from http://SERVER:8700/local/code/:
  goldcrest feed add sensorclass local/code
Boards with the Gogs updater and gogsRemote http://SERVER:8700/me/node:
  goldcrest feed add gogs me/node --package node")]
pub struct Add {
    /// The boards' system
    #[arg(value_parser = ["micropython-ota", "sensorclass", "gogs"])]
    adapter: String,
    /// Path after the server's address at which its boards ask
    path: String,
    /// Package [default: the project's, where the adapter shows one package]
    #[arg(long)]
    package: Option<String>,
    /// Channel whose release is shown
    #[arg(long, default_value = "stable")]
    channel: String,
    /// User that boards log in with (Basic); the password is read from stdin
    #[arg(long, conflicts_with = "token_stdin")]
    user: Option<String>,
    /// Read the token that boards show from stdin
    #[arg(long)]
    token_stdin: bool,
    /// Setting of the adapter (docs/adapters.md); may be given several times
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = super::device::label)]
    settings: Vec<(String, String)>,
}

pub(crate) fn run(action: Action, context: &Context) -> Result<()> {
    let client = context.client()?;
    match action {
        Action::Add(args) => {
            let answer = client.call("POST", "/api/v1/feeds", &body(&args, context)?)?;
            for warning in answer["warnings"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                context.output.warn(warning);
            }
            context.output.result(&answer, || {
                let of_git = ["git", "remote"].into_iter().find_map(|key| answer["settings"][key].as_str());
                let of_package =
                    answer["package"].as_str().map(|package| format!("{package} {}", field(&answer, "channel")));
                let what = of_git.map(|place| format!("the branches of {place}")).or(of_package);
                let what = what.unwrap_or_else(|| "what its boards are to run".to_owned());
                format!(
                    "feed {}: {} boards get {what} at {}/{}\n",
                    field(&answer, "id"),
                    args.adapter,
                    client.server(),
                    field(&answer, "path")
                )
            });
        }
        Action::List { package } => {
            let query = package.map_or_else(String::new, |package| format!("?package={}", encode(&package)));
            let answer = client.get(&format!("/api/v1/feeds{query}"))?;
            for feed in answer["feeds"].as_array().into_iter().flatten() {
                if let Some(error) = feed["git"]["error"].as_str() {
                    context.output.warn(&format!("feed {}: the repository can't be read: {error}", feed["id"]));
                }
            }
            context.output.result(&answer, || {
                let row = |feed: &Value| {
                    let login = if feed["secret"] == true { "yes" } else { "no" };
                    let mut row = ["id", "adapter", "path", "package", "channel"].map(|key| field(feed, key)).to_vec();
                    row.push(login.to_owned());
                    row
                };
                let header = ["NUMBER", "ADAPTER", "PATH", "PACKAGE", "CHANNEL", "LOGIN"];
                list(&answer["feeds"], &header, row, "no feed yet: goldcrest feed add --help")
            });
        }
        Action::Rm { number } => {
            context.confirm(&format!("close feed {number}? its boards get nothing there any more"))?;
            client.act("DELETE", &format!("/api/v1/feeds/{number}"))?;
            context.output.result(&json!({"removed": number}), || format!("closed feed {number}\n"));
        }
    }
    Ok(())
}

fn body(args: &Add, context: &Context) -> Result<Value> {
    let settings: Map<String, Value> =
        args.settings.iter().map(|(key, value)| (key.clone(), value_of(value))).collect();
    let mut body = json!({"adapter": args.adapter, "path": args.path, "channel": args.channel, "settings": settings});
    // Boards of sensorclass are devices, each with its package; a repository of git is in the settings.
    let needs_package = args.adapter == "micropython-ota"
        || (args.adapter == "gogs" && !settings.contains_key("git") && !settings.contains_key("remote"));
    if args.package.is_some() || needs_package {
        body["package"] = json!(context.package(args.package.as_deref())?);
    }
    if args.user.is_some() || args.token_stdin {
        let mut text = String::new();
        let read = std::io::stdin().read_to_string(&mut text);
        read.map_err(|e| Failure::failed(format!("cannot read the secret from stdin: {e}")))?;
        let secret = text.trim_end_matches(['\n', '\r']);
        if secret.is_empty() {
            return Err(Failure::usage("stdin held no secret").hint("printf %s SECRET | goldcrest feed add ..."));
        }
        body["secret"] = json!(args.user.as_ref().map_or_else(|| secret.to_owned(), |user| format!("{user}:{secret}")));
    }
    Ok(body)
}

/// A number or truth value where the text is one.
pub(crate) fn value_of(text: &str) -> Value {
    match serde_json::from_str(text) {
        Ok(value @ (Value::Number(_) | Value::Bool(_))) => value,
        _ => json!(text),
    }
}
