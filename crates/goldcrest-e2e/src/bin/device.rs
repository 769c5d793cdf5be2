//! `cargo xtask bench device`: our agent against `micropython-ota`, and the bytes of microdot's history. Prints tables, with `--json` one line.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "its output is its result")]

use anyhow::{Result, bail};
use goldcrest_e2e::device::contest::Contestant;
use goldcrest_e2e::device::history::{self, Packing};
use goldcrest_e2e::device::nginx::Nginx;
use goldcrest_e2e::device::payload::{self, Case};
use goldcrest_e2e::device::sdists::Sdists;
use goldcrest_e2e::device::table::{Entry, OURS, contest_json, contest_text, history_json, history_text};
use goldcrest_e2e::device::theirs::Form;
use goldcrest_e2e::device::{ours, theirs};
use goldcrest_fleet::Micropython;
use serde_json::json;

const FORMS: [(Form, &str, &str); 2] = [
    (Form::Source, "micropython_ota_py", "micropython-ota (.py)"),
    (Form::Bytecode, "micropython_ota_mpy", "micropython-ota (.mpy)"),
];

#[tokio::main]
async fn main() -> Result<()> {
    let (mut is_json, mut is_contest, mut is_history) = (false, true, true);
    for argument in std::env::args().skip(1) {
        match argument.as_str() {
            "--json" => is_json = true,
            "--contest" => is_history = false,
            "--history" => is_contest = false,
            other => bail!("it takes --json, --contest and --history, not {other:?}"),
        }
    }
    let sdists = Sdists::fetch()?;
    let mut result = json!({});
    if is_contest {
        let entries = contest(&sdists).await?;
        result["contest"] = contest_json(&entries);
        if !is_json {
            println!("{}", contest_text(&entries));
        }
    }
    if is_history {
        let source = history::updates(&sdists, Packing::Source).await?;
        let bytecode = history::updates(&sdists, Packing::Bytecode).await?;
        result["microdot"] = history_json(&source, &bytecode);
        if !is_json {
            print!("{}", history_text(&source, &bytecode));
        }
    }
    if is_json {
        println!("{result}");
    }
    Ok(())
}

async fn contest(sdists: &Sdists) -> Result<Vec<Entry>> {
    let folder = tempfile::tempdir()?;
    // First of all: without it there is nothing to compare with.
    let nginx = Nginx::start(folder.path())?;
    let micropython = Micropython::find(None)?;
    let trees = [sdists.package("microdot", "2.7.0"), sdists.package("microdot", "2.3.1")];
    let text = payload::source_text(&[&trees[0], &trees[1]])?;
    let cases = payload::cases(&text)?;
    let bench = ours::bench("3072")?;
    let mut entries = Vec::new();
    for case in &cases {
        let contestant = ours::prepare(&bench, &micropython, case).await?;
        entries.push(measure(case, (OURS, OURS), &contestant).await?);
        for (form, key, title) in FORMS {
            let contestant = theirs::prepare(&nginx, sdists, &micropython, folder.path(), case, form).await?;
            entries.push(measure(case, (key, title), &contestant).await?);
        }
    }
    Ok(entries)
}

async fn measure(case: &Case, who: (&'static str, &'static str), contestant: &Contestant<'_>) -> Result<Entry> {
    eprintln!("measuring {}: {}", who.1, case.title);
    let cost = contestant.cost().await?;
    let heap = contestant.smallest_heap().await?;
    eprintln!("  {} bytes of heap; with a step less: {}", heap.bytes, heap.below);
    Ok(Entry { case: (case.key, case.title), who, cost, heap })
}
