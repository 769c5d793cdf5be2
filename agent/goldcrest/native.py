"""Native source: check-in and reports over HTTP (docs/protocol.md)."""

import gc
import json
import os
import sys

import goldcrest
from goldcrest import Refused, guard
from goldcrest.http import Http

_RETRY = ("network", "truncated", "endless", "hash", "missing", "memory", "error")  # may go away by itself
_TRIES = 8  # per release, then it is remembered as failed

_told = []  # what this start has reported: "boot", "trial", and `release reason` of passing failures
_tries = ["", 0]  # a release digest and its failed tries since the start
_ring_seen = 0  # highest keyring version that was fetched, good or bad

# What only a boot needs goes back to the app: half of the guard.
for n in ("Trial", "boot", "_try_agent", "apply", "rollback", "entries", "prune"):
    if hasattr(guard, n):
        delattr(guard, n)


def run():
    """One check-in and what follows from it. -> (an update waits for the reset, seconds to the next check-in)."""
    with open(guard.R + "goldcrest.json") as f:
        cfg = json.load(f)
    http = Http(cfg)
    wait = 0
    try:
        ready = guard.state()[0] == "commit" or _check_in(http, cfg)
        wait = _number(http.headers, "retry-after")
    except Refused as e:
        print("goldcrest:", *e.args)
        ready = False
    finally:
        http.close()
    wait = max(wait, cfg.get("poll_s") or _poll)
    if _tries[1]:  # a release that fails to arrive: 2, 4, 8... times the interval, at most an hour
        wait = max(wait, min(wait << _tries[1], 3600))
    return ready, min(wait, 86400)


_poll = 60  # seconds, as the server said last


def _check_in(http, cfg):
    global _poll, _ring_seen
    name, digest, _, _ = guard.state()
    wdt = sys.modules.get("_goldcrest.wdt")
    if wdt:
        wdt.feed()
    _deliver(http)
    if "boot" not in _told:
        report(http, "boot", facts=facts(cfg))
        _told.append("boot")
    if name == "trial" and name not in _told:
        report(http, name, digest)
        _told.append(name)
    failed = guard.read("failed").split("\n")[0]
    known = ", ".join('"%s"' % d for d in (digest, failed) if len(d) == 64)
    ring = 0
    if guard.kind(guard.D + "keyring"):
        with open(guard.D + "keyring") as f:
            f.readline()
            ring = int(f.readline()[8:])
    path = "/d/v1/checkin?run=%s&state=%s&k=%d" % (digest, name, ring)
    status = http.request("GET", path, known and "If-None-Match: " + known + "\r\n")
    if status not in (200, 304):
        http.finish()
        return False
    etag = http.headers.get("etag", "").strip('"')
    _poll = _number(http.headers, "goldcrest-poll") or _poll
    newer = _number(http.headers, "goldcrest-keyring")
    if newer > max(ring, _ring_seen):
        _ring_seen = newer
        http.finish()
        try:
            from goldcrest import verify

            verify.fetch(http)
        except Refused as e:
            report(http, "failed", etag or digest, *e.args)
        verify = None
        _drop()
        return _check_in(http, cfg)
    if name == "trial":
        if status == 200:
            http.close()  # the body can wait until this trial is over
        if cfg.get("confirm") != "app" and guard.confirm():
            report(http, "confirmed", digest)
    elif status == 304:
        if guard.kind(guard.D + "target"):
            guard.clean("nopjt")  # taken back while it was being staged
        _tries[1] = 0
    elif len(etag) != 64:
        raise Refused("network", "no ETag")
    elif etag == failed:
        http.close()
    else:
        return _take(http, cfg, etag)
    return False


def _take(http, cfg, etag):
    why = "flash"
    try:
        from goldcrest import verify

        keep = verify.take(http, cfg, etag)
        verify = None
        _drop()
        from goldcrest import install

        install.update(http, keep, etag, report)
        why = ""
    except Refused as e:
        why, detail = e.args
    except OSError as e:  # those of the network are Refused by now
        detail = repr(e)
        guard.clean("nopjt")
    except Exception as e:
        why = "memory" if isinstance(e, MemoryError) else "error"
        detail = repr(e)
    verify = install = None
    _drop()
    if not why:
        return True
    print("goldcrest:", why, detail)
    http.close()  # its body may be half read
    _tries[:] = etag, _tries[1] + 1 if _tries[0] == etag else 1
    if why in _RETRY and _tries[1] < _TRIES:
        if etag + why not in _told:
            report(http, "downloading", etag, why, detail)
            _told.append(etag + why)
        return False
    _tries[1] = 0
    guard.clean("nopjt")
    guard.failed(etag, why, detail, "", "failed")
    _deliver(http)
    return False


def _drop():
    # The parts that are needed once: one at a time, since ESP8266 has 36 KB of heap with the app in it.
    for n in ("verify", "install"):
        sys.modules.pop("goldcrest." + n, None)
        goldcrest.__dict__.pop(n, None)
    gc.collect()


def _deliver(http):
    # A failure that was not reported yet: `report` holds the stage, `failed` the rest.
    stage = guard.read("report")
    if stage:
        report(http, stage, *(guard.read("failed") + "\n\n\n").split("\n", 3))
        guard.remove("report")


def report(http, stage, release=None, reason="", detail="", trace="", facts=None):
    """Send a report. Raises Refused("network") when it can't be delivered."""
    body = {"stage": stage, "release": release, "reason": reason, "detail": detail[:256], "trace": trace.rstrip(), "facts": facts}
    body = {k: body[k] for k in body if body[k]}
    status = http.request("POST", "/d/v1/report", "Content-Type: application/json\r\n", json.dumps(body).encode())
    http.finish()
    if status >= 500 or status in (401, 408, 429):
        raise Refused("network", "report %d" % status)


def facts(cfg):
    """What the board is, for the fleet view."""
    s = os.statvfs(guard.R)
    me = sys.implementation
    gc.collect()
    f = {
        "agent": goldcrest.__version__,
        "micropython": ".".join(str(n) for n in me.version[:3]),
        "mpy": getattr(me, "_mpy", 0),
        "board": cfg.get("board", sys.platform),
        "platform": sys.platform,
        "machine": getattr(me, "_machine", ""),
        "flash_free": s[0] * s[3],
        "flash_size": s[1] * s[2],
        # FAT finds a name whatever its case, littlefs counts no files
        "filesystem": "fat" if guard.kind(guard.R + ".OTA") else "other" if s[5] else "littlefs2",
        "tries": int(guard.read("tries") or 0),
        "heap_free": gc.mem_free(),
    }
    if guard.read("failed").split("\n")[1:2] == ["agent"]:
        f["guard"] = "golden"
    try:
        import machine

        f["reset_cause"] = machine.reset_cause()
    except (ImportError, AttributeError):
        pass
    return f


def _number(headers, name):
    text = headers.get(name, "")
    return int(text) if text.isdigit() and len(text) < 8 else 0
