//! A temporary folder with a project, keys and a user folder, and the program run in it.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use goldcrest_core::keyring::{Keyring, KeyringContent};
use goldcrest_core::signature::SigningKey;
use serde_json::Value;
use tempfile::TempDir;

/// A folder that is removed at the end, with `project/` and a user folder in it.
pub(crate) struct Sandbox {
    dir: TempDir,
    env: Vec<(String, String)>,
}

/// What a run of the program left.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A server in the sandbox, killed at the end.
pub(crate) struct Served {
    pub(crate) child: Child,
    pub(crate) url: String,
}

impl Sandbox {
    /// A project `kitchen` with a main.py, and test keys under the default name.
    pub(crate) fn new() -> Sandbox {
        let sandbox = Sandbox { dir: tempfile::tempdir().unwrap(), env: Vec::new() };
        sandbox.write(
            "project/goldcrest.toml",
            "[app]\nname = \"kitchen\"\nversion = \"1.0.0\"\n[pack]\npython = \"min\"\n",
        );
        sandbox.write("project/main.py", "# a comment\nprint('hello')\n");
        sandbox.install_keys();
        sandbox
    }

    /// The same with one more environment variable for every run.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Sandbox {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    fn install_keys(&self) {
        let pem = |name: &str| {
            fs::read_to_string(format!("{}/../../vectors/keys/TEST-ONLY-{name}.pem", env!("CARGO_MANIFEST_DIR")))
                .unwrap()
        };
        let root = SigningKey::from_pem(&pem("root-a")).unwrap();
        let release = SigningKey::from_pem(&pem("release")).unwrap();
        let content = KeyringContent {
            version: 1,
            threshold: 1,
            roots: vec![root.public().clone()],
            release: vec![release.public().clone()],
            revoked: Vec::new(),
        };
        for (file, text) in [("default.root.pem", pem("root-a")), ("default.release.pem", pem("release"))] {
            let path = self.write(&format!("config/goldcrest/keys/{file}"), &text);
            fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        }
        let keyring = Keyring::build_and_sign(content, &[&root]).unwrap();
        self.write_bytes("config/goldcrest/keys/default.keyring", &keyring.to_bytes());
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.dir.path().join(below)
    }

    pub(crate) fn write(&self, below: &str, text: &str) -> PathBuf {
        self.write_bytes(below, text.as_bytes())
    }

    pub(crate) fn write_bytes(&self, below: &str, bytes: &[u8]) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, bytes).unwrap();
        path
    }

    pub(crate) fn read(&self, below: &str) -> Vec<u8> {
        fs::read(self.path(below)).unwrap()
    }

    /// The program, ready to run in `project/`; nothing of the caller's environment but PATH reaches it.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_goldcrest"));
        command.args(args).current_dir(self.path("project")).env_clear();
        for name in ["PATH", "MPY_CROSS"] {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("HOME", self.dir.path())
            .env("GIT_CONFIG_GLOBAL", "/dev/null");
        command.envs(self.env.iter().map(|(k, v)| (k, v)));
        command
    }

    pub(crate) fn run(&self, args: &[&str]) -> Ran {
        self.run_with_input(args, "")
    }

    pub(crate) fn run_with_input(&self, args: &[&str], input: &str) -> Ran {
        let mut child =
            self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // The program need not read what it does not want.
        let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
        let output = child.wait_with_output().unwrap();
        let text =
            |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace(&*self.dir.path().to_string_lossy(), "$DIR");
        Ran { code: output.status.code().unwrap(), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Runs what must succeed and returns its data.
    #[track_caller]
    pub(crate) fn ok(&self, args: &[&str]) -> String {
        let ran = self.run(args);
        assert_eq!(ran.code, 0, "{args:?}\n{}{}", ran.stdout, ran.stderr);
        ran.stdout
    }

    /// Runs with `--json` what must succeed and returns the object.
    #[track_caller]
    pub(crate) fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[&["--json"], args].concat());
        serde_json::from_str(&text).unwrap_or_else(|e| panic!("{args:?}: {e}: {text}"))
    }

    /// Starts a server on a free port and logs in.
    pub(crate) fn serve(&self) -> Served {
        self.serve_with(&[])
    }

    /// The same with more options for the server.
    pub(crate) fn serve_with(&self, options: &[&str]) -> Served {
        let served = self.start(options);
        let token = String::from_utf8(self.read("data/admin.token")).unwrap();
        let login = self.run_with_input(&["login", &served.url], &token);
        assert_eq!(login.code, 0, "{}", login.stderr);
        served
    }

    /// Starts a server on a free port.
    pub(crate) fn serve_only(&self) -> Served {
        self.start(&[])
    }

    fn start(&self, options: &[&str]) -> Served {
        let data = self.path("data");
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0", "--no-mqtt", "--json", "--data"]);
        let mut child = command.arg(data).args(options).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let started: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("the server said {line:?}: {e}"));
        Served { child, url: started["url"].as_str().unwrap().to_owned() }
    }
}

impl Ran {
    /// Checks the exit code and the error lines, which are all of stderr that is no note.
    #[track_caller]
    pub(crate) fn refused(&self, code: i32, expected: &expect_test::Expect) {
        let errors: String = self
            .stderr
            .lines()
            .filter(|l| l.starts_with("error:") || l.starts_with("hint:"))
            .map(|l| l.to_owned() + "\n")
            .collect();
        expected.assert_eq(&errors);
        assert_eq!(self.code, code, "{}", self.stderr);
        assert_eq!(self.stdout, "");
    }
}

impl Served {
    /// Sends a signal and returns the exit code.
    pub(crate) fn signal(mut self, name: &str) -> Option<i32> {
        let sent = Command::new("kill").arg(format!("-{name}")).arg(self.child.id().to_string()).status().unwrap();
        assert!(sent.success());
        self.child.wait().unwrap().code()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs git in a folder with a fixed author and time.
pub(crate) fn git(dir: &Path, args: &[impl AsRef<OsStr>]) {
    let mut command = Command::new("git");
    command.arg("-C").arg(dir).args(args).env("GIT_CONFIG_GLOBAL", "/dev/null").stdout(Stdio::null());
    for role in ["AUTHOR", "COMMITTER"] {
        command
            .env(format!("GIT_{role}_NAME"), "a")
            .env(format!("GIT_{role}_EMAIL"), "a@b.c")
            .env(format!("GIT_{role}_DATE"), "1700000000 +0000");
    }
    assert!(command.status().unwrap().success());
}

/// A line to put `url` out of an expectation.
pub(crate) fn without_url(text: &str, url: &str) -> String {
    text.replace(url, "$SERVER")
}
