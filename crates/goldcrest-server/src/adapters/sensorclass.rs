//! sensorclass: `<feed>/<mac>`, a list of modules with versions for one board; `<feed>/latestversions`; `<feed>/<module><version>.py`.
//!
//! Its later form calls the program `nodename` instead of `name`, asks for `<mac>.config`, and writes modules whose version begins with `!`
//! without it. Each form takes the other's key for a module, and fails; so a list has one of them.
//!
//! A board shows its MAC address and nothing else, so what it runs is concluded from what it does: it asked for its list, fetched every
//! module of it that was new, asked again, and fetched nothing more. One that fetches it all again fell back to what it had before.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use axum::http::Method;
use axum::response::Response;
use goldcrest_core::message::{Report, ReportStage, RunState};
use serde_json::{Map, Value, json};

use super::{Call, bytes, check_basic};
use crate::App;
use crate::adapter::{Adapter, mac};
use crate::content::plain;
use crate::failure::Failure;
use crate::modules::{self, LATER, LATEST, MARK, Module, NAME, Scope, bare};
use crate::rollout::{check_in::Said, report};
use crate::store::{CredentialRow, FeedRow, MacFileRow};

const JSON: &str = "application/json";
const PYTHON: &str = "text/x-python; charset=utf-8";
/// Most boards that are noted without being devices; those heard longest ago go.
const MAX_PENDING: i64 = 1000;
/// A board without a device is noted again after this.
const PENDING_MS: i64 = 60_000;
/// A board that asked this often and fetched nothing has what it was told.
const ASKS_OF_WHO_HAS_IT: i64 = 3;
/// A board that has fetched everything runs it when it asked this often since,
const ASKS_OF_WHO_GOT_IT: i64 = 2;
/// or once, and then fetched nothing for this long.
const QUIET: Duration = Duration::from_secs(10);
/// Who asks from another address within this time is not the board.
const PEER_MS: i64 = 10 * 60_000;
/// A board that fetched a release again this often does not keep it.
const MAX_RELAPSES: i64 = 2;
/// Most boards behind one address whose fetches are told apart.
const MAX_FETCHING: i64 = 64;
/// Most boards whose lists are exported.
const MAX_BOARDS: i64 = 10_000;
/// Most packages that are looked through for `latestversions`.
const MAX_PACKAGES: i64 = 1000;
/// How a board's row says that it has fetched everything.
const NOTHING_MISSING: &str = "[]";

pub(super) async fn answer(
    app: &Arc<App>,
    feed: &FeedRow,
    call: &Call,
    rest: &str,
) -> Result<Option<Response>, Failure> {
    if !call.is_read() || rest.is_empty() || rest.contains('/') {
        return Ok(None);
    }
    check_basic(feed, &call.headers)?;
    let later_form = rest.strip_suffix(".config");
    if let Some(mac) = mac(later_form.unwrap_or(rest)) {
        let known = app.store.credential(Adapter::Sensorclass.as_str(), &mac).await?;
        let Some(known) = known.filter(|known| known.project_id == feed.project_id) else {
            note_pending(app, feed, call, &mac).await?;
            return Ok(None);
        };
        return Ok(Some(bytes(JSON, mac_file(app, feed, call, &known, later_form.is_some()).await?)));
    }
    if rest == "latestversions" {
        return Ok(Some(bytes(JSON, latest_versions(app, feed).await?)));
    }
    let Some(stem) = rest.strip_suffix(".py") else { return Ok(None) };
    if let Some(file) = modules::find(app, feed.project_id, stem).await? {
        if call.method == Method::GET {
            note_fetch(app, feed, call, stem).await?;
        }
        return Ok(Some(bytes(PYTHON, plain(app, &file).await?)));
    }
    // Those that the system keeps without a version: config.py, main.py, updater.py.
    if let Some(module) = of_feed(app, feed).await?.remove(stem) {
        return Ok(Some(bytes(PYTHON, plain(app, &module.file).await?)));
    }
    note_wrong_form(app, feed, call, stem).await?;
    Ok(None)
}

/// The list of one board, as it is told now.
async fn mac_file(
    app: &Arc<App>,
    feed: &FeedRow,
    call: &Call,
    known: &CredentialRow,
    asks_for_later: bool,
) -> Result<Vec<u8>, Failure> {
    let before = app.store.mac_file(known.id).await?;
    let mut told = Told::of(app, feed, known, before.as_ref()).await?;
    if call.method == Method::GET {
        let now_ms = app.clock.now_ms();
        app.heartbeats.beat(known.device_id, now_ms);
        let peer = call.peer.map(|peer| peer.to_string()).unwrap_or_default();
        let is_same_peer = before.as_ref().is_none_or(|before| before.peer == peer);
        let mut row = asked(known, &told, &peer, now_ms, before)?;
        let runs = app.store.running_digest(known.device_id).await?;
        let has_it = is_settled(&row).then(|| row.digest.clone()).flatten();
        Said::runs(has_it.as_deref().or(runs.as_deref())).take(&app.store, known.device_id, now_ms).await?;
        if has_it.is_some() && has_it != runs {
            // What it runs now may open the next stage of a rollout, also for this very board.
            told = Told::of(app, feed, known, Some(&row)).await?;
            if !told.is_that_of(&row)? {
                row = asked(known, &told, &peer, now_ms, Some(row))?;
            }
        }
        write(app, &row).await?;
        if row.missing == NOTHING_MISSING && !is_settled(&row) && is_same_peer {
            tokio::spawn(settle_when_quiet(Arc::clone(app), known.device_id, row));
        }
    }
    Ok(serde_json::to_vec(&told.list(asks_for_later)).context("text is JSON")?)
}

/// What a board is to have.
struct Told {
    /// The module that it runs.
    program: String,
    /// Versions are as they are told, with their marks.
    modules: BTreeMap<String, Module>,
    /// The release behind it.
    digest: Option<String>,
    /// It has the later form, as its settings or the feed's say, else as the board showed.
    is_later: bool,
    may_learn_form: bool,
}

impl Told {
    async fn of(
        app: &Arc<App>,
        feed: &FeedRow,
        known: &CredentialRow,
        before: Option<&MacFileRow>,
    ) -> Result<Self, Failure> {
        let settings: Map<String, Value> =
            serde_json::from_str(&known.settings).context("the settings of a credential are damaged")?;
        let release = app.store.desired_release(known.device_id).await?;
        let device = app.store.device(known.project_id, &known.device).await?.context("a device went away")?;
        let scope = Scope { project_id: known.project_id, package: &device.package, channel: &device.channel };
        let mut modules = match &release {
            Some(release) => modules::of_release(app, release).await?,
            None => BTreeMap::new(),
        };
        let of_feed: Map<String, Value> = serde_json::from_str(&feed.settings).unwrap_or_default();
        let program = program(&settings, &of_feed, &device.package, &modules);
        for (name, version) in modules::pins(&settings)? {
            let wanted = bare(&version);
            let from_release = modules.remove(&name).filter(|_| wanted == LATEST);
            let mut module = match from_release {
                Some(module) => module,
                // It was there when it was pinned; releases don't go away, channels can't lose theirs.
                None => modules::resolve(app, scope, &name, wanted)
                    .await?
                    .with_context(|| format!("{} is to have {name} {version}, which nobody published", known.device))?,
            };
            if version.starts_with(MARK) {
                module.version.insert(0, MARK);
            }
            modules.insert(name, module);
        }
        let program = program.ok_or_else(|| Failure::NotFound("no program: set its name".into()))?;
        let wanted = settings.get(LATER).or_else(|| of_feed.get(LATER)).and_then(Value::as_bool);
        let is_later = wanted.or_else(|| before?.is_later).unwrap_or(false);
        let may_learn_form = wanted.is_none();
        Ok(Self { program, modules, digest: release.map(|release| release.digest), is_later, may_learn_form })
    }

    /// Whether the board was told the same before.
    fn is_that_of(&self, row: &MacFileRow) -> anyhow::Result<bool> {
        Ok(row.digest == self.digest && row.told == serde_json::to_string(&self.versions())?)
    }

    fn versions(&self) -> BTreeMap<String, String> {
        self.modules.iter().map(|(name, module)| (name.clone(), module.version.clone())).collect()
    }

    /// As the board reads it.
    fn list(&self, asked_for_later: bool) -> BTreeMap<String, String> {
        let mut list = self.versions();
        let key = if asked_for_later || self.is_later { LATER } else { NAME };
        list.insert(key.into(), self.program.clone());
        list
    }
}

/// Everything that a feed's boards could ask for now, for a folder of a web server: lists by name, then modules by the file's name without `.py`.
pub(super) async fn export(app: &Arc<App>, feed: &FeedRow) -> Result<Value, Failure> {
    let mut lists: BTreeMap<String, BTreeMap<String, String>> = BTreeMap::new();
    let mut files: BTreeMap<String, Value> = BTreeMap::new();
    let mut left: Vec<String> = Vec::new();
    let mut add = |name: &str, module: &Module| {
        let shown = json!({"digest": module.file.digest, "size": module.file.size});
        files.insert(format!("{name}{}", bare(&module.version)), shown);
    };
    for known in app.store.credentials_in(feed.project_id, Adapter::Sensorclass.as_str(), MAX_BOARDS).await? {
        let before = app.store.mac_file(known.id).await?;
        match Told::of(app, feed, &known, before.as_ref()).await {
            Ok(told) => {
                for (name, module) in &told.modules {
                    add(name, module);
                }
                if told.is_later {
                    lists.insert(format!("{}.config", known.name), told.list(true));
                }
                lists.insert(known.name.clone(), told.list(false));
            }
            Err(Failure::NotFound(why)) => left.push(format!("{}: {why}", known.device)),
            Err(failure) => return Err(failure),
        }
    }
    let latest = latest(app, feed).await?;
    for (name, module) in &latest {
        add(name, module);
    }
    for (name, module) in of_feed(app, feed).await? {
        files.insert(name, json!({"digest": module.file.digest, "size": module.file.size}));
    }
    lists.insert("latestversions".into(), latest.into_iter().map(|(name, module)| (name, module.version)).collect());
    Ok(json!({"lists": lists, "modules": files, "left": left}))
}

/// The module that the board shall run: the device's setting, the feed's, the module of the package's own name, `main`, or the only one.
fn program(
    settings: &Map<String, Value>,
    of_feed: &Map<String, Value>,
    package: &str,
    list: &BTreeMap<String, Module>,
) -> Option<String> {
    if let Some(name) = settings.get(NAME).or_else(|| of_feed.get(NAME)).and_then(Value::as_str) {
        return Some(name.to_owned());
    }
    let own = list
        .keys()
        .find(|name| name.eq_ignore_ascii_case(package) || name.eq_ignore_ascii_case(&package.replace('-', "_")));
    let only = list.keys().next().filter(|_| list.len() == 1);
    own.or_else(|| list.keys().find(|name| *name == "main")).or(only).cloned()
}

/// Whether the board has what it was told: it asked again and again and fetched nothing more.
fn is_settled(row: &MacFileRow) -> bool {
    let asks = if row.missing == NOTHING_MISSING { ASKS_OF_WHO_GOT_IT } else { ASKS_OF_WHO_HAS_IT };
    row.idle_asks >= asks
}

/// What is known of a board after it asked and was told this.
fn asked(
    known: &CredentialRow,
    told: &Told,
    peer: &str,
    now_ms: i64,
    before: Option<MacFileRow>,
) -> anyhow::Result<MacFileRow> {
    let versions = told.versions();
    let told_text = serde_json::to_string(&versions)?;
    let peer = peer.to_owned();
    let (has, is_later) = match before {
        // Somebody else who looks at its list, while the board is about.
        Some(before) if told.is_that_of(&before)? && before.peer != peer && now_ms - before.asked_ms < PEER_MS => {
            return Ok(before);
        }
        Some(before) if told.is_that_of(&before)? => {
            let row = MacFileRow { idle_asks: before.idle_asks + 1, peer, asked_ms: now_ms, ..before };
            let relapses = if is_settled(&row) { 0 } else { row.relapses };
            return Ok(MacFileRow { relapses, ..row });
        }
        Some(before) if is_settled(&before) => (before.told, before.is_later),
        Some(before) => (before.has, before.is_later),
        None => ("{}".to_owned(), None),
    };
    let missing = serde_json::to_string(&new_files(&versions, &has)?)?;
    let digest = told.digest.clone();
    let (credential_id, asked_ms) = (known.id, now_ms);
    let (fetched, idle_asks, relapses) = (0, 1, 0);
    Ok(MacFileRow {
        credential_id,
        digest,
        told: told_text,
        has,
        missing,
        fetched,
        idle_asks,
        peer,
        is_later,
        asked_ms,
        relapses,
    })
}

/// The files of `versions` that who has `has` does not have.
fn new_files(versions: &BTreeMap<String, String>, has: &str) -> anyhow::Result<Vec<String>> {
    let old: BTreeMap<String, String> = serde_json::from_str(has)?;
    let is_new = |(name, version): &(&String, &String)| old.get(*name) != Some(version);
    Ok(versions.iter().filter(is_new).map(|(name, version)| format!("{name}{}", bare(version))).collect())
}

async fn write(app: &App, row: &MacFileRow) -> anyhow::Result<()> {
    let mut writing = app.store.begin().await?;
    writing.set_mac_file(row).await?;
    writing.commit().await
}

/// A board that has fetched everything asked once more: if it fetches nothing of it again now, it runs it.
async fn settle_when_quiet(app: Arc<App>, device_id: i64, row: MacFileRow) {
    tokio::time::sleep(QUIET).await;
    let settle = async {
        let Some(now) = app.store.mac_file(row.credential_id).await? else { return Ok(()) };
        if (now.asked_ms, now.idle_asks, &now.told) != (row.asked_ms, row.idle_asks, &row.told) {
            return Ok(());
        }
        write(&app, &MacFileRow { idle_asks: ASKS_OF_WHO_GOT_IT, ..now }).await?;
        Said::runs(row.digest.as_deref()).take(&app.store, device_id, app.clock.now_ms()).await?;
        anyhow::Ok(())
    };
    if let Err(error) = settle.await {
        tracing::error!(
            error = format!("{error:#}"),
            device.id = device_id,
            "what a sensorclass board runs was not noted"
        );
    }
}

/// A board took the key of the other form for a module, and asked for its file: the next list is in its own form.
async fn note_wrong_form(app: &Arc<App>, feed: &FeedRow, call: &Call, stem: &str) -> Result<(), Failure> {
    let (is_later, program) = match (stem.strip_prefix(LATER), stem.strip_prefix(NAME)) {
        (Some(program), _) => (false, program),
        (None, Some(program)) => (true, program),
        (None, None) => return Ok(()),
    };
    let Some(peer) = call.peer.filter(|_| call.method == Method::GET) else { return Ok(()) };
    for (known, row) in app.store.mac_files_at(feed.project_id, &peer.to_string(), MAX_FETCHING).await? {
        // Of several behind one address it is the one that asked last: it asks for its modules right after its list.
        if let Ok(told) = Told::of(app, feed, &known, Some(&row)).await
            && told.program == program
            && told.may_learn_form
            && told.is_later != is_later
        {
            tracing::info!(device = known.device, is_later, "a sensorclass board showed the form of its list");
            write(app, &MacFileRow { is_later: Some(is_later), ..row }).await?;
            break;
        }
    }
    Ok(())
}

/// A module was fetched: by which boards, the address tells.
async fn note_fetch(app: &App, feed: &FeedRow, call: &Call, stem: &str) -> anyhow::Result<()> {
    let Some(peer) = call.peer else { return Ok(()) };
    let boards = app.store.mac_files_at(feed.project_id, &peer.to_string(), MAX_FETCHING).await?;
    let is_alone = boards.len() == 1;
    for (known, row) in boards {
        let mut missing: Vec<String> = serde_json::from_str(&row.missing)?;
        let before = missing.len();
        missing.retain(|name| *name != stem);
        if missing.len() < before {
            let is_first = row.fetched == 0 && row.relapses == 0;
            let digest = row.digest.clone().filter(|_| is_first);
            let missing = serde_json::to_string(&missing)?;
            write(app, &MacFileRow { missing, fetched: row.fetched + 1, idle_asks: 0, ..row }).await?;
            if let Some(digest) = digest {
                tell(app, known.device_id, &digest, ReportStage::Downloading).await?;
            }
        } else if is_alone {
            note_relapse(app, known.device_id, row, stem).await?;
        }
    }
    Ok(())
}

/// A board fetches what it seemed to have: it did not keep it, or fell back to its alternate list.
async fn note_relapse(app: &App, device_id: i64, row: MacFileRow, stem: &str) -> anyhow::Result<()> {
    let versions: BTreeMap<String, String> = serde_json::from_str(&row.told)?;
    let mut missing = new_files(&versions, &row.has)?;
    let before = missing.len();
    missing.retain(|name| name != stem);
    if missing.len() == before || row.missing != NOTHING_MISSING || row.idle_asks == 0 {
        return Ok(());
    }
    let (was_settled, relapses) = (is_settled(&row), row.relapses + 1);
    let digest = row.digest.clone();
    let missing = serde_json::to_string(&missing)?;
    write(app, &MacFileRow { missing, fetched: 1, idle_asks: 0, relapses, ..row }).await?;
    if was_settled {
        // It does not run what it was believed to run; what it runs instead nobody knows. Its list stays.
        let said = Said { state: RunState::Trial, ..Said::runs(None) };
        said.take(&app.store, device_id, app.clock.now_ms()).await?;
    }
    if let Some(digest) = digest.filter(|_| relapses == MAX_RELAPSES) {
        tell(app, device_id, &digest, ReportStage::RolledBack).await?;
    }
    Ok(())
}

/// Reports what the board does not.
async fn tell(app: &App, device_id: i64, digest: &str, stage: ReportStage) -> anyhow::Result<()> {
    let is_failure = stage == ReportStage::RolledBack;
    let detail = "it fetched the release again and again: it cannot save it, or falls back to its alternate list";
    let report = Report {
        stage,
        release: Some(digest.parse()?),
        reason: is_failure.then(|| "error".to_owned()),
        detail: is_failure.then(|| detail.to_owned()),
        trace: None,
        facts: BTreeMap::default(),
    };
    report::take(&app.store, device_id, &report, app.clock.now_ms()).await
}

async fn latest_versions(app: &App, feed: &FeedRow) -> anyhow::Result<Vec<u8>> {
    let list: BTreeMap<String, String> =
        latest(app, feed).await?.into_iter().map(|(name, module)| (name, module.version)).collect();
    Ok(serde_json::to_vec(&list)?)
}

/// The newest version of every module: those of the feed's package, and every package that is one module.
async fn latest(app: &App, feed: &FeedRow) -> anyhow::Result<BTreeMap<String, Module>> {
    let mut list = BTreeMap::new();
    for package in app.store.packages(feed.project_id, "", MAX_PACKAGES).await? {
        let scope = Scope { project_id: feed.project_id, package: &package.name, channel: &feed.channel };
        let Some(channel) = app.store.channel(scope.project_id, scope.package, scope.channel).await? else { continue };
        let release = app.store.release(scope.project_id, scope.package, &channel.version).await?;
        let Some(release) = release.filter(|release| release.file_count == 1) else { continue };
        list.extend(modules::of_release(app, &release).await?);
    }
    list.extend(of_feed(app, feed).await?);
    Ok(list)
}

/// The modules that the feed's channel points at.
async fn of_feed(app: &App, feed: &FeedRow) -> anyhow::Result<BTreeMap<String, Module>> {
    let Some(package) = feed.package.as_deref() else { return Ok(BTreeMap::new()) };
    let Some(channel) = app.store.channel(feed.project_id, package, &feed.channel).await? else {
        return Ok(BTreeMap::new());
    };
    match app.store.release(feed.project_id, package, &channel.version).await? {
        Some(release) => modules::of_release(app, &release).await,
        None => Ok(BTreeMap::new()),
    }
}

async fn note_pending(app: &App, feed: &FeedRow, call: &Call, mac: &str) -> anyhow::Result<()> {
    let (adapter, now_ms) = (Adapter::Sensorclass.as_str(), app.clock.now_ms());
    let last_ms = app.store.pending_board_since(feed.project_id, adapter, mac).await?;
    if call.method != Method::GET || last_ms.is_some_and(|last_ms| now_ms - last_ms < PENDING_MS) {
        return Ok(());
    }
    let mut writing = app.store.begin().await?;
    writing.note_pending_board(feed.project_id, adapter, mac, &feed.path, now_ms, MAX_PENDING).await?;
    writing.commit().await
}
