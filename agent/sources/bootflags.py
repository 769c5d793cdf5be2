"""Flags that survive a reset, for the app: what sensorclass keeps in RTC memory (update, update_failed, server_failed, reboots).

    from goldcrest.sources import bootflags
    bootflags.booted()            # in main.py: counts `reboots`, and looks for an update when one was asked for
    bootflags.set("update")       # on some event, then machine.reset()
    if bootflags.get("update_failed"): ...

They are in RTC memory where the port keeps it across a reset, else in the file /.ota/flags, which is written only when a flag changes. `reboots` is
kept in RTC memory only: a counter in a file would wear the flash at each boot.
"""

import json
import sys

import goldcrest
from goldcrest import guard

_MARK = b"gc1"
_SIZE = const(128)


def get(name):
    """-> what the flag was set to, or 0."""
    return _load().get(name, 0)


def set(name, value=1):
    """Set a flag; 0 takes it back."""
    flags = _load()
    if flags.get(name, 0) != value:
        flags[name] = value
        if not value:
            del flags[name]
        _save(flags)


def booted():
    """Call it once in main.py, with the network up: counts the boot, and updates when `update` is set. -> `reboots`, 0 where there is no RTC memory.

    `update_failed` and `server_failed` say what became of the update; the board resets when there is one.
    """
    n = 0
    if _memory():
        n = get("reboots") + 1
        set("reboots", n)
    if get("update"):
        set("update", 0)
        waits = check(False)
        if waits:
            set("reboots", 0)
            guard.reset()
    return n


def check(reset=True):
    """goldcrest.check(), with its outcome as flags. -> as there."""
    missed = goldcrest.checkin._missed
    waits = goldcrest.check(False)
    # A check-in that was not answered counts as missed; a release that was refused is remembered.
    set("server_failed", int(goldcrest.checkin._missed > missed))
    set("update_failed", int(not waits and bool(goldcrest.checkin._tries[1] or alternate())))
    if waits and reset:
        set("reboots", 0)
        guard.reset()
    return waits


def alternate():
    """-> True when the board runs what it ran before, because a newer version failed (sensorclass's alternate configuration)."""
    return bool(guard.kind(guard.D + "failed"))


def _memory():
    # -> the RTC, if its memory outlives a reset and is not the app's
    if sys.platform in ("esp32", "esp8266"):
        import machine

        rtc = machine.RTC()
        if rtc.memory()[: len(_MARK)] in (b"", _MARK):
            return rtc


def _load():
    rtc = _memory()
    if rtc:
        text = rtc.memory()[len(_MARK) :]
    else:
        text = guard.read("flags")
    try:
        flags = json.loads(text)
        return flags if isinstance(flags, dict) else {}
    except ValueError:
        return {}


def _save(flags):
    text = json.dumps(flags)
    if len(text) > _SIZE:
        raise ValueError("the flags take more than %d bytes" % _SIZE)
    rtc = _memory()
    if rtc:
        rtc.memory(_MARK + text.encode())
    elif flags:
        guard.write("flags", text)
    else:
        guard.remove("flags")
