"""A board with the Gogs updater of te0006, in words of our own: its requests, its work with files, its MQTT gate, its watchdog.

What it does in one way and no other is what its users have in the field: HTTP/1.0 in many small writes, the token in the query, no look
at the status of a listing, a whole listing in memory, `next` renamed over `src`.
"""

import binascii
import json
import os
import socket
import time

import machine
from nodesettings import settings


class Response:
    def __init__(self, s, status, reason):
        self.s = s
        self.status = status
        self.reason = reason

    def body(self):
        try:
            return self.s.read()
        finally:
            self.s.close()


def get(url, headers=None):
    _, _, host, path = url.split("/", 3)
    port = 80
    if ":" in host:
        host, port = host.split(":", 1)
    s = socket.socket()
    s.settimeout(5)
    s.connect(socket.getaddrinfo(host, int(port), 0, socket.SOCK_STREAM)[0][-1])
    s.write(b"%s /%s HTTP/1.0\r\n" % ("GET", path))
    s.write(b"Host: %s\r\n" % host)
    for name in headers or {}:
        s.write(name)
        s.write(b": ")
        s.write(headers[name])
        s.write(b"\r\n")
    s.write(b"User-Agent: MicroPython Client\r\n")
    s.write(b"\r\n")
    line = s.readline().split(None, 2)
    status = int(line[1])
    while True:
        header = s.readline()
        if not header or header == b"\r\n":
            break
        # Compared byte for byte: names in another case would be overlooked.
        if header.startswith(b"Transfer-Encoding:") and b"chunked" in header:
            raise ValueError("chunked")
        if header.startswith(b"Location:") and not 200 <= status <= 299:
            raise NotImplementedError("redirect")
    return Response(s, status, line[2].rstrip() if len(line) > 2 else "")


def exists(path):
    try:
        os.listdir(path)
        return True
    except OSError:
        return False


def rmtree(path):
    if not exists(path):
        return
    for entry in os.ilistdir(path):
        if entry[1] == 0x4000:
            rmtree(path + "/" + entry[0])
        else:
            os.remove(path + "/" + entry[0])
    os.rmdir(path)


def join(*parts):
    return "/".join(parts).replace("//", "/").strip("/")


class Updater:
    def __init__(self):
        scheme, rest = settings["gogsRemote"].split("//")
        at = rest.find("/")
        self.remote = scheme + "//" + rest[:at] + "/api/v1/repos" + rest[at:]

    def compare(self):
        local = None
        try:
            with open("src/.version") as f:
                local = f.read()
        except OSError:
            print("no version file")
        url = "%s/commits/refs/heads/%s?token=%s" % (self.remote, settings["gogsBranch"], settings["gogsToken"])
        answer = get(url)
        if answer.status != 200:
            raise Exception("unexpected: %d:%s" % (answer.status, answer.reason))
        return local, str(answer.body(), "utf-8")

    def check_for_update(self):
        local, remote = self.compare()
        if local != remote:
            print("news", remote)
            machine.reset()

    def update(self):
        local, remote = self.compare()
        if local == remote:
            return
        rmtree("next")
        os.mkdir("next")
        self.download(remote, "")
        with open("next/.version", "w") as f:
            f.write(remote)
        rmtree("src")
        os.rename("next", "src")

    def download(self, sha, folder):
        url = "%s/contents/%s?ref=%s&token=%s" % (self.remote, join("src", folder), sha, settings["gogsToken"])
        for file in json.loads(get(url, {}).body()):
            if file["type"] == "file":
                with open(join("next", folder, file["name"]), "w") as out:
                    out.write(binascii.a2b_base64(file["content"]))
            elif file["type"] == "dir":
                os.mkdir(join("next", folder, file["name"]))
                self.download(sha, join(folder, file["name"]))


class Mqtt:
    """MQTT 3.1.1 as umqtt.simple speaks it: no login, keepalive 0."""

    def __init__(self, name):
        self.name = name
        self.s = socket.socket()
        self.s.connect(socket.getaddrinfo(settings["mqttHost"], settings["mqttPort"])[0][-1])
        body = b"\x00\x04MQTT\x04\x02\x00\x00\x00" + bytes([len(name)]) + name.encode()
        self.s.write(b"\x10" + bytes([len(body)]) + body)
        if self.s.read(4) != b"\x20\x02\x00\x00":
            raise OSError("no CONNACK")

    def publish(self, tag, data):
        topic = (self.name + "/" + tag).encode()
        body = b"\x00" + bytes([len(topic)]) + topic + data.encode()
        self.s.write(b"\x30" + bytes([len(body)]) + body)


def run():
    try:
        mqtt = Mqtt(settings["controllerName"])
    except OSError:
        print("MQTT: giving up, resetting")
        time.sleep(1)
        machine.reset()
    updater = Updater()
    try:
        updater.update()
        print("OTA update OK")
        mqtt.publish("boot", "OTA_OK")
    except Exception as e:
        print("Failed to OTA update:", e)
        mqtt.publish("boot", "OTA_error")
    env = dict(settings)
    env["updater"] = updater
    env["wdt"] = machine.WDT(timeout=5000)
    import src.main

    src.main.start(env)
