"""The golden cases of vectors/: this agent and goldcrest-core judge the same bytes alike. Lines for the server only are skipped."""

import os
import sys

import board as b

VECTORS = b.HERE + "/../../vectors/"


def cases(folder, name="cases.txt"):
    """-> lines, split once into words."""
    out = []
    with open(VECTORS + folder + "/" + name) as f:
        line = f.readline()
        while line:
            out.append(line[:-1].split(" "))
            line = f.readline()
    assert len(out) > 9, folder
    return out


def load(name):
    """Import a module of the agent from the source tree, on the host's filesystem."""
    if b.AGENT not in sys.path:
        sys.path.insert(0, b.AGENT)
    __import__("goldcrest." + name)
    return sys.modules["goldcrest." + name]


def judge(act, *args):
    """-> `ok` or the name of the refusal."""
    from goldcrest import Refused

    try:
        act(*args)
        return "ok"
    except Refused as e:
        return e.args[0]


def compare(got):
    wrong = [g for g in got if g[1] != g[2]]
    assert not wrong, wrong
    print("    %d cases" % len(got))


def test_manifest():
    verify = load("verify")

    def read(name, package, board, platform, mpy, floor, agent, now):
        with open(VECTORS + "manifest/" + name, "rb") as f:
            head = verify.check(f)
            verify.signed(f, head["digest"], VECTORS + "keyring/in-force.keyring")
        cfg = {k: v for k, v in (("package", package), ("board", board)) if v != "-"}
        assert int(agent) == 1
        verify.admit(head, cfg, int(floor), platform, int(mpy), 0 if now == "-" else int(now))

    compare([(c[0], c[1], judge(read, c[0], *c[3:])) for c in cases("manifest") if c[2] == "all"])


def test_keyring():
    verify = load("verify")
    old = VECTORS + "keyring/in-force.keyring"
    compare([(c[0], c[1], judge(verify.successor, VECTORS + "keyring/" + c[0], old)) for c in cases("keyring") if c[2] == "all"])


def test_paths():
    verify = load("verify")
    compare([(c[1:], c[0], judge(verify.path, " ".join(c[1:]))) for c in cases("path")])


def test_patterns():
    install = load("install")
    compare([(c, c[0], "covers" if install.kept(c[2], [c[1]]) else "differs") for c in cases("path", "patterns.txt")])


def test_objects():
    table = [c for c in cases("object") if c[2] == "all"]
    wires = []
    for c in table:
        with open(VECTORS + "object/" + c[0], "rb") as f:
            wires.append(f.read())
    board = b.Board()
    install, http = board.agent("install"), board.agent("http")
    got = []
    for c, wire in zip(table, wires):
        board.server.faults["/d/v1/objects/"] = lambda reply: b.response(200, wire)
        h = http.Http({"server": "http://board.test", "token": "secret"})
        got.append((c[0], c[1], judge(install.fetch, h, c[4], int(c[3]), "x", memoryview(bytearray(512)))))
        h.close()
    compare(got)
    assert os.stat(b.ROOT + ".ota/t")
