//! The folder of sensorclass on a web server: a list per MAC address, `latestversions`, and `<module><version>.py`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value, json};

use super::{Device, Feed, Plan, Release, is_version, list, natural, package_name, read};
use crate::Result;
use crate::failure::Failure;
use crate::foreign::Files;

const LATEST: &str = "latest";
/// What the later form calls its program.
const LATER: &str = "nodename";
/// Before a version: the board writes the module without it.
const MARK: char = '!';

/// Modules by name and version.
type Modules = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

/// Reads the folder. `prefix` is its path on the web server, `package` takes the files that have no version.
pub(crate) fn plan(dir: &Path, prefix: &str, package: &str) -> Result<Plan> {
    let mut plan = Plan::default();
    let listed = list(dir, &mut plan.left)?;
    let (mut boards, mut python) = (BTreeMap::new(), BTreeMap::new());
    let mut newest: BTreeMap<String, String> = BTreeMap::new();
    for (name, path) in &listed.files {
        if let Some(mac) = mac(name.strip_suffix(".config").unwrap_or(name)) {
            boards.extend(object(name, &read(path)?, &mut plan.left).map(|board| (mac, (name.clone(), board))));
        } else if name == "latestversions" {
            let list = object(name, &read(path)?, &mut plan.left).unwrap_or_default();
            newest.extend(list.iter().filter_map(|(module, version)| {
                Some((module.clone(), text_of(&format!("{name}: {module}"), version, &mut plan.left)?))
            }));
            // Headings between the modules.
            newest.retain(|_, version| !version.is_empty());
        } else if let Some(stem) = name.strip_suffix(".py") {
            python.insert(stem.to_owned(), read(path)?);
        } else {
            plan.left.push(format!("{name}: neither a MAC address nor a module"));
        }
    }
    if boards.is_empty() && newest.is_empty() {
        let why = format!("{} holds neither the list of a MAC address nor latestversions", dir.display());
        return Err(Failure::not_found(why));
    }
    let wanted = wanted(&boards, &newest);
    let (modules, unversioned) = split(python, &wanted);
    add_modules(modules, &newest, &mut plan)?;
    let feed_package = (!unversioned.is_empty()).then(|| package.to_owned());
    if !unversioned.is_empty() {
        let names: Vec<&str> = unversioned.keys().map(String::as_str).collect();
        plan.next.push(format!("{} have no version: they are the package {package}", names.join(", ")));
        let version = "1".to_owned();
        plan.channels.push((package.to_owned(), "stable".to_owned(), version.clone()));
        plan.releases.push(Release { package: package.to_owned(), version, files: unversioned });
    }
    let path = prefix.trim_matches('/').to_owned();
    plan.feeds.push(Feed { adapter: "sensorclass", path, package: feed_package, channel: "stable".to_owned() });
    for (mac, (name, board)) in boards {
        device(&mac, &name, &board, &newest, &mut plan)?;
    }
    plan.next.push("point the boards' web server address at this server: docs/migrate-sensorclass.md".to_owned());
    Ok(plan)
}

/// Every module with a version that a list names.
fn wanted(
    boards: &BTreeMap<String, (String, Map<String, Value>)>,
    newest: &BTreeMap<String, String>,
) -> BTreeSet<(String, String)> {
    let mut all: BTreeSet<(String, String)> = newest.iter().map(|(m, v)| (m.clone(), bare(v).to_owned())).collect();
    for (_, board) in boards.values() {
        for (module, version) in board.iter().filter(|(module, _)| !is_name_key(module)) {
            let version = version.as_str().map_or_else(|| version.to_string(), str::to_owned);
            all.insert((module.clone(), bare(&version).to_owned()));
        }
    }
    all
}

/// Files into modules with versions and files without. What no list names is split before its last number.
fn split(python: BTreeMap<String, Vec<u8>>, wanted: &BTreeSet<(String, String)>) -> (Modules, Files) {
    let (mut modules, mut unversioned) = (Modules::new(), Files::new());
    for (stem, bytes) in python {
        let known = wanted.iter().find(|(module, version)| stem == format!("{module}{version}"));
        let guessed = || {
            let end = stem.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.').len();
            (end > 0 && end < stem.len()).then(|| (stem[..end].to_owned(), stem[end..].to_owned()))
        };
        match known.cloned().or_else(guessed) {
            Some((module, version)) => drop(modules.entry(module).or_default().insert(version, bytes)),
            None => drop(unversioned.insert(format!("{stem}.py"), bytes)),
        }
    }
    (modules, unversioned)
}

fn add_modules(modules: Modules, newest: &BTreeMap<String, String>, plan: &mut Plan) -> Result<()> {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    for (module, versions) in modules {
        let package = package_name(&module)?;
        if package != module.to_lowercase() {
            plan.left.push(format!("{module}: a package cannot have this name"));
            continue;
        }
        if let Some(other) = taken.insert(package.clone(), module.clone()) {
            plan.left.push(format!("{module}: it differs from {other} only by case"));
            continue;
        }
        let mut order: Vec<String> = versions.keys().cloned().collect();
        order.sort_by_key(|version| natural(version));
        let latest = match newest.get(&module).map(|version| bare(version)) {
            Some(version) if versions.contains_key(version) => Some(version.to_owned()),
            Some(version) => {
                plan.left.push(format!("latestversions: {module} {version}, of which there is no file"));
                order.last().cloned()
            }
            None => {
                let last = order.last().cloned();
                if let Some(last) = last.as_ref().filter(|_| !newest.is_empty()) {
                    plan.left
                        .push(format!("latestversions does not name {module}: its latest is {last}, the newest file"));
                }
                last
            }
        };
        for version in order {
            let files = Files::from([(format!("{module}.py"), versions[&version].clone())]);
            if is_version(&version) {
                plan.releases.push(Release { package: package.clone(), version, files });
            } else {
                plan.left.push(format!("{module}{version}.py: {version:?} cannot be the version of a release"));
            }
        }
        plan.channels.extend(latest.map(|version| (package, "stable".to_owned(), version)));
    }
    Ok(())
}

/// The device of one list: its program is what it runs, the other modules are its pins.
fn device(
    mac: &str,
    file: &str,
    board: &Map<String, Value>,
    newest: &BTreeMap<String, String>,
    plan: &mut Plan,
) -> Result<()> {
    let is_later = !board.contains_key("name") && board.contains_key(LATER);
    let Some(name) = board.get(if is_later { LATER } else { "name" }).and_then(Value::as_str) else {
        plan.left.push(format!("{file}: neither \"name\" nor \"{LATER}\", so it is not known what the board runs"));
        return Ok(());
    };
    let mut pins = Map::new();
    let mut program = LATEST.to_owned();
    for (module, version) in board.iter().filter(|(module, _)| !is_name_key(module)) {
        let what = format!("{file}: {module}");
        let Some(version) = text_of(&what, version, &mut plan.left) else { return Ok(()) };
        let is_marked = version.starts_with(MARK)
            || (version == LATEST && newest.get(module).is_some_and(|newest| newest.starts_with(MARK)));
        if !has(plan, module, bare(&version)) {
            plan.left.push(format!("{what} {version}, of which there is no file: the board is left out"));
            return Ok(());
        }
        if module == name {
            bare(&version).clone_into(&mut program);
        } else {
            let mark = if is_marked { "!" } else { "" };
            pins.insert(module.clone(), json!(format!("{mark}{}", bare(&version))));
        }
    }
    if !has(plan, name, &program) {
        plan.left
            .push(format!("{file}: the program {name} {program}, of which there is no file: the board is left out"));
        return Ok(());
    }
    let package = package_name(name)?;
    let channel = if program == LATEST { "stable".to_owned() } else { package_name(&format!("pin-{program}"))? };
    if program != LATEST {
        let wanted = (package.clone(), channel.clone(), program);
        if !plan.channels.contains(&wanted) {
            plan.channels.push(wanted);
        }
    }
    let title: String = format!("{name}-{mac}")
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
        .collect();
    let mut settings = Map::from_iter([("name".to_owned(), json!(name)), ("pins".to_owned(), Value::Object(pins))]);
    if is_later {
        settings.insert(LATER.to_owned(), json!(true));
    }
    plan.devices.push(Device { name: title, package, channel, adapter: "sensorclass", id: mac.to_owned(), settings });
    Ok(())
}

fn has(plan: &Plan, module: &str, version: &str) -> bool {
    let package = module.to_lowercase();
    let path = format!("{module}.py");
    plan.releases
        .iter()
        .any(|r| r.package == package && (version == LATEST || r.version == version) && r.files.contains_key(&path))
}

fn is_name_key(key: &str) -> bool {
    key == "name" || key == LATER
}

/// Leaves out what these devices cannot have any more, because releases were taken out of the plan: a module that the board keeps under
/// its plain name goes on without an entry; a board that needs another module is left out itself.
pub(crate) fn without_missing(devices: Vec<Device>, releases: &[Release], left: &mut Vec<String>) -> Vec<Device> {
    let has = |package: &str, version: &str| {
        releases.iter().any(|r| r.package == package && (version == LATEST || r.version == version))
    };
    let mut kept = Vec::new();
    for mut device in devices {
        let mut missing = (!has(&device.package, LATEST)).then(|| device.package.clone());
        if let Some(Value::Object(pins)) = device.settings.get_mut("pins") {
            pins.retain(|module, version| {
                let version = version.as_str().unwrap_or_default();
                if has(&module.to_lowercase(), bare(version)) {
                    return true;
                }
                if version.starts_with(MARK) {
                    left.push(format!("{}: it keeps the {module}.py that it has", device.id));
                } else {
                    missing = Some(format!("{module} {version}"));
                }
                false
            });
        }
        match missing {
            Some(missing) => left.push(format!("{}: {missing} is left out, so the board is too", device.id)),
            None => kept.push(device),
        }
    }
    kept
}

/// Without its mark.
fn bare(version: &str) -> &str {
    version.strip_prefix(MARK).unwrap_or(version)
}

fn mac(text: &str) -> Option<String> {
    let digits: String = text.chars().filter(|c| !matches!(c, ':' | '-' | '.' | ' ')).collect();
    (digits.len() == 12 && digits.bytes().all(|b| b.is_ascii_hexdigit())).then(|| digits.to_ascii_lowercase())
}

/// Reads a list as MicroPython does, to which commas and colons are blanks.
fn object(name: &str, bytes: &[u8], left: &mut Vec<String>) -> Option<Map<String, Value>> {
    match serde_json::from_slice(bytes) {
        Ok(Value::Object(object)) => Some(object),
        Ok(_) => {
            left.push(format!("{name}: JSON, but no object"));
            None
        }
        Err(e) => {
            let object = without_commas(bytes);
            left.push(match &object {
                Some(_) => format!("{name}: a comma is wrong ({e}): taken as a board reads it"),
                None => format!("{name}: not JSON: {e}"),
            });
            object
        }
    }
}

/// The object of keys and plain values in turn, whatever stands between them.
fn without_commas(bytes: &[u8]) -> Option<Map<String, Value>> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    let inner = text.strip_prefix('{')?.strip_suffix('}')?;
    let (mut plain, mut in_string, mut escaped) = (String::with_capacity(inner.len()), false, false);
    for c in inner.chars() {
        plain.push(if !in_string && matches!(c, ',' | ':') { ' ' } else { c });
        in_string ^= c == '"' && !escaped;
        escaped = c == '\\' && !escaped;
    }
    let values: Vec<Value> =
        serde_json::Deserializer::from_str(&plain).into_iter().collect::<std::result::Result<_, _>>().ok()?;
    let is_plain = |value: &Value| !value.is_array() && !value.is_object();
    let pair = |pair: &[Value]| match pair {
        [Value::String(key), value] if is_plain(value) => Some((key.clone(), value.clone())),
        _ => None,
    };
    values.chunks(2).map(pair).collect()
}

/// A version: text. The client compares text, so a number is taken as it is written.
fn text_of(what: &str, version: &Value, left: &mut Vec<String>) -> Option<String> {
    match version {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => {
            left.push(format!("{what} is the number {number}: taken as \"{number}\""));
            Some(number.to_string())
        }
        other => {
            left.push(format!("{what} is {other}, which is no version"));
            None
        }
    }
}
