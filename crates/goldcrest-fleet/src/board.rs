//! A virtual board, as its owner handles it.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, bail};
use tokio::sync::{broadcast, mpsc, oneshot};
use tokio::task::JoinHandle;

use crate::image::{self, Tree};
use crate::supervisor::{Command, Counted, FlashCounters, Machine, Supervisor};
use crate::{BoardEvent, Events, Micropython, emulator};

/// Events that a slow follower may be behind.
const EVENTS_KEPT: usize = 4096;
/// A log above this size is begun anew when the board is made, bytes.
const LOG_BYTES_MAX: u64 = 4 * 1024 * 1024;

/// What a board is made of.
#[derive(Clone, Debug)]
pub struct BoardSettings {
    /// Folder for `<name>.flash`, `<name>.log` and the emulator.
    pub dir: PathBuf,
    /// Name of the board; its unique id is derived from it.
    pub name: String,
    /// Heap of the MicroPython process in bytes. The emulator itself takes about 20 KB of it, and
    /// objects are twice as large as on a 32-bit board.
    pub heap: u64,
    /// An `mpy-cross` for the emulator's own modules: as source they are compiled on the board's heap at every boot and leave
    /// holes in it, which a firmware does not. For who measures heap.
    pub mpy_cross: Option<PathBuf>,
    /// Size of the flash, blocks.
    pub flash_blocks: u32,
    /// Bytes of an erase block: 4096 on most boards.
    pub block_size: u32,
    /// Smallest program operation, bytes: 32 on esp32, 256 on rp2.
    pub prog_size: u32,
    /// Smallest read operation, bytes.
    pub read_size: u32,
    /// What is on the flash when the board is made: path without the leading `/`, and bytes.
    pub files: Tree,
    /// The interpreter.
    pub micropython: Micropython,
}

impl BoardSettings {
    /// A board like a small ESP32: 192 KiB of heap (64-bit objects), 2 MiB of flash, nothing on it.
    pub fn new(dir: &Path, name: &str, micropython: &Micropython) -> Self {
        Self {
            dir: dir.to_owned(),
            name: name.to_owned(),
            heap: 192 * 1024,
            mpy_cross: None,
            flash_blocks: 512,
            block_size: 4096,
            prog_size: 32,
            read_size: 32,
            files: Tree::new(),
            micropython: micropython.clone(),
        }
    }

    /// What `machine.unique_id()` answers: a locally administered address made from the name.
    pub fn unique_id(&self) -> [u8; 6] {
        // FNV-1a, because the standard hasher may change between compilers.
        let hash = self
            .name
            .bytes()
            .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
        let mut id = [0x02; 6];
        id[1..].copy_from_slice(&hash.to_be_bytes()[3..]);
        id
    }

    pub(crate) fn flash_arguments(&self, image: &Path) -> Vec<OsString> {
        let numbers = [self.flash_blocks, self.block_size, self.prog_size, self.read_size];
        let numbers = numbers.into_iter().map(|number| number.to_string().into());
        std::iter::once(image.into()).chain(numbers).collect()
    }
}

/// A virtual board. Dropping it is a power cut; its flash stays in its folder.
#[derive(Debug)]
pub struct Board {
    machine: Arc<Machine>,
    counted: Arc<Counted>,
    events: broadcast::Sender<BoardEvent>,
    commands: mpsc::Sender<Command>,
    task: JoinHandle<()>,
    powered: bool,
}

impl Board {
    /// Makes the board with a freshly formatted flash that holds the given files. It is off.
    ///
    /// # Errors
    ///
    /// When the name is no file name, the folder cannot be written, or the files do not fit the flash.
    pub async fn create(settings: BoardSettings) -> Result<Self> {
        let machine = Self::machine(settings)?;
        image::format(&machine.settings, &machine.entry, &machine.image).await?;
        Self::attach(machine)
    }

    /// Takes up a board that was made earlier, with its flash as it was left. It is off.
    ///
    /// # Errors
    ///
    /// When there is no flash image of that name in the folder.
    pub fn open(settings: BoardSettings) -> Result<Self> {
        let machine = Self::machine(settings)?;
        if !machine.image.is_file() {
            bail!("there is no {}; make the board first", machine.image.display());
        }
        Self::attach(machine)
    }

    fn machine(settings: BoardSettings) -> Result<Machine> {
        let name = &settings.name;
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte)) {
            bail!("board name {name:?}: use letters, digits, `-`, `_` and `.`");
        }
        fs::create_dir_all(&settings.dir).with_context(|| format!("cannot make {}", settings.dir.display()))?;
        let entry = emulator::install(&settings.dir, settings.mpy_cross.as_deref())?;
        let image = settings.dir.join(format!("{name}.flash"));
        Ok(Machine { settings, entry, image })
    }

    fn attach(machine: Machine) -> Result<Self> {
        let machine = Arc::new(machine);
        let path = machine.settings.dir.join(format!("{}.log", machine.settings.name));
        let overlong = fs::metadata(&path).is_ok_and(|found| found.len() > LOG_BYTES_MAX);
        let mut options = OpenOptions::new();
        let options = if overlong { options.write(true).truncate(true) } else { options.append(true) };
        let log = options.create(true).open(&path).with_context(|| format!("cannot write {}", path.display()))?;
        let counted = Arc::new(Counted::default());
        let (events, _) = broadcast::channel(EVENTS_KEPT);
        let (commands, receiver) = mpsc::channel(1);
        let supervisor = Supervisor::new(Arc::clone(&machine), Arc::clone(&counted), events.clone(), log);
        let task = tokio::spawn(supervisor.run(receiver));
        Ok(Self { machine, counted, events, commands, task, powered: false })
    }

    /// Name of the board.
    pub fn name(&self) -> &str {
        &self.machine.settings.name
    }

    /// Where its console output and events are written.
    pub fn log_path(&self) -> PathBuf {
        self.machine.settings.dir.join(format!("{}.log", self.name()))
    }

    /// Follows the board from now on.
    pub fn events(&self) -> Events {
        Events {
            name: self.name().to_owned(),
            receiver: self.events.subscribe(),
            recent: std::collections::VecDeque::new(),
        }
    }

    /// Flash operations since the board was created or opened. Exact after [`Board::power_cut`].
    pub fn flash(&self) -> FlashCounters {
        self.counted.read()
    }

    /// Switches the board on; nothing happens when it is on.
    ///
    /// # Errors
    ///
    /// When the process cannot be started.
    pub async fn power_on(&mut self) -> Result<()> {
        self.powered = true;
        self.ask(Command::PowerOn).await
    }

    /// Kills the process at once and leaves the board off. RTC memory is lost, the flash is as it was at that instant.
    ///
    /// # Errors
    ///
    /// When the process cannot be waited for.
    pub async fn power_cut(&mut self) -> Result<()> {
        self.powered = false;
        self.ask(Command::PowerCut).await
    }

    /// Cuts the power and ends the board's task.
    ///
    /// # Errors
    ///
    /// When the process cannot be waited for.
    pub async fn stop(mut self) -> Result<()> {
        self.power_cut().await?;
        drop(self.commands);
        self.task.await.context("the board's task failed")
    }

    /// Every file on the flash, read from the image while the board is off.
    ///
    /// # Errors
    ///
    /// When the board is on, or the image holds no filesystem.
    pub async fn read_tree(&self) -> Result<Tree> {
        self.check_off("read")?;
        image::dump(&self.machine.settings, &self.machine.entry, &self.machine.image).await
    }

    /// Puts files on the flash while the board is off; what else is there stays.
    ///
    /// # Errors
    ///
    /// When the board is on, or the files do not fit.
    pub async fn write_files(&self, files: &Tree) -> Result<()> {
        self.check_off("write")?;
        image::copy(&self.machine.settings, &self.machine.entry, &self.machine.image, files).await
    }

    fn check_off(&self, what: &str) -> Result<()> {
        if self.powered {
            bail!("cannot {what} the flash of board {} while it is on; cut its power first", self.name());
        }
        Ok(())
    }

    async fn ask(&self, command: impl FnOnce(oneshot::Sender<Result<()>>) -> Command) -> Result<()> {
        let (sender, answer) = oneshot::channel();
        self.commands.send(command(sender)).await.ok().context("the board's task has ended")?;
        answer.await.context("the board's task has ended")?
    }
}
