//! `goldcrest import`: what a fleet has today on another system becomes packages, releases, feeds and devices here.

use std::path::PathBuf;

use serde_json::json;

use super::publish::publishing_keys;
use crate::Result;
use crate::context::Context;
use crate::foreign::Publisher;
use crate::import::archives::{self, Named};
use crate::import::{Plan, Step, gogs, micropython_ota, sensorclass};

/// Options of `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
  goldcrest import micropython-ota /var/www/ota
  goldcrest import sensorclass /config/www/code --prefix local/code
  goldcrest import gogs http://gogs.lan/me/node --branch master --subdir src
  goldcrest import thingsboard micropython-OTA-client_v0.tar.gz
  goldcrest import insighio fa8884d2.tar.gz --package node
What looks like a secret is named and left out. The same thing twice is once.")]
pub struct Args {
    /// The system it comes from
    #[arg(value_parser = ["micropython-ota", "sensorclass", "gogs", "thingsboard", "insighio"])]
    system: String,
    /// Folder, address or file
    source: String,
    /// Only say what would be made
    #[arg(long)]
    dry_run: bool,
    /// Path before the projects in the boards' addresses
    #[arg(long, value_name = "PATH", default_value = "")]
    prefix: String,
    /// Name of the package [default: what the system calls it]
    #[arg(long)]
    package: Option<String>,
    /// Version of an archive [default: what it says, else the file's name]
    #[arg(long, value_name = "VERSION", id = "archive_version")]
    version: Option<String>,
    /// Channel that an archive is put on, if there is no such channel yet
    #[arg(long, default_value = "stable")]
    channel: String,
    /// Branch of a repository
    #[arg(long, default_value = "master")]
    branch: String,
    /// Folder of a repository that goes to the boards; . for all of it
    #[arg(long, value_name = "DIR", default_value = "src")]
    subdir: String,
    /// Take this path although it looks like a secret; may be given several times
    #[arg(long, value_name = "PATH")]
    allow_secret: Vec<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let mut plan = plan(args)?;
    plan.without_secrets(&args.allow_secret);
    let steps = if args.dry_run {
        plan.steps()
    } else {
        let client = context.client()?;
        let (key, keyring) = publishing_keys(&client, context)?;
        plan.carry_out(&client, &Publisher { client: &client, key: &key, keyring: &keyring })?
    };
    let shown: Vec<_> = steps.iter().map(|step| json!({"what": step.what, "new": step.is_new})).collect();
    let value = json!({"dry_run": args.dry_run, "steps": shown, "left": plan.left, "next": plan.next});
    context.output.result(&value, || text(args.dry_run, &steps, &plan));
    Ok(())
}

fn plan(args: &Args) -> Result<Plan> {
    let path = PathBuf::from(&args.source);
    let named = Named { package: args.package.clone(), version: args.version.clone(), channel: args.channel.clone() };
    match args.system.as_str() {
        "micropython-ota" => micropython_ota::plan(&path, &args.prefix),
        "sensorclass" => sensorclass::plan(&path, &args.prefix, args.package.as_deref().unwrap_or("sensorclass-files")),
        "gogs" => gogs::plan(&gogs::Source {
            place: args.source.clone(),
            branch: args.branch.clone(),
            subdir: args.subdir.clone(),
            package: args.package.clone(),
        }),
        "thingsboard" => archives::thingsboard(&path, &named),
        _ => archives::insighio(&path, &named),
    }
}

fn text(is_dry: bool, steps: &[Step], plan: &Plan) -> String {
    let mut text = String::new();
    for step in steps {
        let mark = match (is_dry, step.is_new) {
            (true, _) => "would make",
            (false, true) => "made",
            (false, false) => "there already",
        };
        text += &format!("{mark:<14}{}\n", step.what);
    }
    for left in &plan.left {
        text += &format!("{:<14}{left}\n", "note");
    }
    for next in &plan.next {
        text += &format!("{:<14}{next}\n", "next");
    }
    text
}
