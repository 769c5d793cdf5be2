//! A bare repository that people push to, and their work tree: real git, without anybody's configuration.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// See the module's words.
#[derive(Debug)]
pub struct Origin {
    folder: PathBuf,
}

impl Origin {
    /// Makes both in this folder, with a branch `main` that has no commit.
    ///
    /// # Errors
    /// When git is not there or fails.
    pub fn new(folder: &Path) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let origin = Self { folder: folder.to_owned() };
        origin.git(".", &["init", "-q", "--bare", "-b", "main", "origin.git"])?;
        origin.git(".", &["init", "-q", "-b", "main", "work"])?;
        origin.git("work", &["remote", "add", "origin", "../origin.git"])?;
        Ok(origin)
    }

    /// The bare repository.
    pub fn bare(&self) -> PathBuf {
        self.folder.join("origin.git")
    }

    /// Runs git in a folder of this one; what it said.
    ///
    /// # Errors
    /// When it fails.
    pub fn git(&self, below: &str, args: &[&str]) -> Result<String> {
        self.run(below, args, &[] as &[(&str, &str)])
    }

    fn run(&self, below: &str, args: &[&str], environment: &[(&str, impl AsRef<OsStr>)]) -> Result<String> {
        let mut command = Command::new("git");
        command.arg("-C").arg(self.folder.join(below)).args(args);
        command.env("GIT_CONFIG_GLOBAL", "/dev/null").env("GIT_CONFIG_SYSTEM", "/dev/null");
        for role in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{role}_NAME"), "Ann").env(format!("GIT_{role}_EMAIL"), "ann@example.org");
        }
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        let output = command.output().context("cannot run git")?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "git {args:?}: {said}");
        Ok(String::from_utf8(output.stdout)?.trim().to_owned())
    }

    /// Makes these files the only ones of a folder of the work tree; for `.`, adds them.
    ///
    /// # Errors
    /// When they can't be written.
    pub fn replace(&self, folder: &str, files: &[(&str, &[u8])]) -> Result<()> {
        let root = self.folder.join("work").join(folder);
        if folder != "." && root.exists() {
            std::fs::remove_dir_all(&root)?;
        }
        for (path, bytes) in files {
            let path = root.join(path);
            std::fs::create_dir_all(path.parent().unwrap_or(&root))?;
            std::fs::write(path, bytes)?;
        }
        Ok(())
    }

    /// Commits everything; the commit's id.
    ///
    /// # Errors
    /// When git fails.
    pub fn commit(&self, message: &str) -> Result<String> {
        self.git("work", &["add", "-A"])?;
        self.git("work", &["commit", "-q", "--allow-empty", "-m", message])?;
        self.git("work", &["rev-parse", "HEAD"])
    }

    /// Commits everything and pushes it by force; the commit's id.
    ///
    /// # Errors
    /// When git, or a hook of the origin, fails.
    pub fn push(&self, message: &str) -> Result<String> {
        let id = self.commit(message)?;
        self.push_with(&[] as &[(&str, &str)])?;
        Ok(id)
    }

    /// Pushes branch and tags, with these variables for the hooks of the origin.
    ///
    /// # Errors
    /// When git, or a hook of the origin, fails.
    pub fn push_with(&self, environment: &[(&str, impl AsRef<OsStr>)]) -> Result<()> {
        let all = ["push", "-q", "--force", "origin", "HEAD", "--tags"];
        self.run("work", &all, environment).map(drop)
    }

    /// Sets what the origin runs after each push.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn on_push(&self, script: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt;
        let path = self.bare().join("hooks/post-receive");
        std::fs::create_dir_all(path.parent().context("a folder")?)?;
        std::fs::write(&path, script)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
        Ok(())
    }
}
