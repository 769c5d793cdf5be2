"""The HTTP client that sensorclass took from rdehuyss's updater, in words of our own: what it does in one way and no other.

HTTP/1.0 in many small writes, a second empty line after the request, JSON whatever the status says, a body saved before its status is seen.
"""

import json
import socket


class Response:
    def __init__(self, sock, path):
        self.sock = sock
        if path:
            with open(path, "w") as out:
                while True:
                    data = sock.read(512)
                    if not data:
                        break
                    out.write(data)
            sock.close()

    def json(self):
        try:
            return json.load(self.sock)
        finally:
            self.sock.close()


class HttpClient:
    def get(self, url, saveToFile=None):
        _, _, host, path = url.split("/", 3)
        port = 80
        if ":" in host:
            host, port = host.split(":", 1)
        sock = socket.socket()
        sock.connect(socket.getaddrinfo(host, int(port), 0, socket.SOCK_STREAM)[0][-1])
        sock.write(b"GET /%s HTTP/1.0\r\n" % path)
        sock.write(b"Host: %s\r\n" % host)
        sock.write(b"User-Agent: MicroPython Client\r\n")
        sock.write(b"\r\n")
        sock.write(b"\r\n")
        status = int(sock.readline().split(None, 2)[1])
        while True:
            line = sock.readline()
            if not line or line == b"\r\n":
                break
            if line.startswith(b"Transfer-Encoding:") and b"chunked" in line:
                raise ValueError("chunked")
            if line.startswith(b"Location:") and not 200 <= status <= 299:
                raise NotImplementedError("redirect")
        response = Response(sock, saveToFile)
        response.status_code = status
        return response
