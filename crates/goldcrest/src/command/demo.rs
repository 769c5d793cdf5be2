//! `goldcrest demo`: a server and virtual boards in one process, an update for all of them, and one that goes wrong.

mod launcher;
mod result;
mod scene;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use self::result::Tally;
use self::scene::{DemoBoard, Scene};
use crate::Result;
use crate::context::Context;
use crate::failure::{Exit, Failure};
use crate::webboard::{self, Edition, MICRODOT};

const FIRST: Edition<'_> = Edition { version: "1.0.0", colour: "teal", microdot: MICRODOT[0], fault: "" };
const SECOND: Edition<'_> = Edition { version: "1.1.0", colour: "darkorange", microdot: MICRODOT[1], fault: "" };
const BROKEN: Edition<'_> =
    Edition { version: "1.2.0", colour: "crimson", microdot: MICRODOT[1], fault: "import thermometer\n" };
/// What the project is left at: good, and not yet published.
const NEXT: Edition<'_> = Edition { version: "1.3.0", colour: "rebeccapurple", microdot: MICRODOT[1], fault: "" };

const DEFAULT_DATA: &str = "./goldcrest-demo";
/// An update of all boards, at a poll each second, takes a few seconds; a machine under load gets this.
const UPDATE_LIMIT: Duration = Duration::from_mins(3);

/// Options of `demo`.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Virtual boards to run
    #[arg(long, value_name = "NUMBER", default_value_t = 5, value_parser = clap::value_parser!(u16).range(2..=50))]
    boards: u16,
    /// End after the story instead of leaving server and boards up; exit code 1 unless everything held
    #[arg(long)]
    once: bool,
    /// Folder for the server, the boards, the keys and the application [default: ./goldcrest-demo, with --once a temporary one]
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Address of the server; with --once another port is taken when this one is in use
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8700")]
    listen: SocketAddr,
    /// Where microdot is kept between runs [default: in the folder of the demo]
    #[arg(long, value_name = "DIR", env = "GOLDCREST_DOWNLOADS", hide_env_values = true)]
    downloads: Option<PathBuf>,
}

pub(crate) fn run(args: &Args, context: &Context) -> Result<()> {
    let started = Instant::now();
    let temporary = tempfile::tempdir().map_err(|e| Failure::failed(format!("cannot make a temporary folder: {e}")))?;
    let data = match &args.data {
        Some(data) => data.clone(),
        None if args.once => temporary.path().join("demo"),
        None => PathBuf::from(DEFAULT_DATA),
    };
    let downloads = args.downloads.clone().unwrap_or_else(|| data.join("downloads"));
    let mut scene = Scene::open(&data, args, context)?;
    let tally = if scene.is_new { Some(story(&mut scene, &downloads, context)?) } else { None };
    if let Some(tally) = &tally {
        let line = tally.closing(started.elapsed());
        context.output.result(&line, || if args.once { line.to_text() } else { next_steps(&scene) });
        if !tally.holds() {
            return Err(Failure::failed(format!("the demo did not end as it should: {line:?}"))
                .hint(format!("read the logs in {}, kept with --data", data.display())));
        }
    } else {
        context.output.result(&json!({"boards": scene.boards.len(), "url": scene.url}), || next_steps(&scene));
    }
    if !args.once {
        context.output.note("Ctrl-C ends it; the same command takes it up again.");
        scene.wait_for_interrupt()?;
    }
    scene.close()
}

fn story(scene: &mut Scene, downloads: &Path, context: &Context) -> Result<Tally> {
    let say = |text: &str| context.output.note(text);
    say(&format!("server    {}   data {}", scene.url, scene.data.display()));
    scene.write_app(FIRST, downloads)?;
    scene.goldcrest(&["keygen"])?;
    publish(scene, FIRST, &["--channel", "stable"], context)?;

    let since = Instant::now();
    scene.make_boards()?;
    let names: Vec<&str> = scene.boards.iter().map(|board| board.name.as_str()).collect();
    say(&format!("boards    {}   MicroPython, 2 MiB littlefs each, nothing on them but the agent", names.join(" ")));
    scene.wait_until_all_run(FIRST.version, UPDATE_LIMIT)?;
    say(&format!("          all {} took {} as their first update, {}", names.len(), FIRST.version, took(since)));
    let before = scene.pages(FIRST)?;
    say(&format!("          {}", before.join("\n          ")));

    scene.write_app(SECOND, downloads)?;
    publish(scene, SECOND, &[], context)?;
    let since = Instant::now();
    let rollout = scene.roll_out(SECOND.version, UPDATE_LIMIT)?;
    say(&format!("rollout   {}: one canary, then all: {}, {}", SECOND.version, result::state(&rollout), took(since)));
    let after = scene.pages(SECOND)?;
    say(&format!("          {}", after.join("\n          ")));

    scene.write_app(BROKEN, downloads)?;
    publish(scene, BROKEN, &[], context)?;
    let since = Instant::now();
    let rollout = scene.roll_out(BROKEN.version, UPDATE_LIMIT)?;
    say(&format!(
        "rollout   {} imports a module that is not there: {}, {}",
        BROKEN.version,
        result::state(&rollout),
        took(since)
    ));
    say(&result::told(&rollout));
    let tally = Tally::read(&scene.client, SECOND.version, BROKEN.version)?;
    // Every board, the canary too, serves the good release.
    let pages = scene.pages(SECOND)?;
    say(&format!(
        "          {} boards serve {}, {} of them never saw {}",
        pages.len(),
        SECOND.version,
        tally.untouched,
        BROKEN.version
    ));
    scene.write_app(NEXT, downloads)?;
    scene.finish()?;
    Ok(tally)
}

fn publish(scene: &Scene, edition: Edition<'_>, options: &[&str], context: &Context) -> Result<Value> {
    let app = scene.app_folder();
    let app = app.to_string_lossy();
    let mut words = vec!["publish", "--project", &app];
    words.extend(options);
    let published = scene.goldcrest(&words)?;
    let files = published["files"].as_array().map_or(0, Vec::len);
    context.output.note(&format!(
        "release   {} {} with microdot {}: {files} files, {} on the wire, signed by key {}",
        webboard::PACKAGE,
        edition.version,
        edition.microdot,
        crate::output::size(published["wire_size"].as_u64().unwrap_or(0)),
        published["key_id"].as_str().unwrap_or("-"),
    ));
    Ok(published)
}

fn took(since: Instant) -> String {
    format!("{:.1} s", since.elapsed().as_secs_f64())
}

fn next_steps(scene: &Scene) -> String {
    let program = shown(&scene.data.join(launcher::NAME));
    let app = shown(&scene.app_folder());
    let mut text = format!("\nserver    {}\n", scene.url);
    for DemoBoard { name, port, board } in &scene.boards {
        text += &format!("{name:<9} http://127.0.0.1:{port}   log {}\n", shown(&board.log_path()));
    }
    text += "\nNow you, in a second terminal:\n";
    text += &if scene.is_new {
        format!("  {} is prepared, in {}: one canary, then the rest\n", NEXT.version, NEXT.colour)
    } else {
        format!("  change {app}/look.py, raise the version there and in goldcrest.toml; one canary, then the rest\n")
    };
    text += &format!("    {program} deploy --project {app} --canary 1 --wait\n");
    text += "  what the boards run, what one of them went through\n";
    text += &format!("    {program} device list\n");
    text += &format!("    {program} device events {}\n", scene.boards.first().map_or("kitchen", |board| &board.name));
    text
}

/// A path as one would type it here.
fn shown(path: &Path) -> String {
    let here = std::env::current_dir().ok();
    let below = here.and_then(|here| path.strip_prefix(here).ok().map(Path::to_path_buf));
    below.unwrap_or_else(|| path.to_owned()).display().to_string()
}

/// What a wait for a state of the server says when it takes too long.
fn too_long(what: &str, seen: &Value) -> Failure {
    let devices = ["devices", "deployments"].iter().find_map(|key| seen[*key].as_array());
    let word = |entry: &Value| {
        let name = entry["device"].as_str().or(entry["name"].as_str()).unwrap_or("-");
        format!("{name} {}", entry["state"].as_str().unwrap_or("-"))
    };
    let seen = devices.map_or_else(|| seen.to_string(), |all| all.iter().map(word).collect::<Vec<_>>().join(", "));
    Failure::new(Exit::Failed, format!("{what}; the last state: {seen}")).named("timeout")
}
