//! What a fleet has today on another system, read into a plan; carrying it out twice changes nothing.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::Result;
use crate::client::{Client, encode};
use crate::failure::{Exit, Failure};
use crate::foreign::{Files, Published, Publisher};
use crate::pack;

pub(crate) mod archives;
pub(crate) mod gogs;
pub(crate) mod micropython_ota;
pub(crate) mod sensorclass;
mod tar;

/// Most bytes of one file that is read.
const MAX_FILE: u64 = 16 << 20;

/// What is to be made, in this order, and what cannot be.
#[derive(Debug, Default)]
pub(crate) struct Plan {
    pub(crate) releases: Vec<Release>,
    /// Package, channel, version.
    pub(crate) channels: Vec<(String, String, String)>,
    pub(crate) feeds: Vec<Feed>,
    pub(crate) devices: Vec<Device>,
    /// What is not taken over, each with the reason.
    pub(crate) left: Vec<String>,
    /// What its owner does next.
    pub(crate) next: Vec<String>,
}

#[derive(Debug)]
pub(crate) struct Release {
    pub(crate) package: String,
    pub(crate) version: String,
    pub(crate) files: Files,
}

#[derive(Debug)]
pub(crate) struct Feed {
    pub(crate) adapter: &'static str,
    pub(crate) path: String,
    pub(crate) package: Option<String>,
    pub(crate) channel: String,
}

#[derive(Debug)]
pub(crate) struct Device {
    pub(crate) name: String,
    pub(crate) package: String,
    pub(crate) channel: String,
    pub(crate) adapter: &'static str,
    pub(crate) id: String,
    pub(crate) settings: Map<String, Value>,
}

/// One line of what was done.
#[derive(Debug)]
pub(crate) struct Step {
    pub(crate) what: String,
    pub(crate) is_new: bool,
}

impl Plan {
    /// Leaves out files that look like secrets, and names them. `allowed` are paths that are none.
    pub(crate) fn without_secrets(&mut self, allowed: &[String]) {
        for release in &mut self.releases {
            let (package, version) = (&release.package, &release.version);
            release.files.retain(|path, bytes| match pack::secret_in(path, bytes, allowed) {
                None => true,
                Some(why) => {
                    self.left.push(format!("{package} {version}: {why}; --allow-secret {path} if it must travel"));
                    false
                }
            });
        }
        for empty in self.releases.extract_if(.., |release| release.files.is_empty()) {
            self.left.push(format!("{} {}: no file is left of it", empty.package, empty.version));
        }
        let releases = &self.releases;
        let has = |package: &str, version: &str| releases.iter().any(|r| r.package == package && r.version == version);
        self.channels.retain(|(package, _, version)| has(package, version));
        for feed in &mut self.feeds {
            feed.package = feed.package.take().filter(|package| releases.iter().any(|r| r.package == *package));
        }
        // Only sensorclass has something to show without a package of its own.
        self.feeds.retain(|feed| feed.package.is_some() || feed.adapter == "sensorclass");
        let (mine, others) = std::mem::take(&mut self.devices).into_iter().partition(|d| d.adapter == "sensorclass");
        self.devices = sensorclass::without_missing(mine, releases, &mut self.left);
        self.devices.extend::<Vec<Device>>(others);
    }

    /// Makes what is not there yet.
    ///
    /// # Errors
    /// What the server refuses, but for devices, which are named then; what was made before stays, and the next run goes on from there.
    pub(crate) fn carry_out(&mut self, client: &Client, publisher: &Publisher<'_>) -> Result<Vec<Step>> {
        let mut steps = Vec::new();
        for Release { package, version, files } in &self.releases {
            let is_new = publisher.publish(package, version, files)? == Published::New;
            steps.push(Step { what: format!("release {package} {version} ({} files)", files.len()), is_new });
        }
        for (package, channel, version) in &self.channels {
            let path = format!("/api/v1/channels/{}/{}", encode(package), encode(channel));
            let known = channel_version(client, package, channel)?;
            if known.is_none() {
                client.call("PUT", &path, &json!({"version": version}))?;
            }
            // A channel that was moved since stays where it is.
            let wish = known
                .as_ref()
                .filter(|known| *known != version)
                .map(|_| format!(" (and not {version}: goldcrest channel set)"));
            let at = known.as_ref().unwrap_or(version);
            let what = format!("channel {package} {channel} at {at}{}", wish.unwrap_or_default());
            steps.push(Step { what, is_new: known.is_none() });
        }
        for feed in &self.feeds {
            steps.push(feed.make(client)?);
        }
        for device in &self.devices {
            match device.make(client) {
                Ok(step) => steps.push(step),
                Err(refused) if refused.name == "invalid" => {
                    self.left.push(format!("{}: {}: the board is left out", device.id, refused.message));
                }
                Err(failure) => return Err(failure),
            }
        }
        Ok(steps)
    }

    /// The same without doing it.
    pub(crate) fn steps(&self) -> Vec<Step> {
        let releases =
            self.releases.iter().map(|r| format!("release {} {} ({} files)", r.package, r.version, r.files.len()));
        let channels = self.channels.iter().map(|(p, c, v)| format!("channel {p} {c} at {v}"));
        let feeds = self.feeds.iter().map(Feed::line);
        let devices = self.devices.iter().map(Device::line);
        let all = releases.chain(channels).chain(feeds).chain(devices);
        all.map(|what| Step { what, is_new: true }).collect()
    }
}

impl Feed {
    fn line(&self) -> String {
        let what = self.package.as_ref().map_or_else(String::new, |p| format!(" with {p} {}", self.channel));
        format!("feed {} at /{}{what}", self.adapter, self.path)
    }

    fn make(&self, client: &Client) -> Result<Step> {
        let mut body = json!({"adapter": self.adapter, "path": self.path, "channel": self.channel});
        if let Some(package) = &self.package {
            body["package"] = json!(package);
        }
        let feeds = client.get("/api/v1/feeds")?;
        let known = feeds["feeds"].as_array().into_iter().flatten();
        let known = known.clone().find(|f| f["adapter"] == self.adapter && f["path"] == self.path.as_str());
        let is_new = match known {
            Some(known) if known["package"] != json!(self.package) => {
                let why = format!("a feed at {} shows {} already", self.path, known["package"]);
                return Err(Failure::failed(why)
                    .named("conflict")
                    .hint("--prefix for another path, or goldcrest feed rm"));
            }
            Some(_) => false,
            None => {
                client.call("POST", "/api/v1/feeds", &body)?;
                true
            }
        };
        Ok(Step { what: self.line(), is_new })
    }
}

impl Device {
    fn line(&self) -> String {
        let pins = self.settings.get("pins").and_then(Value::as_object).map_or(0, Map::len);
        format!(
            "device {} ({} {}), {} pins, known to {} as {}",
            self.name, self.package, self.channel, pins, self.adapter, self.id
        )
    }

    fn make(&self, client: &Client) -> Result<Step> {
        let path = format!("/api/v1/devices/{}", encode(&self.name));
        let credential = json!({"adapter": self.adapter, "id": self.id, "settings": self.settings});
        let is_new = if client.find(&path)?.is_none() {
            let body =
                json!({"name": self.name, "package": self.package, "channel": self.channel, "credential": credential});
            client.call("POST", "/api/v1/devices", &body)?;
            true
        } else {
            let known = client.get(&format!("{path}/credentials"))?;
            let has = known["credentials"].as_array().into_iter().flatten().any(|c| c["adapter"] == self.adapter);
            if !has {
                client.call("POST", &format!("{path}/credentials"), &credential)?;
            }
            !has
        };
        Ok(Step { what: self.line(), is_new })
    }
}

fn channel_version(client: &Client, package: &str, channel: &str) -> Result<Option<String>> {
    let answer = client.get(&format!("/api/v1/channels?package={}&limit=1000", encode(package)))?;
    let found = answer["channels"].as_array().into_iter().flatten().find(|c| c["name"] == channel);
    Ok(found.and_then(|c| c["version"].as_str()).map(str::to_owned))
}

/// The name of a package after another system's name: lower case, and what is not allowed becomes `-`.
fn package_name(text: &str) -> Result<String> {
    let lower = text.to_lowercase();
    let plain: String =
        lower.chars().map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' }).collect();
    let name = plain.trim_start_matches(['-', '_', '.']).to_owned();
    match name.parse::<goldcrest_core::name::PackageName>() {
        Ok(name) => Ok(name.to_string()),
        Err(e) => Err(Failure::new(Exit::Usage, e.detail).hint("name the package with --package")),
    }
}

fn is_version(text: &str) -> bool {
    text.parse::<goldcrest_core::name::Version>().is_ok()
}

/// Versions in the order people mean: `v1.9` before `v1.10`. Words decide before numbers.
fn natural(text: &str) -> Vec<(String, u64)> {
    let mut parts = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let word = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let digits = rest[word..].find(|c: char| !c.is_ascii_digit()).map_or(rest.len(), |at| word + at);
        parts.push((rest[..word].to_owned(), rest[word..digits].parse().unwrap_or(0)));
        rest = &rest[digits..];
    }
    parts
}

/// A folder's entries by name: files with their bytes, folders by themselves. Links and what else there is are named in `left`.
struct Listed {
    files: BTreeMap<String, std::path::PathBuf>,
    folders: BTreeMap<String, std::path::PathBuf>,
}

fn list(dir: &std::path::Path, left: &mut Vec<String>) -> Result<Listed> {
    let mut listed = Listed { files: BTreeMap::new(), folders: BTreeMap::new() };
    let unreadable = |e: &std::io::Error| Failure::file("read the folder", dir, e);
    for entry in std::fs::read_dir(dir).map_err(|e| unreadable(&e))? {
        let entry = entry.map_err(|e| unreadable(&e))?;
        let kind = entry.file_type().map_err(|e| unreadable(&e))?;
        match entry.file_name().into_string() {
            Ok(name) if kind.is_file() => drop(listed.files.insert(name, entry.path())),
            Ok(name) if kind.is_dir() => drop(listed.folders.insert(name, entry.path())),
            Ok(name) => left.push(format!("{name}: a link or a special file")),
            Err(name) => left.push(format!("{}: the name is not UTF-8", name.to_string_lossy())),
        }
    }
    Ok(listed)
}

fn read(path: &std::path::Path) -> Result<Vec<u8>> {
    let size = std::fs::metadata(path).map_err(|e| Failure::file("read", path, &e))?.len();
    if size > MAX_FILE {
        return Err(Failure::refused("format", format!("{} has more than {MAX_FILE} bytes", path.display())));
    }
    std::fs::read(path).map_err(|e| Failure::file("read", path, &e))
}

#[cfg(test)]
mod tests;
