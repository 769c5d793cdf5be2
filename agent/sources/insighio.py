"""Pulls from console.insigh.io: a retained SenML message names a package, which is fetched over HTTP(S), and the outcome is said on the same topic.

Settings: `server` (mqtt://host:port), `id` and `key` of the device, `control` (the control channel), `url` (https://console.insigh.io).
A package holds what changes: what else is on the board stays (`rest`).
"""

import json

from goldcrest import guard
from goldcrest.sources import mqtt, package

_TEXT = const(1024)

_link = None
_topic = ""
_wanted = None  # (file id, size) of the request that stands


class Source(package.Source):
    """A device of the console."""

    rest = "keep"

    def __init__(self, server, cfg):
        global _link, _topic
        package.Source.__init__(self, server, cfg)
        _topic = "channels/%s/messages/%s/ota" % (cfg["control"], cfg["id"])
        if not _link:
            _link = mqtt.Link(server, cfg["id"], cfg["key"], _heard, cfg["id"])
            mqtt.watch(_link)

    def connect(self):
        global _wanted
        if not _link.s:
            _wanted = None
            _link.open(None, self.cfg.get("ca"))
            _link.subscribe(_topic)

    def look(self):
        self.connect()
        _link.barrier()  # what is retained, or was said since, has come by then
        if not _wanted:
            return ""
        self.version = self.fuid = _wanted[0]
        return "%s %s" % _wanted

    def settle(self):
        """The package came as a whole."""

    def request(self, path, head="", body=b""):
        status = package.Source.request(self, path, head, body)
        if status == 304 and self.ids:  # what was said of it was lost
            name, run = guard.state()[:2]
            failed = guard.read("failed").split("\n")
            if name == "ok" and run in self.ids:
                self.tell(1)
            elif name == "ok" and failed[0] in self.ids and not guard.read("report"):
                self.tell(2, failed[1])
        return status

    def said(self, report):
        stage = report["stage"]
        if stage == "confirmed":
            self.tell(1)
        elif stage in ("failed", "rolled-back"):
            self.tell(2, report.get("reason", ""))

    def tell(self, event, reason=""):
        """Say what became of the request, then clear it: in this order, so that a cut in between loses nothing."""
        global _wanted
        self.connect()
        if not _wanted:
            return
        pack = [{"n": "e", "v": event}, {"n": "i", "vs": _wanted[0]}]
        if reason:
            text = "not enough space" if reason == "space" else "can not download" if reason in _DOWNLOAD else "can not apply: " + reason
            pack.append({"n": "m", "vs": text})
        _link.publish(_topic, json.dumps(pack))
        _link.publish(_topic, "", True)
        _wanted = None

    def fetch(self, path):
        package.free_for(_wanted[1])
        from goldcrest.sources import web

        cfg = self.cfg
        words = [web.quoted(word) for word in (self.fuid, cfg["id"], cfg["key"], cfg["control"])]
        http = web.Source(cfg.get("url", "https://console.insigh.io"), cfg)
        try:
            http.save("mf-rproxy/packages/download?fuid=%s&did=%s&dk=%s&cid=%s" % tuple(words), path, -1, "package")
        finally:
            http.close()


_DOWNLOAD = "network", "missing", "truncated", "endless"


def _heard(topic, payload):
    # A message. -> whether it is a reason to look now
    global _wanted
    if topic != _topic:
        return False
    _wanted = None
    said = {}
    try:
        for record in json.loads(payload.text(_TEXT) or "[]"):
            said[record.get("n")] = record.get("v", record.get("vs"))
        event = str(said.get("e"))
        if event in ("0", "0.0") and isinstance(said["i"], str):
            _wanted = said["i"], int(said.get("s") or 0)
    except (ValueError, TypeError, AttributeError, LookupError) as e:
        print("goldcrest: insighio", repr(e))
    return bool(_wanted)
