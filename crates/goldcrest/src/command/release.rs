//! `goldcrest release`: what is published.

use std::path::PathBuf;

use serde_json::{Value, json};

use super::show::{field, list};
use crate::Result;
use crate::board_files::write_new;
use crate::client::encode;
use crate::clock::utc;
use crate::context::Context;
use crate::output::size;

/// Commands of `release`.
#[derive(Debug, clap::Subcommand)]
pub enum Action {
    /// List the releases of a package, newest first
    #[command(visible_alias = "ls")]
    List {
        /// Package [default: the project's]
        #[arg(long)]
        package: Option<String>,
    },
    /// Show one release with its files, and what boards fetch for it
    Show {
        /// Version
        version: String,
        /// Package [default: the project's]
        #[arg(long)]
        package: Option<String>,
    },
    /// Fetch a release as one file
    Download {
        /// Version
        version: String,
        /// File to write [default: NAME-VERSION.tar here]
        #[arg(short, long, value_name = "FILE")]
        output: Option<PathBuf>,
        /// Package [default: the project's]
        #[arg(long)]
        package: Option<String>,
    },
}

pub(crate) fn run(action: Action, context: &Context) -> Result<()> {
    let client = context.client()?;
    match action {
        Action::List { package } => {
            let package = context.package(package.as_deref())?;
            let mut answer = client.get(&format!("/api/v1/releases?package={}", encode(&package)))?;
            let waiting = client.find(&format!("/api/v1/pending-releases?package={}", encode(&package)))?;
            answer["pending"] = waiting.map_or_else(|| json!([]), |waiting| waiting["pending"].clone());
            for row in answer["pending"].as_array().into_iter().flatten() {
                let (path, branch, commit) = (field(row, "path"), field(row, "branch"), field(row, "commit"));
                context.output.note(&format!(
                    "{branch} of {path} is at {commit}, of which no release was signed: goldcrest publish --git {branch}"
                ));
                for trouble in row["trouble"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                    context.output.note(&format!("  {trouble}"));
                }
            }
            context.output.result(&answer, || {
                let row = |r: &Value| {
                    vec![
                        field(r, "version"),
                        field(r, "file_count"),
                        field(r, "size"),
                        field(r, "wire_size"),
                        utc(r["uploaded_ms"].as_u64().unwrap_or(0)),
                        field(r, "digest").chars().take(12).collect(),
                    ]
                };
                let header = ["VERSION", "FILES", "BYTES", "ON THE WIRE", "PUBLISHED (UTC)", "DIGEST"];
                list(&answer["releases"], &header, row, &format!("{package} has no release yet: goldcrest publish"))
            });
        }
        Action::Show { version, package } => {
            let package = context.package(package.as_deref())?;
            let found = client.get(&format!("/api/v1/releases/{}/{}", encode(&package), encode(&version)));
            let answer = found.map_err(|f| f.hint("goldcrest release list"))?;
            context.output.result(&answer, || show(&answer));
        }
        Action::Download { version, output, package } => {
            let package = context.package(package.as_deref())?;
            let bytes =
                client.download(&format!("/api/v1/releases/{}/{}/archive", encode(&package), encode(&version)))?;
            let output = output.unwrap_or_else(|| PathBuf::from(format!("{package}-{version}.tar")));
            write_new(&output, &bytes, 0o644)?;
            let value = serde_json::json!({"file": output, "size": bytes.len()});
            context.output.result(&value, || {
                let file = output.display();
                format!("wrote {file} ({})\nnext  goldcrest verify {file}\n", size(bytes.len() as u64))
            });
        }
    }
    Ok(())
}

fn show(release: &Value) -> String {
    let mut text = String::new();
    for key in ["package", "version", "digest", "counter", "floor", "boards", "mpy", "size", "wire_size", "key_ids"] {
        text += &format!("{key:<10} {}\n", field(release, key));
    }
    for (name, key) in [("created", "created_ms"), ("published", "uploaded_ms")] {
        text += &format!("{name:<10} {} UTC\n", utc(release[key].as_u64().unwrap_or(0)));
    }
    let row = |f: &Value| vec![field(f, "path"), field(f, "size"), field(f, "digest").chars().take(12).collect()];
    text += "\n";
    text += &list(&release["files"], &["PATH", "BYTES", "DIGEST"], row, "no files");
    let row = |d: &Value| vec![field(d, "from"), field(d, "size"), field(d, "whole_size")];
    let header = ["A BOARD THAT RUNS", "FETCHES", "WITHOUT DELTAS"];
    text + "\n" + &list(&release["deltas"], &header, row, "no deltas: boards fetch the files that differ")
}
