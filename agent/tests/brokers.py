"""MQTT brokers as one board sees them, without sockets and threads: bytes in, bytes out."""

import json

import archives
import signing
import sites


class Broker:
    """Keeps retained messages and what was said; `faults` may change what goes out."""

    def __init__(self):
        self.retained = {}
        self.said = []  # (topic, payload) of the board
        self.user = None  # (user name, password), when not everybody may come
        self.peers = []
        self.fault = None  # function(bytes that go to the board) -> bytes
        self.lost = []  # topics that are acknowledged to nobody
        self.connects = 0

    def peer(self):
        self.peers = [Peer(self)]
        return self.peers[0]

    def heard(self, peer, topic, payload, retain):
        """The board said something."""
        self.said.append((topic, payload))
        if retain:
            self.retain(topic, payload)

    def retain(self, topic, payload):
        if payload:
            self.retained[topic] = payload
        else:
            self.retained.pop(topic, None)

    def subscribed(self, peer, topic):
        for t in self.retained:
            if matches(topic, t):
                peer.say(t, self.retained[t], 1)

    def tell(self, topic, payload, retain=False):
        """A message to the board, if it is there and wants it."""
        if retain:
            self.retain(topic, payload)
        for peer in self.peers:
            if any(matches(f, topic) for f in peer.filters):
                peer.say(topic, payload)
                peer.flush()

    def heard_about(self, topic):
        """-> payloads said to a topic so far, and forget them."""
        out = [p for t, p in self.said if t == topic]
        self.said = [(t, p) for t, p in self.said if t != topic]
        return out


class ThingsBoard(Broker):
    """The MQTT device API of ThingsBoard, for one device with the token `t0k`."""

    modules = "source package tar archive unpack store tree mqtt thingsboard".split(" ")
    pages = {}

    def __init__(self, pack=None):
        Broker.__init__(self)
        self.user = ("t0k", "")
        self.attributes = {}
        self.data = b""
        self.asked = []  # (chunk, payload)
        self.chunk = None  # function(number, bytes) -> bytes
        self.pack = pack or (lambda files, version: archives.gz(archives.tar(files)))
        self.counter = 10
        self.broker = self
        self.address = "broker.test:1883"

    def settings(self, url):
        return {"source": "thingsboard", "server": "mqtt://" + self.address, "token": "t0k", "chunk_size": 500}

    def publish(self, version, files):
        self.offer(self.pack(files, version), version)

    def offer(self, data, version, **more):
        self.data = data
        self.attributes = dict({
            "fw_title": "node", "fw_version": version, "fw_size": len(data), "fw_checksum": signing.sha(data), "fw_checksum_algorithm": "SHA256",
        }, **more)

    def push(self):
        self.tell("v1/devices/me/attributes", json.dumps(self.attributes).encode())

    def heard(self, peer, topic, payload, retain):
        Broker.heard(self, peer, topic, payload, retain)
        words = topic.split("/")
        if topic.startswith("v1/devices/me/attributes/request/"):
            assert json.loads(payload)["sharedKeys"].split(",")[0] == "fw_title"
            answer = {"client": {}, "shared": self.attributes} if self.attributes else {}
            peer.say("v1/devices/me/attributes/response/" + words[-1], json.dumps(answer).encode())
        elif topic.startswith("v2/fw/request/"):
            n = int(words[-1])
            size = int(payload or len(self.data))
            self.asked.append((n, payload))
            data = self.data[n * size : (n + 1) * size]
            peer.say("v2/fw/response/%s/chunk/%d" % (words[3], n), self.chunk(n, data) if self.chunk else data, qos=0)

    def fetched(self):
        out, self.asked = self.asked, []
        return out

    def states(self):
        """-> fw_state, with fw_error, of the telemetry so far, and forget it."""
        out = []
        for text in self.heard_about("v1/devices/me/telemetry"):
            said = json.loads(text)
            out.append(said.get("fw_state", "-") + ("!" + said["fw_error"] if "fw_error" in said else "") + " " + said.get("current_fw_version", "-"))
        return out


class Console(Broker, sites.Pages):
    """console.insigh.io, for one device."""

    modules = "source web package tar archive unpack store tree mqtt insighio".split(" ")
    topic = "channels/c-1/messages/d-1/ota"

    def __init__(self, pack=None):
        sites.Pages.__init__(self)
        Broker.__init__(self)
        self.broker = self
        self.user = None
        self.address = "broker.test:1883"
        self.pack = pack or (lambda files, version: archives.tar(files))
        self.counter = 10

    def settings(self, url):
        return {"source": "insighio", "server": "mqtt://" + self.address, "id": "d-1", "key": "k/1", "control": "c-1", "url": url}

    def publish(self, version, files):
        self.offer(self.pack(files, version), version)

    def offer(self, data, version):
        self.fuid = "f" + version
        self.path = "/mf-rproxy/packages/download?fuid=%s&did=d-1&dk=k/1&cid=c-1" % self.fuid
        self.pages = {self.path: data}
        pending = [{"n": "e", "v": 0}, {"n": "i", "vs": self.fuid}, {"n": "t", "vs": ".tar.gz"}, {"n": "s", "v": len(data)}]
        self.tell(self.topic, json.dumps(pending).encode(), True)

    def outcome(self):
        """-> what the device said of its requests."""
        out = []
        for text in self.heard_about(self.topic):
            if text:
                said = {r["n"]: r.get("v", r.get("vs")) for r in json.loads(text)}
                out.append((said["e"], said["i"], said.get("m")))
        return out

    def heard(self, peer, topic, payload, retain):
        Broker.heard(self, peer, topic, payload, retain)
        if any(matches(f, topic) for f in peer.filters):  # it hears itself
            peer.say(topic, payload, qos=0)


class Peer:
    """One connection."""

    def __init__(self, broker):
        self.broker = broker
        self.data = b""
        self.out = b""
        self.filters = []
        self.id = 0
        self.gone = False
        self.flush = lambda: None  # sends `out` at once, where there is a socket

    def feed(self, data):
        """Take bytes of the board. -> bytes for it."""
        self.data += data
        while len(self.data) > 1:
            n = shift = 0
            at = 1
            while True:
                if at == len(self.data):
                    return self.take()
                b = self.data[at]
                at += 1
                n |= (b & 127) << shift
                shift += 7
                if b < 128:
                    break
            if len(self.data) < at + n:
                break
            packet = self.data[at : at + n]
            kind = self.data[0]
            self.data = self.data[at + n :]
            self._packet(kind, packet)
        return self.take()

    def take(self):
        out, self.out = self.out, b""
        return self.broker.fault(out) if out and self.broker.fault else out

    def say(self, topic, payload, retain=0, qos=1):
        topic = topic.encode()
        self.id += 1
        body = bytes((len(topic) >> 8, len(topic) & 255)) + topic + (bytes((self.id >> 8, self.id & 255)) if qos else b"") + payload
        self.out += bytes((0x30 | qos << 1 | retain,)) + length(len(body)) + body

    def _packet(self, kind, body):
        if kind == 0x10:
            self.broker.connects += 1
            flags = body[7]
            assert body[:7] == b"\0\4MQTT\4", body
            words = []
            at = 10
            while at < len(body):
                n = body[at] << 8 | body[at + 1]
                words.append(body[at + 2 : at + 2 + n].decode())
                at += 2 + n
            user = tuple(words[-2:]) if flags & 0xC0 == 0xC0 else (words[-1], "") if flags & 0x80 else None
            good = self.broker.user is None or user == self.broker.user
            self.out += b"\x20\2\0" + (b"\0" if good else b"\5")
            self.gone = not good
        elif kind == 0x82:
            at = 2
            new = []
            while at < len(body):
                n = body[at] << 8 | body[at + 1]
                new.append(body[at + 2 : at + 2 + n].decode())
                at += 3 + n
            self.out += b"\x90" + length(2 + len(new)) + body[:2] + b"\1" * len(new)
            self.filters += new
            for topic in new:
                self.broker.subscribed(self, topic)
        elif kind & 0xF0 == 0x30:
            n = body[0] << 8 | body[1]
            topic = body[2 : 2 + n].decode()
            at = 2 + n
            if kind & 6:
                if topic not in self.broker.lost:
                    self.out += b"\x40\2" + body[at : at + 2]
                at += 2
            self.broker.heard(self, topic, body[at:], kind & 1)
        elif kind == 0xC0:
            self.out += b"\xd0\0"


def length(n):
    out = b""
    while n > 127:
        out += bytes((n & 127 | 128,))
        n >>= 7
    return out + bytes((n,))


def matches(filter, topic):
    a, z = filter.split("/"), topic.split("/")
    for i in range(len(a)):
        if a[i] == "#":
            return True
        if i >= len(z) or a[i] not in ("+", z[i]):
            return False
    return len(a) == len(z)


class Sockets:
    """The module `socket` of a board without real ones: MQTT goes to the broker, all else to the board's server."""

    def __init__(self, web, broker, powered):
        self.web = web
        self.broker = broker
        self.powered = powered  # called with every packet
        self.getaddrinfo = web.getaddrinfo

    def socket(self, family):
        return Socket(self)


class Socket:
    """Of `Sockets`."""

    def __init__(self, module):
        self.module = module
        self.real = self.peer = None
        self.out = b""

    def connect(self, address):
        if address[1] == 1883:
            self.peer = self.module.broker.peer()
        else:
            self.real = self.module.web.socket(2)
            self.real.connect(address)

    def settimeout(self, s):
        self.wait = s

    def write(self, data):
        if self.real:
            return self.real.write(data)
        self.module.powered()
        self.out += self.peer.feed(bytes(data))
        return len(data)

    def readinto(self, b):
        if self.real:
            return self.real.readinto(b)
        if not self.out:
            if self.wait == 0:
                return None
            raise OSError(110)
        n = min(len(b), len(self.out))
        b[:n] = self.out[:n]
        self.out = self.out[n:]
        self.module.web.server.read += n
        return n

    def close(self):
        if self.real:
            self.real.close()
