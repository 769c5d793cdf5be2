"""Power lost at any flash operation leaves a board that boots the old or the new release (MicroPython only: needs littlefs).

Each scenario is run once to count its flash operations, then once per operation and mode with the power cut there. After each cut:
boot, everything is old or new, the state agrees, and the same steps then lead to the end. `micropython run.py powercut full` adds operations, modes and a scenario.
"""

import gc
import os
import sys

import board as b
import flash

FULL = "full" in sys.argv
FOREIGN = {"main.py": b"# by hand\n", "old/leftover.py": b"# foreign\n" * 30}
A = {
    "main.py": b"import app_a\n",
    "app/net.py": b"# net one\n" * 500,
    "app/gone.py": b"# gone\n" * 100,
    "app/deep/er/gone.py": b"# gone too\n" * 10,
    "thing": b"a file",
    "lib/util.py": b"# util\n" * 300,
}
B = {
    "main.py": b"import app_b\n",
    "app/net.py": b"# net two!\n" * 600,
    "app/new/one.py": b"# new\n" * 90,
    "thing/inside.txt": b"a folder now",
    "lib/util.py": b"# util\n" * 300,
}
KEPT = {"config.json": b'{"ssid":"mine"}'}


class Sweep:
    """A board whose flash is put back to `image` before each run; the agent's modules stay loaded."""

    def __init__(self):
        self.board = b.Board(files=dict(FOREIGN, **KEPT))
        self.guard = self.board.agent("guard")
        self.verify = self.board.agent("verify")
        self.install = self.board.agent("install")
        self.Http = self.board.agent("http").Http
        self.guard._try_agent = lambda: None  # compiles the agent anew: not of interest here, and slow
        self.a = self.publish(A, deletions=("old/leftover.py",))
        self.b = self.publish(B, version="2", counter=11, floor=11)
        self.own = set(p for p in self.board.snapshot() if p == "boot.py" or p == "goldcrest.json" or p.startswith("lib/goldcrest"))

    def publish(self, files, **k):
        self.board.server.publish(files, keep=("config.json",), **k)
        return self.board.server.offer

    def save(self):
        flash.saved[:] = self.board.flash.data
        return flash.saved

    def restore(self, image):
        self.power_off()
        self.board.flash.data[:] = image
        self.power_on()

    def power_off(self):
        try:
            b.vfs.umount("/")
        except OSError:
            pass
        gc.collect()

    def power_on(self):
        # A new object: files that were open at the cut are closed by the garbage collector at any time, on the dead one.
        self.board.flash = b.Flash(self.board.flash.data)
        b.vfs.mount(b.vfs.VfsLfs2(self.board.flash, progsize=32, readsize=32), "/")
        os.chdir("/")

    def update(self, offer):
        self.board.server.offer = offer
        if self.guard.state()[1] == offer[1]:
            return
        http = self.Http({"server": "http://board.test", "token": "secret"})
        assert http.request("GET", "/d/v1/checkin?run=-") == 200
        etag = http.headers["etag"].strip('"')
        self.install.update(http, self.verify.take(http, {}, etag), etag, lambda *said: None)

    def boot(self):
        """boot.py, without the import of the guard."""
        try:
            os.remove(".ota/-")
        except OSError:
            pass
        if self.guard.state()[0] != "ok":
            self.guard.boot()

    def shows(self):
        """-> "foreign", "a", "b" or what is wrong."""
        files = self.board.snapshot()
        files = {p: files[p] for p in files if p not in self.own}
        for name, want in (("foreign", FOREIGN), ("a", A), ("b", B)):
            if files == dict(want, **KEPT):
                return name
        return "mixed: %s" % sorted(files)


def sweep(start, steps, allowed, end):
    """Cut `steps` at each operation after `start`."""
    s = Sweep()
    start(s)
    image = s.save()
    s.restore(image)
    steps(s)
    assert s.shows() == end, s.shows()
    total = s.board.flash.ops
    modes = ("clean", "torn", "torn1", "tornlast") if FULL else ("clean", "torn")
    seen = {}
    cuts = 0
    for mode in modes:
        for k in range(1, total + 1, 1 if FULL or mode == "clean" else 3):
            cuts += 1
            s.restore(image)
            s.board.flash.mode = mode
            s.board.flash.cut = k
            try:
                steps(s)
            except (Exception, b.Reset):
                if not s.board.flash.dead:
                    raise
            assert s.board.flash.dead
            s.power_off()
            s.power_on()
            s.boot()
            shows = s.shows()
            seen[shows] = seen.get(shows, 0) + 1
            at = "cut %d %s: " % (k, mode)
            assert shows in allowed, at + shows
            digest = s.guard.state()[1]
            assert digest == {"foreign": "-", "a": s.a[1], "b": s.b[1]}[shows], at + "state of another release"
            assert (digest == "-") == (s.guard.kind("/.ota/run") == 0), at + "manifest"
            assert s.guard.read("keyring"), at + "keyring"
            steps(s)
            assert s.shows() == end, at + "then " + s.shows()
            if s.guard.kind("/.ota/target"):
                s.guard.clean("nopjt")  # what the next check-in does after a cut in the last clean()
            left = s.board.work_files()
            assert left == [], at + "left " + str(left)
    print("    %d cuts: %s" % (cuts, seen))


def run_a(s):
    s.update(s.a)
    s.boot()
    s.guard.confirm()


def trial_b(s):
    run_a(s)
    s.update(s.b)
    s.boot()


def update_b(s):
    s.update(s.b)
    s.boot()
    s.guard.confirm()


def roll_back(s):
    for _ in range(4):
        s.boot()


def commit_and_roll_back(s):
    if s.guard.state()[1] == s.a[1] and not s.guard.read("failed"):
        s.update(s.b)
    for _ in range(5):
        s.boot()
    s.guard.clean("nopjt")


if b.MICROPYTHON:

    def test_first_install():
        sweep(lambda s: None, run_a, ("foreign", "a"), "a")

    def test_update_with_deletions_and_confirm():
        sweep(run_a, update_b, ("a", "b"), "b")

    def test_rollback():
        sweep(trial_b, roll_back, ("a", "b"), "a")

    def test_first_install_rolled_back():
        sweep(lambda s: (s.update(s.a), s.boot()), roll_back, ("foreign", "a"), "foreign")

if b.MICROPYTHON and FULL:

    def test_commit_and_rollback():
        sweep(run_a, commit_and_roll_back, ("a", "b"), "a")
