"""The `machine` module of a virtual board. Whatever ends or restarts the board is done by the supervisor."""

import _thread
import sys
import time

import board_console
from board_flash import control
from micropython import schedule

PWRON_RESET = 1
HARD_RESET = 2
WDT_RESET = 3
DEEPSLEEP_RESET = 4
SOFT_RESET = 5

_RTC_BYTES = 2048


class _State:
    cause = PWRON_RESET
    memory = b""
    identity = b""
    next_timer = 0
    armed = {}
    listens = False
    flash = None


def setup(flash, cause, memory, identity):
    """Take over what the supervisor knows: reset cause, RTC memory and unique id (both in hex, with a `-` before)."""
    _State.flash = flash
    _State.cause = cause
    _State.memory = bytes.fromhex(memory[1:])
    _State.identity = bytes.fromhex(identity)


def wait():
    """Sleep until a signal: what a board does that has nothing to do."""
    while True:
        time.sleep(3600)


def _end(line):
    # Not `sys.exit`: that would run finalisers and so close files, which a reset does not.
    control(line)
    while True:
        try:
            wait()
        except KeyboardInterrupt:
            pass


def reset():
    """Hardware reset."""
    _end("reset")


def soft_reset():
    """Soft reset: on a virtual board a new process, too."""
    _end("soft-reset")


def deepsleep(time_ms=None):
    """Switch off for `time_ms`, for ever without it. Keeps the RTC memory."""
    _end("deepsleep" if time_ms is None else "deepsleep %d" % time_ms)


def lightsleep(time_ms=0):
    """Sleep and go on."""
    time.sleep_ms(time_ms)


def idle():
    """Nothing to save here."""


def freq(hz=None):
    """Clock frequency in Hz; setting it has no effect."""
    return 160_000_000 if hz is None else None


def reset_cause():
    """Why the board started, one of the `…_RESET` numbers (those of the esp32 port)."""
    return _State.cause


def unique_id():
    """Six bytes that stay the same for a board."""
    return _State.identity


class WDT:
    """Watchdog: the supervisor kills the process when it was not fed in time. It cannot be stopped."""

    def __init__(self, id=0, timeout=5000):
        if timeout <= 0:
            raise ValueError("WDT timeout must be positive")
        control("wdt %d" % timeout)

    def feed(self):
        control("feed")


class Timer:
    """One-shot timers. The supervisor keeps the time; the callback runs between two lines of the program."""

    ONE_SHOT = 0
    PERIODIC = 1

    def __init__(self, id=-1, **settings):
        if not -1 <= id <= 3:
            raise ValueError("invalid Timer number")
        if id == -1:
            _State.next_timer += 1
            self._id = 100 + _State.next_timer
        else:
            self._id = id
        self._callback = None
        if settings:
            self.init(**settings)

    def init(self, *, mode=PERIODIC, period=-1, freq=None, callback=None, hard=False):
        if mode != self.ONE_SHOT:
            raise ValueError("a virtual board has one-shot timers only")
        if freq is not None:
            period = int(1000 / freq)
        if period < 0:
            raise ValueError("period must not be negative")
        self._callback = callback
        self._due = time.ticks_add(time.ticks_ms(), period)
        _State.armed[self._id] = self
        if not _State.listens:
            _State.listens = True
            _thread.start_new_thread(_listen, (sys.stdin.buffer, bytearray(1)))
        control("timer %d %d" % (self._id, period))

    def deinit(self):
        if _State.armed.pop(self._id, None):
            control("timer-off %d" % self._id)


def _listen(stdin, byte):
    """A thread that waits for the supervisor's bytes: each says that a timer is due."""
    while stdin.readinto(byte):
        schedule(run_due_timers, None)


def run_due_timers(_):
    """Run the callbacks whose time has come."""
    if _State.flash.busy:
        # Not within an operation of littlefs: again between the next two lines.
        schedule(run_due_timers, None)
        return
    now = time.ticks_ms()
    due = [timer for timer in _State.armed.values() if time.ticks_diff(timer._due, now) <= 0]
    control("timer-ran")
    for timer in due:
        del _State.armed[timer._id]
        if timer._callback:
            try:
                timer._callback(timer)
            except BaseException as error:
                board_console.report(error)


class RTC:
    """Clock of the host, and a memory that survives resets but not a power cut."""

    def memory(self, data=None):
        if data is None:
            return _State.memory
        data = bytes(data)
        if len(data) > _RTC_BYTES:
            raise ValueError("buffer too long")
        _State.memory = data
        control("rtc -" + data.hex())

    def datetime(self):
        now = time.localtime()
        return (now[0], now[1], now[2], now[6], now[3], now[4], now[5], 0)
