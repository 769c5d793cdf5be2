"""What sources over HTTP share: requests to any web server."""

from binascii import b2a_base64

from goldcrest import Http, Refused
from goldcrest.sources import source

_LINE = const(1024)  # bytes of a small answer that is taken as text
_PLAIN = "-._~/" "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Source(source.Source):
    """A source on a web server."""

    chunked = False
    head = ""  # header lines of every request

    def __init__(self, server, cfg):
        source.Source.__init__(self, server, cfg)
        self.spare = bytearray(64)
        self.base = self.server.rstrip("/")
        if "user" in cfg:
            self.head = "Authorization: Basic %s\r\n" % basic(cfg["user"], cfg.get("password", ""))

    def get(self, url, method="GET", head=""):
        """Ask for a path below the server's, or for a whole URL. -> status; the body is left to be read."""
        if "://" not in url:
            url = self.base + "/" + url
        scheme, _, host = url.split("/", 3)[:3]
        path = url[len(scheme) + 2 + len(host) :] or "/"
        if self.s and self.server[: len(scheme) + 3 + len(host)] != "%s//%s/" % (scheme, host):
            self.close()
        self.server = url  # Http opens what it is told by this
        data = "%s %s HTTP/1.1\r\nHost: %s\r\nUser-Agent: goldcrest\r\n%s%s\r\n" % (method, path, host, self.head, head)
        while True:
            fresh = not self.s
            try:
                self.drain()  # of the response before
                self._limit()
                if not self.s:
                    self._open(host)
                    if "timeout_s" in self.cfg and hasattr(self.s, "settimeout"):
                        self.s.settimeout(self.cfg["timeout_s"])
                self.s.write(data.encode())
                status = self._head()
                break
            except (OSError, ValueError, Refused) as e:
                self.close()
                if fresh:
                    raise Refused("network", repr(e))
        if method == "HEAD":
            self.left = 0
        elif self.headers.get("transfer-encoding", "").lower() == "chunked":
            self.chunked = True
            self.left = 0
            self._chunk()
        return status

    def readinto(self, b):
        """As of Http, of chunked bodies too."""
        if not self.left and self.chunked:
            self._chunk(True)
        return Http.readinto(self, b)

    def _chunk(self, after=False):
        if after:
            self._line()
        try:
            self.left = int(self._line().split(b";")[0], 16)
        except ValueError:
            raise Refused("network", "chunk")
        self.at = 0
        self._limit()
        if not self.left:
            self.chunked = False
            while self._line():  # trailers
                pass

    def _line(self):
        line = bytearray()
        while line[-2:] != b"\r\n":
            self._fill(self.buf[:1])
            line += self.buf[:1]
            if len(line) > 256:
                raise Refused("network", "chunk")
        return bytes(line[:-2])

    def close(self):
        self.chunked = False
        Http.close(self)

    def want(self, url, *more):
        """get() that must find something."""
        status = self.get(url, *more)
        if status != 200:
            raise Refused("missing" if status == 404 else "network", "%s: %d" % (url, status))

    def size(self, url):
        """-> size of what is at `url`, -1 when the server doesn't tell. Raises Refused when there is nothing."""
        status = self.get(url, "HEAD")
        if status in (401, 403, 404):
            raise Refused("missing" if status == 404 else "network", "%s: %d" % (url, status))
        return int(self.headers.get("content-length", -1)) if status == 200 else -1

    def text(self, url, limit=_LINE, head=""):
        """-> what is at `url`, as text. Raises Refused."""
        self.want(url, "GET", head)
        return self.body(limit)

    def body(self, limit):
        """-> what is left of the body, as text. Raises Refused."""
        out = bytearray()
        buf = bytearray(128)
        while True:
            n = self.readinto(buf)
            if not n:
                break
            out += buf[:n]
            if len(out) > limit:
                self.close()
                raise Refused("endless", self.server)
        try:
            return str(out, "utf8").strip()
        except ValueError:
            raise Refused("format", self.server)

    def drain(self):
        """Read the little that is left of a body, so that the connection can be kept."""
        for _ in range(16):
            if not self.readinto(self.spare):
                return
        self.close()

    def save(self, url, dst, size, base, hashes=()):
        """Write what is at `url` to the file `dst`. `size`: of it, or -1. `hashes` are fed with it. -> its size."""
        self.want(url)
        length = -1 if self.chunked or "content-length" not in self.headers else self.left
        if size >= 0 and length >= 0 and length != size:
            self.close()
            raise Refused("endless" if length > size else "truncated", base)
        from goldcrest.sources import store

        return store.store(self, dst, size if size >= 0 else length, base, hashes)


def basic(user, password):
    return b2a_base64(("%s:%s" % (user, password)).encode()).decode().strip()


def quoted(text):
    """-> text for a URL's path."""
    return "".join(c if c in _PLAIN else "".join("%%%02X" % b for b in c.encode()) for c in text)
