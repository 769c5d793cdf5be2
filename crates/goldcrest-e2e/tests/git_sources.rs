//! Our agent pulls from git servers: Gogs, Gitea and GitHub (emulated over a real repository), and from our own server in Gogs' words.

use anyhow::{Context, Result, ensure};
use goldcrest_e2e::bench::Bench;
use goldcrest_e2e::emulators::git::{Account, Forge, GitServer};
use goldcrest_e2e::origin::Origin;
use goldcrest_e2e::rig::{LIMIT, program, user_files};
use goldcrest_fleet::{Board, Events, Tree};
use serde_json::{Value, json};

const ACCOUNT: Account = Account { user: "ann", token: "t0ken" };
/// A file that stays the same in every commit.
const SAME: &[u8] = b"SAME = 'in every commit'\n";

/// A repository, and a board whose agent pulls its folder `src`.
struct Scene {
    bench: Bench,
    origin: Origin,
    board: Option<Board>,
    events: Option<Events>,
}

impl Scene {
    fn new() -> Result<Self> {
        let bench =
            Bench::start_with("2048", |folder| vec!["--git-root".into(), folder.to_string_lossy().into_owned()])?;
        let origin = Origin::new(&bench.path("origin"))?;
        Ok(Self { bench, origin, board: None, events: None })
    }

    /// Commits a program that says its version, and pushes it.
    fn push(&self, version: &str, main: &[u8]) -> Result<()> {
        let name = format!("NAME = '{version}'\n");
        let files: [(&str, &[u8]); 4] =
            [("main.py", main), ("lib/name.py", name.as_bytes()), ("lib/same.py", SAME), ("empty.txt", b"")];
        self.origin.replace("src", &files)?;
        self.origin.replace(".", &[("README.md", version.as_bytes())])?;
        self.origin.push(version).map(drop)
    }

    /// Makes the board with these settings of its source besides, and switches it on.
    async fn start(&mut self, more: Value) -> Result<()> {
        let settings = json!({"source": "git", "repo": "acme/kitchen", "branch": "main", "src": "src",
            "token": ACCOUNT.token, "unsigned": true, "poll_s": 1, "trial_s": 5, "package": "demo"});
        let modules = ["git", "source", "store", "tree", "walk", "web"];
        let (board, events) = self.bench.puller(&modules, settings, &more).await?;
        (self.board, self.events) = (Some(board), Some(events));
        Ok(())
    }

    async fn goes_to(&mut self, version: &str) -> Result<()> {
        let events = self.events.as_mut().context("a board")?;
        events.wait_for_line(LIMIT, &format!("app {version}")).await?;
        Ok(())
    }

    /// Two updates, one that fails and is rolled back, one after it; at the end the board holds the folder and nothing else.
    async fn lives(mut self, settings: Value) -> Result<()> {
        self.push("1.0", &program("1.0"))?;
        self.start(settings).await?;
        self.goes_to("1.0").await?;
        self.push("2.0", &program("2.0"))?;
        self.goes_to("2.0").await?;
        // The trial of 2.0 ends with its first good check-in, before the next one is taken.
        self.push("bad", b"print('app bad')\nraise ValueError('bad')\n")?;
        self.goes_to("bad").await?;
        self.goes_to("2.0").await?;
        self.push("3.0", &program("3.0"))?;
        self.goes_to("3.0").await?;
        let mut board = self.board.take().context("a board")?;
        board.power_cut().await?;
        let found = user_files(&board.read_tree().await?);
        let is_agents = |path: &str| path.starts_with("lib/goldcrest/") || matches!(path, "boot.py" | "goldcrest.json");
        let found: Tree = found.into_iter().filter(|(path, _)| !is_agents(path)).collect();
        let wanted = [
            ("main.py", program("3.0")),
            ("lib/name.py", b"NAME = '3.0'\n".to_vec()),
            ("lib/same.py", SAME.to_vec()),
            ("empty.txt", Vec::new()),
        ];
        let wanted: Tree = wanted.into_iter().map(|(path, bytes)| (path.to_owned(), bytes)).collect();
        ensure!(found == wanted, "the board holds {:?}", found.keys().collect::<Vec<_>>());
        Ok(())
    }
}

async fn from_forge(forge: Forge, kind: &str) -> Result<()> {
    let scene = Scene::new()?;
    let server = GitServer::start(forge, scene.origin.bare(), "acme/kitchen", Some(ACCOUNT))?;
    scene.lives(json!({"git": kind, "server": server.url(), "raw": server.url()})).await?;
    let asked = server.asked();
    let same = asked.iter().filter(|line| line.contains("/raw/") || forge == Forge::GitHub);
    let same = same.filter(|line| line.ends_with("src/lib/same.py")).count();
    ensure!(same == 1, "a file that did not change was fetched {same} times: {asked:#?}");
    ensure!(!asked.iter().any(|line| line.ends_with("README.md")), "what is outside of the folder is left alone");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn from_gogs() -> Result<()> {
    from_forge(Forge::Gogs, "gogs").await
}

#[tokio::test(flavor = "multi_thread")]
async fn from_gitea() -> Result<()> {
    from_forge(Forge::Gitea, "gitea").await
}

#[tokio::test(flavor = "multi_thread")]
async fn from_github() -> Result<()> {
    from_forge(Forge::GitHub, "github").await
}

async fn from_our_own_server(kind: &str) -> Result<()> {
    let scene = Scene::new()?;
    let setting = format!("git={}", scene.origin.bare().display());
    let feed = ["feed", "add", "gogs", "acme/kitchen", "--token-stdin", "--set", &setting];
    scene.bench.cli_with(&feed, ACCOUNT.token)?;
    let url = scene.bench.url();
    scene.lives(json!({"git": kind, "server": url})).await
}

#[tokio::test(flavor = "multi_thread")]
async fn from_our_own_server_as_from_gogs() -> Result<()> {
    from_our_own_server("gogs").await
}

#[tokio::test(flavor = "multi_thread")]
async fn from_our_own_server_as_from_gitea() -> Result<()> {
    from_our_own_server("gitea").await
}
