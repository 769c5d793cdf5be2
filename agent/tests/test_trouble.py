"""Trouble: a full or read-only flash, files that somebody changed, a clock that jumps, a server that lies about lengths.

Each ends with the old release running, byte for byte, and with a named reason at the server.
"""

import os
import sys
import time

import board as b
from board import Board, response
from pack import deflated
from test_boot import running

NEW = {"main.py": b"ran = 2\n", "app_mod.py": b"value = 2\n" * 60, "extra/new.txt": b"new\n" * 30}


def offered(board, files=NEW, **k):
    """-> what is on the board before the update, after the offer of another release."""
    before = board.snapshot()
    board.server.publish(files, version="2", counter=11, **k)
    board.server.stages()
    return before


def goes_on(board, before, why):
    """The old release runs, it is what the agent says, and the server knows why."""
    stages = board.server.stages()
    assert why in stages, stages
    assert board.snapshot() == before
    board.server.requests = []
    assert board.boot() == ("repl", None)
    assert board.check() is False
    run = [p for _, p in board.server.requests if "checkin" in p][0].split("run=")[1][:64]
    assert run == board.good
    assert board.snapshot() == before


def rolls_back(board, before, why):
    """Three boots try to put the release in place; the fourth gives up, or the first when boots can't be counted."""
    boots = [board.boot()[0] for _ in range(4)]
    assert boots in (["reset"] * 3 + ["repl"], ["repl"] * 4), boots
    board.server.stages()
    assert board.check() is False
    goes_on(board, before, why)


def started(flash=None, more=()):
    board = running(more, flash=flash)
    board.good = board.server.offer[1]
    return board


def test_a_folder_where_the_release_has_a_file():
    board = started(more={"notes": b"a file of the release"})
    os.remove(b.ROOT + "notes")
    board.put("notes/mine.txt", b"made by hand")
    before = offered(board, dict(NEW, notes=b"a newer file"))
    assert board.check() == "reset"
    rolls_back(board, before, "rolled-back:flash")


def test_a_file_where_the_release_has_a_folder():
    board = started()
    board.put("extra", b"made by hand")
    before = offered(board)
    assert board.check() == "reset"
    rolls_back(board, before, "rolled-back:flash")


def test_a_file_that_changes_after_it_was_looked_at():
    board = started()
    before = offered(board)
    assert board.check() == "reset"
    board.put("app_mod.py", b"by hand = 1\n")
    before["app_mod.py"] = b"by hand = 1\n"
    rolls_back(board, before, "rolled-back:flash")


class Clock:
    """The module `time` with a clock that somebody set."""

    def __init__(self, now):
        self.time = lambda: now

    def __getattr__(self, name):
        return getattr(time, name)


def clock(now, **k):
    """Check in with a clock at `now`, in seconds since 1970. -> (board, before, the result)."""
    board = started()
    before = offered(board, **k)
    sys.modules["time"] = Clock(now)
    b.fresh()
    board.install_fakes()
    try:
        return board, before, board.check()
    finally:
        sys.modules["time"] = time


def test_a_clock_that_jumps_ahead():
    board, before, got = clock(4000000000, extra="expires 1800000000")
    assert got is False
    goes_on(board, before, "failed:expired")


def test_a_clock_that_was_never_set():
    assert clock(5, extra="expires 1800000000")[2] == "reset"


def test_a_clock_that_jumps_ahead_while_a_file_arrives():
    # Deadlines are counted in ticks: the update goes on.
    board = started()
    offered(board)

    def jump(reply):
        sys.modules["time"].time = lambda: 4000000000
        return reply

    board.server.faults["/d/v1/objects/"] = jump
    sys.modules["time"] = Clock(1750000000)
    b.fresh()
    board.install_fakes()
    try:
        assert board.check() == "reset"
    finally:
        sys.modules["time"] = time


def lies(why, prefix, fault, patches=None):
    """A server that goes on with it: the reason is reported at the first try, and after the eighth the release is given up."""
    board = started()
    before = offered(board)
    board.server.patches = patches
    board.server.faults[prefix] = fault
    for _ in range(8):
        assert board.check() is False
        assert board.snapshot() == before
    reasons = [r.get("reason") for r in board.server.reports if r["stage"] in ("downloading", "failed")]
    assert why in reasons, reasons
    assert board.server.reports[-1]["stage"] == "failed", board.server.reports[-1]
    assert board.work_files() == []
    goes_on(board, before, "failed:" + why)


def length(n):
    """-> a fault: the body is as it is, but said to have another length."""

    def change(reply):
        head, _, body = reply.partition(b"\r\n\r\n")
        have = b"Content-Length: %d" % len(body)
        assert have in head or not body
        return head.replace(have, b"Content-Length: %d" % (len(body) + n)) + b"\r\n\r\n" + body

    return change


def test_an_object_that_is_shorter_than_it_says():
    lies("truncated", "/d/v1/objects/", length(5))


def test_an_object_that_is_longer_than_the_manifest_says():
    lies("endless", "/d/v1/objects/", lambda r: response(200, b"x" * 5000))


def test_an_object_that_inflates_to_more_than_the_manifest_says():
    lies("endless", "/d/v1/objects/", lambda r: response(200, b.wire(b"a" * 900)))


def test_an_object_that_inflates_to_less_than_the_manifest_says():
    lies("truncated", "/d/v1/objects/", lambda r: response(200, b.wire(NEW["app_mod.py"][:-100])))


def test_a_manifest_that_is_shorter_than_it_says():
    # Kept-alive connections: what is missing would be taken from the next response.
    lies("truncated", "/d/v1/checkin", length(70))


def test_a_manifest_of_no_end():
    lies("endless", "/d/v1/checkin", length(2 << 20))


def test_a_length_that_is_no_number():
    board = started()
    before = offered(board)
    for bad in (b"-1", b"1e9", b"0x10", b"", b"99999999999999999999"):
        board.server.faults["/d/v1/objects/"] = lambda r: b"HTTP/1.1 200 X\r\nContent-Length: " + bad + b"\r\n\r\nhello"
        assert board.check() is False, bad
        assert board.snapshot() == before
    assert [r for r in board.server.reports if r.get("reason") in ("network", "endless", "truncated", "hash")], board.server.reports


def test_a_patch_that_makes_more_than_the_manifest_says():
    lies_once(lambda r: response(226, deflated(b"\x80\x10" + b"x" * 512 + b"\x80\x10" + b"y" * 512)))


def test_a_patch_that_copies_from_behind_the_end():
    lies_once(lambda r: response(226, deflated(b"\x91\x03\xc0\x9a\x0c")))  # 100 bytes of the base from 100,000


def lies_once(fault):
    """A lying patch costs one try: then the board asks for the whole file."""
    board = started()
    before = offered(board)
    board.server.patches = {}

    def change(reply):
        return reply if board.server.requests[-1][1].endswith("?from=") else fault(reply)

    board.server.faults["/d/v1/objects/"] = change
    assert board.check() is False
    assert board.snapshot() == before
    assert [r for r in board.server.reports if r.get("reason") in ("hash", "endless", "truncated", "format")], board.server.reports
    assert board.check() == "reset"
    assert board.boot() == ("repl", None)
    assert board.get("app_mod.py") == NEW["app_mod.py"]


def test_a_range_that_starts_elsewhere():
    noise = bytes(i * i * 7 >> 3 & 255 for i in range(40000))
    board = started()
    before = offered(board, {"main.py": b"ran = 2\n", "noise.bin": noise})
    cut = response(200, noise)[:30000]
    board.server.faults["/d/v1/objects/"] = lambda r: r if len(r) < 30000 else cut
    assert board.check() is False
    board.server.faults["/d/v1/objects/"] = lambda r: r if len(r) < 9000 else response(206, noise[10000:])
    assert board.check() is False
    assert board.snapshot() == before
    board.server.faults.clear()
    assert board.check() == "reset"
    assert board.boot() == ("repl", None)
    assert board.get("noise.bin") == noise


if b.LITTLEFS:

    class Locked(b.Nor):
        """A flash that can be made read-only."""

        locked = False

        def writeblocks(self, block, buf, offset=0):
            return -30 if self.locked else b.Nor.writeblocks(self, block, buf, offset)

        def ioctl(self, op, arg):
            return -30 if self.locked and op == 6 else b.Nor.ioctl(self, op, arg)

    def test_a_read_only_flash():
        board = started(Locked())
        before = offered(board)
        board.flash.locked = True
        assert board.check() is False
        goes_on(board, before, "failed:flash")

    def test_a_flash_that_is_read_only_when_the_release_is_put_in_place():
        board = started(Locked())
        before = offered(board)
        assert board.check() == "reset"
        board.flash.locked = True
        for _ in range(5):
            assert board.boot() == ("repl", None)
            assert board.snapshot() == before
        board.server.stages()
        assert board.check() is False
        assert board.server.stages()[-1] == "failed:flash"
        assert board.snapshot() == before
        board.flash.locked = False  # it was not for good: the release is tried now
        assert board.boot() == ("repl", None)
        assert board.get("app_mod.py") == NEW["app_mod.py"]

    def test_a_full_flash():
        board = started()
        size = os.statvfs("/")[3] * 4096
        board.put("filler", b"\xff" * (size - 20000))
        before = offered(board)
        assert board.check() is False
        goes_on(board, before, "failed:space")

    def test_a_flash_that_is_full_when_the_release_is_put_in_place():
        board = started(more={"big.txt": b"before" * 1500})
        before = offered(board, dict(NEW, **{"big.txt": b"after" * 1500}))
        assert board.check() == "reset"
        n = 0
        try:
            while True:  # littlefs counts some blocks twice: it is full when it says so
                board.put("filler%d" % n, b"\xff" * 4096)
                n += 1
        except OSError:
            os.remove("/filler%d" % n)
        for i in range(n):
            before["filler%d" % i] = b"\xff" * 4096
        rolls_back(board, before, "rolled-back:flash")
