"""Guard: finishes an update at boot, counts trial boots, and restores the saved copies when a trial fails.

It runs from its golden copy whenever there is something to do, needs no network, and imports no other part of the agent.
Each step decides by the hash of what is there, so that it can be cut and called again on any filesystem (docs/board.md, /.ota/).
"""

import hashlib
import io
import os
import sys
from binascii import crc32, hexlify

R = "/flash/" if "/flash" in sys.path else "/"  # stm32 and some others mount the flash there
D = R + ".ota/"
_BOOTS = const(3)  # unconfirmed boots before the release is rolled back
_SAFE = const(3)  # rollbacks in a row before only the agent runs
_FILE = const(0x8000)


def boot():
    """Called by boot.py when the state is not `ok`. -> True: run the agent only."""
    name = state()[0]
    if name == "safe":
        return True
    if name == "ok":
        return set_state()  # one of the two files was not written
    try:
        with open(D + "tries", "a") as f:
            f.write(".")
        tries = os.stat(D + "tries")[6]
    except OSError:
        tries = _BOOTS + 1  # what can't be counted could last for ever
    if name == "back" or tries > _BOOTS:
        clean("n")  # the flash may be full
        if name == "commit":
            write("trace", "flash\n")
        return rollback()
    if name == "commit":
        try:
            apply()
        except Exception as e:
            # A full or failing flash, or a foreign file in the way. Nothing more is written now: littlefs keeps a stale pointer
            # after a rename that failed. The next boots try again, then roll back.
            sys.print_exception(e)
            reset()
    Trial()
    for n in list(globals()):  # room for the app: the trial needs only these
        if n not in "os sys D write reset":
            globals().pop(n)


def reset():
    import machine

    machine.reset()


def state():
    """-> [name, release, floor, release before, floor once confirmed, keyring, rollbacks in a row, sequence], all text."""
    best = ["ok", "-", "0", "-", "0", "0", "0", "0"]
    for n in "01":
        text, _, crc = read("s" + n).rpartition(" ")
        s = text.split(" ")
        if str(crc32(text.encode())) == crc and int(s[7]) > int(best[7]):
            best = s
    return best


def failed(digest, why, trace, report):
    """Remember a release that is not to be tried again, and that it has to be reported; the last line of `trace` says what exactly."""
    write("failed", "\n".join((digest, why, trace.strip().split("\n")[-1], trace)))
    write("report", report)


def set_state(*first):
    """Replace the first values. The two files take turns, so that a cut leaves one of them; at rest boot.py finds `ok` in both."""
    s = list(first) + state()[len(first) :]
    for _ in "ok" if s[0] == "ok" else "1":
        s[7] = str(int(s[7]) + 1)
        text = " ".join(s)
        write("s%d" % (int(s[7]) & 1), "%s %d" % (text, crc32(text.encode())))


def put(name, path):
    """Replace a file by one of /.ota/, at once where the filesystem can."""
    parents(path)
    if fat():
        copy(name, path)  # its rename is two steps, and between them both names own the same sectors
    else:
        os.rename(name, path)  # in .ota


def apply():
    """Put the staged files in place."""
    for write in (False, True):  # deletions first: a folder may become a file
        for p, n, o, new, old, _ in entries():
            have = sha(p)
            if bool(new) == write and have != new:
                if sha(o) != old:
                    if have != old:
                        raise OSError(p)  # somebody has changed it since
                    copy(p, o)
                if write:
                    put(n, p)
                else:
                    os.remove(p)
            if not new:
                prune(p)
    set_state("trial")


def golden():
    """Make the golden guard that of the running agent: it is confirmed, and it is its journal that the guard will read."""
    here = "/.z/" if kind("/.z/guard.mpy") else R + "lib/goldcrest/"
    for name in ("guard.py", "guard.mpy"):
        src = here + name
        dst = D + "golden/" + name
        have = sha(src)
        if have != sha(dst):
            if have:
                parents(dst)
                copy(src, dst)
            else:  # of a frozen agent there is no file, and no copy
                os.remove(dst)


def clean(kind="jmnot"):
    """Remove the work files of these kinds: of an update only the manifest of the release that runs stays. Not while a trial may need them."""
    run = manifest(state()[1])
    names = os.ilistdir(D[:-1])  # FAT wants no slash at the end
    left = True
    while left:
        left = False
        try:
            for name in names:
                name = name[0]
                # Only names of ours: a cut while FAT makes the folder longer leaves noise in it, and removing that frees foreign sectors.
                if name[0] in kind and name != run and (name in "journal tries trace" or ~int(name[1:], 16)):
                    remove(name)
        except ValueError:  # noise, or another name
            left = True
    if "t" in kind:
        remove("target")  # last: while it is there, something may be left


def entries():
    """Lines `key size new old path` of the journal -> path, staged file, saved copy, digests after and before (empty: no file), size."""
    with open(D + "journal") as f:
        for line in f:
            key, size, new, old, path = line[:-1].split(" ", 4)
            yield R + path, D + "n" + key, D + "o" + key, new, old, int(size)


def sha(path):
    """-> digest of a file, empty when there is no such file."""
    if kind(path) != _FILE:
        return ""
    h = hashlib.sha256()
    for b in chunks(path):
        h.update(b)
    return hexlify(h.digest()).decode()


def rollback():
    """Back to the saved copies. The reason is in `trace`, so that it survives a cut. -> True: run the agent only."""
    set_state("back")
    _, new, floor, was, _, ring, back, _ = state()
    for p, _, _, _, old, _ in entries():  # first what was added: a file may be where a folder was
        if not old:
            if kind(p) == _FILE:
                os.remove(p)
            prune(p)
    for p, _, o, _, old, _ in entries():
        if old and sha(p) != old and kind(o):
            put(o, p)
    failed(new, *(read("trace") or "not-confirmed\n").split("\n", 1), "rolled-back")
    back = int(back) + 1
    set_state("ok" if back < _SAFE else "safe", was, floor, "-", floor, ring, str(back))
    clean()
    return back >= _SAFE


def confirm():
    """End the trial: the new release stays. -> False when there is no trial."""
    name, new, _, _, floor, ring, _, _ = state()
    if name != "trial":
        return False
    if not kind(D + "report"):
        remove("failed")  # the target has changed since, so it may be tried again
    set_state("ok", new, floor, "-", floor, ring, "0")
    trial = sys.modules.get("_goldcrest")
    if trial:
        trial.stop()
    clean()
    return True


def fat():
    return kind(R + ".OTA")  # it finds a name whatever its case


def read(name):
    """Text of a small file in /.ota/, empty when there is none."""
    try:
        with open(D + name) as f:
            return f.read()
    except (OSError, ValueError):
        return ""


def chunks(path):
    buf = memoryview(bytearray(512))
    with open(path, "rb") as f:
        while True:
            n = f.readinto(buf)
            if not n:
                return
            yield buf[:n]


def write(name, text):
    with open(D + name, "w") as f:
        f.write(text)


def copy(name, path):
    with open(path, "wb") as f:
        for b in chunks(name):
            f.write(b)


def remove(name):
    try:
        os.remove(D + name)
    except OSError:
        pass


class Trial(io.IOBase):
    """A trial boot: listens to the console, and resets the board at the deadline or when main.py ended with a traceback."""

    def __init__(self):
        self.why = "not-confirmed"
        self.text = b""
        self.timer = self.wdt = self.slot = None
        sys.modules["_goldcrest"] = self  # so that confirm() finds it
        ms = int((read("target") or "- 60").split()[1]) * 1000
        import machine

        for i in (-1, 3, 1, 0):  # ESP32 has no virtual timers; the highest id is the one an app uses last
            try:
                self.timer = machine.Timer(i, mode=machine.Timer.ONE_SHOT, period=ms, callback=lambda _: self.fail(self.why))
                break
            except Exception:
                pass
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
            if self.text[-5:] == b"\n>>> " and b"Traceback (" in self.text:
                self.fail("crash")
        except MemoryError:
            self.text = b""
        return len(b)

    def readinto(self, b):
        return None

    def ioctl(self, *a):
        return 0


def kind(path):
    """-> _FILE, another number for a folder, or 0 when there is nothing."""
    try:
        return os.stat(path)[0] & 0xF000
    except OSError:
        return 0


def manifest(digest):
    return "m" + digest[:16]


def prune(path):
    """Remove the folders that a removed file leaves empty, also when a cut came in between."""
    while True:
        path = path[: path.rfind("/")]
        if len(path) < len(R) or kind(path) == _FILE:  # littlefs's rmdir would remove a file
            return
        try:
            os.rmdir(path)
        except OSError:
            if kind(path):
                return


def parents(path):
    """Make the folders that a path needs."""
    path = path[: path.rfind("/")]
    if path and not kind(path):
        parents(path)
        os.mkdir(path)
