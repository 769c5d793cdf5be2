//! The results of the device bench, for people and as JSON.

use serde_json::{Value, json};

use super::contest::{Cost, SmallestHeap};
use super::history::{Update, median};

/// Most bytes of heap for any of our updates (the other bound is a third of what `micropython-ota` needs for one file of 60 KB).
pub const HEAP_GOAL: u64 = 44 * 1024;
/// Bytes of the manifest, its signature and the files of our median update in percent of the median .tar.gz, without HTTP heads.
pub const WIRE_GOAL_PERCENT: f64 = 3.0;

/// One contestant in one update.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The update: its name in the JSON and in the table.
    pub case: (&'static str, &'static str),
    /// The contestant: its name in the JSON and in the table.
    pub who: (&'static str, &'static str),
    /// Bytes, flash and time.
    pub cost: Cost,
    /// Heap.
    pub heap: SmallestHeap,
}

/// The key of our side.
pub const OURS: &str = "goldcrest";

/// The contest as a table.
pub fn contest_text(entries: &[Entry]) -> String {
    let mut text = format!(
        "{:<18}{:<24}{:>9}{:>11}{:>10}{:>9}{:>10}{:>8}{:>9}{:>7}\n",
        "update", "by", "heap", "-X", "down", "up", "programs", "erases", "seconds", "ratio"
    );
    for entry in entries {
        let (cost, heap) = (&entry.cost, &entry.heap);
        text += &format!(
            "{:<18}{:<24}{:>9}{:>11}{:>10}{:>9}{:>10}{:>8}{:>9.2}{:>7.2}\n",
            entry.case.1,
            entry.who.1,
            heap.bytes,
            heap.with_emulator,
            cost.bytes.down,
            cost.bytes.up,
            cost.flash.programs,
            cost.flash.erases,
            cost.seconds,
            ratio(entries, entry)
        );
    }
    let (worst, limit) = heap_goal(entries);
    text + &format!("largest heap of ours {worst}, goal at most {limit}: {}\n", verdict(worst <= limit))
}

/// The contest by update and contestant.
pub fn contest_json(entries: &[Entry]) -> Value {
    let mut object = json!({});
    for entry in entries {
        let (cost, heap) = (&entry.cost, &entry.heap);
        object[entry.case.0][entry.who.0] = json!({
            "heap": heap.bytes, "heap_with_emulator": heap.with_emulator,
            "bytes_down": cost.bytes.down, "bytes_up": cost.bytes.up,
            "flash_programs": cost.flash.programs, "flash_erases": cost.flash.erases,
            "seconds": (cost.seconds * 100.0).round() / 100.0,
            "time_ratio": (ratio(entries, entry) * 100.0).round() / 100.0,
        });
    }
    let (worst, limit) = heap_goal(entries);
    object["heap_goal"] = json!({"largest": worst, "limit": limit, "reached": worst <= limit});
    object
}

/// Seconds as a multiple of ours for the same update.
fn ratio(entries: &[Entry], entry: &Entry) -> f64 {
    let ours = entries.iter().find(|other| other.case == entry.case && other.who.0 == OURS);
    ours.map_or(f64::NAN, |ours| entry.cost.seconds / ours.cost.seconds)
}

/// The largest heap of our updates, and what it may be: the goal, or a third of the best of the others for the first update.
fn heap_goal(entries: &[Entry]) -> (u64, u64) {
    let ours = entries.iter().filter(|entry| entry.who.0 == OURS).map(|entry| entry.heap.bytes);
    let first = entries.first().map(|entry| entry.case);
    let others = entries.iter().filter(|entry| entry.who.0 != OURS && Some(entry.case) == first);
    let third = others.map(|entry| entry.heap.bytes / 3).min().unwrap_or(HEAP_GOAL);
    (ours.max().unwrap_or(0), third.min(HEAP_GOAL))
}

type Share = fn(&[Update]) -> f64;
type Column = (&'static str, &'static str, fn(&Update) -> u64);

const COLUMNS: [Column; 11] = [
    ("tar_gz", "the tree as .tar.gz", |update| update.tar_gz),
    ("all_deflated", "all files, each deflated", |update| update.all_deflated),
    ("changed_deflated", "changed files, each deflated", |update| update.changed_deflated),
    ("bodies_down", "ours: manifest, signature and objects", |update| update.bodies_down),
    ("content_down", "ours: offer and objects, with HTTP heads", content),
    ("offer_down", "  of this the offer: manifest and signature", |update| update.offer_down),
    ("objects_down", "  of this the objects", |update| update.objects_down),
    ("down", "ours: all bytes to the board until confirmed", |update| update.down),
    ("up", "ours: all bytes from the board", |update| update.up),
    ("deltas", "ours: answers that were deltas", |update| update.deltas),
    ("whole", "ours: answers that were whole", |update| update.whole),
];

/// Medians of the history, one column for each packing.
pub fn history_text(source: &[Update], bytecode: &[Update]) -> String {
    let mut text = format!("{:<48}{:>10}{:>10}\n", "microdot, median of the updates", ".py", ".mpy");
    for (_, title, of) in COLUMNS {
        let middle = |updates: &[Update]| median(updates.iter().map(of).collect());
        text += &format!("{title:<48}{:>10}{:>10}\n", middle(source), middle(bytecode));
    }
    let shares: [(&str, Share); 3] = [
        ("manifest, signature and objects", bodies_percent),
        ("the same with HTTP heads", content_percent),
        ("all bytes to the board", down_percent),
    ];
    for (title, of) in shares {
        let percents = [of(source), of(bytecode)];
        text += &format!("{:<48}{:>8.2} %{:>8.2} %\n", format!("{title}, of the .tar.gz"), percents[0], percents[1]);
    }
    let reached = [source, bytecode].map(|updates| verdict(bodies_percent(updates) <= WIRE_GOAL_PERCENT));
    text += &format!(
        "{:<48}{:>10}{:>10}\n",
        format!("goal for manifest, signature and objects: {WIRE_GOAL_PERCENT} %"),
        reached[0],
        reached[1]
    );
    text
}

/// The history by packing: medians, percent, and every update.
pub fn history_json(source: &[Update], bytecode: &[Update]) -> Value {
    let of = |updates: &[Update]| {
        let mut object = json!({});
        for (key, _, of) in COLUMNS {
            object["median"][key] = median(updates.iter().map(of).collect()).into();
            object["each"][key] = updates.iter().map(of).collect();
        }
        object["goal_percent"] = WIRE_GOAL_PERCENT.into();
        object["bodies_percent"] = ((bodies_percent(updates) * 100.0).round() / 100.0).into();
        object["content_percent"] = ((content_percent(updates) * 100.0).round() / 100.0).into();
        object["down_percent"] = ((down_percent(updates) * 100.0).round() / 100.0).into();
        object
    };
    json!({"py": of(source), "mpy": of(bytecode)})
}

/// What carries the release, with HTTP heads.
fn content(update: &Update) -> u64 {
    update.offer_down + update.objects_down
}

/// The figure that the goal is about.
fn bodies_percent(updates: &[Update]) -> f64 {
    percent(updates, |update| update.bodies_down)
}

fn content_percent(updates: &[Update]) -> f64 {
    percent(updates, content)
}

fn down_percent(updates: &[Update]) -> f64 {
    percent(updates, |update| update.down)
}

fn percent(updates: &[Update], of: fn(&Update) -> u64) -> f64 {
    let middle =
        |of: fn(&Update) -> u64| u32::try_from(median(updates.iter().map(of).collect())).map_or(f64::NAN, f64::from);
    100.0 * middle(of) / middle(|update| update.tar_gz)
}

fn verdict(reached: bool) -> &'static str {
    if reached { "reached" } else { "missed" }
}

#[cfg(test)]
mod tests {
    //! What the goals are compared with.

    use goldcrest_fleet::FlashCounters;

    use super::{Entry, OURS, bodies_percent, contest_json, heap_goal};
    use crate::device::contest::{Cost, SmallestHeap};
    use crate::device::history::Update;
    use crate::wire::Bytes;

    fn entry(case: &'static str, who: &'static str, heap: u64, seconds: f64) -> Entry {
        let cost = Cost { seconds, bytes: Bytes { up: 1, down: 2 }, flash: FlashCounters::default(), heap_free: 0 };
        let heap = SmallestHeap { bytes: heap, with_emulator: heap + 20_000, below: String::new() };
        Entry { case: (case, case), who: (who, who), cost, heap }
    }

    #[test]
    fn the_heap_goal_is_the_smaller_bound_and_our_worst_update_counts() {
        let entries = |theirs: u64| {
            [
                entry("a", OURS, 30_000, 2.0),
                entry("a", "x", theirs, 1.0),
                entry("b", OURS, 40_000, 1.0),
                entry("b", "x", 9_000, 3.0),
            ]
        };
        assert_eq!(heap_goal(&entries(90_000)), (40_000, 30_000));
        assert_eq!(heap_goal(&entries(900_000)), (40_000, 44 * 1024));
        let json = contest_json(&entries(90_000));
        assert_eq!(json["heap_goal"]["reached"], false);
        assert_eq!((&json["a"]["x"]["time_ratio"], &json["b"]["x"]["time_ratio"]), (&0.5.into(), &3.0.into()));
    }

    #[test]
    fn percent_is_of_the_medians() {
        let update = |tar_gz: u64, bodies_down: u64| Update { tar_gz, bodies_down, ..Update::default() };
        let percent = bodies_percent(&[update(100, 9), update(1_000, 30), update(10_000, 50)]);
        assert!((percent - 3.0).abs() < 1e-9, "{percent}");
    }
}
