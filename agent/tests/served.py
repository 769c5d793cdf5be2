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
    """Accepts connections for as long as the test run lasts."""

    def __init__(self):
        self.socket, self.port = listen()
        self.connections = 0
        _thread.start_new_thread(self._run, ())

    def _run(self):
        while True:
            c = self.socket.accept()[0]
            self.connections += 1
            _thread.start_new_thread(self._one, (c,))

    def _one(self, c):
        try:
            self.serve(c)
        except OSError:  # the board has closed
            pass
        c.close()


class Web(Server):
    """Serves the pages of a site (sites.py)."""

    def __init__(self, site):
        self.site = site
        Server.__init__(self)

    @property
    def url(self):
        return "http://127.0.0.1:%d" % self.port

    def serve(self, c):
        data = b""
        while True:
            while b"\r\n\r\n" not in data:
                more = c.recv(4096)
                if not more:
                    return
                data += more
            head, _, data = data.partition(b"\r\n\r\n")
            lines = head.decode().split("\r\n")
            method, path, _ = lines[0].split(" ")
            headers = {}
            for line in lines[1:]:
                k, _, v = line.partition(": ")
                headers[k.lower()] = v
            n = int(headers.get("content-length", 0))
            while len(data) < n:
                data += c.recv(4096)
            reply, faulty = self.site.answer(method, path, headers, data[:n])
            data = data[n:]
            c.sendall(reply or b"")
            if faulty:
                return


class Mqtt(Server):
    """Lets boards talk to a broker (brokers.py)."""

    def __init__(self, broker):
        self.broker = broker
        Server.__init__(self)

    @property
    def address(self):
        return "127.0.0.1:%d" % self.port

    def serve(self, c):
        peer = self.broker.peer()

        def flush():
            try:
                c.sendall(peer.take())
            except OSError:  # the board has gone
                pass

        peer.flush = flush
        while not peer.gone:
            data = c.recv(4096)
            if not data:
                return
            c.sendall(peer.feed(data))
