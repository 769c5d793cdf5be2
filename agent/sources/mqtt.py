"""MQTT 3.1.1 for the agent, and the news from our own server: with `"mqtt": "host:port"` a board checks in as soon as it is meant.

A connection belongs to the agent, not to a check-in: it is made and mended during check-ins, and read by goldcrest.poll(), which never waits for it.
Every packet is one buffer and one write; a message's payload is read from the socket by whoever wants it, so that it may be larger than the memory.
"""

import json
import socket
import time

import goldcrest
from goldcrest import Http, Refused, guard

_IO_S = const(15)
_KEEP_S = const(60)
_TOPIC = const(256)
_link = None  # to our own server
_last = None  # what it said last


def Source(server, cfg):
    """-> the connection of a check-in over HTTP. It makes sure that news come in between."""
    global _link
    try:
        if not _link:
            _link = Link(cfg["mqtt"], "board", cfg["token"], _news)
            watch(_link)
        if not _link.s:
            _link.open()
            _link.subscribe("goldcrest/v1/me/desired")
    except Exception as e:  # it polls
        print("goldcrest: mqtt", repr(e))
    return Http(server, cfg)


def _news(topic, payload):
    # What this board runs already is no news when the board has just subscribed.
    global _last
    if topic[-8:] != "/desired":
        return False
    text = payload.text()
    was, _last = _last, text
    return text != was and (was is not None or json.loads(text).get("release") != guard.state()[1])


def watch(link):
    """Let goldcrest.poll() read the connection: a message that is news makes the next check-in due."""
    poll = goldcrest.poll

    def polled():
        try:
            if link.poll():
                goldcrest.checkin._due = None
        except Exception as e:  # whatever a broker says, the app goes on
            print("goldcrest: mqtt", repr(e))
            link.close()
        return poll()

    goldcrest.checkin.poll = polled


class Link:
    """A connection to a broker. `heard(topic, link)` gets each message, and says whether it is news; what it does not read of it is dropped.

    All methods raise Refused("network") when the connection is lost; it is closed then. An OSError is one of `heard`: of the flash.
    """

    s = raw = None
    left = 0  # bytes of the payload

    def __init__(self, address, user, password, heard, client=""):
        tls, _, address = address.rpartition("//")
        self.tls = tls in ("mqtts:", "ssl:", "https:")
        self.host, _, port = address.rstrip("/").partition(":")
        self.port = int(port or (8883 if self.tls else 1883))
        self.who = client, user, password
        self.heard = heard
        self.topics = []
        self.one = bytearray(1)
        self.acked = 0  # the last packet that was acknowledged
        self.id = 0
        self.pinged = False
        self.news = False

    def open(self, will=None, ca=None):
        """Connect. `will`: topic, payload and whether it is retained. Raises Refused when the broker does not want us."""
        a = socket.getaddrinfo(self.host, self.port)[0]
        self.s = self.raw = socket.socket(a[0])
        try:
            self.raw.settimeout(_IO_S)
            self.raw.connect(a[-1])
            if self.tls:
                import ssl

                self.s = ssl.wrap_socket(self.raw, server_hostname=self.host, cert_reqs=2 if ca else 0, cadata=ca and open(ca, "rb").read())
            client, user, password = self.who
            flags = 2 | bool(user) << 7 | bool(password) << 6
            body = b"\0\4MQTT\4"
            more = _text(client)
            if will:
                flags |= 4 | bool(will[2]) << 5
                more += _text(will[0]) + _text(will[1])
            body += bytes((flags, 0, _KEEP_S)) + more + (_text(user) if user else b"") + (_text(password) if password else b"")
            self._send(0x10, body)
            self.heard_ms = self.sent_ms
            kind, n = self._header(True)
            answer = bytearray(2)
            if kind != 0x20 or n != 2:
                raise Refused("network", "no CONNACK")
            self._fill(answer)
            if answer[1]:
                raise Refused("network", "CONNACK %d" % answer[1])
        except (OSError, ValueError, Refused) as e:
            self.close()
            raise e if isinstance(e, Refused) else Refused("network", repr(e))

    def close(self):
        self.left = 0
        if self.s:
            self.s.close()
        self.s = None

    def subscribe(self, *topics):
        """Ask for topics, at most once each, and wait until the broker has them."""
        self.id += 1
        body = bytes((self.id >> 8 & 255, self.id & 255))
        for topic in topics:
            body += _text(topic) + b"\1"
        self._send(0x82, body)
        self._until(self.id)

    def publish(self, topic, payload, retain=False, qos=1):
        """Say something. With `qos` 1, as is usual, wait until the broker has it."""
        if isinstance(payload, str):
            payload = payload.encode()
        body = _text(topic)
        if qos:
            self.id = self.id + 1 & 0x7FFF or 1
            body += bytes((self.id >> 8, self.id & 255))
        self._send(0x30 | qos << 1 | retain, body + payload)
        if qos:
            self._until(self.id)

    def barrier(self):
        """Wait until all that the broker had to say before has come."""
        self.pinged = True
        self._send(0xC0, b"")
        while self.pinged:
            self.take(True)

    def _until(self, id):
        self.acked = 0
        while self.acked != id:
            self.take(True)

    def poll(self):
        """Take what has come, without waiting. -> whether there was news."""
        if not self.s:
            return False
        now = time.ticks_ms()
        if time.ticks_diff(now, self.heard_ms) > _KEEP_S * 1500:
            self.close()
            raise Refused("network", "silent")
        if time.ticks_diff(now, self.sent_ms) > _KEEP_S * 500:
            self._send(0xC0, b"")
        while self.take(False):
            pass
        news, self.news = self.news, False
        return news

    def take(self, wait):
        """Take one packet; without `wait` only if there is one. -> whether there was."""
        try:
            kind, n = self._header(wait)
            if not kind:
                return False
            self._packet(kind, n)
        except Exception:
            self.close()
            raise
        self.heard_ms = time.ticks_ms()
        return True

    def _packet(self, kind, n):
        self.left = n
        if kind & 0xF0 == 0x30:
            size = self._number()
            if size > _TOPIC:
                raise Refused("network", "topic")
            topic = bytearray(size)
            self._read(topic)
            id = self._number() if kind & 6 else 0
            if self.heard(str(topic, "utf8"), self):
                self.news = True
            self.drain()
            if id:
                self._send(0x40, bytes((id >> 8, id & 255)))
        elif kind in (0x40, 0x90):  # PUBACK, SUBACK
            id = self._number()
            if kind == 0x90:
                codes = bytearray(min(self.left, 16))
                self._read(codes)
                if max(codes) > 2:
                    raise Refused("network", "SUBACK")
            self.acked = id
        elif kind == 0xD0:
            self.pinged = False
        self.drain()

    def readinto(self, b):
        """Read of the message's payload. -> bytes read, 0 at its end."""
        n = min(self.left, len(b))
        if n:
            self._read(b if n == len(b) else memoryview(b)[:n])
        return n

    def text(self, limit=1024):
        """-> the rest of the payload. Raises Refused when it is longer, ValueError when it is no text."""
        if self.left > limit:
            raise Refused("network", "message")
        b = bytearray(self.left)
        self._read(b)
        return str(b, "utf8")

    def drain(self):
        b = bytearray(64)
        while self.readinto(b):
            pass

    def _read(self, b):
        if len(b) > self.left:
            raise Refused("network", "packet")
        self.left -= len(b)
        if len(b):
            self._fill(b)

    def _number(self):
        b = bytearray(2)
        self._read(b)
        return b[0] << 8 | b[1]

    def _fill(self, b):
        try:
            n = self.s.readinto(b)
        except OSError as e:
            n = repr(e)
        if n != len(b):
            raise Refused("network", "closed " + str(n))

    def _header(self, wait):
        # -> first byte and remaining length, 0 and 0 when there is nothing
        self.raw.settimeout(_IO_S if wait else 0)
        try:
            n = self.s.readinto(self.one)
        except OSError as e:
            if wait or e.args[0] not in (11, 35, 10035, 110, 116):  # EAGAIN on this system or that
                raise Refused("network", repr(e))
            return 0, 0
        finally:
            if self.s and not wait:
                self.raw.settimeout(_IO_S)
        if n is None and not wait:
            return 0, 0
        if n != 1:
            raise Refused("network", "closed")
        kind = self.one[0]
        n = shift = 0
        while True:
            self._fill(self.one)
            n |= (self.one[0] & 127) << shift
            shift += 7
            if self.one[0] < 128:
                return kind, n
            if shift > 21:
                raise Refused("network", "length")

    def _send(self, kind, body):
        n = len(body)
        head = bytearray((kind,))
        while n > 127:
            head.append(n & 127 | 128)
            n >>= 7
        head.append(n)
        try:
            self.s.write(head + body)
        except (OSError, AttributeError) as e:
            self.close()
            raise Refused("network", repr(e))
        self.sent_ms = time.ticks_ms()


def _text(text):
    text = text.encode() if isinstance(text, str) else text
    return bytes((len(text) >> 8, len(text) & 255)) + text
