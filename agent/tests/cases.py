"""The cases of the power-cut sweep, a line each. What the agent learns to do to a flash gets a case here."""

import archives
import board as b
import brokers
import signing
import sites

_CHECK = b"import goldcrest\ngoldcrest.check()\n"
_CONFIRM = b"import goldcrest\ngoldcrest.confirm()\ngoldcrest.check()\n"
_CRASH = b"import app_that_is_not_there\n"


def _signed(files, version):
    return archives.ours(files, version=version, counter=10 + int(version))[0]


class Release:
    def __init__(self, version, files, main=_CHECK, agent=0, **options):
        self.files = dict({"main.py": main + b"# release %d\n" % version}, **files)
        self.agent = agent  # 0: without, 1: the agent that the board was provisioned with, 2: the one after it
        self.options = dict(options, version=str(version), counter=10 + version, floor=min(10, version))


class Case:
    def __init__(self, name, before, target, end="new", mine=None, kept=(), ring=None, late=0, fill=False, patches=None, cuts="one", site=None, **settings):
        self.name = name
        self.before = before  # releases that ran before
        self.target = target
        self.end = end
        self.mine = dict(_MINE, **(mine or {}))  # what provisioning and the owner put on the board
        self.kept = kept  # of these, what no release may touch
        self.ring = ring  # (keyring, version) that the server has by then
        self.late = late  # check-ins of a trial that fail
        self.patches = {} if patches else None  # the server offers them
        self.fill = fill  # a flash on which the update only just fits
        self.site = site  # what the agent pulls from in place of our server
        self.cuts = cuts  # one, second: another one in the recovery, or random: several
        self.settings = settings


def _text(name, n):
    line = b"# %s\n" % name.encode()
    return (line * (n // len(line) + 1))[:n]


def _noise(n):
    out = bytearray(n)
    word = 1
    for i in range(n):
        word = (word * 1103515245 + 12345) & 0x7FFFFFFF
        out[i] = word >> 16 & 255
    return bytes(out)


_MINE = {"main.py": _CHECK, "config.json": b'{"ssid": "mine"}'}
_FOREIGN = {"old/leftover.py": _text("foreign", 400), "old/deep/more.py": _text("foreign too", 90)}
_APP = {"app/net.py": _text("net one", 4500), "app/gone.py": _text("gone", 700), "app/deep/gone.py": _text("gone too", 90)}
_APP.update({"thing": b"a file", "lib/util.py": _text("util", 2500), "web": _text("a file", 300)})
_SMALL = dict(_APP, **{"app/net.py": _text("net two", 3900)})
_FEWER = {p: _APP[p] for p in _APP if "gone" not in p}
_MOVED = {"app/net.py": _text("net two!", 4600), "app/one.py": _text("new", 900), "thing/in.txt": b"a folder", "lib/util.py": _APP["lib/util.py"]}
_MOVED["web/index.html"] = _text("a folder", 200)
_A = Release(1, _APP)
_MORE = dict(_A.files, **{"zone/last.py": _text("more", 300)})
_BAD = Release(2, _MOVED, main=_CRASH)
_RING = signing.keyring([b.root_a], [b.stranger], [b.release_key], version=2), 2

_SITE_APP = {"app/net.py": _text("net one", 4500), "app/gone.py": _text("gone", 700), "lib/util.py": _text("util", 2500)}
_SITE_ONE = Release(1, _SITE_APP)
_SITE_FILES = {"app/net.py": _text("net two", 3900), "app/one.py": _text("one", 300), "lib/util.py": _text("util", 2500)}
_SITE_TWO = Release(2, _SITE_FILES)
_SITE_BAD = Release(2, _SITE_FILES, main=_CRASH)

CASES = (
    Case("first install", [], Release(1, _APP, deletions=sorted(_FOREIGN)), mine=_FOREIGN),
    Case("small update", [_A], Release(2, _SMALL)),
    Case("deletions", [_A], Release(2, _FEWER)),
    Case("folders come and go", [_A], Release(2, _MOVED)),
    Case("back to an older release", [_A, Release(2, _MOVED)], _A),
    Case("rollback of a crash", [_A], _BAD, end="old"),
    Case("rollback of the first install", [], Release(1, _APP, main=_CRASH, deletions=sorted(_FOREIGN)), end="old", mine=_FOREIGN),
    # Only additions: no saved copy stands between the staged files and the state, which littlefs may hide after a cut rename.
    Case("additions after a rollback", [_A, _BAD], Release(3, _MORE)),
    Case("confirmed by the app", [Release(1, _APP, main=_CONFIRM)], Release(2, _FEWER, main=_CONFIRM), confirm="app"),
    Case("a trial of two boots", [_A], Release(2, _FEWER), late=1),
    Case("agent", [_A], Release(2, _SMALL, agent=2)),
    Case("agent again", [_A, Release(2, _APP, agent=2)], Release(3, _SMALL, agent=1)),
    Case("agent rolled back", [_A], Release(2, _SMALL, agent=2, main=_CRASH), end="old"),
    Case("keyring", [_A], Release(2, _SMALL, keys=(b.stranger,)), ring=_RING),
    Case("kept files", [_A], Release(2, _MOVED, keep=("config.json", "data/**"), deletions=("config.json", "data/log")), mine={"data/log": b"1"}, kept=("data/log", "config.json")),
    Case("nearly full flash", [_A], Release(2, _SMALL), fill=True),
    Case("patches", [_A], Release(2, _SMALL), patches=True),
    Case("large body", [_A], Release(2, dict(_APP, **{"data.bin": _noise(40000)})), patches=True),
    Case("boot_user.py", [Release(1, dict(_APP, **{"boot_user.py": b"one = 1\n"}))], Release(2, dict(_SMALL, **{"boot_user.py": b"two = 2\n"}))),
    Case("second cut in the recovery", [_A], Release(2, _MOVED), cuts="second"),
    Case("second cut in a rollback", [_A], Release(2, _MOVED, main=_CRASH), end="old", cuts="second"),
    Case("many cuts", [_A], Release(2, _MOVED), cuts="random"),
    Case("source static", [_SITE_ONE], _SITE_TWO, site=sites.Folder()),
    Case("source static, rollback", [_SITE_ONE], _SITE_BAD, end="old", site=sites.Folder("folder", "sha")),
    Case("source static, export", [_SITE_ONE], _SITE_TWO, site=sites.Export()),
    Case("source macfile", [_SITE_ONE], _SITE_TWO, site=sites.Macs()),
    Case("source git", [_SITE_ONE], _SITE_TWO, site=sites.Forge("gitea")),
    Case("source git, rollback", [_SITE_ONE], _SITE_BAD, end="old", site=sites.Forge("gitlab")),
    Case("source thingsboard", [_SITE_ONE], _SITE_TWO, site=brokers.ThingsBoard(), rest="clear", keep=["config.json"]),
    Case("source thingsboard, signed", [_SITE_ONE], _SITE_TWO, site=brokers.ThingsBoard(_signed)),
    Case("source thingsboard, rollback", [_SITE_ONE], _SITE_BAD, end="old", site=brokers.ThingsBoard()),
    Case("source insighio", [_SITE_ONE], _SITE_TWO, site=brokers.Console(), rest="delete"),
    Case("source insighio, signed", [_SITE_ONE], _SITE_TWO, site=brokers.Console(_signed)),
    Case("source insighio, rollback", [_SITE_ONE], _SITE_BAD, end="old", site=brokers.Console(), rest="delete"),
)
