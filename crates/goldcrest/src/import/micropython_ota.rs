//! The document root of micropython-ota: a folder per project with `version` and `<version>_<file>` or `<version>/<file>`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{Feed, Listed, Plan, Release, is_version, list, natural, package_name, read};
use crate::Result;
use crate::failure::Failure;
use crate::foreign::Files;

/// Most folders in each other below a version.
const MAX_DEPTH: usize = 8;

/// Reads the document root, or the folder of one project. `prefix` is the path before the project in `ota_host`.
pub(crate) fn plan(dir: &Path, prefix: &str) -> Result<Plan> {
    let mut plan = Plan::default();
    let listed = list(dir, &mut plan.left)?;
    if listed.files.contains_key("version") {
        let name = dir.canonicalize().ok().and_then(|d| Some(d.file_name()?.to_str()?.to_owned()));
        let name = name.ok_or_else(|| Failure::usage(format!("{} has no name", dir.display())))?;
        project(&name, dir, prefix, &mut plan)?;
    } else {
        for (name, path) in &listed.folders {
            project(name, path, prefix, &mut plan)?;
        }
    }
    if plan.releases.is_empty() {
        let why = format!("{} holds no project of micropython-ota: a folder with a file named version", dir.display());
        return Err(Failure::not_found(why));
    }
    plan.next.push("point ota_host of the boards at this server: docs/migrate-micropython-ota.md".to_owned());
    Ok(plan)
}

fn project(name: &str, dir: &Path, prefix: &str, plan: &mut Plan) -> Result<()> {
    let listed = list(dir, &mut plan.left)?;
    let Some(current) = listed.files.get("version") else {
        plan.left.push(format!("{name}: no file named version in it"));
        return Ok(());
    };
    let text = String::from_utf8_lossy(&read(current)?).lines().next().unwrap_or_default().trim().to_owned();
    if !is_version(&text) {
        plan.left.push(format!("{name}: version names {text:?}, which cannot be the version of a release"));
        return Ok(());
    }
    let package = package_name(name)?;
    let mut versions = read_versions(name, &listed, &text, &mut plan.left)?;
    let Some(newest) = versions.remove(&text) else {
        plan.left.push(format!("{name}: version names {text}, of which there is no file"));
        return Ok(());
    };
    let mut older: Vec<(String, Files)> = versions.into_iter().collect();
    older.sort_by_key(|(version, _)| natural(version));
    older.push((text.clone(), newest));
    for (version, files) in older {
        plan.releases.push(Release { package: package.clone(), version, files });
    }
    plan.channels.push((package.clone(), "stable".to_owned(), text));
    let path = format!("{prefix}/{name}").trim_matches('/').to_owned();
    plan.feeds.push(Feed { adapter: "micropython-ota", path, package: Some(package), channel: "stable".to_owned() });
    Ok(())
}

fn read_versions(
    project: &str,
    listed: &Listed,
    current: &str,
    left: &mut Vec<String>,
) -> Result<BTreeMap<String, Files>> {
    let mut versions: BTreeMap<String, Files> = BTreeMap::new();
    for (version, path) in &listed.folders {
        if is_version(version) {
            folder(path, "", 0, versions.entry(version.clone()).or_default(), left)?;
        } else {
            left.push(format!("{project}/{version}: the folder's name cannot be a version"));
        }
    }
    let names: BTreeSet<&str> = listed.files.keys().map(String::as_str).filter(|name| *name != "version").collect();
    for name in names {
        let Some((version, file)) = split(name, current) else {
            left.push(format!("{project}/{name}: no version is before it, as in {current}_{name}"));
            continue;
        };
        let bytes = read(&listed.files[name])?;
        versions.entry(version.to_owned()).or_default().insert(file.to_owned(), bytes);
    }
    Ok(versions)
}

/// `<version>_<file>`. Both may hold `_`: the version in force is known, another one has a digit and ends at the first `_`.
fn split<'a>(name: &'a str, current: &str) -> Option<(&'a str, &'a str)> {
    if let Some(file) = name.strip_prefix(current).and_then(|rest| rest.strip_prefix('_')).filter(|f| !f.is_empty()) {
        return Some((&name[..current.len()], file));
    }
    let (version, file) = name.split_once('_')?;
    let looks_so = version.bytes().any(|b| b.is_ascii_digit()) && is_version(version) && !file.is_empty();
    looks_so.then_some((version, file))
}

fn folder(dir: &Path, below: &str, depth: usize, files: &mut Files, left: &mut Vec<String>) -> Result<()> {
    if depth > MAX_DEPTH {
        left.push(format!("{below}: more than {MAX_DEPTH} folders in each other"));
        return Ok(());
    }
    let listed = list(dir, left)?;
    for (name, path) in &listed.files {
        files.insert(format!("{below}{name}"), read(path)?);
    }
    for (name, path) in &listed.folders {
        folder(path, &format!("{below}{name}/"), depth + 1, files, left)?;
    }
    Ok(())
}
