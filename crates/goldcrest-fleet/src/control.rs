//! The control lines that `board/*.py` writes to stderr, and what each asks of the supervisor.

use data_encoding::HEXLOWER;

/// Every control line starts with this byte; everything else is console output.
pub(crate) const MARK: u8 = 1;
/// Bytes of `RTC().memory()`, as in `board_machine.py`.
const RTC_BYTES_MAX: usize = 2048;

/// One control line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    Boot { heap_free: u64 },
    Repl,
    Program,
    Erase,
    Reset,
    SoftReset,
    DeepSleep { time_ms: Option<u64> },
    Watchdog { timeout_ms: u64 },
    Feed,
    Timer { id: u32, period_ms: u64 },
    TimerOff { id: u32 },
    TimerRan,
    RtcMemory(Vec<u8>),
}

impl Control {
    /// Reads a line without its line end. `None` for what no board of ours writes.
    pub(crate) fn parse(line: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(line.strip_prefix(&[MARK])?).ok()?;
        let mut words = text.split(' ');
        let control = match (words.next()?, words.next(), words.next()) {
            ("w", None, None) => Self::Program,
            ("e", None, None) => Self::Erase,
            ("boot", Some(bytes), None) => Self::Boot { heap_free: bytes.parse().ok()? },
            ("repl", None, None) => Self::Repl,
            ("reset", None, None) => Self::Reset,
            ("soft-reset", None, None) => Self::SoftReset,
            ("deepsleep", None, None) => Self::DeepSleep { time_ms: None },
            ("deepsleep", Some(time), None) => Self::DeepSleep { time_ms: Some(time.parse().ok()?) },
            ("wdt", Some(timeout), None) => Self::Watchdog { timeout_ms: timeout.parse().ok()? },
            ("feed", None, None) => Self::Feed,
            ("timer", Some(id), Some(period)) => Self::Timer { id: id.parse().ok()?, period_ms: period.parse().ok()? },
            ("timer-off", Some(id), None) => Self::TimerOff { id: id.parse().ok()? },
            ("timer-ran", None, None) => Self::TimerRan,
            ("rtc", Some(hex), None) => {
                let bytes = HEXLOWER.decode(hex.strip_prefix('-')?.as_bytes()).ok()?;
                (bytes.len() <= RTC_BYTES_MAX).then_some(Self::RtcMemory(bytes))?
            }
            _ => return None,
        };
        Some(control)
    }
}
