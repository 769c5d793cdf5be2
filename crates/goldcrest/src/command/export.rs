//! `goldcrest export`: a folder that any web server, CDN or Home Assistant's `www` can serve to boards.

use std::path::PathBuf;

use serde_json::json;

use crate::Result;
use crate::context::Context;
use crate::export::{Folder, Source, micropython_ota, native, sensorclass};
use crate::output::{count, size};

/// Options of `export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
  goldcrest export --static /var/www/ota
  goldcrest export --static /config/www/code --layout sensorclass
Run it after each change, for example from cron: what is there and the same is left alone, and nothing is half visible.")]
pub struct Args {
    /// Folder to write; made when it is missing
    #[arg(long = "static", value_name = "DIR")]
    dir: PathBuf,
    /// Package; may be given several times [default: all that a channel shows]
    #[arg(long, value_name = "PACKAGE")]
    package: Vec<String>,
    /// For which boards; may be given several times
    #[arg(long, value_name = "LAYOUT", value_delimiter = ',', default_value = "native", value_parser = ["native", "micropython-ota", "sensorclass"])]
    layout: Vec<String>,
    /// Channel that `version` of micropython-ota shows
    #[arg(long, default_value = "stable")]
    channel: String,
    /// Path of the feed whose boards the layout of sensorclass is for, when there are several
    #[arg(long, value_name = "PATH")]
    feed: Option<String>,
    /// Newest releases of each package, besides those of channels: deltas are made from them
    #[arg(long, value_name = "NUMBER", default_value_t = 5)]
    keep: usize,
    /// Remove what an earlier export wrote and this one did not
    #[arg(long)]
    prune: bool,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let client = context.client()?;
    let source = Source::read(&client, &args.package, args.keep)?;
    let mut folder = Folder::open(&args.dir)?;
    let has = |layout: &str| args.layout.iter().any(|l| l == layout);
    if has("native") {
        native::write(&source, &mut folder)?;
    }
    if has("micropython-ota") {
        micropython_ota::write(&source, &args.channel, &mut folder)?;
    }
    if has("sensorclass") {
        sensorclass::write(&source, args.feed.as_deref(), &mut folder)?;
    }
    folder.finish(args.prune)?;
    for note in &folder.notes {
        context.output.warn(note);
    }
    let value = json!({"dir": args.dir, "written": folder.written, "bytes": folder.bytes, "same": folder.same,
        "pruned": folder.pruned, "notes": folder.notes});
    context.output.result(&value, || {
        let written = count(folder.written, "file");
        format!("wrote {written} ({}), {} as before, {} removed\n", size(folder.bytes), folder.same, folder.pruned)
    });
    Ok(())
}
