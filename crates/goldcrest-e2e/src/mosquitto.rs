//! A real mosquitto with a configuration of the test's.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use tempfile::TempDir;

/// How long it may take to listen.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A running broker; it ends with the value.
#[derive(Debug)]
pub struct Mosquitto {
    folder: TempDir,
    port: u16,
    child: Option<Child>,
}

/// Where the daemon is, if it is installed. In CI it must be.
///
/// # Errors
/// When it is missing in CI.
pub fn find() -> Result<Option<PathBuf>> {
    let places = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto"];
    let found = places.into_iter().map(PathBuf::from).find(|path| path.is_file());
    ensure!(found.is_some() || std::env::var_os("CI").is_none(), "no mosquitto (Debian: apt-get install mosquitto)");
    Ok(found)
}

impl Mosquitto {
    /// A folder and a free port for a broker that does not run yet.
    ///
    /// # Errors
    /// When there is no folder or port to be had.
    pub fn prepare() -> Result<Self> {
        let port = TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port();
        Ok(Self { folder: tempfile::tempdir()?, port, child: None })
    }

    /// The port of its first listener.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process, while it runs.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// A file of its folder.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Starts it, again if it ran before. The configuration has a listener on [`Self::port`].
    ///
    /// # Errors
    /// When it is not installed or does not listen.
    pub fn start(&mut self, configuration: &str) -> Result<()> {
        self.stop()?;
        let file = self.path("mosquitto.conf");
        std::fs::write(&file, configuration)?;
        let binary = find()?.context("no mosquitto (Debian: apt-get install mosquitto)")?;
        let log = std::fs::OpenOptions::new().create(true).append(true).open(self.path("mosquitto.log"))?;
        let mut command = Command::new(binary);
        command.arg("-c").arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let child = self.child.insert(command.spawn().context("cannot run mosquitto")?);
        let address = SocketAddr::from(([127, 0, 0, 1], self.port));
        let deadline = Instant::now() + START_LIMIT;
        while TcpStream::connect(address).is_err() {
            if child.try_wait()?.is_some() || Instant::now() > deadline {
                bail!("mosquitto does not start: {}", std::fs::read_to_string(self.path("mosquitto.log"))?);
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Ends it, if it runs.
    ///
    /// # Errors
    /// When it can't be ended.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut child) = self.child.take() {
            child.kill()?;
            child.wait()?;
        }
        Ok(())
    }
}

impl Drop for Mosquitto {
    fn drop(&mut self) {
        if let Err(error) = self.stop() {
            #[expect(clippy::print_stderr, reason = "a drop has no other way to tell the test's reader")]
            {
                eprintln!("mosquitto did not end: {error:#}");
            }
        }
    }
}
