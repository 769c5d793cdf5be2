"""What every source of the agent must do, whatever it pulls from: `life` and `trouble` are called by each source's tests."""

import json
import os
import socket
import sys

import board as b
from board import Board, console
from served import Mqtt, Web

if b.MICROPYTHON:
    REAL_SOCKET = socket
else:

    class Socket(socket.socket):
        """A socket that is a stream, as MicroPython's are."""

        def write(self, data):
            self.sendall(data)
            return len(data)

        def readinto(self, buf):
            n = 0
            while n < len(buf):
                got = self.recv_into(memoryview(buf)[n:])
                if not got:
                    break
                n += got
            return n

    class REAL_SOCKET:
        getaddrinfo = staticmethod(socket.getaddrinfo)
        socket = Socket

ONE = {"main.py": b"import app_one\n", "app_one.py": b"value = 1\n" * 50, "util.py": b"# util\n" * 30}
TWO = {"main.py": b"import app_two\n", "app_two.py": b"value = 2\n" * 200, "util.py": ONE["util.py"]}
BAD = {"main.py": b"import app_that_is_not_there\n", "util.py": b"# bad\n"}


def _load():
    files = {}
    for name in os.listdir(b.AGENT + "/sources"):
        if name.endswith(".py"):
            with open(b.AGENT + "/sources/" + name, "rb") as f:
                files["lib/goldcrest/sources/" + name] = f.read()
    return files


SOURCES = _load()


def pulling(site, on_board=None, flash=None, **more):
    """-> a board whose agent pulls from a site (sites.py), over real sockets. `more`: its settings."""
    web = Web(site)
    if hasattr(site, "broker"):
        site.address = Mqtt(site.broker).address
    files = {"lib/goldcrest/sources/%s.py" % name: SOURCES["lib/goldcrest/sources/%s.py" % name] for name in site.modules}
    board = Board(files=dict(files, **(on_board or {})), flash=flash)
    board.web = web
    cfg = dict({"unsigned": True, "poll_s": 1}, **site.settings(web.url))
    cfg.update(more)
    return wired(settings(board, **cfg))


def settings(board, **more):
    """Change the board's goldcrest.json."""
    cfg = json.loads(board.get("goldcrest.json"))
    cfg.update(more)
    board.put("goldcrest.json", json.dumps(cfg).encode())
    return board


def wired(board):
    """Give the board, whose modules are fresh, the host's sockets."""
    fakes = board.install_fakes

    def install():
        fakes()
        sys.modules["socket"] = REAL_SOCKET

    board.install_fakes = install
    again(board)
    return board


def again(board):
    """Start the agent anew."""
    b.fresh()
    board.install_fakes()


def tree(board):
    """-> the files that a release of the board may have changed."""
    files = board.snapshot()
    return {p: files[p] for p in files if not p.startswith("lib/goldcrest/") and p not in ("boot.py", "goldcrest.json")}


def installed(board, files):
    """Check in until it resets, boot, and let the trial be confirmed by the next check-in."""
    assert board.check() == "reset"
    assert board.state()[0] == "commit"
    board.boot()
    again(board)
    assert board.state()[0] == "trial"
    assert tree(board) == files, tree(board).keys()
    assert board.check() is False
    assert board.state()[0] == "ok"
    assert board.work_files() == [], board.work_files()


def life(board, publish, fetched, mine=()):
    """Versions come and go. `publish(version, files)` offers one; `fetched()` says what the server was asked for since."""
    mine = dict(mine)
    publish("1", ONE)
    installed(board, dict(ONE, **mine))
    one = board.state()[1]
    fetched()
    ops = board.flash and board.flash.ops
    again(board)
    assert board.check() is False
    assert board.flash is None or board.flash.ops == ops, "an ordinary check-in writes"
    asked = len(fetched())
    publish("2", TWO)
    installed(board, dict(TWO, **mine))  # app_one.py is gone
    assert board.state()[1] != one
    publish("bad", BAD)
    assert board.check() == "reset"
    for _ in range(3):
        again(board)
        _, e = board.boot()
        assert tree(board) == dict(BAD, **mine)
        console(e)
    again(board)
    board.boot()
    assert tree(board) == dict(TWO, **mine)
    assert board.state()[0] == "ok" and board.work_files() == []
    fetched()
    for _ in range(2):
        again(board)
        assert board.check() is False  # remembered
    assert len(fetched()) <= 2 * asked, "a failed version is fetched again"
    publish("1", ONE)
    installed(board, dict(ONE, **mine))


def refused(board, why, publish=None):
    """The version that is offered is refused for good by that name; the board is as before, and it is not fetched again."""
    before = board.snapshot()
    assert board.check() is False
    assert board.snapshot() == before
    assert (board.get(".ota/failed") or b"").decode().split("\n")[1:2] == [why], board.get(".ota/failed")
    assert board.work_files() == [], board.work_files()
    again(board)
    assert board.check() is False


def passing(board, why, mend, files=None):
    """The version can't be had now, for a reason that may pass: nothing changes until `mend()`, then it is installed."""
    said = []
    before = board.snapshot()
    agent = board.agent("checkin")
    for _ in range(2):
        real = agent._update
        agent._update = lambda *a: said.append(real(*a)) or said[-1]
        assert board.check() is False
        agent._update = real
        assert board.snapshot() == before
    reasons = [x[0] for x in said if x]
    assert (reasons[-1:] == [why]) if why else not reasons, said
    assert board.get(".ota/failed") is None
    mend()
    again(board)
    assert board.check() == "reset"
    board.boot()
    if files is not None:
        assert tree(board) == files

