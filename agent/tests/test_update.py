"""An update from check-in to confirm, as one board lives it."""

import os

import board as b
from board import Board

OLD = {"main.py": b"import app_one\n", "app_one.py": b"value = 1\n", "lib/util.py": b"# util\n" * 40}
NEW = {"main.py": b"import app_two\n", "app_two.py": b"value = 2\n", "lib/util.py": b"# util\n" * 40, "web/index.html": b"<p>hello</p>\n" * 90}


def updated(**settings):
    board = Board(**settings)
    board.server.publish(OLD)
    assert board.check() == "reset"
    return board


def test_first_release_is_installed_and_confirmed_by_a_check_in():
    board = updated()
    first = board.server.offer[1]
    assert board.server.stages() == ["boot", "downloading", "verified", "installing"]
    assert board.boot() == ("repl", None)
    assert board.get("app_one.py") == OLD["app_one.py"]
    assert board.check() is False
    assert board.server.stages() == ["boot", "confirmed"]
    assert board.state()[:5] == ["ok", first, "1", "-", "1"]
    assert board.work_files() == []
    assert board.boot() == ("repl", None)
    assert board.check() is False
    assert ("GET", "/d/v1/checkin?run=%s&state=ok&k=1&have=&delta=1" % first) in board.server.requests


def test_second_release_deletes_what_it_no_longer_holds():
    board = updated()
    board.boot()
    board.check()
    board.put("data.log", b"mine")
    board.server.publish(NEW, version="2", counter=11, floor=5)
    assert board.check() == "reset"
    assert board.boot() == ("repl", None)
    assert board.agent().confirm() is True
    assert board.agent().confirm() is False
    for path, data in NEW.items():
        assert board.get(path) == data, path
    assert board.get("app_one.py") is None
    assert board.get("data.log") == b"mine"
    assert board.state()[2] == "5"


def test_a_header_line_with_a_space_where_a_file_line_has_one():
    board = Board()
    board.server.publish(OLD, keep=("x" * 59 + " y",))  # `keep ` and 59 characters are 64
    assert board.check() == "reset"
    assert board.boot() == ("repl", None)
    assert board.get("app_one.py") == OLD["app_one.py"]


def test_a_board_without_a_keyring_trusts_nobody():
    board = Board()
    os.remove(b.ROOT + ".ota/keyring0")
    board.server.publish(OLD)
    assert board.check() is False
    assert board.server.stages() == ["boot", "failed:unknown-key"]


def test_an_ordinary_boot_and_check_in_writes_nothing():
    board = updated()
    board.boot()
    board.check()
    if not board.flash:
        return
    ops = board.flash.ops
    board.boot()
    board.check()
    assert board.flash.ops == ops, board.flash.ops - ops
