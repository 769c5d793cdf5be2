//! Facts of a board: an object of its own names, or the agent's values in the order of docs/protocol.md, "Facts".

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;

type Facts = BTreeMap<String, Value>;

/// Reads facts of either form. A value of another kind than expected is left out.
pub(super) fn named<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Facts, D::Error> {
    Ok(match Value::deserialize(deserializer)? {
        Value::Object(facts) => facts.into_iter().collect(),
        Value::Array(values) => of_agent(&values),
        _ => Facts::new(),
    })
}

fn of_agent(values: &[Value]) -> Facts {
    let [agent, micropython, mpy, machine, platform, board, flash, fat, heap_free, reset_cause, tries, state, ..] =
        values
    else {
        return Facts::new();
    };
    // os.statvfs: block size, fragment size, blocks, free blocks, available blocks, files, ...
    let flash = |index: usize| flash.get(index).and_then(Value::as_u64);
    let bytes = |block: usize, count: usize| Some(Value::from(flash(block)?.checked_mul(flash(count)?)?));
    let filesystem = match (fat.as_u64(), flash(5)) {
        (Some(0), Some(0)) => "littlefs2", // which counts no files
        (Some(0), _) => "other",
        _ => "fat",
    };
    let board = if board.is_string() { board } else { platform };
    let facts = [
        ("agent", Some(agent.clone())),
        ("board", Some(board.clone())),
        ("filesystem", Some(filesystem.into())),
        ("flash_free", bytes(0, 3)),
        ("flash_size", bytes(1, 2)),
        ("heap_free", Some(heap_free.clone())),
        ("machine", Some(machine.clone())),
        ("micropython", version(micropython)),
        ("mpy", Some(mpy.clone())),
        ("platform", Some(platform.clone())),
        ("reset_cause", Some(reset_cause.clone())),
        ("safe", Some((state == "safe").into())),
        ("tries", Some(tries.clone())),
    ];
    facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
}

/// `1.29.0` of `sys.implementation.version`, which is `(1, 29, 0, "preview")`.
fn version(of: &Value) -> Option<Value> {
    let numbers: Vec<String> =
        of.as_array()?.iter().filter_map(Value::as_u64).map(|number| number.to_string()).collect();
    (!numbers.is_empty()).then(|| numbers.join(".").into())
}
