"""Who ends a trial, what keeps it from ending, which server is asked, and what runs after too many rollbacks."""

import sys
import time

import board as b
from board import Board, deadline
from test_boot import GOOD, running


def trial(**settings):
    """A board in the first trial boot of a release."""
    board = Board(**settings)
    board.server.publish(GOOD)
    assert board.check() == "reset"
    assert board.boot() == ("repl", None)
    assert board.state()[0] == "trial"
    return board


def test_a_check_that_fails_keeps_the_trial_open_and_is_the_reason():
    board = running()
    good = board.server.offer[1]
    bad = board.server.publish(dict(GOOD, **{"more.py": b"x = 1\n"}), version="2", counter=11)
    assert board.check() == "reset"
    for _ in range(3):
        assert board.boot() == ("repl", None)
        board.agent().checks["sensor"] = lambda: False
        assert board.check() is False
        assert board.state()[0] == "trial"
        deadline()
    assert board.boot() == ("repl", None)
    assert board.state()[:2] == ["ok", good]
    board.server.stages()
    assert board.check() is False
    report = board.server.reports[0]
    assert (report["stage"], report["release"], report["reason"]) == ("rolled-back", bad, "health"), report


def test_good_checks_let_the_check_in_confirm():
    board = trial()
    asked = []
    board.agent().checks["sensor"] = lambda: asked.append(1) or True
    assert board.check() is False
    assert board.state()[0] == "ok" and asked


def test_confirm_after_seconds_needs_no_network():
    board = trial(confirm=30)
    board.server.down = True
    agent = board.agent("checkin")
    healthy = [False]
    agent.checks["sensor"] = lambda: healthy[0]
    assert agent.poll() is False and board.state()[0] == "trial"
    agent._start = agent.time.ticks_add(agent.time.ticks_ms(), -31000)  # 31 seconds later
    assert agent.poll() is False and board.state()[0] == "trial"
    healthy[0] = True
    assert agent.poll() is False and board.state()[0] == "ok"
    board.server.down = False
    board.server.stages()
    assert agent.check() is False
    assert not [s for s in board.server.stages() if s[:4] in ("fail", "roll")]


def test_a_check_in_does_not_confirm_when_seconds_do():
    board = trial(confirm=30)
    assert board.check() is False
    assert board.state()[0] == "trial"


def test_the_next_server_is_asked_after_three_misses():
    board = Board(recovery=["http://second.test:81"])
    board.server.publish(GOOD)
    asked = []

    class Sockets(b.SocketModule):
        def getaddrinfo(self, host, port):
            asked.append((host, port))
            if host == "board.test":
                raise OSError(113)
            return b.SocketModule.getaddrinfo(self, host, port)

    sys.modules["socket"] = Sockets(board.server)
    for _ in range(3):
        assert board.check() is False
    assert board.check() == "reset"
    assert [host for host, _ in asked] == ["board.test"] * 3 + ["second.test"] and asked[-1][1] == 81


def test_a_server_that_answers_again_is_kept():
    board = Board(recovery=["http://second.test"])
    board.server.down = True
    agent = board.agent("checkin")
    for _ in range(2):
        agent.check()
    board.server.down = False
    agent.check()
    assert agent._missed == 0
    board.server.down = True
    agent.check()
    assert agent._missed == 1


class Slept(BaseException):
    """time.sleep() was called: safe mode waits."""


def boot_safely(board):
    """boot.py and main.py, until safe mode waits. -> what Board.boot() returns, or "safe"."""

    def sleep(s):
        raise Slept

    real = time.sleep
    time.sleep = sleep
    try:
        return board.boot()[0]
    except Slept:
        return "safe"
    finally:
        time.sleep = real


if not b.MICROPYTHON:  # whose time module can't be changed

    def test_three_rollbacks_in_a_row_end_in_safe_mode_until_a_release_arrives():
        board = running({"main.py": b"with open('ran', 'a') as f:\n    f.write('x')\n"})
        for counter in (11, 12, 13):
            board.server.publish(dict(GOOD, **{"n.py": b"n = %d\n" % counter}), version=str(counter), counter=counter)
            assert board.check() == "reset"
            for _ in range(3):
                board.boot()
            ran = board.get("ran")
            assert boot_safely(board) == ("repl" if counter < 13 else "safe")
            assert (board.get("ran") == ran) == (counter == 13), "main.py"
            board.check()
        assert board.state()[0] == "safe"
        board.server.stages()
        assert boot_safely(board) == "safe"
        facts = [r["facts"] for r in board.server.reports if "facts" in r][-1]
        assert facts[-1] == "safe"
        board.server.publish(GOOD, version="14", counter=14)
        assert boot_safely(board) == "reset"  # found and staged
        assert board.boot() == ("repl", None)
        assert board.agent().confirm()
        assert board.state()[0] == "ok" and board.state()[6] == "0"


def test_safe_mode_is_a_state_that_boot_reports():
    board = running()
    for n in "01":
        board.put_state("safe", board.server.offer[1])
    assert board.guard().boot() is True
    assert board.state()[0] == "safe"
