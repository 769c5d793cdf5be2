"""HTTP/1.1 client for one server: keep-alive, bounded bodies, a deadline for each transfer. It never waits for ever."""

import io
import socket
import time

from goldcrest import Refused

_IO_S = 15  # one read or write
_TRANSFER_S = 60  # a response, plus a second for each _RATE bytes
_RATE = 256
_HEAD = 8192  # bytes of a response head
_NO_LENGTH = 0x3FFFFFFF  # a body without a length: more than any limit, so it is refused as endless


class Http(io.IOBase):
    """`left` is what remains of the body, `etag`, `poll`, `retry` and `keyring` are headers of the last response that had them."""

    def __init__(self, cfg):
        scheme, _, host = cfg["server"].split("/")[:3]
        self.tls = scheme == "https:"
        self.ca = cfg.get("ca")
        self.host = host
        self.token = cfg["token"]
        self.s = None
        self.left = self.at = self.end = 0
        self.one = bytearray(1)
        self.buf = bytearray(128)
        self.etag = self.poll = self.retry = self.keyring = ""

    def request(self, method, path, head="", body=""):
        """Send a request, read the head of the response. -> status."""
        body = body.encode()
        if body:
            head += "Content-Length: %d\r\n" % len(body)
        # One write: a second small one would wait for the other side's delayed ACK.
        data = "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nGoldcrest-Agent: 1\r\n%s\r\n" % (method, path, self.host, self.token, head)
        self._limit(0)
        while True:
            fresh = not self.s
            try:
                if fresh:
                    self._open()
                self.s.write(data.encode() + body)
                status = self._head()
                if status:
                    return status
                raise OSError(104)
            except (OSError, ValueError) as e:
                self.close()
                if fresh:
                    raise Refused("network", repr(e))
            # The server had closed the kept connection: once more on a new one.

    def get(self, path, missing):
        """GET what must be there."""
        status = self.request("GET", path)
        if status != 200:
            self.finish()
            raise Refused("missing" if status == 404 else "network", "%s: status %d" % (missing, status))

    def _open(self):
        host, _, port = self.host.partition(":")
        a = socket.getaddrinfo(host, int(port or (443 if self.tls else 80)), 0, socket.SOCK_STREAM)[0]
        self.s = s = socket.socket(a[0], socket.SOCK_STREAM)
        s.settimeout(_IO_S)
        s.connect(a[-1])
        if self.tls:
            from goldcrest import tls

            self.s = tls.wrap(s, host, self.ca)

    def _head(self):
        self.left = self.at = self.end = 0
        self.etag = ""
        n = _NO_LENGTH
        self.keep = True
        self.head = _HEAD
        line = self._line()
        if not line:
            return 0
        if line[:7] != b"HTTP/1.":
            raise ValueError("not HTTP")
        status = int(line[9:12])
        while True:
            line = self._line()
            if line == b"\r\n":
                break
            if not line:
                raise OSError(104)
            key, _, value = str(line, "utf8").partition(":")
            key = key.lower()
            value = value.strip()
            if key == "content-length":
                if not value.isdigit() or len(value) > 10:
                    raise ValueError("length")
                n = int(value)
            elif key == "etag":
                self.etag = value.strip('"')
            elif key == "goldcrest-poll":
                self.poll = value
            elif key == "retry-after":
                self.retry = value
            elif key == "goldcrest-keyring":
                self.keyring = value
            elif key == "connection":
                self.keep = value.lower() != "close"
            elif key == "transfer-encoding":
                raise ValueError("chunked")
        if status in (204, 304):
            n = 0
        self.left = n
        self._limit(min(n, 1 << 26))
        return status

    def _line(self):
        # Byte by byte: readinto() on a socket waits until the buffer is full, and readline() has no deadline.
        line = bytearray()
        while line[-1:] != b"\n":
            self.head -= 1
            if self.head < 0:
                raise ValueError("head too long")
            self._late()
            if not self.s.readinto(self.one):
                return b""
            line += self.one
        return bytes(line)

    def readinto(self, b):
        """Read from the body, as a stream for `deflate` too. -> bytes read, 0 at the end."""
        if not self.left:
            return 0
        if len(b) > 1:
            n = min(self.left, len(b))
            self._exactly(memoryview(b)[:n])
            self.left -= n
            return n
        # deflate asks for single bytes: from a small buffer
        if self.at == self.end:
            self.at, self.end = 0, min(self.left, len(self.buf))
            self._exactly(memoryview(self.buf)[: self.end])
        b[0] = self.buf[self.at]
        self.at += 1
        self.left -= 1
        return 1

    def _exactly(self, b):
        self._late()
        try:
            n = self.s.readinto(b)
        except OSError as e:
            raise Refused("network" if e.args[0] in (110, 116) else "truncated", repr(e))
        if n != len(b):
            raise Refused("truncated", "%d bytes missing" % (self.left - (n or 0)))

    def finish(self):
        """Leave the connection ready for the next request, or close it."""
        if self.left > 512 or not self.keep:
            self.close()
        while self.left:
            self.readinto(self.one)

    def close(self):
        self.left = 0
        if self.s:
            self.s.close()
            self.s = None

    def ioctl(self, *a):
        return 0

    def _limit(self, n):
        self.until = time.ticks_add(time.ticks_ms(), (_TRANSFER_S + n // _RATE) * 1000)

    def _late(self):
        if time.ticks_diff(self.until, time.ticks_ms()) < 0:
            raise Refused("network", "too slow")
