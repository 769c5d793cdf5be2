//! `goldcrest device`: boards, their channel, labels, tokens and history.

use serde_json::{Map, Value, json};

use super::feed::value_of;
use super::show::{field, list};
use crate::Result;
use crate::client::{Client, encode};
use crate::clock::{ago, now_ms, utc};
use crate::context::Context;
use crate::failure::Failure;

mod add;

/// Commands of `device`.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// Add a device and print the goldcrest.json for its board
    Add(Box<add::Args>),
    /// List devices
    #[command(visible_alias = "ls")]
    List(Filter),
    /// List boards of other systems that asked and that no device is known by
    Pending,
    /// Show one device with what its board reported
    Show {
        /// Name of the device
        name: String,
    },
    /// Change a device
    Set {
        /// Name of the device
        name: String,
        /// New name
        #[arg(long)]
        rename: Option<String>,
        /// Channel to follow
        #[arg(long)]
        channel: Option<String>,
        /// Label to set; may be given several times. An empty value removes it
        #[arg(long, value_name = "KEY=VALUE", value_parser = label)]
        label: Vec<(String, String)>,
        #[command(flatten)]
        foreign: Foreign,
    },
    /// Remove a device: its token stops working
    Rm {
        /// Name of the device
        name: String,
    },
    /// Make a new token for a device; the old one stops working
    Token {
        /// Name of the device
        name: String,
    },
    /// Show what happened to a device, newest first
    Events {
        /// Name of the device
        name: String,
        /// Most events to show
        #[arg(long, default_value_t = 50, value_name = "NUMBER")]
        limit: u32,
    },
}

/// What an adapter knows of a device besides (docs/adapters.md).
#[derive(Debug, clap::Args)]
pub struct Foreign {
    /// The adapter that is meant, if the device is known to several
    #[arg(long, value_name = "ADAPTER")]
    adapter: Option<String>,
    /// Version of a module, for sensorclass; may be given several times. An empty version removes it
    #[arg(long, value_name = "MODULE=VERSION", value_parser = label)]
    pin: Vec<(String, String)>,
    /// Setting of the adapter; may be given several times. An empty value removes it
    #[arg(long = "set", value_name = "KEY=VALUE", value_parser = label)]
    settings: Vec<(String, String)>,
}

/// Which devices to list.
#[derive(Debug, clap::Args)]
pub struct Filter {
    /// Only devices of this package [default: of all]
    #[arg(long)]
    package: Option<String>,
    /// Only devices that follow this channel
    #[arg(long)]
    channel: Option<String>,
    /// Only devices in this state
    #[arg(long, value_parser = ["new", "in-sync", "updating", "trial", "failed"])]
    state: Option<String>,
    /// Only devices with this label
    #[arg(long, value_name = "KEY=VALUE")]
    label: Option<String>,
}

pub(crate) fn run(action: Action, context: &Context) -> Result<()> {
    let client = context.client()?;
    let device = |name: &str| format!("/api/v1/devices/{}", encode(name));
    match action {
        Action::Add(args) => return add::run(&args, &client, context),
        Action::List(filter) => list_devices(&filter, &client, context)?,
        Action::Pending => pending(&client, context)?,
        Action::Show { name } => {
            let answer = client.get(&device(&name))?;
            context.output.result(&answer, || show(&answer));
        }
        Action::Set { name, rename, channel, label, foreign } => {
            let is_foreign = !foreign.pin.is_empty() || !foreign.settings.is_empty();
            let change = change(&client, &device(&name), rename, channel, label)?;
            if change.is_empty() && !is_foreign {
                let hint =
                    "--rename NAME, --channel CHANNEL, --label KEY=VALUE, --pin MODULE=VERSION or --set KEY=VALUE";
                return Err(Failure::usage("nothing to change").hint(hint));
            }
            let told = if is_foreign { foreign.apply(&client, &device(&name), &name)? } else { Value::Null };
            let mut answer = if change.is_empty() {
                client.get(&device(&name))?
            } else {
                client.call("PATCH", &device(&name), &Value::Object(change))?
            };
            let mut said = show(&answer);
            if is_foreign {
                said += &format!("{:<12} {}\n", field(&told, "adapter"), told["settings"]);
                answer["credential"] = told;
            }
            context.output.result(&answer, || said);
        }
        Action::Rm { name } => {
            context.confirm(&format!("remove the device {name}? its board gets no more updates"))?;
            client.act("DELETE", &device(&name))?;
            context.output.result(&json!({"removed": name}), || format!("removed {name}\n"));
        }
        Action::Token { name } => {
            context.confirm(&format!("make a new token for {name}? its board is locked out until it has it"))?;
            let answer = client.act("POST", &format!("{}/token", device(&name)))?;
            context.output.note("the token is shown this once; it goes into the board's goldcrest.json:");
            context.output.result(&answer, || field(&answer, "token") + "\n");
        }
        Action::Events { name, limit } => {
            let answer = client.get(&format!("{}/events?limit={limit}", device(&name)))?;
            context.output.result(&answer, || events(&answer));
        }
    }
    Ok(())
}

fn list_devices(filter: &Filter, client: &Client, context: &Context) -> Result<()> {
    let mut query = String::from("limit=100");
    let keys = [
        ("package", &filter.package),
        ("channel", &filter.channel),
        ("state", &filter.state),
        ("label", &filter.label),
    ];
    for (key, value) in keys {
        if let Some(value) = value {
            query += &format!("&{key}={}", encode(value));
        }
    }
    let mut devices = Vec::new();
    let mut after: Option<String> = None;
    loop {
        let page = after.as_ref().map_or_else(String::new, |a| format!("&after={}", encode(a)));
        let mut answer = client.get(&format!("/api/v1/devices?{query}{page}"))?;
        if let Some(page) = answer["devices"].as_array_mut() {
            devices.append(page);
        }
        match answer["next"].as_str() {
            Some(next) => after = Some(next.to_owned()),
            None => break,
        }
    }
    let devices = Value::Array(devices);
    context.output.result(&json!({"devices": devices}), || {
        let now = now_ms();
        let row = |d: &Value| {
            let seen = d["last_seen_ms"].as_u64().map_or_else(|| "never".to_owned(), |ms| ago(now, ms));
            vec![
                field(d, "name"),
                field(d, "package"),
                field(d, "channel"),
                field(d, "state"),
                field(d, "running"),
                field(d, "desired"),
                seen,
            ]
        };
        let header = ["NAME", "PACKAGE", "CHANNEL", "STATE", "RUNNING", "DESIRED", "SEEN"];
        list(&devices, &header, row, "no such device: goldcrest device add NAME")
    });
    Ok(())
}

fn pending(client: &Client, context: &Context) -> Result<()> {
    let answer = client.get("/api/v1/pending?limit=1000")?;
    context.output.result(&answer, || {
        let now = now_ms();
        let row = |board: &Value| {
            let seen = board["last_ms"].as_u64().map_or_else(String::new, |ms| ago(now, ms));
            vec![field(board, "adapter"), field(board, "id"), field(board, "path"), seen]
        };
        let none = "no unknown board has asked";
        let text = list(&answer["pending"], &["ADAPTER", "ID", "ASKED AT", "SEEN"], row, none);
        let take_in = "take one in: goldcrest device add NAME --package PACKAGE --adapter ADAPTER --id ID\n";
        if answer["pending"].as_array().is_none_or(Vec::is_empty) { text } else { text + take_in }
    });
    Ok(())
}

/// The body of a change. Labels are one object: the ones that are not named stay.
fn change(
    client: &Client,
    path: &str,
    rename: Option<String>,
    channel: Option<String>,
    labels: Vec<(String, String)>,
) -> Result<Map<String, Value>> {
    let mut change = Map::new();
    if let Some(name) = rename {
        change.insert("name".to_owned(), json!(name));
    }
    if let Some(channel) = channel {
        change.insert("channel".to_owned(), json!(channel));
    }
    if !labels.is_empty() {
        let mut all = client.get(path)?["labels"].as_object().cloned().unwrap_or_default();
        for (key, value) in labels {
            put(&mut all, key, &value, |text| json!(text));
        }
        change.insert("labels".to_owned(), Value::Object(all));
    }
    Ok(change)
}

impl Foreign {
    /// Changes the settings of the credential that is meant; those that are not named stay.
    fn apply(self, client: &Client, path: &str, name: &str) -> Result<Value> {
        let answer = client.get(&format!("{path}/credentials"))?;
        let all = answer["credentials"].as_array().map(Vec::as_slice).unwrap_or_default();
        let is_meant = |row: &&Value| self.adapter.as_ref().is_none_or(|adapter| row["adapter"] == adapter.as_str());
        let known = match all.iter().filter(is_meant).collect::<Vec<_>>()[..] {
            [known] => known,
            [] => {
                return Err(Failure::not_found(format!("{name} is known to no adapter that is meant"))
                    .hint("goldcrest device add NAME --adapter ADAPTER, for boards of another system"));
            }
            _ => {
                let names: Vec<String> = all.iter().map(|row| field(row, "adapter")).collect();
                return Err(
                    Failure::usage(format!("{name} is known to {}", names.join(", "))).hint("--adapter names one")
                );
            }
        };
        let mut settings = known["settings"].as_object().cloned().unwrap_or_default();
        for (key, value) in self.settings {
            put(&mut settings, key, &value, value_of);
        }
        if !self.pin.is_empty() {
            let mut pins = settings.get("pins").and_then(Value::as_object).cloned().unwrap_or_default();
            for (module, version) in self.pin {
                put(&mut pins, module, &version, |text| json!(text));
            }
            settings.insert("pins".to_owned(), Value::Object(pins));
        }
        client.call("PATCH", &format!("{path}/credentials/{}", known["number"]), &json!({"settings": settings}))
    }
}

/// Sets a value; an empty text removes it.
fn put(map: &mut Map<String, Value>, key: String, text: &str, value: impl Fn(&str) -> Value) {
    if text.is_empty() {
        map.remove(&key);
    } else {
        map.insert(key, value(text));
    }
}

fn show(device: &Value) -> String {
    let mut text = String::new();
    for key in ["name", "package", "channel", "labels", "hardware_id", "state", "running", "desired", "failed"] {
        text += &format!("{:<12} {}\n", key.replace('_', " "), field(device, key));
    }
    let seen = device["last_seen_ms"]
        .as_u64()
        .map_or_else(|| "never".to_owned(), |ms| format!("{} UTC ({})", utc(ms), ago(now_ms(), ms)));
    text += &format!("{:<12} {seen}\n", "seen");
    for (key, _) in device["facts"].as_object().into_iter().flatten() {
        text += &format!("  {key:<14} {}\n", field(&device["facts"], key));
    }
    text
}

fn events(answer: &Value) -> String {
    let mut text = String::new();
    for event in answer["events"].as_array().into_iter().flatten() {
        let at = utc(event["at_ms"].as_u64().unwrap_or(0));
        let words: Vec<&str> =
            ["stage", "version", "reason", "detail"].iter().filter_map(|k| event[k].as_str()).collect();
        text += &format!("{at}  {}\n", words.join("  "));
        for line in event["trace"].as_str().into_iter().flat_map(str::lines) {
            text += &format!("    {line}\n");
        }
    }
    if text.is_empty() { "nothing happened yet\n".to_owned() } else { text }
}

/// `key=value`.
pub(crate) fn label(text: &str) -> std::result::Result<(String, String), String> {
    let (key, value) = text.split_once('=').ok_or("write it as key=value")?;
    if key.is_empty() {
        Err("the key is empty: write it as key=value".to_owned())
    } else {
        Ok((key.to_owned(), value.to_owned()))
    }
}
