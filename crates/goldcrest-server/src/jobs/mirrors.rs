//! Looks at the git repositories behind feeds: mirrors are fetched, and a branch that moved is a release that somebody has to sign.
//!
//! Each repository has its interval, and is looked at once more when its origin calls. Orders that come while a look is under way
//! become one more look after it.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::App;
use crate::git::{self, Blob, GitSettings, Kind, Repository, Sha};
use crate::store::{FeedRow, GitFeedRow};

/// Repositories that are looked at at the same time.
const MAX_LOOKS: usize = 4;
/// Longest pause between two rounds; an order ends it.
const ROUND: Duration = Duration::from_secs(30);
/// Shortest pause: intervals are no finer.
const SHORTEST_ROUND: Duration = Duration::from_secs(1);
/// Most entries of a tree that are looked at for what publishing refuses.
const MAX_EXAMINED: usize = 20_000;
/// Most folders in one another that are looked into.
const MAX_DEPTH: usize = 64;
/// Most things that are told of a tree.
const MAX_TROUBLE: usize = 20;
/// Most bytes of an error that are kept.
const MAX_ERROR: usize = 500;
/// Files up to this size may be pointers of git LFS.
const LFS_POINTER_MAX: u64 = 1024;

/// The orders of the job.
#[derive(Debug, Default)]
pub(crate) struct Mirrors {
    wished: Mutex<BTreeSet<i64>>,
    woken: Notify,
}

impl Mirrors {
    /// Orders a look at the repository of a feed, and does not wait for it.
    pub(crate) fn look(&self, feed_id: i64) {
        self.wished().insert(feed_id);
        self.woken.notify_one();
    }

    fn wished(&self) -> std::sync::MutexGuard<'_, BTreeSet<i64>> {
        self.wished.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Looks until `stop`.
pub(crate) async fn run(app: &Arc<App>, stop: CancellationToken) {
    let interrupt = Arc::new(AtomicBool::new(false));
    let mut looks: JoinSet<i64> = JoinSet::new();
    let mut under_way = BTreeSet::new();
    loop {
        let pause = round(app, &mut looks, &mut under_way, &interrupt).await.unwrap_or_else(|error| {
            tracing::error!(error = format!("{error:#}"), "git repositories were not looked at");
            ROUND
        });
        tokio::select! {
            () = stop.cancelled() => break,
            () = app.mirrors.woken.notified() => {}
            Some(ended) = looks.join_next(), if !looks.is_empty() => {
                // A look that panicked leaves its feed under way: it would panic again.
                if let Ok(feed_id) = ended {
                    under_way.remove(&feed_id);
                }
            }
            () = tokio::time::sleep(pause) => {}
        }
    }
    interrupt.store(true, Ordering::Relaxed);
}

/// Begins the looks that are due; how long until the next one is.
async fn round(
    app: &Arc<App>,
    looks: &mut JoinSet<i64>,
    under_way: &mut BTreeSet<i64>,
    interrupt: &Arc<AtomicBool>,
) -> anyhow::Result<Duration> {
    let feeds = app.store.feeds_of("gogs").await?;
    let kept: BTreeSet<i64> = feeds.iter().map(|feed| feed.id).chain(under_way.iter().copied()).collect();
    sweep(app, &kept);
    let now_ms = app.clock.now_ms();
    let mut pause = ROUND;
    for feed in feeds {
        let Ok(settings) = GitSettings::parse(&feed.settings) else { continue };
        if !settings.is_git() || under_way.contains(&feed.id) {
            continue;
        }
        let seen = app.store.git_feed(feed.id).await?;
        let due_ms = seen.as_ref().map_or(now_ms, |seen| seen.looked_ms.saturating_add(settings.interval_ms()));
        let is_wished = app.mirrors.wished().contains(&feed.id);
        if due_ms > now_ms && !is_wished {
            let left_ms = u64::try_from(due_ms - now_ms).unwrap_or(u64::MAX);
            pause = pause.min(Duration::from_millis(left_ms)).max(SHORTEST_ROUND);
            continue;
        }
        if looks.len() == MAX_LOOKS {
            break;
        }
        app.mirrors.wished().remove(&feed.id);
        under_way.insert(feed.id);
        let (app, interrupt) = (Arc::clone(app), Arc::clone(interrupt));
        looks.spawn(async move {
            let feed_id = feed.id;
            if let Err(error) = look(&app, feed, settings, seen.unwrap_or_default(), interrupt).await {
                tracing::error!(feed.id = feed_id, error = format!("{error:#}"), "a look was not recorded");
                // It is due again at once: the next one may fail in the same way.
                tokio::time::sleep(ROUND).await;
            }
            feed_id
        });
    }
    Ok(pause)
}

/// Removes the mirrors of feeds that are gone.
fn sweep(app: &App, kept: &BTreeSet<i64>) {
    let Ok(found) = std::fs::read_dir(app.repositories.folder()) else { return };
    for entry in found.flatten() {
        let name = entry.file_name();
        let id = name.to_str().and_then(|name| name.strip_suffix(".git")?.parse::<i64>().ok());
        if id.is_some_and(|id| !kept.contains(&id)) {
            match std::fs::remove_dir_all(entry.path()) {
                Ok(()) => tracing::info!(feed.id = id, "the mirror of a removed feed was removed"),
                Err(error) => tracing::warn!(feed.id = id, error = %error, "a mirror is not removed"),
            }
        }
    }
}

async fn look(
    app: &Arc<App>,
    feed: FeedRow,
    settings: GitSettings,
    seen: GitFeedRow,
    interrupt: Arc<AtomicBool>,
) -> anyhow::Result<()> {
    let (shared, known) = (Arc::clone(app), seen.clone());
    let has_package = feed.package.is_some();
    let (told, found) = oneshot::channel();
    // A thread of its own: a remote that says nothing must not hold up the end of the server.
    let thread = std::thread::Builder::new().name(format!("git-{}", feed.id));
    let feed_id = feed.id;
    thread.spawn(move || {
        let found = examine(&shared, feed_id, &settings, &known, has_package, &interrupt);
        // Nobody waits any more: the server stops.
        drop(told.send(found));
    })?;
    let found = found.await.context("the look died")?;
    let now_ms = app.clock.now_ms();
    let mut row = GitFeedRow { feed_id, looked_ms: now_ms, error: None, ..seen };
    match found {
        Ok(Some(tip)) => {
            let sha = Some(tip.id.to_string());
            if row.sha != sha || row.branch.as_ref() != Some(&tip.branch) {
                tracing::info!(feed.id = feed_id, git.branch = tip.branch, git.commit = %tip.id, "a branch moved");
                row.moved_ms = Some(now_ms);
                row.is_pending = i64::from(has_package);
                row.trouble = serde_json::to_string(&tip.trouble)?;
            }
            row.sha = sha;
            row.branch = Some(tip.branch);
        }
        Ok(None) => row = GitFeedRow { feed_id, looked_ms: now_ms, trouble: "[]".into(), ..GitFeedRow::default() },
        Err(error) => {
            tracing::warn!(feed.id = feed_id, error = format!("{error:#}"), "a repository can't be looked at");
            row.error = Some(format!("{error:#}").chars().take(MAX_ERROR).collect());
        }
    }
    if row.trouble.is_empty() {
        row.trouble = "[]".into();
    }
    let mut writing = app.store.begin().await?;
    writing.set_git_feed(&row).await?;
    writing.commit().await
}

/// Where a branch is, and what publishing would refuse there.
struct Tip {
    branch: String,
    id: Sha,
    trouble: Vec<String>,
}

/// Fetches a mirror, and looks where its branch is. `None` while the repository is empty.
fn examine(
    app: &App,
    feed_id: i64,
    settings: &GitSettings,
    seen: &GitFeedRow,
    has_package: bool,
    interrupt: &AtomicBool,
) -> anyhow::Result<Option<Tip>> {
    if let Some(remote) = &settings.remote {
        let remote = app.repositories.check_remote(remote)?;
        git::fetch(&app.repositories.mirror(feed_id), &remote, interrupt)?;
    }
    let repository = app.repositories.open(feed_id, settings)?;
    let Some(branch) = settings.branch.clone().map_or_else(|| repository.default_branch(), |name| Ok(Some(name)))?
    else {
        return Ok(None);
    };
    let Some(id) = repository.commit_of_ref(&format!("refs/heads/{branch}"))? else {
        let is_empty = repository.branches()?.is_empty();
        anyhow::ensure!(is_empty, "the repository has no branch {branch:?}: name one of its branches in the settings");
        return Ok(None);
    };
    let mut trouble = Vec::new();
    if has_package && seen.sha.as_deref() != Some(&id.to_string()) {
        let commit = repository.commit(id)?.context("a branch without a commit")?;
        let mut left = MAX_EXAMINED;
        search(&repository, commit.tree, Path::new(""), MAX_DEPTH, &mut left, &mut trouble)?;
    }
    Ok(Some(Tip { branch, id, trouble }))
}

/// Looks for what `goldcrest publish --git` refuses.
fn search(
    repository: &Repository,
    tree: Sha,
    above: &Path,
    depth: usize,
    left: &mut usize,
    trouble: &mut Vec<String>,
) -> anyhow::Result<()> {
    for entry in repository.tree(tree)?.unwrap_or_default() {
        if *left == 0 || depth == 0 || trouble.len() == MAX_TROUBLE {
            return Ok(());
        }
        *left -= 1;
        let path = above.join(&entry.name);
        let shown = path.display();
        match entry.kind {
            Kind::Folder => search(repository, entry.id, &path, depth - 1, left, trouble)?,
            Kind::Submodule => trouble.push(format!("{shown} is a submodule: its files are in another repository")),
            Kind::Symlink => {}
            Kind::File | Kind::Executable => {
                let small = repository.blob(entry.id, LFS_POINTER_MAX)?;
                if matches!(small, Some(Blob::Whole(bytes)) if git::is_lfs_pointer(&bytes)) {
                    trouble.push(format!("{shown} is a pointer of git LFS: its content is not in the repository"));
                }
            }
        }
    }
    Ok(())
}
