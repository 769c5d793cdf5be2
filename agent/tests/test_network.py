"""What a server, or the line to it, may do wrong: named, reported, and nothing on the board changes."""

import os
import sys
import time

import board as b
import signing
from board import Board, response

FILES = {"main.py": b"import app_two\n", "app_two.py": b"value = 2\n" * 80, "empty.txt": b""}


def refused(why, offer=None, keys=(b.release_key,), files=FILES, settings=None, **k):
    """A release that must be refused for good as `why`: reported once, not downloaded again, the board as before."""
    board = Board(files={"main.py": b"old\n"}, **(settings or {}))
    before = board.snapshot()
    digest = board.server.publish(files, keys, **k)
    if offer:
        board.server.offer = offer(board.server.offer)
    assert board.check() is False
    assert board.snapshot() == before
    assert board.work_files() == []
    reports = [r for r in board.server.reports if r["stage"] == "failed"]
    assert len(reports) == 1 and reports[0]["reason"] == why and reports[0]["release"] == digest, board.server.reports
    assert board.get(".ota/failed").decode().split("\n")[:2] == [digest, why]
    n = len(board.server.requests)
    b.fresh()
    board.install_fakes()
    assert board.check() is False
    assert [p.split("?")[0] for _, p in board.server.requests[n:]] == ["/d/v1/report", "/d/v1/checkin"]
    return reports[0]


def passing(why, prefix, fault, tries=1):
    """A fault that may pass: reported by name, and the update goes through when it is over."""
    board = Board(files={"main.py": b"old\n"})
    before = board.snapshot()
    board.server.publish(FILES)
    board.server.faults[prefix] = fault
    for _ in range(tries):
        assert board.check() is False
        assert board.snapshot() == before
    reasons = [r.get("reason") for r in board.server.reports if r["stage"] == "downloading"]
    assert reasons[-1:] == [why] if why else not any(reasons), board.server.reports
    assert not [r for r in board.server.reports if r["stage"] == "failed"]
    board.server.faults.clear()
    assert board.check() == "reset"
    return board


def resigned(change):
    """Offer with a changed body, signed again, under the digest that it has then."""

    def act(offer):
        body = change(offer[0][: offer[0].index(b"sig ")])
        return signing.sign(body, (b.release_key,))

    return act


def test_wrong_signature():
    refused("bad-signature", lambda o: (o[0].replace(b"version 1\n", b"version 2\n"), o[1]))


def test_unknown_key():
    refused("unknown-key", keys=(b.stranger,))


def test_revoked_key():
    refused("revoked-key", keys=(b.revoked_key,))


def test_other_package_board_agent_mpy():
    refused("package", settings={"package": "other"})
    refused("board", extra="boards pyboard")
    refused("agent", agent=2)
    refused("mpy", extra="mpy 5")


def test_below_the_floor():
    board = Board()
    board.server.publish(FILES, counter=100, floor=90)
    assert board.check() == "reset"
    board.boot()
    board.check()
    board.server.stages()
    board.server.publish({"main.py": b"older\n"}, counter=89, version="0")
    assert board.check() is False
    assert board.server.stages() == ["failed:floor"]
    board.server.publish({"main.py": b"older\n"}, counter=90, version="0.5", floor=1)
    assert board.check() == "reset"


def test_paths():
    refused("path", files={"../x": b"1"})
    refused("path", files={"boot.py": b"1"})
    refused("path-long", files={"d/" * 58 + "file.txt": b"1"})


def test_release_larger_than_the_flash():
    board = Board(flash=b.Nor(40))
    board.server.publish({"big.bin": b"\0" * 130000})
    before = board.snapshot()
    n = len(board.server.requests)
    assert board.check() is False
    assert board.server.stages()[-1] == "failed:space"
    assert board.server.last[0]["detail"].startswith("needs "), board.server.last
    assert not [p for _, p in board.server.requests[n:] if "objects" in p]
    assert board.snapshot() == before and board.work_files() == []


if not b.LITTLEFS:
    del test_release_larger_than_the_flash  # a folder has no end


def test_duplicate_path():
    def twice(body):
        lines = body.split(b"\n")
        return body.replace(lines[-2], lines[-2] + b"\n" + lines[-2]).replace(b"files 3", b"files 4")

    board = Board()
    board.server.publish(FILES)
    board.server.offer = resigned(twice)(board.server.offer)
    assert board.check() is False
    assert board.server.stages()[-1] == "failed:duplicate"


def test_object_with_another_hash():
    passing("hash", "/d/v1/objects/", lambda r: response(200, b"impart app_two\n") if b"import" in r else r)


def test_object_cut_at_every_byte():
    data = b"import app_two\n"
    whole = len(response(200, data))
    for n in range(whole + 1):
        board = Board()
        board.server.publish({"main.py": data})
        board.server.faults["/d/v1/objects/"] = lambda reply: reply[:n]
        assert board.check() == ("reset" if n == whole else False), n
        assert board.get("main.py") is None


def test_truncated_object():
    passing("truncated", "/d/v1/objects/", lambda r: r[:-3])


def test_truncated_manifest():
    passing("truncated", "/d/v1/checkin", lambda r: r[:-30])


def test_endless_object_and_manifest():
    passing("endless", "/d/v1/objects/", lambda r: response(200, b"x" * 100000))
    more = 'ETag: "%s"\r\n' % ("a" * 64)
    passing("endless", "/d/v1/checkin", lambda r: response(200, b"x" * 5, more).replace(b": 5", b": 9999999999"))


def test_bodies_without_a_length_are_endless():
    endless = lambda r: b"HTTP/1.1 200 OK\r\nETag: \"%s\"\r\n\r\n" % (b"a" * 64) + b"x" * 70000  # noqa: E731
    passing("endless", "/d/v1/objects/", endless)
    passing("endless", "/d/v1/checkin", endless)
    passing(None, "/d/v1/checkin", lambda r: b"HTTP/1.1 500 Oops\r\n\r\n" + b"x" * 70000)


def test_missing_object():
    passing("missing", "/d/v1/objects/", lambda r: response(404, b"gone\n"))


def test_server_errors_wait_for_the_next_poll():
    for status in (401, 404, 408, 429, 500, 503):
        passing(None, "/d/v1/checkin", lambda r: response(status, b"no\n"))


def test_garbage_for_http():
    for reply in (
        None,
        b"",
        b"\r\n\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 abc\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 9000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 2000 + b"\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nETag: "x"\r\n\r\nhello',
        b"HTTP/1.1 304 Not Modified\r\n",
        b"\xff\xfe" * 20 + b"\r\n\r\n",
    ):
        passing(None, "/d/v1/checkin", lambda r: reply)


def test_eight_tries_then_it_is_remembered():
    board = Board()
    digest = board.server.publish(FILES)
    board.server.faults["/d/v1/objects/"] = lambda r: r[:-3]
    for _ in range(7):
        assert board.check() is False
        assert board.get(".ota/failed") is None
    assert board.check() is False
    assert board.get(".ota/failed").decode().startswith(digest + "\ntruncated\n")
    assert board.server.stages()[-1] == "failed:truncated"
    assert board.work_files() == []


def test_staged_files_are_not_fetched_again():
    board = Board()
    board.server.publish(FILES)
    last = signing.sha(FILES["main.py"])
    board.server.faults["/d/v1/objects/" + last] = lambda r: r[:-1]
    assert board.check() is False
    n = len(board.server.requests)
    board.server.faults.clear()
    b.fresh()
    board.install_fakes()
    assert board.check() == "reset"
    assert [p[14:78] for _, p in board.server.requests[n:] if "objects" in p] == [last]


def test_staged_files_of_another_target_go():
    board = Board()
    board.server.publish({"a.txt": b"a" * 50, "z.txt": b"z"})
    board.server.faults["/d/v1/objects/" + signing.sha(b"z")] = lambda r: r[:-1]
    assert board.check() is False
    assert "n0" in board.work_files()
    board.server.offer = None  # taken back
    assert board.check() is False
    assert board.work_files() == []


def test_an_undelivered_report_waits_for_the_server():
    board = Board(files={"main.py": b"old\n"})
    board.server.publish(FILES, agent=9)
    board.server.faults["/d/v1/report"] = lambda r: response(503, b"busy\n") if any("reason" in x for x in board.server.reports) else r
    board.check()
    assert board.get(".ota/report") == b"failed"
    board.server.faults.clear()
    board.server.stages()
    b.fresh()
    board.install_fakes()
    board.check()
    assert board.server.stages() == ["failed:agent", "boot"]
    assert board.get(".ota/report") is None


def test_a_lost_report_of_the_install_changes_nothing():
    board = Board()
    board.server.publish(FILES)
    busy = lambda r: response(503, b"busy\n") if board.server.reports[-1]["stage"] == "installing" else r  # noqa: E731
    board.server.faults["/d/v1/report"] = busy
    assert board.check() == "reset"
    assert board.boot() == ("repl", None)
    assert board.get("main.py") == FILES["main.py"]


def test_a_lost_failure_does_not_keep_the_board_from_checking_in():
    board = Board()
    board.put(".ota/report", b"failed")
    assert board.check() is False
    assert board.server.requests[-1][1].startswith("/d/v1/checkin")


if b.LITTLEFS:

    def test_flash_that_fills_up_while_staging():
        board = Board(files={"main.py": b"old\n"})
        board.server.publish({"main.py": b"new\n", "big.bin": b"\0" * 40000})
        free = os.statvfs("/")[3] * 4096

        def fill(reply):
            if not board.get("filler"):
                board.put("filler", b"\xff" * (free - 24000))
            return reply

        board.server.faults["/d/v1/objects/"] = fill
        assert board.check() is False
        stages = board.server.stages()
        assert stages[-1] == "failed:space", stages
        assert board.get("main.py") == b"old\n" and board.work_files() == []


def test_kept_files_are_the_boards():
    board = Board(files={"config.json": b"mine", "data/log.txt": b"mine", "secrets.py": b"mine"}, keep=["secrets.py"])
    files = dict(FILES, **{"config.json": b"theirs", "secrets.py": b"theirs"})
    board.server.publish(files, keep=("config.json", "data/**"), deletions=("data/log.txt",))
    assert board.check() == "reset"
    board.boot()
    assert board.agent().confirm()
    for p in ("config.json", "data/log.txt", "secrets.py"):
        assert board.get(p) == b"mine", p
    assert board.get("app_two.py") == FILES["app_two.py"]


def ring(version, signers=None, releases=(b.stranger,), roots=(b.root_a,)):
    return signing.keyring(list(roots), list(releases), version=version, signers=signers), version


def test_new_keyring_before_its_release():
    board = Board()
    board.server.keyring = ring(2)
    board.server.publish(FILES, keys=(b.stranger,))
    assert board.check() == "reset"
    assert board.get(".ota/keyring" + board.state()[5]) == board.server.keyring[0]


def test_keyring_that_the_roots_did_not_sign():
    board = Board()
    board.server.keyring = ring(2, signers=[b.stranger])
    board.server.publish(FILES, keys=(b.stranger,))
    assert board.check() is False
    assert [s for s in board.server.stages() if s[:4] == "fail"] == ["failed:keyring-threshold", "failed:unknown-key"]
    assert board.state()[5] == "0"
    assert board.check() is False
    assert board.server.stages() == []


def test_older_keyring_under_a_newer_number():
    board = Board()
    board.server.keyring = ring(1)[0], 5
    board.server.publish(FILES)
    assert board.check() == "reset"
    assert "failed:keyring-old" in board.server.stages()


def test_poll_waits_as_the_server_says():
    board = Board()
    agent = board.agent("checkin")
    real = time.ticks_ms, agent.time
    now = [0x3FFFFFF0]  # just before the ticks wrap around

    class Time:
        ticks_ms = staticmethod(lambda: now[0])
        ticks_add = staticmethod(lambda a, d: (a + d) & 0x3FFFFFFF)
        ticks_diff = staticmethod(lambda a, d: ((a - d + 0x20000000) & 0x3FFFFFFF) - 0x20000000)

    agent.time = Time
    try:
        agent.poll()
        n = len(board.server.requests)
        agent.poll()
        assert len(board.server.requests) == n
        now[0] = (now[0] + 29000) & 0x3FFFFFFF
        agent.poll()
        assert len(board.server.requests) == n
        now[0] += 1001
        board.server.faults["/d/v1/checkin"] = lambda r: response(429, b"slow\n", "Retry-After: 600\r\n")
        agent.poll()
        assert len(board.server.requests) == n + 1
        now[0] += 599000
        agent.poll()
        assert len(board.server.requests) == n + 1
    finally:
        agent.time = real[1]


def test_settings_decide_who_confirms():
    board = Board(confirm="app")
    board.server.publish(FILES)
    board.check()
    board.boot()
    assert board.check() is False
    assert board.state()[0] == "trial"
    assert board.agent().confirm() is True


def test_modules_of_an_update_are_dropped():
    board = Board()
    board.server.publish(FILES)
    board.agent().check(reset=False)
    left = sorted(n for n in sys.modules if n.startswith("goldcrest."))
    assert left == ["goldcrest.checkin", "goldcrest.guard"], left
    assert board.agent().check(reset=False) is True


def test_one_connection_serves_a_whole_update():
    board = Board()
    board.server.publish(FILES)
    board.check()
    assert board.server.connections == 1, board.server.connections
