//! `goldcrest init`: the files of a new project, never over existing ones.

use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::PathBuf;

use goldcrest_core::name::PackageName;
use serde_json::json;

use crate::Result;
use crate::context::Context;
use crate::failure::Failure;
use crate::project::FILE;

/// Options of `init`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Folder of the project; made when it is not there [default: this one]
    dir: Option<PathBuf>,
    /// Name of the package [default: the folder's name]
    #[arg(long)]
    name: Option<String>,
}

const MAIN_PY: &str = include_str!("init/main.py.txt");
const GITIGNORE: &str = include_str!("init/gitignore.txt");
const PROJECT: &str = include_str!("init/goldcrest.toml.txt");

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let dir = match (&args.dir, &context.globals.project) {
        (Some(dir), _) | (None, Some(dir)) => dir.clone(),
        (None, None) => context.start()?,
    };
    fs::create_dir_all(&dir).map_err(|e| Failure::file("make", &dir, &e))?;
    let dir = dir.canonicalize().map_err(|e| Failure::file("open", &dir, &e))?;
    let name = package_name(args.name.as_deref(), &dir)?;
    let project_file = dir.join(FILE);
    if project_file.exists() {
        return Err(Failure::failed(format!("{} is there already: nothing was written", project_file.display()))
            .hint("edit it, or give init another folder"));
    }
    let mut written = Vec::new();
    let mut left = Vec::new();
    let server = context.globals.server.as_deref();
    let url = server.map_or("# url = \"http://127.0.0.1:8700\"".to_owned(), |url| format!("url = {url:?}"));
    let project = PROJECT.replace("@NAME@", name.as_str()).replace("# @URL@", &url);
    for (file, text) in [("main.py", MAIN_PY), (".gitignore", GITIGNORE), (FILE, &project)] {
        let path = dir.join(file);
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(mut new) => {
                new.write_all(text.as_bytes()).map_err(|e| Failure::file("write", &path, &e))?;
                written.push(file);
            }
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => left.push(file),
            Err(e) => return Err(Failure::file("write", &path, &e)),
        }
    }
    context.output.result(&json!({"dir": dir, "package": name, "written": written, "kept": left}), || {
        let mut text = format!("project {name} in {}\n", dir.display());
        text += &format!("written   {}\n", written.join(", "));
        if !left.is_empty() {
            text += &format!("unchanged {} (there already)\n", left.join(", "));
        }
        let enter = args.dir.as_ref().map_or_else(String::new, |dir| format!("cd {}, ", dir.display()));
        text + &format!("next      {enter}goldcrest keygen, goldcrest pack --list\n")
    });
    Ok(())
}

fn package_name(option: Option<&str>, dir: &std::path::Path) -> Result<PackageName> {
    if let Some(name) = option {
        return name.parse().map_err(|e: goldcrest_core::Refused| Failure::usage(e.detail));
    }
    let folder = dir.file_name().map(|n| n.to_string_lossy().to_lowercase().replace(' ', "-")).unwrap_or_default();
    folder.parse().map_err(|e: goldcrest_core::Refused| {
        Failure::usage(format!("the folder's name cannot be the package's: {}", e.detail))
            .hint("goldcrest init --name NAME")
    })
}
