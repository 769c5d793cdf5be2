//! `goldcrest verify`: everything a server and a board check about a release file.

use std::fs;
use std::path::PathBuf;

use goldcrest_core::archive::{MAX_ARCHIVE, check_archive};
use goldcrest_core::manifest::Manifest;
use serde_json::json;

use crate::Result;
use crate::clock;
use crate::context::Context;
use crate::failure::Failure;
use crate::keys;
use crate::output::{count, size};

/// Options of `verify`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Release file, as pack writes it
    file: PathBuf,
    /// Keyring that must accept the signature [default: the project's on this machine]
    #[arg(long, value_name = "FILE")]
    keyring: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let keyring = match &args.keyring {
        Some(path) => keys::load_keyring(path)?,
        None => Context::key_folder()?
            .load_keyring(context.find_project()?.as_ref())
            .map_err(|f| f.hint("name one: --keyring FILE"))?,
    };
    let about = fs::metadata(&args.file).map_err(|e| Failure::file("read", &args.file, &e))?;
    if about.len() > MAX_ARCHIVE as u64 {
        let why =
            format!("{} has {} bytes: a release file has at most {MAX_ARCHIVE}", args.file.display(), about.len());
        return Err(Failure::refused("format", why));
    }
    let bytes = fs::read(&args.file).map_err(|e| Failure::file("read", &args.file, &e))?;
    let release = check_archive(&bytes, &keyring, |_| None).map_err(|e| {
        Failure::refused(e.refusal, format!("{} is refused: {e}", args.file.display()))
            .hint("do not install it; get it again from where it was made")
    })?;
    let manifest: &Manifest = &release.signed.manifest;
    let plain: u64 = manifest.files.iter().map(|f| f.size).sum();
    let expired = manifest.expires.is_some_and(|at| at < clock::now_s());
    let value = json!({
        "package": manifest.package, "version": manifest.version, "digest": release.signed.digest, "key_id": release.key_id,
        "keyring": keyring.version(), "counter": manifest.counter, "floor": manifest.floor, "created": manifest.created,
        "expires": manifest.expires, "boards": manifest.boards, "mpy": manifest.mpy, "files": manifest.files.len(), "size": plain,
    });
    context.output.result(&value, || {
        let boards = if manifest.boards.is_empty() { "any board".to_owned() } else { manifest.boards.join(" ") };
        let mpy = manifest.mpy.as_ref().map_or_else(|| "source only".to_owned(), |abi| format!("mpy {abi}"));
        let mut text = format!("good      {}\n", args.file.display());
        text += &format!(
            "release   {} {}  counter {}  floor {}\n",
            manifest.package, manifest.version, manifest.counter, manifest.floor
        );
        text += &format!("content   {}, {}, {mpy}, for {boards}\n", count(manifest.files.len(), "file"), size(plain));
        text += &format!("created   {} UTC\n", clock::utc(manifest.created * 1000));
        text += &format!(
            "digest    {}\nsigned    by key {}, keyring version {}\n",
            release.signed.digest,
            release.key_id,
            keyring.version()
        );
        text
    });
    if expired {
        context.output.warn("the release has expired: boards with a clock refuse it");
    }
    Ok(())
}
