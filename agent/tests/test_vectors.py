"""The golden cases of vectors/: this agent and goldcrest-core judge the same bytes alike. Lines for the server only are skipped."""

import hashlib
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
    sys.modules.setdefault("socket", b.SocketModule(None))  # WASM builds have none
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
    except (ValueError, LookupError):
        return "format"


def compare(got):
    wrong = [g for g in got if g[1] != g[2]]
    assert not wrong, wrong
    print("    %d cases" % len(got))


def test_manifest():
    update = load("update")

    def read(name, package, board, platform, mpy, floor, agent, now):
        head = {"keep": []}
        h = hashlib.sha256()
        with open(VECTORS + "manifest/" + name, "rb") as f:
            for _ in update.check(f, h, head):
                pass
            update.signed(f, h.digest(), VECTORS + "keyring/in-force.keyring")
        cfg = {k: v for k, v in (("package", package), ("board", board)) if v != "-"}
        assert int(agent) == 1
        update.admit(head, cfg, int(floor), platform, int(mpy), 0 if now == "-" else int(now))

    # Before MicroPython 1.25 int() takes hexadecimals. Only a broken packer could have signed them.
    left_out = "counter-hex.manifest" if _int_takes_hex() else ""
    compare([(c[0], c[1], judge(read, c[0], *c[3:])) for c in cases("manifest") if c[2] == "all" and c[0] != left_out])


def _int_takes_hex():
    try:
        return int("0x10") == 16
    except ValueError:
        return False


def test_keyring():
    update = load("update")
    old = VECTORS + "keyring/in-force.keyring"
    compare([(c[0], c[1], judge(update.successor, VECTORS + "keyring/" + c[0], old)) for c in cases("keyring") if c[2] == "all"])


def test_paths():
    update = load("update")
    # What is only a nuisance to people and to FAT is left to the packer and the server.
    only_there = [c for c in cases("path") if len(c) == 2 and all(x in ':*?"<>|\t\x01\x7f' or x.isalpha() for x in c[1]) and c[1] and c[0] == "path" and c[1].lower()[:4] != "boot"]
    assert len(only_there) == 10, only_there
    compare([(c[1:], c[0], judge(update.path, " ".join(c[1:]))) for c in cases("path") if c not in only_there])


def test_patterns():
    update = load("update")
    compare([(c, c[0], "covers" if update.kept(c[2], [c[1]]) else "differs") for c in cases("path", "patterns.txt")])


def test_objects():
    table = [c for c in cases("object") if c[2] == "all"]
    wires = []
    for c in table:
        with open(VECTORS + "object/" + c[0], "rb") as f:
            wires.append(f.read())
    board = b.Board()
    agent, update = board.agent(), board.agent("update")
    got = []
    for c, wire in zip(table, wires):
        board.server.faults["/d/v1/objects/"] = lambda reply: b.response(200, wire)
        h = agent.Http("http://board.test", {"token": "secret"})
        got.append((c[0], c[1], judge(update.fetch, h, b.ROOT + ".ota/n0", int(c[3]), c[4], "", "x")))
        h.close()
    compare(got)


def test_deltas():
    table = [c for c in cases("delta") if c[2] == "all"]
    read = []
    for c in table:
        with open(VECTORS + "delta/" + c[0], "rb") as f, open(VECTORS + "delta/" + c[3], "rb") as g:
            read.append((f.read(), g.read()))
    board = b.Board()
    agent, update = board.agent(), board.agent("update")
    got = []
    for c, (delta, base) in zip(table, read):
        board.put("base", base)
        board.server.faults["/d/v1/objects/"] = lambda reply: b.response(226, delta)
        h = agent.Http("http://board.test", {"token": "secret"})
        result = judge(update.fetch, h, b.ROOT + ".ota/n0", int(c[4]), c[5], "0" * 64, b.ROOT + "base")
        h.close()
        # A board may refuse under any name, one that is longer than its object too: then it asks for the whole object.
        # And it may take what is cut in its last bits: the digest is what counts.
        good = result == "ok" and update.guard.sha(b.ROOT + ".ota/n0") == c[5]
        assert good == (result == "ok"), c
        if c[0] not in ("to-nothing.delta", "truncated-in-last-byte.delta"):
            got.append((c[0], c[1] == "ok", good))
    compare(got)
