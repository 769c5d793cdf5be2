//! nginx with one folder of files, as `micropython-ota` recommends it, on loopback.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

/// Names the binary; without it `nginx` is looked for along `PATH` and where Debian puts it.
const NGINX_VARIABLE: &str = "NGINX";
/// How long it may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(10);

/// A running nginx; dropping it ends it.
#[derive(Debug)]
pub struct Nginx {
    child: Child,
    port: u16,
    root: PathBuf,
}

impl Nginx {
    /// Serves `<folder>/www` on a free port.
    ///
    /// # Errors
    /// When there is no nginx, or it does not start.
    pub fn start(folder: &Path) -> Result<Self> {
        Self::start_with(folder, None)
    }

    /// As [`Self::start`]; it asks for this `user:password`.
    ///
    /// # Errors
    /// As [`Self::start`].
    pub fn start_with(folder: &Path, login: Option<&str>) -> Result<Self> {
        let binary = find()?;
        let root = folder.join("www");
        std::fs::create_dir_all(&root)?;
        // nginx can't be asked which port it took: one that was free a moment ago.
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        let configuration = folder.join("nginx.conf");
        let mut rules = String::new();
        if let Some((user, password)) = login.and_then(|login| login.split_once(':')) {
            std::fs::write(folder.join("users"), format!("{user}:{{PLAIN}}{password}\n"))?;
            rules = format!("auth_basic boards;\n    auth_basic_user_file {}/users;\n    ", folder.display());
        }
        std::fs::write(&configuration, text(folder, port, &rules))?;
        let log = folder.join("nginx.log");
        let child = Command::new(&binary)
            .arg("-p")
            .arg(folder)
            .arg("-e")
            .arg(&log)
            .arg("-c")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot run {}", binary.display()))?;
        let mut nginx = Self { child, port, root };
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if nginx.child.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("nginx does not start: {}", std::fs::read_to_string(&log).unwrap_or_default().trim());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(nginx)
    }

    /// `http://127.0.0.1:port`.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Puts a file into the served folder.
    ///
    /// # Errors
    /// When it can't be written.
    pub fn put(&self, path: &str, bytes: &[u8]) -> Result<()> {
        let path = self.root.join(path);
        std::fs::create_dir_all(path.parent().context("a path below the root")?)?;
        std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        // One process, so nothing is left behind; it may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// One process in the foreground that keeps everything it writes in `folder`. Otherwise nginx as it comes.
fn text(folder: &Path, port: u16, rules: &str) -> String {
    let at = folder.display();
    format!(
        "daemon off;\nmaster_process off;\npid {at}/nginx.pid;\nevents {{}}\nhttp {{\n  access_log off;\n  sendfile on;\n  \
         client_body_temp_path {at}/t1;\n  proxy_temp_path {at}/t2;\n  fastcgi_temp_path {at}/t3;\n  \
         uwsgi_temp_path {at}/t4;\n  scgi_temp_path {at}/t5;\n  \
         server {{\n    {rules}listen 127.0.0.1:{port};\n    root {at}/www;\n  }}\n}}\n"
    )
}

fn find() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(NGINX_VARIABLE).filter(|value| !value.is_empty()) {
        return Ok(PathBuf::from(named));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates: Vec<PathBuf> = std::env::split_paths(&path).map(|folder| folder.join("nginx")).collect();
    candidates.push(PathBuf::from("/usr/sbin/nginx"));
    candidates
        .into_iter()
        .find(|candidate| candidate.is_file())
        .context("there is no nginx to compare with: `apt-get install nginx`, or set NGINX to its binary")
}
