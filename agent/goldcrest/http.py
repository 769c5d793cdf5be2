"""HTTP/1.1 client for one server: keep-alive, bounded bodies, a deadline for each transfer. It never waits for ever."""

import io
import socket
import time

from goldcrest import Refused

_IO_S = 15  # one read or write
_TRANSFER_S = 60  # a response, plus a second for each _RATE bytes
_RATE = 256
_HEAD = 4096  # bytes of a response head


class Http(io.IOBase):
    """`headers` are those of the last response, names in lower case; `left` is what remains of its body."""

    def __init__(self, cfg):
        self.cfg = cfg
        self.s = None
        self.left = self.at = self.end = 0
        self.buf = memoryview(bytearray(128))
        self.headers = {}

    def request(self, method, path, head="", body=b""):
        """Send a request, read the head of the response. -> status."""
        if body:
            head += "Content-Length: %d\r\n" % len(body)
        # One write: a second small one would wait for the other side's delayed ACK.
        data = "%s %s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\nGoldcrest-Agent: 1\r\n%s\r\n" % (
            method, path, self.cfg["server"].split("/")[2], self.cfg["token"], head
        )
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

    def get(self, path, what):
        """GET what must be there."""
        status = self.request("GET", path)
        if status != 200:
            self.finish()
            raise Refused("missing" if status == 404 else "network", "%s: %d" % (what, status))

    def _open(self):
        scheme, _, host = self.cfg["server"].split("/")[:3]
        host, _, port = host.partition(":")
        a = socket.getaddrinfo(host, int(port or (443 if scheme == "https:" else 80)), 0, socket.SOCK_STREAM)[0]
        self.s = s = socket.socket(a[0], socket.SOCK_STREAM)
        s.settimeout(_IO_S)
        s.connect(a[-1])
        if scheme == "https:":
            from goldcrest import tls

            self.s = tls.wrap(s, host, self.cfg.get("ca"))

    def _head(self):
        self.left = self.at = self.end = 0
        self.headers = h = {}
        self.head = _HEAD
        line = self._line()
        if not line:
            return 0
        status = int(line[9:12])
        while True:
            line = self._line()
            if line == b"\r\n":
                break
            if not line:
                raise OSError(104)
            key, _, value = str(line, "utf8").partition(":")
            h[key.lower()] = value.strip()
        # Without a length a body is more than any limit, so that it is refused as endless.
        self.left = 0 if status in (204, 304) else int(h.get("content-length", 0x3FFFFFFF))
        if self.left < 0:
            raise ValueError
        self._limit(min(self.left, 1 << 26))
        return status

    def _line(self):
        # Byte by byte: readinto() on a socket waits until the buffer is full, and readline() has no deadline.
        line = bytearray()
        while line[-1:] != b"\n":
            self.head -= 1
            if self.head < 0:
                raise ValueError("head too long")
            self._late()
            if not self.s.readinto(self.buf[:1]):
                return b""
            line += self.buf[:1]
        return bytes(line)

    def readinto(self, b):
        """Read from the body, as a stream for `deflate` too. -> bytes read, 0 at the end."""
        n = min(self.left, len(b))
        if n > 1:
            self._exactly(memoryview(b)[:n])
        elif n:
            # deflate asks for single bytes: from a small buffer
            if self.at == self.end:
                self.at, self.end = 0, min(self.left, 128)
                self._exactly(self.buf[: self.end])
            b[0] = self.buf[self.at]
            self.at += 1
        self.left -= n
        return n

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
        if self.left > 512 or self.headers.get("connection", "").lower() == "close":
            self.close()
        while self.left:
            self.readinto(bytearray(1))

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
