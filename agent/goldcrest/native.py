"""Native source: check-in, reports and objects over HTTP (docs/protocol.md)."""

import json
import sys

import goldcrest
from goldcrest import Refused, guard
from goldcrest.http import Http

_RETRY = ("network", "truncated", "endless", "hash", "missing", "memory", "error")  # may go away by itself
_TRIES = 8  # per release, then it is remembered as failed
_DAY = 86400

_told = []  # what this start has reported: "boot", "trial", and `release reason` of passing failures
_tries = {}  # release digest -> failed tries since the start
_bad_keyring = 0

# What only a boot needs goes back to the app: half of the guard.
for n in ("Trial", "boot", "_try_agent", "apply", "rollback", "entries", "prune"):
    if hasattr(guard, n):
        delattr(guard, n)


def run():
    """One check-in and what follows from it. -> (an update waits for the reset, seconds to the next check-in)."""
    with open(guard.R + "goldcrest.json") as f:
        cfg = json.load(f)
    http = Http(cfg)
    wait = cfg.get("poll_s") or 60
    try:
        name = guard.state()[0]
        if name == "commit":
            return True, wait
        trial = sys.modules.get("_goldcrest")
        if trial and trial.wdt and name == "ok":
            trial.wdt.feed()
        ready = _check_in(http, cfg)
        if not cfg.get("poll_s"):
            wait = _seconds(http.poll) or wait
        wait = max(wait, _seconds(http.retry))
    except Refused as e:
        print("goldcrest:", *e.args)
        ready = False
    finally:
        http.close()
    if _tries:  # a release that fails to arrive: 2, 4, 8... times the interval, at most an hour
        wait = max(wait, min(wait << max(_tries.values()), 3600))
    return ready, min(wait, _DAY)


def _check_in(http, cfg):
    global _bad_keyring
    name, digest, _, _ = guard.state()
    _deliver(http)
    if "boot" not in _told:
        from goldcrest import facts

        report(http, "boot", None, facts=facts.facts(cfg))
        _told.append("boot")
        facts = None
        goldcrest.drop("facts")
    if name == "trial" and "trial" not in _told:
        report(http, "trial", digest)
        _told.append("trial")
    for _ in range(2):
        failed = guard.read("failed").split("\n")[0]
        known = ", ".join('"%s"' % d for d in (digest, failed) if len(d) == 64)
        version = _keyring_version()
        head = known and "If-None-Match: " + known + "\r\n"
        status = http.request("GET", "/d/v1/checkin?run=%s&state=%s&k=%d" % (digest, name, version), head)
        if status not in (200, 304):
            http.finish()
            return False
        etag = http.etag
        newer = _seconds(http.keyring)
        if newer <= version or newer == _bad_keyring:
            break
        http.finish()
        try:
            from goldcrest import keyring

            keyring.fetch(http)
        except Refused as e:
            _bad_keyring = newer
            report(http, "failed", etag or digest, *e.args)
        keyring = None
        goldcrest.drop("keyring", "manifest", "verify")
    if name == "trial":
        if status == 200:
            http.close()  # the body can wait until this trial is over
        if cfg.get("confirm", "checkin") == "checkin" and guard.confirm():
            report(http, "confirmed", digest)
        return False
    if status == 304:
        if guard.kind(guard.D + "target"):
            guard.clean("nopjt")  # taken back while it was being staged
        _tries.clear()
        return False
    if len(etag) != 64:
        raise Refused("network", "no ETag")
    if etag == failed:
        http.close()
        return False
    return _take(http, cfg, etag)


def _take(http, cfg, etag):
    try:
        from goldcrest import admit

        keep = admit.take(http, cfg, etag)
        admit = None
        goldcrest.drop("admit", "verify")
        from goldcrest import install

        install.update(http, keep, etag, lambda stage: report(http, stage, etag))
        return True
    except Refused as e:
        why, detail = e.args
    except MemoryError as e:
        why, detail = "memory", repr(e)
    except OSError as e:  # those of the network are Refused by now
        why, detail = "flash", repr(e)
        guard.clean("nopjt")
    except Exception as e:
        why, detail = "error", repr(e)
    finally:
        admit = install = None
        goldcrest.drop("admit", "install", "manifest", "verify")
    print("goldcrest:", why, detail)
    http.close()  # its body may be half read
    n = _tries.get(etag, 0) + 1
    if why in _RETRY and n < _TRIES:
        _tries.clear()
        _tries[etag] = n
        if etag + why not in _told:
            report(http, "downloading", etag, why, detail)
            _told.append(etag + why)
        return False
    _tries.clear()
    guard.clean("nopjt")
    guard.failed(etag, why, detail, "", "failed")
    _deliver(http)
    return False


def _deliver(http):
    # A failure that was not reported yet: `report` holds the stage, `failed` the rest.
    stage = guard.read("report")
    if stage:
        digest, why, detail, trace = (guard.read("failed") + "\n\n\n").split("\n", 3)
        report(http, stage, digest, why, detail, trace.rstrip())
        guard.remove("report")


def report(http, stage, release, reason="", detail="", trace="", facts=None):
    """Send a report. Raises Refused("network") when it can't be delivered."""
    body = {"stage": stage}
    for k, v in (("release", release), ("reason", reason), ("detail", detail[:256]), ("trace", trace), ("facts", facts)):
        if v:
            body[k] = v
    status = http.request("POST", "/d/v1/report", "Content-Type: application/json\r\n", json.dumps(body))
    http.finish()
    if status >= 500 or status in (401, 408, 429):
        raise Refused("network", "report %d" % status)


def _keyring_version():
    try:
        with open(guard.D + "keyring") as f:
            f.readline(64)
            return _seconds(f.readline(64)[8:])
    except OSError:
        return 0


def _seconds(text):
    text = text.strip()
    return int(text) if text.isdigit() and len(text) < 8 else 0
