//! How the demo ended, counted from what the server says of its devices and deployments.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use crate::Result;
use crate::client::Client;
use crate::command::show::field;

/// The figures of the closing line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) boards: usize,
    /// Devices that confirmed the good release.
    pub(super) updated: usize,
    /// Devices that rolled the broken release back and run the good one.
    pub(super) rolled_back: usize,
    /// Devices that run the good release and were never given the broken one.
    pub(super) untouched: usize,
}

impl Tally {
    pub(super) fn read(client: &Client, good: &str, broken: &str) -> Result<Tally> {
        let devices = client.get("/api/v1/devices?limit=100")?;
        let deployments = client.get("/api/v1/deployments")?;
        Ok(Tally::count(&devices["devices"], &deployments["deployments"], good, broken))
    }

    fn count(devices: &Value, deployments: &Value, good: &str, broken: &str) -> Tally {
        let devices = devices.as_array().map_or(&[][..], Vec::as_slice);
        let deployments = deployments.as_array().map_or(&[][..], Vec::as_slice);
        let any = |device: &Value, version: &str, wanted: &dyn Fn(&str) -> bool| {
            deployments.iter().any(|deployment| {
                deployment["device"] == device["name"]
                    && deployment["version"] == version
                    && deployment["state"].as_str().is_some_and(wanted)
            })
        };
        let count = |wanted: &dyn Fn(&Value) -> bool| devices.iter().filter(|device| wanted(device)).count();
        let runs_good = |device: &Value| device["running"] == good;
        let started = |state: &str| !matches!(state, "queued" | "cancelled");
        Tally {
            boards: devices.len(),
            updated: count(&|device| any(device, good, &|state| state == "confirmed")),
            rolled_back: count(&|device| runs_good(device) && any(device, broken, &|state| state == "rolled-back")),
            untouched: count(&|device| runs_good(device) && !any(device, broken, &started)),
        }
    }

    /// Whether the story ended as it was told it would.
    pub(super) fn holds(&self) -> bool {
        self.updated == self.boards && self.rolled_back == 1 && self.untouched + 1 == self.boards
    }

    /// The closing line.
    pub(super) fn closing(&self, elapsed: Duration) -> Closing {
        Closing {
            boards: self.boards,
            updated: self.updated,
            rolled_back: self.rolled_back,
            untouched: self.untouched,
            seconds: (elapsed.as_secs_f64() * 10.0).round() / 10.0,
        }
    }
}

/// The closing line of `--json`, in this order.
#[derive(Debug, Serialize)]
pub(super) struct Closing {
    boards: usize,
    updated: usize,
    rolled_back: usize,
    untouched: usize,
    seconds: f64,
}

impl Closing {
    /// The same for people.
    pub(super) fn to_text(&self) -> String {
        let Closing { boards, updated, rolled_back, untouched, seconds } = self;
        format!("{boards} boards: {updated} updated, {rolled_back} rolled back, {untouched} untouched, {seconds} s")
    }
}

/// State of a rollout in words.
pub(super) fn state(rollout: &Value) -> String {
    format!("{}, {} of {} confirmed", field(rollout, "state"), field(rollout, "confirmed"), field(rollout, "total"))
}

/// What the boards of a failed rollout reported, indented.
pub(super) fn told(rollout: &Value) -> String {
    let mut text = String::new();
    for deployment in rollout["deployments"].as_array().into_iter().flatten() {
        if deployment["state"] != "rolled-back" && deployment["state"] != "failed" {
            continue;
        }
        text += &format!(
            "          {} by {} itself ({})\n",
            field(deployment, "state"),
            field(deployment, "device"),
            field(deployment, "reason")
        );
        for line in deployment["trace"].as_str().into_iter().flat_map(str::lines) {
            text += &format!("          | {line}\n");
        }
    }
    text.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    //! What counts as updated, rolled back and untouched.

    use serde_json::json;

    use super::*;

    fn tally(running: [&str; 3], deployments: &[(&str, &str, &str)]) -> Tally {
        let devices: Vec<Value> = ["a", "b", "c"]
            .iter()
            .zip(running)
            .map(|(name, version)| json!({"name": name, "running": version}))
            .collect();
        let deployments: Vec<Value> = deployments
            .iter()
            .map(|(device, version, state)| json!({"device": device, "version": version, "state": state}))
            .collect();
        Tally::count(&json!(devices), &json!(deployments), "2", "3")
    }

    #[test]
    fn the_good_end_holds() {
        let all = [
            ("a", "2", "confirmed"),
            ("b", "2", "confirmed"),
            ("c", "2", "confirmed"),
            ("a", "3", "rolled-back"),
            ("b", "3", "cancelled"),
        ];
        let counted = tally(["2", "2", "2"], &all);
        assert_eq!(counted, Tally { boards: 3, updated: 3, rolled_back: 1, untouched: 2 });
        assert!(counted.holds());
    }

    #[test]
    fn a_board_that_was_given_the_broken_release_is_not_untouched() {
        let all = [("a", "3", "rolled-back"), ("b", "3", "downloading"), ("c", "2", "confirmed")];
        let counted = tally(["2", "2", "2"], &all);
        assert_eq!(counted, Tally { boards: 3, updated: 1, rolled_back: 1, untouched: 1 });
        assert!(!counted.holds());
    }

    #[test]
    fn a_rollback_to_something_else_does_not_count() {
        let counted = tally(["1", "2", "1"], &[("a", "3", "rolled-back")]);
        assert_eq!(counted, Tally { boards: 3, updated: 0, rolled_back: 0, untouched: 1 });
    }
}
