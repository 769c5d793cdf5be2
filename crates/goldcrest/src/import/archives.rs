//! Packages that are one archive: p4bloOS's for ThingsBoard, microfreezer's for insigh.io.

use std::path::Path;

use serde_json::Value;

use super::tar::{self, Wrapping};
use super::{Plan, Release, is_version, package_name, read};
use crate::Result;
use crate::failure::Failure;

/// Names a package and its version.
const METADATA: &str = "FW_METADATA.json";

/// What the command line says about the release.
#[derive(Clone, Debug, Default)]
pub(crate) struct Named {
    pub(crate) package: Option<String>,
    pub(crate) version: Option<String>,
    pub(crate) channel: String,
}

/// A package for ThingsBoard: title and version are in its `FW_METADATA.json`, which stays in it, because the old client compares it.
pub(crate) fn thingsboard(path: &Path, named: &Named) -> Result<Plan> {
    let mut plan = Plan::default();
    let (files, wrapping) = tar::read(&read(path)?, &mut plan.left)?;
    let metadata: Option<Value> = files.get(METADATA).and_then(|bytes| serde_json::from_slice(bytes).ok());
    let said = |key: &str| metadata.as_ref().and_then(|m| m[key].as_str()).map(str::to_owned);
    let package =
        named.package.clone().map_or_else(|| said("title").map(|t| package_name(&t)).transpose(), |p| Ok(Some(p)))?;
    let package = package.ok_or_else(|| no_metadata(path, "title", "--package"))?;
    let version = named.version.clone().or_else(|| said("version"));
    let version = version.ok_or_else(|| no_metadata(path, "version", "--version"))?;
    if metadata.is_none() {
        plan.left.push(format!("{METADATA} is not in it: the old client refuses such a package"));
    }
    note(path, wrapping, &mut plan);
    finish(plan, package, version, files, named, "thingsboard")
}

/// A package for insigh.io: it knows neither its name nor its version, so they come from the file's name.
pub(crate) fn insighio(path: &Path, named: &Named) -> Result<Plan> {
    let mut plan = Plan::default();
    let (files, wrapping) = tar::read(&read(path)?, &mut plan.left)?;
    let stem = path.file_name().and_then(|n| n.to_str()).unwrap_or_default();
    let stem = stem.trim_end_matches(".gz").trim_end_matches(".tar").to_owned();
    let package = named.package.clone().unwrap_or_else(|| "insighio".to_owned());
    let version = named.version.clone().unwrap_or(stem);
    note(path, wrapping, &mut plan);
    finish(plan, package, version, files, named, "insighio")
}

fn finish(
    mut plan: Plan,
    package: String,
    version: String,
    files: crate::foreign::Files,
    named: &Named,
    adapter: &str,
) -> Result<Plan> {
    if !is_version(&version) {
        return Err(
            Failure::usage(format!("{version:?} cannot be the version of a release")).hint("name it with --version")
        );
    }
    plan.next.push(format!(
        "add its boards: goldcrest device add NAME --package {package} --adapter {adapter} (docs/migrate-{adapter}.md)"
    ));
    plan.channels.push((package.clone(), named.channel.clone(), version.clone()));
    plan.releases.push(Release { package, version, files });
    Ok(plan)
}

fn note(path: &Path, wrapping: Wrapping, plan: &mut Plan) {
    if wrapping == Wrapping::PseudoGzip {
        plan.left.push(format!(
            "{}: microfreezer's own compression, which MicroPython since 1.21 cannot read: boards get it as a plain archive",
            path.display()
        ));
    }
}

fn no_metadata(path: &Path, key: &str, option: &str) -> Failure {
    Failure::usage(format!("{} has no {METADATA} with a {key}", path.display())).hint(format!("name it with {option}"))
}
