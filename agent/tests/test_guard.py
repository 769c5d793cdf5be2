"""What only some ports have: console duplication, ESP32's watchdog and its missing virtual timers, flash at /flash."""

import os
import sys

import board as b
from board import Board

RELEASE = {"main.py": b"ran = 1\n"}


class Os:
    """The board's `os`, with dupterm."""

    def __init__(self, slots):
        self.slots = {i: None for i in range(slots)}

    def __getattr__(self, name):
        return getattr(os, name)

    def dupterm(self, stream, index=0):
        if index not in self.slots:
            raise ValueError("invalid dupterm index")
        was = self.slots[index]
        self.slots[index] = stream
        return was


def trial(slots, platform="rp2", timers=(-1,), **machine):
    """A board in its first trial boot on such a port. -> (board, its os)."""
    board = Board()
    board.server.publish(RELEASE)
    assert board.check() == "reset"
    fake = Os(slots)
    b.fresh()
    board.install_fakes()

    class Timer(b.Timer):
        def __init__(self, i, **k):
            if i not in timers:
                raise ValueError
            super().__init__(-1, **k)

    for name in machine:
        setattr(sys.modules["machine"], name, machine[name])
    sys.modules["machine"].Timer = Timer
    guard = board.guard()
    guard.os = fake

    class Sys:
        modules = sys.modules
        print_exception = sys.print_exception

    Sys.platform = platform
    guard.sys = Sys
    guard.boot()
    return board, fake


def test_console_slot_by_port():
    for slots in (1, 2):
        board, fake = trial(slots)
        assert fake.slots[slots - 1] is sys.modules["_goldcrest"]
        assert board.agent("guard").confirm()
        assert list(fake.slots.values()) == [None] * slots


def test_a_console_that_took_the_slot_stays():
    board, fake = trial(1)
    fake.slots[0] = "webrepl"
    board.agent("guard").confirm()
    assert fake.slots[0] == "webrepl"


def test_esp32_has_hardware_timers_and_a_watchdog():
    made = []

    class WDT:
        def __init__(self, timeout):
            made.append(timeout)

        def feed(self):
            made.append("fed")

    board, _ = trial(1, "esp32", (0, 1, 2, 3), WDT=WDT)
    assert b.Timer.armed and made == [70000]
    assert board.check() is False  # confirms
    assert made == [70000, 0x7FFFFFFF]
    assert board.check() is False
    assert made[2:] == ["fed"]


def test_console_text_is_kept_to_its_last_part():
    board, _ = trial(1)
    t = sys.modules["_goldcrest"]
    t.write(b"boot noise\r\n" * 500)
    t.write(bytes([200, 27]) + b"the end\n")
    t.save("not-confirmed")
    text = board.get(".ota/trace").decode()
    assert text.startswith("not-confirmed\n") and text.endswith("the end\n"), text
    assert 1500 < len(text) < 1600


def test_a_handled_traceback_does_not_end_the_trial():
    board, _ = trial(1)
    t = sys.modules["_goldcrest"]
    t.write(b"Traceback (most recent call last):\n  File x\nValueError: handled\nstill running >>> fine\n")
    assert board.get(".ota/trace") is None
    try:
        t.write(b"\r\n>>> ")
    except b.Reset:
        assert board.get(".ota/trace").startswith(b"crash\n")
        return
    raise AssertionError("no reset")


def test_flash_folder():
    board = Board()
    sys.path.append("/flash/lib")
    sys.path.append("/flash")
    if b.LITTLEFS:
        assert board.agent("guard").D == "/flash/.ota/"
