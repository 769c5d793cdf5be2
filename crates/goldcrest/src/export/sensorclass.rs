//! The layout of sensorclass: `<module><version>.py`, then `latestversions`, then a list per MAC address.

use goldcrest_core::Digest;
use serde_json::Value;

use super::{Folder, Source};
use crate::Result;
use crate::failure::Failure;

/// Writes what the boards of a feed could ask for now. `path` names the feed when there are several.
pub(crate) fn write(source: &Source<'_>, path: Option<&str>, folder: &mut Folder) -> Result<()> {
    let feeds = source.client.get("/api/v1/feeds")?;
    let all: Vec<&Value> =
        feeds["feeds"].as_array().into_iter().flatten().filter(|f| f["adapter"] == "sensorclass").collect();
    let wanted = path.map(|path| path.trim_matches('/'));
    let found: Vec<&&Value> = all.iter().filter(|f| wanted.is_none_or(|path| f["path"] == path)).collect();
    let [feed] = found[..] else {
        let why = format!("{} feeds of sensorclass could be meant", found.len());
        return Err(Failure::usage(why).hint("goldcrest feed add sensorclass PATH, or --feed PATH to name one"));
    };
    let content = source.client.get(&format!("/api/v1/feeds/{}/modules", feed["id"]))?;
    for (stem, file) in content["modules"].as_object().into_iter().flatten() {
        let name = format!("{stem}.py");
        let digest: Digest = file["digest"].as_str().unwrap_or_default().parse().map_err(|_| odd("a digest"))?;
        let (_, plain) = source.object(&digest, file["size"].as_u64().unwrap_or(0))?;
        folder.put(&name, &plain)?;
    }
    let lists = content["lists"].as_object().ok_or_else(|| odd("lists"))?;
    let (latest, boards): (Vec<_>, Vec<_>) = lists.iter().partition(|(name, _)| *name == "latestversions");
    for (name, list) in latest.into_iter().chain(boards) {
        folder.put(name, format!("{list}\n").as_bytes())?;
    }
    let left = content["left"].as_array().into_iter().flatten().filter_map(Value::as_str);
    folder.notes.extend(left.map(|left| format!("sensorclass: {left}")));
    Ok(())
}

fn odd(what: &str) -> Failure {
    Failure::failed(format!("the server's answer has no {what}")).hint("is it of this version?")
}
