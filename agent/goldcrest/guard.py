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


def boot():
    """Called by boot.py when the state is not `ok`."""
    name = state()[0]
    if name == "ok":
        return
    try:
        tries = int(read("tries") or 0) + 1
        with open(D + "tries", "w") as f:
            f.write(str(tries))
    except (OSError, ValueError):
        tries = BOOTS + 1  # what can't be counted could last for ever
    if name == "back" or tries > BOOTS:
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
    trial = Trial()
    try:
        _try_agent()
    except BaseException as e:
        trial.save("agent", e)
        rollback()
        reset()
    trial.why = "not-confirmed"


def _try_agent():
    # A release whose agent can't even be imported could never be replaced over the air: do not let it run.
    path = R + "lib/goldcrest"
    for n in kind(path) and os.listdir(path):  # a frozen agent has no folder
        if n[-2:] == "py":
            __import__("goldcrest." + n.split(".")[0])
    for n in list(sys.modules):  # the memory goes back to the app
        if n[:9] == "goldcrest":
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
    for op, p, n, o in entries("dwa"):
        if kind(n) or op == "d" and kind(p) == FILE:
            if op != "a" and kind(p) and not kind(o):
                copy(p, o)
            if op == "d":
                os.remove(p)
            else:
                parents(p)
                os.rename(n, p)  # in .ota
        if op == "d":
            prune(p)
    if kind(D + "next"):
        if kind(D + "run"):
            os.rename(D + "run", D + "prev")
        os.rename(D + "next", D + "run")
    set_state("trial", *state()[1:])


def rollback():
    """Back to the saved copies. May be cut and called again. The reason is in `trace`, so that it survives a cut."""
    name, new, floor, old = state()
    if name != "back":
        set_state("back", new, floor, old)
    for _, p, n, _ in entries("a"):  # first what was added: a file may be where a folder was
        if not kind(n) and kind(p) == FILE:
            os.remove(p)
        prune(p)
    for _, p, _, o in entries("wd"):
        if kind(o):
            parents(p)
            os.rename(o, p)  # in .ota
    if old == "-":
        remove("run")
    elif kind(D + "prev"):
        os.rename(D + "prev", D + "run")
    why, _, trace = (read("trace") or "not-confirmed").partition("\n")
    failed(new, why, trace.strip().split("\n")[-1], trace, "rolled-back")
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
    with open(D + "run") as f:
        for line in f:
            if line[:6] == "floor ":
                floor = str(max(int(floor), int(line[6:])))
                break
    set_state("ok", new, floor, "-")
    trial = sys.modules.get("_goldcrest")
    if trial:
        trial.stop()
    if not kind(D + "report"):
        remove("failed")  # the target has changed since, so it may be tried again
    clean("nopjt")
    return True


def clean(letters):
    """Remove work files by their first letter, `target` last: while it is there, something may be left. Only in state `ok`."""
    for name in os.listdir(D):
        if name[0] in letters and name != "target":
            remove(name)
    if "t" in letters:
        remove("target")


def entries(ops):
    """Journal lines `op key size digest path` -> op, target, staged file, saved copy."""
    with open(D + "journal") as f:
        for line in f:
            op, key, _, _, path = line[:-1].split(" ", 4)
            if op in ops:
                yield op, R + path, D + "n" + key, D + "o" + key


def kind(path):
    """-> FILE, another number for a folder, or 0 when there is nothing."""
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


def parents(path):
    """Make the folders that a path needs."""
    i = 0
    while True:
        i = path.find("/", i + 1)
        if i < 0:
            return
        if not kind(path[:i]):
            os.mkdir(path[:i])


def prune(path):
    """Remove the folders that a removed file leaves empty, also when a cut came in between."""
    while True:
        path = path[: path.rfind("/")]
        if len(path) < len(R) or kind(path) == FILE:  # littlefs's rmdir would remove a file
            return
        try:
            os.rmdir(path)
        except OSError:
            if kind(path):
                return


class Trial(io.IOBase):
    """A trial boot: listens to the console, and resets the board at the deadline or when main.py ended with a traceback."""

    def __init__(self):
        self.why = "agent"  # until the agent is imported
        self.text = b""
        self.timer = self.wdt = self.slot = None
        sys.modules["_goldcrest"] = self  # so that confirm() finds it
        try:
            import json

            with open(R + "goldcrest.json") as f:
                ms = int(json.load(f)["trial_s"]) * 1000
        except Exception:
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
        del sys.modules["_goldcrest"]
        if self.wdt:
            import machine

            # It can't be stopped: 24 days, and each check-in feeds it.
            sys.modules["_goldcrest.wdt"] = machine.WDT(timeout=0x7FFFFFFF)

    def fail(self, why, e=None):
        """Save what is known and reset; the next boots retry, then roll back."""
        self.save(why, e)
        reset()

    def save(self, why, e=None):
        try:
            if e:
                sys.print_exception(e, self)
            text = self.text.split(b"\nMicroPython v")[0]  # without the banner of the REPL
            if why == "not-confirmed" and b"Traceback (" in text:
                why = "crash"
            write("trace", why + "\n" + "".join(chr(c) if c < 127 else "?" for c in text))
        except Exception:
            pass  # the reset matters more

    def write(self, b):
        """A piece of console output: its end is kept. A prompt after a traceback is the REPL: main.py is over."""
        try:
            self.text = (self.text + bytes(b).replace(b"\r", b""))[-1536:]
            if self.text[-5:] == b"\n>>> " and b"Traceback (" in self.text and self.why != "agent":
                self.fail("crash")
        except MemoryError:
            self.text = b""
        return len(b)

    def readinto(self, b):
        return None

    def ioctl(self, *a):
        return 0
