//! `goldcrest deploy`: publish what is here and roll it out, a few devices first.

use serde_json::{Value, json};

use super::pack::ContentOptions;
use super::{publish, rollout};
use crate::Result;
use crate::client::encode;
use crate::context::Context;
use crate::pack::IdentityOptions;

/// Options of `deploy`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  goldcrest deploy --wait                       publish this project, one canary, then all\n  goldcrest deploy 1.2.0 --to kitchen           a published release to one device\n  goldcrest deploy --stages 2,10%,100% --wait   exit code 7 when it is halted, for CI"
)]
pub struct Args {
    /// Published version to roll out [default: publish this project first]
    #[arg(conflicts_with_all = ["release_version", "python", "allow_secret", "created", "counter", "expires_in", "allow_dirty"])]
    version: Option<String>,
    /// Package [default: the project's]
    #[arg(long)]
    package: Option<String>,
    /// Channel whose devices get it, and which points at it once all have it [default: the project's, else stable]
    #[arg(long)]
    channel: Option<String>,
    /// Only these devices; the channel stays where it is
    #[arg(long, value_name = "NAME", num_args = 1.., value_delimiter = ',')]
    to: Vec<String>,
    /// Only devices with this label; the channel stays where it is
    #[arg(long, value_name = "KEY=VALUE", conflicts_with = "to")]
    label: Option<String>,
    /// So many devices first, then all [default: 1]
    #[arg(long, value_name = "NUMBER", conflicts_with = "stages")]
    canary: Option<u32>,
    /// Stages, each a number of devices or a share of all
    #[arg(long, value_name = "1,10%,100%", value_delimiter = ',')]
    stages: Vec<String>,
    /// How many devices may fail before the rollout is halted
    #[arg(long, value_name = "NUMBER", default_value_t = 0)]
    max_failed: u32,
    /// Wait until it is complete; exit code 7 when it is halted
    #[arg(short, long)]
    wait: bool,
    /// Stop waiting after this time: 30m, 1h
    #[arg(long, value_name = "TIME", requires = "wait", value_parser = super::token::duration)]
    timeout: Option<u64>,
    #[command(flatten)]
    content: ContentOptions,
    #[command(flatten)]
    identity: IdentityOptions,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let project = context.find_project()?;
    let client = context.client()?;
    let mut said = String::new();
    let (package, version) = if let Some(version) = &args.version {
        (context.package(args.package.as_deref())?, version.clone())
    } else {
        let project = context.project()?;
        let (published, text) = publish::publish(&project, &args.content, &args.identity, &client, context)?;
        said = text;
        (project.name.to_string(), published["version"].as_str().unwrap_or_default().to_owned())
    };
    let channel =
        args.channel.as_deref().or(project.as_ref().map(crate::project::Project::channel)).unwrap_or("stable");
    let created = rollout::start(&client, &request(args, &package, &version, channel))?;
    let id = super::show::field(&created, "id");
    if args.wait {
        context.output.note(said.trim_end());
        context.output.note(&format!("rollout {id} of {package} {version} to channel {channel}"));
        return rollout::wait(&client, &id, args.timeout, context);
    }
    // What it says now, with its deployments.
    let current = client.get(&format!("/api/v1/rollouts/{}", encode(&id)))?;
    context
        .output
        .result(&current, || format!("{said}{}next      goldcrest rollout wait {id}\n", rollout::show(&current)));
    Ok(())
}

fn request(args: &Args, package: &str, version: &str, channel: &str) -> Value {
    let mut body = json!({"package": package, "version": version, "channel": channel, "max_failed": args.max_failed});
    if !args.to.is_empty() {
        body["devices"] = json!(args.to);
    }
    if let Some(label) = &args.label {
        body["label"] = json!(label);
    }
    if !args.stages.is_empty() {
        body["stages"] = json!(args.stages);
    } else if let Some(canary) = args.canary {
        body["stages"] = json!([canary.to_string(), "100%"]);
    }
    body
}
