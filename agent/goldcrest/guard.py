"""Guard: finishes an update at boot, counts trial boots, and restores the saved copies when a trial fails.

It runs from its golden copy whenever there is something to do, needs no network, and imports no other part of the agent.
Files in /.ota/ that start with n, o, p, j or t are work files of one update: n<key> staged, o<key> saved copy, `next` and `prev`
manifests, `journal`, `tries`, `trace`, `target`, `t`. The others stay: state, run, keyring, failed, report, golden.
"""

import io
import os
import sys

R = "/flash/" if "/flash" in sys.path else "/"  # stm32 and some others mount the flash there
D = R + ".ota/"
BOOTS = 3  # unconfirmed boots before the release is rolled back
FILE = 0x8000
FOLDER = 0x4000


def boot():
    """Called by boot.py when the state is not `ok`."""
    name = state()[0]
    if name == "back":
        return rollback()
    if name not in ("commit", "trial"):
        return
    try:
        tries = int(read("tries") or 0) + 1
        with open(D + "tries", "w") as f:
            f.write(str(tries))
    except (OSError, ValueError):
        tries = BOOTS + 1  # what can't be counted could last for ever
    if tries > BOOTS:
        if name == "commit":
            write("trace", "flash\ncould not be put in place")
        return rollback()
    if name == "commit":
        try:
            apply()
        except Exception as e:
            # A full or failing flash, or a foreign file in the way. Nothing more is written now: littlefs keeps a stale pointer
            # after a rename that failed. The next boots try again, then roll back.
            sys.print_exception(e)
            reset()
    trial = Trial(tries)
    try:
        _try_agent()
    except BaseException as e:
        trial.save("agent", e)
        rollback()
        reset()
    trial.why = "not-confirmed"


def _try_agent():
    # A release whose agent can't even be imported could never be replaced over the air: do not let it run.
    names = ["guard"]
    if kind(R + "lib/goldcrest"):
        names += [n.rsplit(".", 1)[0] for n in os.listdir(R + "lib/goldcrest") if n.endswith("py")]
    for n in names:
        __import__("goldcrest" if n == "__init__" else "goldcrest." + n)
    forget()


def forget():
    """Drop every agent module, so that its memory goes back to the app."""
    for n in list(sys.modules):
        if n.split(".")[0] == "goldcrest":
            del sys.modules[n]


def reset():
    import machine

    machine.reset()


def state():
    """-> [name, release digest or -, floor, digest before it or -]. No state: `ok`, without a release."""
    s = read("state").split(" ")
    return s if len(s) == 4 else ["ok", "-", "0", "-"]


def set_state(*s):
    write("state", " ".join(s))


def apply():
    """Put the staged files in place. May be cut and called again: a staged file that is gone is in place."""
    _, new, floor, old = state()
    with open(D + "journal") as f:
        for op, p, n, o in entries(f, "dwa"):
            if op == "d":
                if kind(p) == FILE:
                    if not kind(o):
                        copy(p, o)
                    os.remove(p)
                prune(p)
            elif kind(n):
                if op == "w" and kind(p) and not kind(o):
                    copy(p, o)
                parents(p)
                os.rename(n, p)
    if kind(D + "next"):
        if kind(D + "run"):
            os.rename(D + "run", D + "prev")
        os.rename(D + "next", D + "run")
    set_state("trial", new, floor, old)


def rollback():
    """Back to the saved copies. May be cut and called again. The reason is in `trace`, so that it survives a cut."""
    name, new, floor, old = state()
    if name != "back":
        set_state("back", new, floor, old)
    with open(D + "journal") as f:
        for _, p, n, _ in entries(f, "a"):  # first what was added: a file may be where a folder was
            if not kind(n) and kind(p) == FILE:
                os.remove(p)
            prune(p)
        f.seek(0)
        for _, p, _, o in entries(f, "wd"):
            if kind(o):
                parents(p)
                os.rename(o, p)
    if old == "-":
        remove("run")
    elif kind(D + "prev"):
        os.rename(D + "prev", D + "run")
    why, _, trace = (read("trace") or "not-confirmed").partition("\n")
    failed(new, why, trace.strip().rsplit("\n", 1)[-1], trace, "rolled-back")
    set_state("ok", old, floor, "-")
    clean("nopjt")


def failed(digest, why, detail, trace, stage):
    """Remember a release that is not to be tried again, and that it has to be reported."""
    write("failed", "%s\n%s\n%s\n%s" % (digest, why, detail.replace("\n", " ")[:256], trace))
    write("report", stage)


def confirm():
    """End the trial: the new release stays. -> False when there is no trial."""
    name, new, floor, _ = state()
    if name != "trial":
        return False
    floor = int(floor)
    with open(D + "run") as f:
        for line in f:
            if line.startswith("floor "):
                floor = max(floor, int(line[6:]))
                break
    set_state("ok", new, str(floor), "-")
    trial = sys.modules.get("_goldcrest")
    if trial:
        trial.stop()
    if not kind(D + "report"):
        remove("failed")  # the target has changed since, so it may be tried again
    clean("nopjt")
    golden()
    return True


def golden():
    """Make the golden copy that of the installed guard; call it only when the running release is confirmed."""
    dst = D + "golden/goldcrest/guard"
    ext = [x for x in (".py", ".mpy") if kind(R + "lib/goldcrest/guard" + x)][:1]  # import prefers .py
    for x in ext:
        if not same(R + "lib/goldcrest/guard" + x, dst + x):
            parents(dst)
            copy(R + "lib/goldcrest/guard" + x, dst + x)
    for x in (".py", ".mpy"):
        if x not in ext and kind(dst + x):  # frozen agent: there is no file and no copy
            os.remove(dst + x)


def clean(letters):
    """Remove work files by their first letter, `target` last: while it is there, something may be left. Only in state `ok`."""
    for name in os.listdir(D):
        if name[0] in letters and name != "target":
            remove(name)
    if "t" in letters:
        remove("target")


def entries(f, ops):
    """Journal lines `op key size digest path` -> op, target, staged file, saved copy."""
    for line in f:
        op, key, _, _, path = line[:-1].split(" ", 4)
        if op in ops:
            yield op, R + path, D + "n" + key, D + "o" + key


def kind(path):
    """-> FILE, FOLDER, or 0 when there is nothing."""
    try:
        return os.stat(path)[0] & 0xF000
    except OSError:
        return 0


def read(name):
    """Text of a small file in /.ota/, empty when there is none."""
    try:
        with open(D + name) as f:
            return f.read()
    except (OSError, ValueError):
        return ""


def write(name, text):
    """Replace a small file in /.ota/ at once."""
    with open(D + "t", "w") as f:
        f.write(text)
    os.rename(D + "t", D + name)


def remove(name):
    try:
        os.remove(D + name)
    except OSError:
        pass


def copy(src, dst):
    buf = memoryview(bytearray(512))
    with open(src, "rb") as f, open(D + "t", "wb") as g:
        while True:
            n = f.readinto(buf)
            if not n:
                break
            g.write(buf[:n])
    os.rename(D + "t", dst)


def same(a, b):
    try:
        with open(a, "rb") as f, open(b, "rb") as g:
            while True:
                x = f.read(256)
                if x != g.read(256):
                    return False
                if not x:
                    return True
    except OSError:
        return False


def parents(path):
    """Make the folders that a path needs."""
    i = path.find("/", len(R))
    while i > 0:
        if not kind(path[:i]):
            os.mkdir(path[:i])
        i = path.find("/", i + 1)


def prune(path):
    """Remove the folders that a removed file leaves empty, also when a cut came in between."""
    i = path.rfind("/")
    while i >= len(R):
        if kind(path[:i]) == FILE:
            return  # littlefs would remove it
        try:
            os.rmdir(path[:i])
        except OSError:
            if kind(path[:i]):
                return
        i = path.rfind("/", 0, i)


class Trial(getattr(io, "IOBase", object)):
    """A trial boot: listens to the console, and resets the board at the deadline or when main.py ended with a traceback."""

    def __init__(self, tries):
        self.tries = tries
        self.why = "agent"  # until the agent is imported
        self.ring = bytearray(1536)
        self.n = 0
        self.crashed = False
        self.mark = b"Traceback ("
        self.hit = 0
        self.timer = self.wdt = self.slot = None
        sys.modules["_goldcrest"] = self  # so that confirm() finds it
        try:
            import json

            with open(R + "goldcrest.json") as f:
                ms = int(json.load(f).get("trial_s", 60)) * 1000
        except (OSError, ValueError, TypeError, AttributeError):
            ms = 60000
        import machine

        for i in (-1, 3, 1, 0):  # ESP32 has no virtual timers; the highest id is the one an app uses last
            try:
                self.timer = machine.Timer(i)
                self.timer.init(mode=machine.Timer.ONE_SHOT, period=ms, callback=lambda _: self.fail(self.why))
                break
            except Exception:
                self.timer = None
        if sys.platform == "esp32":  # a hang in C code keeps timers from running
            self.wdt = machine.WDT(timeout=ms + 10000)
        if hasattr(os, "dupterm"):
            for i in (1, 0):  # on ESP8266 slot 0 is the serial console
                try:
                    os.dupterm(self, i)
                    self.slot = i
                    break
                except Exception:
                    pass

    def stop(self):
        if self.timer:
            self.timer.deinit()
        if self.slot is not None:
            was = os.dupterm(None, self.slot)
            if was not in (None, self):  # WebREPL took the slot since
                os.dupterm(was, self.slot)
        self.ring = None
        if self.wdt:
            import machine

            self.wdt = machine.WDT(timeout=0x7FFFFFFF)  # can't be stopped: 24 days, and each check-in feeds it
        else:
            del sys.modules["_goldcrest"]

    def fail(self, why, e=None):
        """Save what is known and reset; the next boots retry, then roll back."""
        self.save(why, e)
        reset()

    def save(self, why, e=None):
        try:
            if e:
                self.mark = b""  # a prompt in this text means nothing
                sys.print_exception(e, self)
            i = self.n % len(self.ring)
            text = self.ring[i:] + self.ring[:i] if self.n > len(self.ring) else self.ring[:i]
            if self.crashed and why == "not-confirmed":
                why = "crash"
            write("trace", why + "\n" + bytes(text).decode().split("\nMicroPython v")[0])  # without the banner of the REPL
        except Exception:
            pass  # the reset matters more

    # Called for every piece of console output: no allocation, since the heap may be what ran out.
    def write(self, b):
        for c in b:
            if c != 13:
                if c > 126:
                    c = 63
                self.ring[self.n % len(self.ring)] = c
                self.n += 1
            m = self.mark
            if m:
                self.hit = self.hit + 1 if c == m[self.hit] else int(c == m[0])
                if self.hit == len(m):
                    self.hit = 0
                    if self.crashed:  # the REPL: main.py is over
                        self.mark = b""
                        self.fail("crash")
                    self.crashed = True
                    self.mark = b"\n>>> "
        return len(b)

    def readinto(self, b):
        return None

    def ioctl(self, *a):
        return 0
