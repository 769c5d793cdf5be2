"""The interface for the app, check-in and reports over HTTP (docs/protocol.md). Its names are those of the package, too.

In the app: confirm(), poll() or task(), check(), checks. What only an update needs is in `update`, what only a boot needs in `guard`.
"""

import gc
import io
import json
import os
import socket
import sys
import time

import goldcrest
from goldcrest import guard

__version__ = "0.1.0"

_RETRY = "network truncated endless hash missing memory error"  # may go away by itself
_TRIES = const(8)  # per release, then it is remembered as failed
_MISSES = const(3)  # check-ins in a row that a server may miss before the next one is asked
_IO_S = const(15)  # one read or write
_TRANSFER_MS = const(60000)  # a response, plus _BYTE_MS for each byte of it
_BYTE_MS = const(4)
_HEAD = const(4096)  # bytes of a response head
_BODY = const(1 << 26)  # stands for any length above

checks = {}  # of the app: name -> function that says whether this is good; a trial does not end by itself before all do

_start = time.ticks_ms()
_due = None  # ticks of the next check-in
_wait = None  # seconds after which a trial that is healthy ends by itself, when the settings say so
_told = 0  # 1: the facts of this start were reported; or why they were not, which is not tried again
_tries = ["", 0]  # a release digest and its failed tries since the start
_ready = False  # an update waits for the reset
_ring = 0  # highest keyring version that was fetched, good or bad
_missed = 0  # check-ins in a row
_poll = 60  # seconds, as the server said last

# What only a boot needs goes back to the app: half of the guard.
for n in "Trial boot apply rollback prune put".split():
    guard.__dict__.pop(n, None)


class Refused(Exception):
    """Why an update is not taken: args are a name of docs/release-format.md "Refusals" and a detail."""


def confirm():
    """This release is good: end its trial. -> False when there is none, or when under this release the board could take no other."""
    trial = sys.modules.get("_goldcrest")
    bad = trial and _told != 1 and _update("path", "x")
    if not bad or bad[0] == "memory":  # some of it is the trial's own
        return guard.confirm()
    trial.why = "agent"
    return False


def healthy():
    """-> True when every one of `checks` is. What is not is the reason when the trial fails."""
    for name in checks:
        if not checks[name]():
            print("goldcrest:", "health", name)
            trial = sys.modules.get("_goldcrest")
            if trial:
                trial.why = "health"
            return False
    return True


def poll():
    """Check in when it is due, else return at once. Call it in the app's loop."""
    if _wait and time.ticks_diff(time.ticks_ms(), _start) > _wait * 1000 and healthy():
        confirm()
    return (not _due or time.ticks_diff(time.ticks_ms(), _due) >= 0) and check()


def check(reset=True):
    """Check in now, and install what the server wants. -> True when an update waits for the reset (with `reset`, it resets).

    Never raises: a board that cannot reach its server goes on with its work.
    """
    global _due, _missed, _ready, _wait
    wait = _poll
    threshold = getattr(gc, "threshold", int)  # int takes the same and does nothing
    before = threshold()
    threshold(1024)  # what stays is packed: 8 KB less than when garbage lies between it
    try:
        with open(guard.R + "goldcrest.json") as f:
            cfg = json.load(f)
        how = cfg.get("confirm")
        _wait = how if isinstance(how, int) and guard.state()[0] == "trial" else None
        servers = [cfg.get("server")] + cfg.get("recovery", [])
        source = cfg.get("source", "mqtt" in cfg and "mqtt")
        make = __import__("goldcrest.sources." + source, 0, 0, source).Source if source else Http
        http = make(servers[_missed // _MISSES % len(servers)], cfg)
        _missed += 1
        try:
            _ready = _ready or _ask(http, cfg)
        finally:
            http.close()
            # a release that fails to arrive: 2, 4, 8... times the interval, at most an hour
            wait = max(int(http.headers.get("retry-after", 0)), cfg.get("poll_s", _poll))
            wait = min(wait << _tries[1], max(wait, 3600), 86400)
    except Exception as e:
        print("goldcrest:", repr(e))
    threshold(before)
    _due = time.ticks_add(time.ticks_ms(), wait * 1000)
    if _ready and reset:
        guard.reset()
    return _ready


def _ask(http, cfg):
    global _told, _missed, _poll, _ring
    name, digest, _, _, _, ring, _, _ = guard.state()
    run = "trial" if name == "trial" else "ok"
    wdt = sys.modules.get("_goldcrest.wdt")
    if wdt:
        wdt.feed()
    _owed(http)
    if not _told:
        bad = _update("boot", http, cfg, name)
        if bad and bad[0] == "network":
            raise Refused(*bad)
        _told = bad or 1
    if name == "commit":  # boot could not even begin: a flash that takes nothing
        report(http, "failed", digest, "flash")
        return False
    failed = guard.read("failed")[:64]
    have = 0
    ring = guard.D + "keyring" + ring
    if guard.kind(ring):
        with open(ring) as f:
            f.readline()
            have = int(f.readline()[8:])
    status = http.request(
        "/d/v1/checkin?run=%s&state=%s&k=%d&have=%s%s"
        % (digest, run, have, guard.read("target")[:64], "" if _tries[1] else "&delta=1"),
        'If-None-Match: "%s", "%s"\r\n' % (digest, failed),
    )
    if status not in (200, 226, 304):
        return False
    _missed = (_missed - 1) // _MISSES * _MISSES
    h = http.headers
    etag = h.get("etag", "").strip('"')
    _poll = int(h.get("goldcrest-poll", _poll))
    newer = int(h.get("goldcrest-keyring", 0))
    if newer > max(have, _ring):
        _ring = newer
        bad = _update("keyring", http)
        if bad:
            report(http, "failed", etag or digest, *bad)
        return _ask(http, cfg)
    if name == "trial":
        if status != 304:
            http.close()  # the body can wait until this trial is over
        if cfg.get("confirm", "checkin") == "checkin" and healthy() and confirm():
            report(http, "confirmed", digest)
    elif status == 304:
        if guard.kind(guard.D + "target"):
            guard.clean()  # taken back while it was being staged
        _tries[1] = 0
    elif len(etag) != 64:
        raise Refused("network", "etag")
    elif etag == failed:
        http.close()
    else:
        return _take(http, cfg, status, etag)
    return False


def _take(http, cfg, status, etag):
    bad = _update("update", http, cfg, status, etag, not _tries[1])
    if not bad:
        return True
    http.close()  # its body may be half read
    _tries[:] = etag, _tries[1] + 1 if _tries[0] == etag else 1
    if bad[0] in _RETRY and _tries[1] < _TRIES:
        if _tries[1] == 1:
            report(http, "downloading", etag, *bad)
    else:
        try:
            guard.clean()
            guard.failed(etag, *bad, "failed")
            _tries[1] = 0
        except OSError:
            report(http, "failed", etag, *bad)
        _owed(http)
    return False


def _update(step, *args):
    # Runs a step of the module that is needed once: ESP8266 has 36 KB of heap with the app in it. -> None, or reason and detail
    bad = None
    try:
        goldcrest.__path__ = goldcrest.PACK
        if step == "update":
            guard.golden()  # while there is room to inflate it
        gc.collect()
        update = __import__("goldcrest.update").update
        getattr(args[0], step, getattr(update, step))(*args)
    except Refused as e:
        bad = e.args
    except Exception as e:
        bad = (
            "memory" if isinstance(e, MemoryError)
            else "format" if isinstance(e, (ValueError, LookupError))
            else "error" if not isinstance(e, OSError)
            else "space" if e.errno == 28
            else "flash"
        ), repr(e)
    goldcrest.__path__ = goldcrest.HERE
    update = None
    sys.modules.pop("goldcrest.update", None)
    goldcrest.__dict__.pop("update", None)
    gc.collect()
    if bad:
        print("goldcrest:", *bad)
    return bad


def safe():
    """What boot.py runs in place of main.py after too many rollbacks."""
    while True:
        poll()
        time.sleep(1)


def _owed(http):
    # A failure that was not reported yet: `report` holds the stage, `failed` the rest.
    stage = guard.read("report")
    if stage:
        report(http, stage, *guard.read("failed").split("\n", 3))
        guard.remove("report")


def report(http, *args):
    """Send a report: stage, release, reason, detail, trace, facts. Raises Refused("network") when it can't be delivered."""
    body = {}
    for key, value in zip(("stage", "release", "reason", "detail", "trace", "facts"), args):
        if value:
            body[key] = value
    status = http.request("/d/v1/report", "", json.dumps(body).encode())
    if status >= 500 or status in (401, 408, 429):
        raise Refused("network", str(status))


async def task():
    """poll() for apps on asyncio."""
    # Whoever runs this has it; before MicroPython 1.21 under its old name.
    asyncio = sys.modules.get("asyncio") or sys.modules["uasyncio"]
    while True:
        poll()
        await asyncio.sleep(1)


class Http(io.IOBase):
    """HTTP/1.1 with one server: keep-alive, bounded bodies, a deadline for each transfer. It never waits for ever.

    `headers` are those of the last response, names in lower case; `left` is what remains of its body.
    """

    s = None
    left = at = 0
    headers = {}

    def __init__(self, server, cfg):
        self.server = server
        self.cfg = cfg
        self.buf = memoryview(bytearray(512))

    def request(self, path, head="", body=b""):
        """GET, or POST a body; read the head of the response. -> status."""
        host = self.server.split("/")[2]
        # One write: a second small one would wait for the other side's delayed ACK.
        data = "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nGoldcrest-Agent: 1\r\n%sContent-Length: %d\r\n\r\n" % (
            "POST" if body else "GET", path, host, self.cfg["token"], head, len(body)
        )
        while True:
            fresh = not self.s
            try:
                if self.left > 512:  # of the response before
                    self.close()
                while self.left:
                    self.readinto(bytearray(512))
                self._limit()
                if not self.s:
                    self._open(host)
                self.s.write(data.encode() + body)
                return self._head()
            except (OSError, ValueError, Refused) as e:
                self.close()
                if fresh:
                    raise Refused("network", repr(e))
            # The server had closed the kept connection: once more on a new one.

    def _open(self, host):
        tls = self.server[:6] == "https:"
        host, _, port = host.partition(":")
        a = socket.getaddrinfo(host, int(port or (443 if tls else 80)))[0]
        self.s = s = socket.socket(a[0])
        s.settimeout(_IO_S)
        s.connect(a[-1])
        if tls:
            # Without `ca` the server is not verified: manifests are signed, only the token is at stake.
            import ssl

            ca = self.cfg.get("ca")
            self.s = ssl.wrap_socket(s, server_hostname=host, cert_reqs=2 if ca else 0, cadata=ca and open(ca, "rb").read())

    def _head(self):
        # Byte by byte: readinto() on a socket waits until the buffer is full, and readline() has no deadline.
        head = bytearray()
        while head[-4:] != b"\r\n\r\n":
            self._fill(self.buf[:1])
            head += self.buf[:1]
            if len(head) > _HEAD:
                raise ValueError
        lines = str(head, "utf8").split("\r\n")
        self.headers = h = {}
        for line in lines[1:]:
            key, _, value = line.partition(":")
            h[key.lower()] = value.strip()
        status = int(lines[0][9:12])
        # Without a length a body is more than any limit, so that it is refused as endless.
        self.left = 0 if status in (204, 304) else max(0, min(int(h.get("content-length", _BODY)), _BODY))
        self.at = 0
        self._limit()
        return status

    def readinto(self, b):
        """Read from the body, as a stream for `deflate` too: it asks for single bytes. -> bytes read, 0 at the end."""
        n = min(self.left, len(b))
        if n:
            at = self.at
            end = min(self.left + at, 512)
            if not at:
                self._fill(self.buf[:end])
            n = min(n, end - at)
            b[:n] = self.buf[at : at + n]
            self.at = (at + n) & 511
            self.left -= n
        return n

    def _fill(self, b):
        if time.ticks_diff(self.until, time.ticks_ms()) < 0:
            raise Refused("network", "slow")
        try:
            n = self.s.readinto(b)
        except OSError as e:
            n = repr(e)
        if n != len(b):
            raise Refused("truncated", str(n))

    def _limit(self):
        self.until = time.ticks_add(time.ticks_ms(), _TRANSFER_MS + self.left * _BYTE_MS)

    def close(self):
        self.left = 0
        if self.s:
            self.s.close()
            self.s = None
