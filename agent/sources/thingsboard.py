"""Pulls from ThingsBoard over its MQTT device API: announced by shared attributes, fetched in chunks to flash, reported as telemetry.

Settings: `server` (mqtt://host:port), `token`, `chunk_size`; what goldcrest.json does not say is read from the files of thingsboard-updatable-devices,
/config/thingsboard_config.json and /config/ota_config.json.
"""

import hashlib
import json
import os
from binascii import crc32, hexlify

from goldcrest import Refused, guard
from goldcrest.sources import mqtt, package

_CHUNK = const(4096)
_FLUSH = const(16384)
_PACKETS = const(200)  # that may come before an answer
_ATTRIBUTES = "v1/devices/me/attributes"
_KEYS = "fw_title", "fw_version", "fw_size", "fw_checksum", "fw_checksum_algorithm"
_TEXT = const(4096)

_link = None
_answer = None  # shared attributes of the last request
_waiting = ["", None, 0, None]  # topic of the chunk that is to come, open file, its length, length that came
_number = 0  # of requests
_said = ""  # the version of which ThingsBoard was told since the start that it runs


def _file(name):
    try:
        with open(guard.R + "config/" + name) as f:
            return json.load(f)
    except (OSError, ValueError):
        return {}


def _settings(server, cfg):
    # -> a copy of the settings, with what the old client's files say
    cfg = dict(cfg)
    cfg["keep"] = keep = list(cfg.get("keep", ()))
    if not server:
        old = _file("thingsboard_config.json")
        server = "%s:%s" % (old["server_host"], old.get("server_port", 1883))
        cfg.setdefault("token", old.get("device_access_token"))
        keep.append("config/thingsboard_config.json")  # the board's own: its token is in it
    old = _file("ota_config.json")
    cfg.setdefault("chunk_size", old.get("chunk_size", _CHUNK))
    for path in old.get("excluded_files", ()):
        path = path.lstrip("/")
        keep.append(path + "**" if path[-1:] == "/" else path)
    if "clear_filesystem" in old:
        cfg.setdefault("rest", "clear" if old["clear_filesystem"] else "keep")
    return server, cfg


class Source(package.Source):
    """A device of ThingsBoard."""

    def __init__(self, server, cfg):
        global _link
        server, cfg = _settings(server, cfg)
        package.Source.__init__(self, server, cfg)
        if not _link:
            _link = mqtt.Link(server, cfg["token"], "", _heard)
            mqtt.watch(_link)

    def look(self):
        global _answer, _number
        self.connect()
        _answer = None
        _number += 1
        _link.publish(_ATTRIBUTES + "/request/%d" % _number, json.dumps({"sharedKeys": ",".join(_KEYS)}))
        _until(lambda: _answer is not None)
        wanted = [_answer.get(key) for key in _KEYS]
        if not wanted[0] or not wanted[1]:
            return ""
        self.wanted = wanted
        self.metadata = tuple(wanted[:2])
        self.package, self.version = (str(word).replace("\n", " ") for word in wanted[:2])
        return json.dumps(wanted)

    def connect(self):
        if not _link.s:
            _link.open(None, self.cfg.get("ca"))
            _link.subscribe(_ATTRIBUTES, _ATTRIBUTES + "/response/+", "v2/fw/response/+/chunk/+")

    def settle(self):
        """The package was checked as a whole."""

    def request(self, path, head="", body=b""):
        global _said
        status = package.Source.request(self, path, head, body)
        # A lost report would leave ThingsBoard at UPDATING for ever.
        name, digest = guard.state()[:2]
        if status == 304 and name == "ok" and digest != "-" and _said != digest:
            self.tell("UPDATED")
            _said = digest
        return status

    def tell(self, state, error=""):
        """Report as telemetry."""
        body = {}
        running = _running()
        if running:
            body = {"current_fw_title": running[0], "current_fw_version": running[1]}
        if state:
            body["fw_state"] = state
        if error:
            body["fw_error"] = error
        self.connect()
        if body:
            _link.publish("v1/devices/me/telemetry", json.dumps(body))

    def said(self, report):
        global _said
        stage = report["stage"]
        if stage in ("failed", "rolled-back"):
            self.tell("FAILED", "%s: %s" % (report.get("reason"), report.get("detail", "")))
        elif stage == "installing":
            self.tell("UPDATING")
        elif stage == "boot":
            self.tell("")
        elif stage == "confirmed":
            self.tell("UPDATED")
            _said = guard.state()[1]

    def fetch(self, path):
        title, version, size, checksum, algorithm = self.wanted
        if not isinstance(size, int) or size < 1:
            raise Refused("format", "fw_size")
        package.free_for(size)
        self.tell("DOWNLOADING")
        self._chunks(path, size)
        self.tell("DOWNLOADED")
        if self.cfg.get("unsigned") is True:  # else it carries a signature, which says more
            check(path, checksum, algorithm)
        self.tell("VERIFIED")

    def _chunks(self, path, size):
        global _number
        chunk = self.cfg.get("chunk_size") or 0
        if not isinstance(chunk, int) or not 0 < chunk < size:
            chunk = size  # one message: it goes to flash as it comes, too
        have = os.stat(path)[6] if guard.kind(path) else 0
        n = have // chunk if have <= size else 0
        _number += 1
        try:
            with open(path, "r+b" if n else "wb") as f:
                f.seek(n * chunk)
                while n * chunk < size:
                    length = min(chunk, size - n * chunk)
                    _waiting[:] = "v2/fw/response/%d/chunk/%d" % (_number, n), f, length, None
                    _link.publish("v2/fw/request/%d/chunk/%d" % (_number, n), str(chunk) if chunk < size else "")
                    _until(lambda: _waiting[3] is not None)
                    if _waiting[3] != length:
                        raise Refused("truncated" if _waiting[3] < length else "endless", "chunk %d" % n)
                    n += 1
                    if n * chunk % _FLUSH < chunk:
                        f.flush()  # a cut does not lose it
        finally:
            _waiting[:] = "", None, 0, None


def _until(done):
    for _ in range(_PACKETS):
        if done():
            return
        _link.take(True)
    raise Refused("network", "no answer")


def _heard(topic, payload):
    # A message. -> whether it is a reason to look now
    global _answer
    if topic == _waiting[0]:
        _waiting[0] = ""
        length = payload.left
        if length == _waiting[2]:
            buf = memoryview(bytearray(512))
            while True:
                n = payload.readinto(buf)
                if not n:
                    break
                _waiting[1].write(buf[:n])
        _waiting[3] = length
    elif topic == _ATTRIBUTES:
        return "fw_" in payload.text(_TEXT)
    elif topic == _ATTRIBUTES + "/response/%d" % _number:
        shared = json.loads(payload.text(_TEXT))
        shared = shared.get("shared") if isinstance(shared, dict) else None
        _answer = shared if isinstance(shared, dict) else {}
    return False


def check(path, checksum, algorithm):
    """Refuse a file that has not the checksum that ThingsBoard announces for it."""
    name = str(algorithm).lower()
    if name == "crc32":
        n = 0
        for b in guard.chunks(path):
            n = crc32(b, n)
        got = "%08x" % (n & 0xFFFFFFFF)
    else:
        make = getattr(hashlib, name, None)
        if not make or name not in ("md5", "sha256", "sha384", "sha512"):
            raise Refused("format", "this board has no %s: let ThingsBoard use SHA256" % algorithm)
        h = make()
        for b in guard.chunks(path):
            h.update(b)
        got = hexlify(h.digest()).decode()
    if got != str(checksum).lower():
        raise Refused("hash", "package")


def _running():
    # -> title and version of what runs: what our manifest says, or the old client's file
    head = {}
    state = guard.state()
    name = guard.D + guard.manifest(state[3 if state[0] == "commit" else 1])
    if guard.kind(name):
        with open(name) as f:
            for line in f:
                key, _, value = line[:-1].partition(" ")
                if key == "files":
                    break
                head[key] = value
        return head.get("package"), head.get("version")
    try:
        with open(guard.R + "FW_METADATA.json") as f:
            said = json.load(f)
        return said["title"], said["version"]
    except (OSError, ValueError, LookupError):
        return None
