//! `goldcrest channel`: movable names that devices follow.

use serde_json::{Value, json};

use super::show::{field, list};
use crate::Result;
use crate::client::{Client, encode};
use crate::context::Context;

/// Commands of `channel`.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// List channels and the releases they point at
    #[command(visible_alias = "ls")]
    List {
        /// Package [default: the project's, if there is one]
        #[arg(long)]
        package: Option<String>,
    },
    /// Point a channel at a release; every device that follows it updates at once. Back to an older one is a rollback
    Set {
        /// Channel, for example stable
        channel: String,
        /// Version
        version: String,
        /// Package [default: the project's]
        #[arg(long)]
        package: Option<String>,
    },
}

pub(crate) fn run(action: Action, context: &Context) -> Result<()> {
    let client = context.client()?;
    match action {
        Action::List { package } => {
            let package = package.or(context.find_project()?.map(|p| p.name.to_string()));
            let query = package.map_or_else(String::new, |p| format!("?package={}", encode(&p)));
            let answer = client.get(&format!("/api/v1/channels{query}"))?;
            context.output.result(&answer, || {
                let row = |c: &Value| ["package", "name", "version", "devices"].map(|k| field(c, k)).to_vec();
                list(
                    &answer["channels"],
                    &["PACKAGE", "CHANNEL", "VERSION", "DEVICES"],
                    row,
                    "no channel yet: goldcrest channel set stable VERSION",
                )
            });
        }
        Action::Set { channel, version, package } => {
            let package = context.package(package.as_deref())?;
            let answer = set(&client, &package, &channel, &version)?;
            context.output.result(&answer, || {
                let devices = crate::output::count(
                    usize::try_from(answer["devices"].as_u64().unwrap_or(0)).unwrap_or(0),
                    "device",
                );
                format!("{package} {channel} is now {version}; it is followed by {devices}\n")
            });
        }
    }
    Ok(())
}

/// Points a channel at a release.
pub(crate) fn set(client: &Client, package: &str, channel: &str, version: &str) -> Result<Value> {
    client.call(
        "PUT",
        &format!("/api/v1/channels/{}/{}", encode(package), encode(channel)),
        &json!({"version": version}),
    )
}
