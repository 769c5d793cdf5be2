//! `goldcrest keygen`: a root key, a release key and the keyring that names them; later a new release key, or a revocation.

use std::fs;

use goldcrest_core::keyring::{Keyring, KeyringContent};
use goldcrest_core::signature::{KeyId, SigningKey};
use serde_json::json;

use crate::Result;
use crate::context::Context;
use crate::failure::Failure;
use crate::keys::{self, DEFAULT_NAME, KeyFolder};

/// Options of `keygen`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Name of the set of keys, as [sign] key in goldcrest.toml has it
    #[arg(long, default_value = DEFAULT_NAME)]
    name: String,
    /// Length of a new key: 3072 or 2048 bits
    #[arg(long, default_value = "3072", value_parser = ["3072", "2048"])]
    bits: String,
    /// Make a new release key; the old one stays valid until it is revoked
    #[arg(long)]
    rotate: bool,
    /// Revoke a release key: boards refuse it as soon as they have the new keyring
    #[arg(long, value_name = "KEYID")]
    revoke: Option<KeyId>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if args.name.is_empty() || args.name.len() > 64 || !args.name.chars().all(plain) {
        return Err(Failure::usage(format!(
            "the name {:?} may hold only A-Z a-z 0-9 - _, at most 64 of them",
            args.name
        )));
    }
    let folder = Context::key_folder()?;
    let change = args.rotate || args.revoke.is_some();
    let keyring = if change { change_keyring(args, context, &folder)? } else { create(args, context, &folder)? };
    let ids =
        |keys: &[goldcrest_core::signature::PublicKey]| keys.iter().map(|k| k.id().to_string()).collect::<Vec<_>>();
    let (roots, release) = (ids(&keyring.content.roots), ids(&keyring.content.release));
    let revoked: Vec<String> = keyring.content.revoked.iter().map(KeyId::to_string).collect();
    let path = folder.keyring(&args.name);
    let release_file = folder.release(&args.name);
    let value = json!({
        "name": args.name, "keyring": path, "version": keyring.version(), "key": release_file,
        "roots": roots, "release": release, "revoked": revoked,
    });
    context.output.result(&value, || {
        let mut text = format!("release key  {}  signs releases\n", release_file.display());
        text +=
            &format!("root key     {}  signs keyrings: move it to a safe place\n", folder.root(&args.name).display());
        text += &format!("keyring      {}  version {}\n", path.display(), keyring.version());
        text += &format!("key ids      root {}, release {}\n", roots.join(" "), release.join(" "));
        if !revoked.is_empty() {
            text += &format!("revoked      {}\n", revoked.join(" "));
        }
        text + if change {
            "next         goldcrest publish: it brings the new keyring to the server\n"
        } else {
            "next         goldcrest pack\n"
        }
    });
    Ok(())
}

fn create(args: &Args, context: &Context, folder: &KeyFolder) -> Result<Keyring> {
    let keyring_path = folder.keyring(&args.name);
    // Checked before the slow part; `write_new` is what holds it.
    for path in [folder.root(&args.name), folder.release(&args.name), keyring_path.clone()] {
        if path.exists() {
            return Err(Failure::failed(format!("{} is there already: a key is never overwritten", path.display()))
                .hint("goldcrest keygen --rotate for a new release key, or --name for another set of keys"));
        }
    }
    // Both are made before one is written: an interrupted run leaves nothing behind that would be in the way.
    let (root_pem, root) = new_key(args, context, "root")?;
    let (release_pem, release) = new_key(args, context, "release")?;
    let content = KeyringContent {
        version: 1,
        threshold: 1,
        roots: vec![root.public().clone()],
        release: vec![release.public().clone()],
        revoked: Vec::new(),
    };
    let keyring = build(content, &root)?;
    keys::write_new(&folder.root(&args.name), &root_pem)?;
    keys::write_new(&folder.release(&args.name), &release_pem)?;
    keys::write_keyring(&keyring_path, &keyring)?;
    Ok(keyring)
}

/// The next version of the keyring: with a new release key, without a revoked one, or both.
fn change_keyring(args: &Args, context: &Context, folder: &KeyFolder) -> Result<Keyring> {
    let keyring_path = folder.keyring(&args.name);
    let release_path = folder.release(&args.name);
    let old = keys::load_keyring(&keyring_path)?;
    let root = keys::load(&folder.root(&args.name)).map_err(|mut failure| {
        // Not that of a missing key: making one would be no help.
        failure.hint = Some("copy the root key back there from its safe place, and take it away afterwards".to_owned());
        failure
    })?;
    let mut content = old.content.clone();
    content.version += 1;
    if let Some(revoked) = args.revoke {
        if content.revoked.contains(&revoked) {
            return Err(Failure::failed(format!("key {revoked} is revoked already")));
        }
        if old.release_key(revoked).is_none() {
            return Err(
                Failure::not_found(format!("the keyring has no release key {revoked}")).hint("goldcrest keygen --help")
            );
        }
        content.release.retain(|k| k.id() != revoked);
        content.revoked.push(revoked);
        if content.release.is_empty() && !args.rotate {
            return Err(Failure::usage(format!(
                "key {revoked} is the only release key: nothing could be published any more"
            ))
            .hint(format!("goldcrest keygen --rotate --revoke {revoked}")));
        }
        context
            .confirm(&format!("revoke key {revoked}? boards will refuse every release that only this key signed"))?;
    }
    if !args.rotate {
        let keyring = successor(&old, content, &root)?;
        keys::write_keyring(&keyring_path, &keyring)?;
        return Ok(keyring);
    }
    let fresh = folder.dir().join(format!("{}.release-v{}.pem", args.name, content.version));
    let (pem, release) = new_key(args, context, "release")?;
    content.release.push(release.public().clone());
    let keyring = successor(&old, content, &root)?;
    keys::write_new(&fresh, &pem)?;
    // The old key stays beside the new one, also when it cannot be read; then the keyring, then the switch.
    if release_path.exists() {
        let id = keys::load(&release_path)
            .map_or_else(|_| format!("before-v{}", keyring.version()), |k| k.public().id().to_string());
        let aside = folder.dir().join(format!("{}.release-{id}.pem", args.name));
        fs::rename(&release_path, &aside).map_err(|e| Failure::file("move", &release_path, &e))?;
    }
    keys::write_keyring(&keyring_path, &keyring)?;
    fs::rename(&fresh, &release_path).map_err(|e| Failure::file("move", &fresh, &e))?;
    Ok(keyring)
}

fn new_key(args: &Args, context: &Context, what: &str) -> Result<(String, SigningKey)> {
    context.output.note(&format!("making a {what} key of {} bits …", args.bits));
    keys::generate(if args.bits == "2048" { 2048 } else { 3072 })
}

fn successor(old: &Keyring, content: KeyringContent, root: &SigningKey) -> Result<Keyring> {
    let next = build(content, root)?;
    old.accept_successor(&next)
        .map_err(|e| Failure::refused(e.refusal, format!("the new keyring would be refused: {e}")))?;
    Ok(next)
}

fn build(content: KeyringContent, root: &SigningKey) -> Result<Keyring> {
    let keyring = Keyring::build_and_sign(content, &[root]);
    keyring.map_err(|e| Failure::refused(e.refusal, format!("the keyring cannot be signed: {e}")))
}
