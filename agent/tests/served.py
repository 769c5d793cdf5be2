"""Real servers for the tests of the agent's sources: they listen on 127.0.0.1, each in a thread of its own."""

import _thread
import socket
import time

_PORTS = 20000, 29000
_next_port = [_PORTS[0] + int(time.time() * 7) % 5000]


def listen():
    """-> (listening socket, port)."""
    while True:
        _next_port[0] += 1
        s = socket.socket()
        try:
            s.bind(socket.getaddrinfo("127.0.0.1", _next_port[0])[0][-1])
            s.listen(4)
            return s, _next_port[0]
        except OSError:
            s.close()
            if _next_port[0] > _PORTS[1]:
                raise


class Server:
    """Accepts one connection after the other, for as long as the test run lasts."""

    def __init__(self):
        self.socket, self.port = listen()
        self.connections = 0
        _thread.start_new_thread(self._run, ())

    def _run(self):
        while True:
            c = self.socket.accept()[0]
            self.connections += 1
            try:
                self.serve(c)
            except OSError:  # the board has closed
                pass
            c.close()


class Web(Server):
    """A web server: `pages` has path -> body, `faults` path -> function(whole response) -> bytes, or None to hang up."""

    def __init__(self):
        self.pages = {}
        self.faults = {}
        self.requests = []
        self.user = None  # what Authorization must say
        self.head = True  # it knows HEAD
        self.chunks = False  # bodies are chunked
        Server.__init__(self)

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    def serve(self, c):
        while True:
            head = b""
            while head[-4:] != b"\r\n\r\n":
                d = c.recv(1)
                if not d:
                    return
                head += d
            lines = head.decode().split("\r\n")
            method, path, _ = lines[0].split(" ")
            headers = {}
            for line in lines[1:-2]:
                k, _, v = line.partition(": ")
                headers[k.lower()] = v
            self.requests.append((method, path))
            reply = self.answer(method, path, headers)
            faulty = path in self.faults and method != "HEAD"
            if faulty:
                reply = self.faults[path](reply)
            c.sendall(reply or b"")
            if faulty:
                return

    def answer(self, method, path, headers):
        if self.user and headers.get("authorization") != self.user:
            return page(401, b"who?\n")
        if method == "HEAD" and not self.head:
            return page(405, b"")
        if path not in self.pages:
            return page(404, b"" if method == "HEAD" else b"not here\n")
        body = self.pages[path]
        more = ""
        if not isinstance(body, bytes):
            body, more = body.body, body.more
        if method == "HEAD":
            return page(200, body, more)[: -len(body) or None]
        return chunked(body) if self.chunks else page(200, body, more)

    def fetched(self):
        """-> paths of the GETs so far, and forget them."""
        out = [p for m, p in self.requests if m == "GET"]
        self.requests.clear()
        return out


def page(status, body, more=""):
    return ("HTTP/1.1 %d X\r\nContent-Length: %d\r\n%s\r\n" % (status, len(body), more)).encode() + body


def chunked(body, n=700):
    out = b"HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n"
    for at in range(0, len(body), n):
        part = body[at : at + n]
        out += b"%x;x=y\r\n%s\r\n" % (len(part), part)
    return out + b"0\r\nTrailer: x\r\n\r\n"
