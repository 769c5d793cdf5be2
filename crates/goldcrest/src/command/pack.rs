//! `goldcrest pack`: a release file from the project, without a server.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::Result;
use crate::context::Context;
use crate::failure::Failure;
use crate::mpy_cross::MpyCross;
use crate::output::{self, size};
use crate::pack::{self, Content, Identity, IdentityOptions, Options};
use crate::project::{Project, Python};

/// Options of `pack`.
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    pub(crate) content: ContentOptions,
    #[command(flatten)]
    identity: IdentityOptions,
    /// File to write [default: NAME-VERSION.tar here]
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Only list what would be packed; needs no key
    #[arg(long, conflicts_with = "output")]
    list: bool,
    /// Only check that everything can be packed; needs no key, prints the totals
    #[arg(long, conflicts_with_all = ["output", "list"])]
    check: bool,
}

/// Options that decide what is in a release.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ContentOptions {
    /// What becomes of .py files, in place of [pack] python
    #[arg(long, value_parser = ["mpy", "min", "raw"])]
    python: Option<String>,
    /// Pack this path although it looks like a secret; may be given several times
    #[arg(long, value_name = "PATH")]
    allow_secret: Vec<String>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let project = context.project()?;
    let only_look = args.list || args.check;
    // Before the work, so that a missing key is not news after it.
    let key = if only_look { None } else { Some(Context::key_folder()?.signing_key(Some(&project))?) };
    let content = collect(&project, &args.content, args.output.as_deref(), context)?;
    let identity = Identity::decide(&project, &content, &args.identity)?;
    let manifest = pack::manifest(&project, &content, &identity)?;
    let Some(key) = key else {
        let value = summary(&project, &content, &identity);
        context
            .output
            .result(&value, || if args.list { table(&content) } else { totals(&project, &content, &identity) });
        return Ok(());
    };
    let keyring = Context::key_folder()?.keyring_of(Some(&project));
    let keyring = if keyring.exists() { Some(crate::keys::load_keyring(&keyring)?) } else { None };
    let release = pack::sign(&manifest, &content, &key, keyring.as_ref())?;
    let output =
        args.output.clone().unwrap_or_else(|| PathBuf::from(format!("{}-{}.tar", project.name, identity.version)));
    write(&output, &release.archive)?;
    let mut value = summary(&project, &content, &identity);
    value["file"] = json!(output);
    value["digest"] = json!(release.signed.digest);
    value["key_id"] = json!(release.key_id);
    value["archive_size"] = json!(release.archive.len());
    context.output.result(&value, || {
        let mut text = table(&content) + &totals(&project, &content, &identity);
        text += &format!("digest    {}\nsigned    by key {}\n", release.signed.digest, release.key_id);
        text += &format!("wrote     {} ({})\n", output.display(), size(release.archive.len() as u64));
        text
    });
    Ok(())
}

/// Collects the project's files, and says what there is to say.
pub(crate) fn collect(
    project: &Project,
    options: &ContentOptions,
    output: Option<&Path>,
    context: &Context,
) -> Result<Content> {
    let python = options.python.as_deref().map(|p| match p {
        "mpy" => Python::Mpy,
        "min" => Python::Min,
        _ => Python::Raw,
    });
    let mpy_cross = if python.unwrap_or(project.file.pack.python) == Python::Mpy { MpyCross::find()? } else { None };
    let options =
        Options { python, allow_secrets: options.allow_secret.clone(), output: output.map(Path::to_owned), mpy_cross };
    let content = pack::collect(project, &options)?;
    for note in &content.notes {
        context.output.note(&format!("note: {note}"));
    }
    for (path, reason) in &content.left_out {
        context.output.detail(&format!("not packed: {path} ({reason})"));
    }
    Ok(content)
}

/// One line per file.
fn table(content: &Content) -> String {
    let row =
        |f: &pack::PackedFile| vec![f.path.to_string(), f.form.to_owned(), f.size.to_string(), f.wire_size.to_string()];
    output::table(&["PATH", "FORM", "BYTES", "ON THE WIRE"], &content.files.iter().map(row).collect::<Vec<_>>())
}

/// What the release is, in three lines.
pub(crate) fn totals(project: &Project, content: &Content, identity: &Identity) -> String {
    let mpy = content.mpy.as_ref().map_or_else(|| "source only".to_owned(), |abi| format!("mpy {abi}"));
    format!(
        "release   {} {}  counter {}  created {} UTC\ncontent   {}, {}, {} on the wire, {mpy}\n",
        project.name,
        identity.version,
        identity.counter,
        crate::clock::utc(identity.created * 1000),
        output::count(content.files.len(), "file"),
        size(content.size()),
        size(content.wire_size()),
    )
}

/// The same for scripts.
pub(crate) fn summary(project: &Project, content: &Content, identity: &Identity) -> Value {
    let file = |f: &pack::PackedFile| json!({"path": f.path, "source": f.source, "form": f.form, "digest": f.digest, "size": f.size, "wire_size": f.wire_size});
    json!({
        "package": project.name, "version": identity.version, "counter": identity.counter, "floor": identity.floor,
        "created": identity.created, "expires": identity.expires, "mpy": content.mpy,
        "size": content.size(), "wire_size": content.wire_size(), "files": content.files.iter().map(file).collect::<Vec<_>>(),
    })
}

/// Writes the file in one step: a reader never sees half of it.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let dir = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let written = || -> std::io::Result<()> {
        use std::os::unix::fs::PermissionsExt;
        // A device or a pipe is written to, never replaced.
        if fs::metadata(path).is_ok_and(|about| !about.is_file() && !about.is_dir()) {
            return fs::File::options().write(true).open(path)?.write_all(bytes);
        }
        let mut file = tempfile::NamedTempFile::new_in(dir)?;
        file.write_all(bytes)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644))?;
        file.persist(path).map_err(|e| e.error)?;
        Ok(())
    };
    written().map_err(|e| Failure::file("write", path, &e))
}
