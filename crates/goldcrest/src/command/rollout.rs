//! `goldcrest rollout`: follow, halt and resume.

use std::thread::sleep;
use std::time::Duration;

use serde_json::{Value, json};

use super::show::{field, list};
use crate::Result;
use crate::client::{Client, encode};
use crate::clock::{now_ms, utc};
use crate::context::Context;
use crate::failure::{Exit, Failure};

/// Commands of `rollout`.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// List rollouts
    #[command(visible_alias = "ls")]
    List,
    /// Show one rollout with its devices
    Show {
        /// Number of the rollout
        id: String,
    },
    /// Wait until a rollout is complete; exit code 7 when it is halted
    Wait {
        /// Number of the rollout
        id: String,
        /// Stop waiting after this time: 30m, 1h
        #[arg(long, value_name = "TIME", value_parser = super::token::duration)]
        timeout: Option<u64>,
    },
    /// Halt a rollout: devices not yet started keep what they run
    Halt {
        /// Number of the rollout
        id: String,
    },
    /// Go on with a halted rollout
    Resume {
        /// Number of the rollout
        id: String,
    },
}

/// Time between two looks at a rollout.
const LOOK_EVERY: Duration = Duration::from_millis(500);

pub(crate) fn run(action: Action, context: &Context) -> Result<()> {
    let client = context.client()?;
    match action {
        Action::List => {
            let answer = client.get("/api/v1/rollouts")?;
            context.output.result(&answer, || {
                let row = |r: &Value| {
                    let done = format!("{}/{}", field(r, "confirmed"), field(r, "total"));
                    let created = utc(r["created_ms"].as_u64().unwrap_or(0));
                    vec![
                        field(r, "id"),
                        field(r, "package"),
                        field(r, "version"),
                        field(r, "channel"),
                        field(r, "state"),
                        done,
                        field(r, "failed"),
                        created,
                    ]
                };
                let header = ["ID", "PACKAGE", "VERSION", "CHANNEL", "STATE", "CONFIRMED", "FAILED", "STARTED (UTC)"];
                list(&answer["rollouts"], &header, row, "no rollout yet: goldcrest deploy")
            });
        }
        Action::Show { id } => {
            let answer = client.get(&path(&id))?;
            context.output.result(&answer, || show(&answer));
        }
        Action::Wait { id, timeout } => return wait(&client, &id, timeout, context),
        Action::Halt { id } => {
            let answer = client.act("POST", &format!("{}/halt", path(&id)))?;
            context.output.result(&answer, || show(&answer));
        }
        Action::Resume { id } => {
            let answer = client.act("POST", &format!("{}/resume", path(&id)))?;
            context.output.result(&answer, || show(&answer));
        }
    }
    Ok(())
}

/// Follows a rollout to its end: each change is a line on stderr, or with `--json` an object on stdout.
pub(crate) fn wait(client: &Client, id: &str, timeout_s: Option<u64>, context: &Context) -> Result<()> {
    let started = now_ms();
    let mut last = String::new();
    loop {
        let rollout = client.get(&path(id))?;
        let now = progress(&rollout);
        if now != last {
            if context.output.is_json() {
                context.output.object(&rollout);
            } else {
                context.output.note(&now);
            }
            last = now;
        }
        match rollout["state"].as_str() {
            Some("completed") => {
                if !context.output.is_json() {
                    context.output.data(&show(&rollout));
                }
                return Ok(());
            }
            Some("halted") => return Err(halted(&rollout, context)),
            _ => {}
        }
        if timeout_s.is_some_and(|s| now_ms().saturating_sub(started) > s.saturating_mul(1000)) {
            return Err(Failure::failed(format!("rollout {id} is still running after {} s", timeout_s.unwrap_or(0)))
                .named("timeout")
                .hint(format!("goldcrest rollout show {id}, or goldcrest rollout wait {id}")));
        }
        sleep(LOOK_EVERY);
    }
}

fn halted(rollout: &Value, context: &Context) -> Failure {
    if !context.output.is_json() {
        context.output.data(&show(rollout));
    }
    let id = field(rollout, "id");
    let why = rollout["reason"].as_str().map_or_else(String::new, |r| format!(": {r}"));
    Failure::new(
        Exit::Halted,
        format!("rollout {id} of {} {} was halted{why}", field(rollout, "package"), field(rollout, "version")),
    )
    .hint(format!(
        "goldcrest rollout show {id} tells what the boards reported; correct the release and deploy a new version"
    ))
}

fn progress(rollout: &Value) -> String {
    let count =
        |state: &str| rollout["deployments"].as_array().into_iter().flatten().filter(|d| d["state"] == state).count();
    let stages = ["queued", "notified", "downloading", "verified", "installing", "trial"];
    let on_the_way: Vec<String> =
        stages.iter().map(|s| (s, count(s))).filter(|(_, n)| *n > 0).map(|(s, n)| format!("{n} {s}")).collect();
    let stage = rollout["stage"].as_u64().map_or_else(String::new, |s| format!("stage {s}, "));
    let mut text = format!("{stage}{}/{} confirmed", field(rollout, "confirmed"), field(rollout, "total"));
    if rollout["failed"].as_u64() != Some(0) {
        text += &format!(", {} failed", field(rollout, "failed"));
    }
    for words in on_the_way {
        text += &format!(", {words}");
    }
    text
}

/// The rollout in lines, with each device, and the traceback of those that failed.
pub(crate) fn show(rollout: &Value) -> String {
    let mut text = format!(
        "rollout   {}  {} {} -> {}\n",
        field(rollout, "id"),
        field(rollout, "package"),
        field(rollout, "version"),
        field(rollout, "channel")
    );
    let reason = rollout["reason"].as_str().map_or_else(String::new, |r| format!(" ({r})"));
    text += &format!("state     {}{reason}\n", field(rollout, "state"));
    text += &format!("stages    {}  at most {} may fail\n", field(rollout, "stages"), field(rollout, "max_failed"));
    text += &format!(
        "devices   {} of {} confirmed, {} failed\n",
        field(rollout, "confirmed"),
        field(rollout, "total"),
        field(rollout, "failed")
    );
    for deployment in rollout["deployments"].as_array().into_iter().flatten() {
        let words: Vec<&str> = ["reason", "detail"].iter().filter_map(|k| deployment[k].as_str()).collect();
        let line =
            format!("  {:<20} {:<12} {}", field(deployment, "device"), field(deployment, "state"), words.join(": "));
        text += &format!("{}\n", line.trim_end());
        for line in deployment["trace"].as_str().into_iter().flat_map(str::lines) {
            text += &format!("      {line}\n");
        }
    }
    text
}

/// Starts a rollout.
pub(crate) fn start(client: &Client, body: &Value) -> Result<Value> {
    client.call("POST", "/api/v1/rollouts", &json!(body))
}

fn path(id: &str) -> String {
    format!("/api/v1/rollouts/{}", encode(id))
}
