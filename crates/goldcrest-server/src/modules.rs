//! Single modules out of releases, for boards that keep a version per module: `<module><version>.py`.
//!
//! A module's version changes exactly when its bytes do. In a release of several files it is the beginning of the file's digest; a
//! package that is one module of its own name gives it the version of the release, as its owner called it.

use std::collections::BTreeMap;
use std::sync::Arc;

use goldcrest_core::manifest::FileEntry;
use goldcrest_core::name::Version;
use serde_json::{Map, Value};

use crate::App;
use crate::content::{files, foreign_path};
use crate::failure::Failure;
use crate::store::ReleaseRow;

/// Characters of a digest that are a version: 48 bits tell the files of a project apart.
const VERSION_CHARS: usize = 12;
/// Most characters of a module's name.
const MAX_NAME: usize = 64;
/// What a list calls its program; as a setting, the program.
pub(crate) const NAME: &str = "name";
/// What the later form of a list calls its program; as a setting, `true` stands for that form.
pub(crate) const LATER: &str = "nodename";
/// What stands for the newest version.
pub(crate) const LATEST: &str = "latest";
/// Before a version: boards with the later form write the module without it. `<module>!<version>.py` is never asked for.
pub(crate) const MARK: char = '!';
/// Where the newest version is looked up when a module does not have the device's channel.
const DEFAULT_CHANNEL: &str = "stable";
/// Most pins of a device.
const MAX_PINS: usize = 256;

/// A module in one version.
#[derive(Debug, Clone)]
pub(crate) struct Module {
    pub(crate) version: String,
    pub(crate) file: FileEntry,
}

/// Where a device's pins are looked up.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Scope<'a> {
    pub(crate) project_id: i64,
    pub(crate) package: &'a str,
    pub(crate) channel: &'a str,
}

/// The modules of a release, by name: its `.py` files that lie in no folder, but for `boot.py`, unless the package is nothing else.
pub(crate) async fn of_release(app: &App, release: &ReleaseRow) -> anyhow::Result<BTreeMap<String, Module>> {
    let files = files(app, release.id).await?;
    let is_alone = files.len() == 1;
    let mut modules = BTreeMap::new();
    for file in files {
        let path = foreign_path(file.path.as_str());
        let Some(name) = path.strip_suffix(".py").filter(|name| is_name(name)) else { continue };
        if (path == "boot.py" && !(is_alone && release.package == "boot")) || [NAME, LATER].contains(&name) {
            continue;
        }
        let is_own = is_alone && package_of(name) == release.package;
        let version = if is_own { release.version.clone() } else { content_version(&file) };
        let name = name.to_owned();
        modules.insert(name, Module { version, file });
    }
    Ok(modules)
}

/// What the file `<stem>.py` holds, `stem` being a module and its version without anything between them.
pub(crate) async fn find(app: &App, project_id: i64, stem: &str) -> anyhow::Result<Option<FileEntry>> {
    // Where the one ends and the other begins is not written: the longest module that was published so.
    for at in (1..stem.len()).rev().filter(|at| stem.is_char_boundary(*at)) {
        let (name, version) = (&stem[..at], &stem[at..]);
        if let Some(file) = published(app, project_id, name, version).await? {
            return Ok(Some(file));
        }
    }
    let Some(at) = stem.len().checked_sub(VERSION_CHARS).filter(|at| stem.is_char_boundary(*at)) else {
        return Ok(None);
    };
    by_content(app, project_id, &stem[..at], &stem[at..]).await
}

/// Exactly this version of a module, as its owner called it or by its content.
pub(crate) async fn resolve(app: &App, scope: Scope<'_>, name: &str, version: &str) -> anyhow::Result<Option<Module>> {
    if version == LATEST {
        let own = package_of(name);
        // A module of its own need not have the device's channel.
        let places = [
            (scope.package, scope.channel, false),
            (own.as_str(), scope.channel, true),
            (own.as_str(), DEFAULT_CHANNEL, true),
        ];
        for (package, channel, wants_own) in places {
            let Some(channel) = app.store.channel(scope.project_id, package, channel).await? else { continue };
            let Some(release) = app.store.release(scope.project_id, package, &channel.version).await? else { continue };
            let mut modules = of_release(app, &release).await?;
            let found = modules.remove(name).filter(|_| !wants_own || modules.is_empty());
            if found.is_some() {
                return Ok(found);
            }
        }
        return Ok(None);
    }
    if let Some(file) = published(app, scope.project_id, name, version).await? {
        return Ok(Some(Module { version: version.to_owned(), file }));
    }
    if version.parse::<Version>().is_ok()
        && let Some(release) = app.store.release(scope.project_id, scope.package, version).await?
        && let Some(module) = of_release(app, &release).await?.remove(name)
    {
        return Ok(Some(module));
    }
    let file = by_content(app, scope.project_id, name, version).await?;
    Ok(file.map(|file| Module { version: version.to_owned(), file }))
}

/// The pins of a device's settings, module to version; versions may have a mark.
///
/// # Errors
/// `Invalid` for what is no pin: the versions are strings.
pub(crate) fn pins(settings: &Map<String, Value>) -> Result<BTreeMap<String, String>, Failure> {
    let Some(pins) = settings.get("pins") else { return Ok(BTreeMap::new()) };
    let pins = pins.as_object().filter(|pins| pins.len() <= MAX_PINS);
    let pins = pins.ok_or_else(|| {
        Failure::Invalid(format!("pins: an object of at most {MAX_PINS} modules with their versions is wanted"))
    })?;
    let mut read = BTreeMap::new();
    for (module, version) in pins {
        if !is_name(module) || [NAME, LATER].contains(&module.as_str()) {
            return Err(Failure::Invalid(format!("pins: {module:?} is not the name of a module")));
        }
        let text = version.as_str().ok_or_else(|| {
            Failure::Invalid(format!("pins: the version of {module} is {version}: write it as a string, \"{version}\""))
        })?;
        if bare(text).is_empty() {
            return Err(Failure::Invalid(format!("pins: the version of {module} is empty")));
        }
        read.insert(module.clone(), text.to_owned());
    }
    Ok(read)
}

/// Checks what is set for a device: every module that it pins is there in that version.
///
/// # Errors
/// `Invalid` with the name of the first that is not.
pub(crate) async fn check_settings(
    app: &Arc<App>,
    scope: Scope<'_>,
    settings: &Map<String, Value>,
) -> Result<(), Failure> {
    let program = settings.get(NAME);
    if program.is_some_and(|name| !name.as_str().is_some_and(is_name)) {
        return Err(Failure::Invalid("name: the module that the board runs is wanted, as a string".into()));
    }
    if settings.get(LATER).is_some_and(|is_later| !is_later.is_boolean()) {
        return Err(Failure::Invalid(format!("{LATER}: true or false is wanted")));
    }
    for (module, version) in pins(settings)? {
        let version = bare(&version);
        let Some(found) = resolve(app, scope, &module, version).await? else {
            let text = format!(
                "pins: nobody published {module} {version}: publish it as a package {} first, or pin another version",
                package_of(&module)
            );
            return Err(Failure::Invalid(text));
        };
        let stem = format!("{module}{}", found.version);
        if let Some(other) = find(app, scope.project_id, &stem).await?
            && other.digest != found.file.digest
        {
            let text = format!("pins: {stem}.py is {module} {version} and another module too: rename one version");
            return Err(Failure::Invalid(text));
        }
    }
    Ok(())
}

/// A version without its mark.
pub(crate) fn bare(text: &str) -> &str {
    text.strip_prefix(MARK).unwrap_or(text)
}

fn is_name(text: &str) -> bool {
    let is_plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    (1..=MAX_NAME).contains(&text.len()) && text.bytes().all(is_plain) && !text.as_bytes()[0].is_ascii_digit()
}

/// The package that would hold nothing but this module.
fn package_of(module: &str) -> String {
    module.to_ascii_lowercase()
}

fn content_version(file: &FileEntry) -> String {
    file.digest.to_string()[..VERSION_CHARS].to_owned()
}

/// The module of a package that is nothing else.
async fn published(app: &App, project_id: i64, name: &str, version: &str) -> anyhow::Result<Option<FileEntry>> {
    if !is_name(name) || version.parse::<Version>().is_err() {
        return Ok(None);
    }
    let Some(release) = app.store.release(project_id, &package_of(name), version).await? else { return Ok(None) };
    let mut modules = of_release(app, &release).await?;
    let module = modules.remove(name).filter(|module| module.version == version);
    Ok(module.map(|module| module.file))
}

async fn by_content(app: &App, project_id: i64, name: &str, version: &str) -> anyhow::Result<Option<FileEntry>> {
    let is_content = version.len() == VERSION_CHARS && version.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    if !is_content || !is_name(name) {
        return Ok(None);
    }
    let Some(object) = app.store.object_beginning(project_id, version).await? else { return Ok(None) };
    let path = format!("{name}.py").parse()?;
    Ok(Some(FileEntry { digest: object.digest.parse()?, size: u64::try_from(object.size).unwrap_or(0), path }))
}
