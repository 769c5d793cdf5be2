"""Boot: what becomes of a release that fails in each way, without network; and boot.py's own promises."""

import sys

import board as b
from board import AGENT_FILES, Board, console, deadline

GOOD = {"main.py": b"ran = 1\n", "app_mod.py": b"value = 1\n"}


def running(more=(), with_agent=False, flash=None):
    """A board that runs GOOD and `more` files, confirmed; with the agent as a part of the release, if wanted."""
    board = Board(flash=flash)
    files = dict(GOOD)
    files.update(more)
    if with_agent:
        files.update(agent_of(board))
    board.server.publish(files)
    assert board.check() == "reset"
    board.boot()
    assert board.agent().confirm()
    board.server.stages()
    return board


def agent_of(board):
    return {p: board.host(p, AGENT_FILES[p]) for p in AGENT_FILES if p != "boot.py"}


def fails(files, end, why):
    """Publish `files`; every trial boot must end as `end`, and the 4th boot must bring GOOD back and report `why`."""
    board = running()
    before = board.snapshot()
    good = board.server.offer[1]
    bad = board.server.publish(dict(GOOD, **files), version="2", counter=11)
    assert board.check() == "reset"
    board.server.down = True
    for i in range(3):
        got, e = board.boot()
        assert got == end, (got, e)
        if end == "repl":
            if e:
                console(e)
            deadline()
    assert board.state()[0] == "trial"
    assert board.boot() == ("repl", None)
    assert board.snapshot() == before
    assert board.state()[:5] == ["ok", good, "1", "-", "1"]
    assert board.work_files() == []
    assert board.check() is False
    board.server.down = False
    board.server.stages()
    assert board.check() is False
    assert board.server.reports[0]["stage"] == "rolled-back"
    assert board.server.reports[0]["release"] == bad
    assert board.server.reports[0]["reason"] == why, board.server.reports[0]
    first = board.server.reports[0]
    board.server.stages()
    # not tried again, not reported again
    assert board.check() is False
    assert board.server.stages() == []
    return first


def test_raise_at_import():
    report = fails({"main.py": b"import app_bad\n", "app_bad.py": b"raise ValueError('oops')\n"}, "repl", "crash")
    assert "ValueError: oops" in report["trace"], report
    assert report["detail"] == "ValueError: oops", report["detail"]


def test_syntax_error():
    report = fails({"main.py": b"def f(:\n"}, "repl", "crash")
    assert "SyntaxError" in report["trace"]


def test_missing_module():
    report = fails({"main.py": b"import app_nowhere\n"}, "repl", "crash")
    assert "app_nowhere" in report["trace"]


def test_never_confirms():
    report = fails({"main.py": b"ran = 2\n"}, "repl", "not-confirmed")
    assert "trace" not in report


def test_reset_at_once():
    fails({"main.py": b"import machine\nmachine.reset()\n"}, "reset", "not-confirmed")


def test_sys_exit():
    fails({"main.py": b"import sys\nsys.exit()\n"}, "exit", "not-confirmed")


def test_boot_user_that_raises_is_a_crash():
    report = fails({"boot_user.py": b"import app_nowhere\n"}, "reset", "crash")
    assert "app_nowhere" in report["trace"]


def broken_agent(files, why):
    """A release that breaks the agent can't be confirmed, also by an app that would."""
    board = running(with_agent=True)
    before = board.snapshot()
    agent = agent_of(board)
    agent.update(files)
    agent["main.py"] = b"import goldcrest\ngoldcrest.confirm()\n"
    board.server.publish(dict(GOOD, **{p: d for p, d in agent.items() if d is not None}), version="2", counter=11)
    assert board.check() == "reset"
    for _ in range(3):
        got, e = board.boot()
        assert board.state()[0] == "trial"
        if got == "repl" and not (e and console(e)):
            deadline()
    assert board.boot() == ("repl", None)
    assert board.snapshot() == before
    board.server.stages()
    assert board.check() is False
    report = board.server.reports[0]
    assert report["stage"] == "rolled-back" and report["reason"] == why, report
    return report


def test_broken_agent_garbage_bytecode():
    broken_agent({"lib/goldcrest/update.py": None, "lib/goldcrest/update.mpy": b"M\x06garbage"}, "agent")


def test_broken_agent_syntax_error():
    assert "SyntaxError" in broken_agent({"lib/goldcrest/guard.py": b"def f(:\n"}, "crash")["trace"]


def test_broken_agent_exits():
    broken_agent({"lib/goldcrest/__init__.py": b"import sys\nsys.exit()\n"}, "not-confirmed")


def test_release_without_the_agent_it_had():
    agent = [p for p in AGENT_FILES if p != "boot.py"]
    broken_agent({p: None for p in agent}, "crash")


def test_agent_that_resets_when_an_update_needs_it():
    # An endless loop ends the same way, by the deadline.
    broken_agent({"lib/goldcrest/update.py": b"import sys\nsys.modules['_goldcrest'].fail('not-confirmed')\n"}, "not-confirmed")


def test_without_a_golden_copy_the_installed_guard_runs():
    board = running()
    for p in ("golden/guard.py",):
        board.put(".ota/" + p, b"garbage(\n")
    board.put_state("trial", "0" * 64)
    board.put(".ota/journal", b"")
    assert board.boot() == ("repl", None)
    assert board.get(".ota/tries") == b"."


def test_a_failing_guard_does_not_keep_main_from_running():
    board = running()
    board.put(".ota/golden/guard.py", b"garbage(\n")
    board.put("lib/goldcrest/guard.py", b"garbage(\n")
    board.put_state("trial", "0" * 64)
    board.put("main.py", b"with open('ran', 'w') as f:\n    f.write('yes')\n")
    assert board.boot() == ("repl", None)
    assert board.get("ran") == b"yes"


def test_garbage_in_the_state_is_no_release():
    board = running()
    for text in (b"", b"\xff\xfe", b"ok", b"trial", b"commit - -", b"what is 1 -", b"trial - 0 - 0 0 0 99 1"):
        board.put(".ota/s0", text)
        board.put(".ota/s1", text)
        assert board.boot() == ("repl", None), text
        assert board.state()[0] == "ok"


def test_boot_without_state_imports_nothing():
    board = Board(files=GOOD)
    assert board.boot() == ("repl", None)
    assert "goldcrest" not in sys.modules and "guard" not in sys.modules
    assert b.Timer.armed is None


def test_confirm_disarms_the_deadline():
    board = running()
    board.server.publish({"main.py": b"ran = 2\n"}, version="2", counter=11)
    board.check()
    board.boot()
    assert b.Timer.armed[0] == 60000
    assert board.agent().confirm() is True
    assert b.Timer.armed is None
    assert "_goldcrest" not in sys.modules


def test_trial_s_sets_the_deadline():
    board = Board(trial_s=7)
    board.server.publish(GOOD)
    board.check()
    board.boot()
    assert b.Timer.armed[0] == 7000


def test_golden_copy_follows_the_confirmed_guard_at_the_next_update():
    board = running()
    new = board.host("guard.py", AGENT_FILES["lib/goldcrest/guard.py"]) + b"# newer\n"
    board.server.publish(dict(GOOD, **{"lib/goldcrest/guard.py": new}), version="2", counter=11)
    board.check()
    board.boot()
    assert not board.get(".ota/golden/guard.py").endswith(b"# newer\n")
    board.agent().confirm()
    assert not board.get(".ota/golden/guard.py").endswith(b"# newer\n")
    board.server.publish(dict(GOOD, **{"lib/goldcrest/guard.py": new, "x.py": b""}), version="3", counter=12)
    assert board.check() == "reset"
    assert board.get(".ota/golden/guard.py") == new


def test_files_and_folders_change_places():
    board = running({"thing": b"file", "web/a.txt": b"a", "web/b.txt": b"b"})
    before = board.snapshot()
    new = dict(GOOD, **{"thing/x.txt": b"x", "web": b"now a file"})
    board.server.publish(new, version="2", counter=11)
    assert board.check() == "reset"
    board.boot()
    assert board.get("thing/x.txt") == b"x" and board.get("web") == b"now a file"
    for _ in range(3):
        board.boot()
    assert board.snapshot() == before


def test_a_file_of_the_owner_in_the_way_fails_and_rolls_back():
    board = running({"web/a.txt": b"a"})
    board.put("web/mine.txt", b"mine")
    before = board.snapshot()
    board.server.publish(dict(GOOD, web=b"now a file"), version="2", counter=11)
    assert board.check() == "reset"
    for _ in range(3):
        assert board.boot()[0] == "reset"
    assert board.boot() == ("repl", None)
    assert board.snapshot() == before
    board.server.stages()
    board.check()
    assert board.server.stages()[0] == "rolled-back:flash"
