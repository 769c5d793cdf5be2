"""A board for the tests: a root filesystem, `machine`, and a server behind `socket`.

The root is a littlefs on a flash in RAM; on CPython, and on a MicroPython without littlefs (WASM), a folder of which the guard is told.

The agent under test is the one in agent/, copied to the board as provisioning does and imported from there.
"""

import gc
import io
import json
import os
import sys
from binascii import crc32

import signing
from pack import patch, zlib_pack

MICROPYTHON = sys.implementation.name == "micropython"
HERE = __file__.rsplit("/", 1)[0] if "/" in __file__ else "."
AGENT = HERE + "/.."
KEYS = HERE + "/../../vectors/keys/TEST-ONLY-"
MOUNT = '"/flash/" if "/flash" in sys.path else "/"'  # how guard.py finds the root

if MICROPYTHON:
    import vfs

    LITTLEFS = hasattr(vfs, "VfsLfs2")
    if LITTLEFS:
        from flash import Nor
else:
    import importlib
    import tempfile

    LITTLEFS = False

root_a = signing.Key(KEYS + "root-a.pem")
root_b = signing.Key(KEYS + "root-b.pem")
release_key = signing.Key(KEYS + "release.pem")
revoked_key = signing.Key(KEYS + "revoked.pem")
stranger = signing.Key(KEYS + "stranger.pem")


def _load():
    files = {}
    for name in os.listdir(AGENT + "/goldcrest"):
        if name.endswith(".py"):
            with open(AGENT + "/goldcrest/" + name, "rb") as f:
                files["lib/goldcrest/" + name] = f.read()
    with open(AGENT + "/boot.py", "rb") as f:
        files["boot.py"] = f.read()
    return files


AGENT_FILES = _load()
_host_path = list(sys.path)
_host_modules = set(sys.modules)
_host_cwd = os.getcwd()
_open_board = None
ROOT = "/"
_wires = {}


class Reset(BaseException):
    """machine.reset() was called."""


class Timer:
    ONE_SHOT = 0
    armed = None

    def __init__(self, i, mode, period, callback):
        if i != -1:
            raise ValueError
        Timer.armed = (period, callback)

    def deinit(self):
        Timer.armed = None


class Machine:
    Timer = Timer

    def reset(self):
        raise Reset()

    def reset_cause(self):
        return 1


class Collector:
    """`gc` without a threshold: with the agent's, each check-in would go through the heap of all tests hundreds of times."""

    collect = staticmethod(gc.collect)
    mem_free = staticmethod(getattr(gc, "mem_free", lambda: 100000))


class Socket:
    """Speaks to `server.answer(method, path, headers, body) -> response bytes`; one request per write, as the agent promises."""

    def __init__(self, server):
        self.server = server
        self.out = io.BytesIO(b"")

    def settimeout(self, s):
        assert s

    def connect(self, address):
        self.server.connections += 1

    def write(self, data):
        head, _, body = bytes(data).partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        method, path, _ = lines[0].split(" ")
        headers = {}
        for line in lines[1:]:
            k, _, v = line.partition(": ")
            headers[k.lower()] = v
        assert headers.get("content-length", "0") == str(len(body)), "one write per request"
        if self.out is None:  # the server had closed
            return len(data)
        reply = self.server.answer(method, path, headers, body)
        self.out = io.BytesIO(reply) if reply is not None else None
        return len(data)

    def readinto(self, b):
        n = self.out.readinto(b) if self.out else 0
        self.server.read += n
        return n

    def close(self):
        self.out = None


class SocketModule:
    def __init__(self, server):
        self.server = server

    def getaddrinfo(self, host, port):
        if self.server.down:
            raise OSError(113)
        return [(2, 1, 0, "", (host, port))]

    def socket(self, family):
        return Socket(self.server)


class Server:
    """The device protocol of docs/protocol.md, as far as one board sees it; `faults` changes answers."""

    def __init__(self):
        self.objects = {}  # digest -> plain bytes, wire form
        self.offer = None  # (manifest bytes, digest)
        self.keyring = None  # (bytes, version)
        self.reports = []
        self.requests = []
        self.connections = 0
        self.read = 0  # bytes that the board took
        self.manifests = {}  # release digest -> manifest
        self.patches = None  # (from, to) -> delta, on a server that offers them
        self.down = False
        self.faults = {}  # path prefix -> function(response) -> bytes or None

    def publish(self, files, keys=(release_key,), **k):
        """-> release digest; offered to the board from now on."""
        for data in files.values():
            digest = signing.sha(data)
            if digest not in self.objects:
                self.objects[digest] = data, wire(data)
        self.offer = signing.manifest(files, keys, **k)
        self.manifests[self.offer[1]] = self.offer[0]
        return self.offer[1]

    def patch(self, old, new, base, data):
        """-> the delta from `base`, which is `old`, to `data`, which is `new`."""
        if (old, new) not in self.patches:
            self.patches[old, new] = patch(base, data)
        return self.patches[old, new]

    def answer(self, method, path, headers, body):
        assert headers["authorization"] == "Bearer secret" and headers["goldcrest-agent"] == "1"
        self.requests.append((method, path))
        reply = self._answer(method, path, headers, body)
        for prefix, change in self.faults.items():
            if path.startswith(prefix):
                return change(reply)
        return reply

    def _answer(self, method, path, headers, body):
        if path == "/d/v1/report":
            self.reports.append(json.loads(body))
            return response(204)
        if path == "/d/v1/keyring":
            return response(200, self.keyring[0]) if self.keyring else response(404, b"no keyring\n")
        if path.startswith("/d/v1/objects/"):
            return self._object(path[14:], headers.get("range", ""))
        if path.startswith("/d/v1/checkin?"):
            more = "Goldcrest-Poll: 30\r\n"
            if self.keyring:
                more += "Goldcrest-Keyring: %d\r\n" % self.keyring[1]
            if not self.offer or '"%s"' % self.offer[1] in headers.get("if-none-match", ""):
                return response(304, b"", more)
            more += 'ETag: "%s"\r\n' % self.offer[1]
            if "have=" + self.offer[1] in path:
                return response(200, b"", more)
            if self.patches is None or "delta=1" not in path:
                return response(200, self.offer[0], more)
            run = path.split("run=")[1].split("&")[0]
            base = self.manifests.get(run, b"")
            base = base[: base.find(b"\nsig ") + 1]  # what is signed
            return response(226, self.patch(run, self.offer[1], base, self.offer[0]), more)
        return response(404, b"no such route\n")

    def _object(self, path, wanted):
        digest, _, old = path.partition("?from=")
        if digest not in self.objects:
            return response(404, b"no such object\n")
        data, packed = self.objects[digest]
        if self.patches is not None and old in self.objects:
            delta = self.patch(old, digest, self.objects[old][0], data)
            if len(delta) < len(packed) * 7 // 10:
                return response(226, delta)
        if wanted and packed is data:
            start = int(wanted[6:-1])
            return response(206, data[start:], "Content-Range: bytes %d-%d/%d\r\n" % (start, len(data) - 1, len(data)))
        return response(200, packed)

    def stages(self):
        """-> [stage or stage:reason] of the reports so far, and forget them."""
        out = [r["stage"] + (":" + r["reason"] if "reason" in r else "") for r in self.reports]
        self.last = self.reports[-1:]
        self.reports = []
        return out


def response(status, body=b"", more=""):
    head = "HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n" % (status, len(body), more)
    return head.encode() + body


def wire(data):
    """Wire form of an object: zlib with a window of 1 KiB when that is shorter."""
    digest = signing.sha(data)
    if digest not in _wires:  # of all tests together: packing takes longer than most of them
        packed = zlib_pack(data)
        _wires[digest] = packed if len(packed) < len(data) else None
    return _wires[digest] or data


class Board:
    """A provisioned board: boot.py, the agent in /lib/goldcrest, settings and keyring."""

    def __init__(self, files=None, agent=None, flash=None, **settings):
        global _open_board, ROOT
        close()
        self.server = Server()
        self.flash = None
        if LITTLEFS:
            self.flash = flash or Nor()
            self.flash.format()
            self.mount()
            ROOT = "/"
        else:
            ROOT = _folder() + "/"
            os.chdir(ROOT)
        _open_board = self
        self.install_fakes()
        cfg = {"server": "http://board.test:80", "token": "secret"}
        cfg.update(settings)
        for p, data in (AGENT_FILES if agent is None else agent).items():
            self.put(p, self.host(p, data))
        self.put("goldcrest.json", json.dumps(cfg).encode())
        self.put(".ota/keyring0", signing.keyring([root_a], [release_key], [revoked_key]))
        for p, data in (files or {}).items():
            self.put(p, data)

    def host(self, path, data):
        # Where the board's root is a folder.
        if LITTLEFS or not path.endswith("guard.py"):
            return data
        assert MOUNT.encode() in data
        return data.replace(MOUNT.encode(), repr(ROOT).encode())

    def mount(self):
        try:
            vfs.umount("/")
        except OSError:
            pass
        self.flash.mount()
        os.chdir("/")

    def install_fakes(self):
        sys.path[:] = ["", ".frozen", ROOT + "lib"] + ([] if MICROPYTHON else _host_path)
        sys.modules["machine"] = Machine()
        if MICROPYTHON:
            sys.modules["gc"] = Collector
        sys.modules["socket"] = SocketModule(self.server)
        Timer.armed = None

    def put(self, path, data):
        at = path.find("/")
        while at > 0:
            try:
                os.mkdir(ROOT + path[:at])
            except OSError:
                pass
            at = path.find("/", at + 1)
        with open(ROOT + path, "wb") as f:
            f.write(data)

    def get(self, path):
        """-> content, or None when there is no such file."""
        try:
            with open(ROOT + path, "rb") as f:
                return f.read()
        except OSError:
            return None

    def snapshot(self, skip=(".ota",)):
        """-> path -> content of every file outside of /.ota/; folders that are empty as `path/`."""
        out = {}

        def walk(p):
            names = os.listdir((ROOT + p)[:-1] or "/")  # FAT wants no slash at the end
            if not names:
                out[p] = b""
            for name in names:
                if p + name in skip:
                    continue
                if os.stat(ROOT + p + name)[0] & 0x4000:
                    walk(p + name + "/")
                else:
                    out[p + name] = self.get(p + name)

        walk("")
        return out

    def state(self):
        """-> words of the newest state file."""
        found = [(self.get(".ota/s" + n) or b"ok - 0 - 0 0 0 0 0").decode().split(" ") for n in "01"]
        return max(found, key=lambda s: int(s[7]))

    def put_state(self, name, digest):
        """Make the board believe that it is on its way to the release `digest`."""
        for n in "01":
            text = "%s %s 1 - 1 0 0 %d" % (name, digest, 1000 + int(n))
            self.put(".ota/s" + n, ("%s %d" % (text, crc32(text.encode()))).encode())

    def work_files(self):
        """-> names in /.ota/ that an update must not leave behind."""
        return sorted(n for n in os.listdir(ROOT + ".ota") if n[0] in "jnot" or n[0] == "m" and n not in "m" + self.state()[1])

    def boot(self):
        """Run boot.py and main.py like the firmware. -> "reset", "exit", "repl" (main.py ended, or raised) and the exception."""
        fresh()
        self.install_fakes()
        os.chdir(ROOT)
        try:
            self.run("boot.py")
            if self.get("main.py") is None:
                return "repl", None
            self.run("main.py")
            return "repl", None
        except Reset:
            return "reset", None
        except SystemExit:
            return "exit", None
        except Exception as e:
            return "repl", e

    def run(self, name):
        exec(compile(self.get(name).decode(), name, "exec"), {"__name__": "__main__"})

    def agent(self, name=""):
        """Import a module of the agent from the board."""
        full = "goldcrest." + name if name else "goldcrest"
        __import__(full)
        return sys.modules[full]

    def guard(self):
        """Import the installed guard as boot.py does: by itself."""
        sys.path.insert(0, ROOT + "lib/goldcrest")
        try:
            return __import__("guard")
        finally:
            sys.path.pop(0)

    def check(self):
        """goldcrest.check() -> "reset" or its result."""
        try:
            return self.agent().check()
        except Reset:
            return "reset"


def _folder():
    # -> path of a new folder
    if not MICROPYTHON:
        return tempfile.mkdtemp()
    os.mkdir("/board")
    return "/board"


def _remove(folder):
    for name in os.listdir(folder):
        path = folder + "/" + name
        if os.stat(path)[0] & 0x4000:
            _remove(path)
        else:
            os.remove(path)
    os.rmdir(folder)


def console(e):
    """What the firmware prints when main.py raises, as the tap of a trial hears it. -> whether it reset the board."""
    trial = sys.modules["_goldcrest"]
    try:
        sys.print_exception(e, trial)
        trial.write(b"MicroPython v1.22.2 on 2024-02-22\r\nType \"help()\" for more information.\r\n>>> ")
    except Reset:
        return True
    return False


def deadline():
    """The time of a trial is up."""
    try:
        Timer.armed[1](None)
    except Reset:
        return
    raise AssertionError("no reset at the deadline")


def fresh():
    """Forget every module that came from a board."""
    for name in list(sys.modules):
        if name not in _host_modules and (name.split(".")[0] in ("goldcrest", "guard", "boot_user", "_goldcrest") or name.startswith("app")):
            del sys.modules[name]
    if not MICROPYTHON:
        importlib.invalidate_caches()


def close():
    """Give the host back what a board took."""
    global _open_board
    fresh()
    sys.path[:] = _host_path
    if not _open_board:
        return
    for name in ("machine", "socket", "gc") if MICROPYTHON else ("machine", "socket"):
        sys.modules.pop(name, None)
    if LITTLEFS:
        vfs.umount("/")
        vfs.mount(vfs.VfsPosix(), "/")
    os.chdir(_host_cwd)
    if not LITTLEFS:
        _remove(ROOT[:-1])
    _open_board = None
