"""Stands in for main.py of the Gogs updater: the head of a branch, then `src` by recursive contents with inline base64, then src.main.start(env).

It asks over HTTP/1.0 as that client does: one write per header, and reading until the connection ends. The gate by MQTT is left out.
"""

import json
import os
import socket
from binascii import a2b_base64

import machine

HOST, PORT, REPO, TOKEN = "127.0.0.1", @PORT@, "me/node", "@TOKEN@"


def _get(path):
    s = socket.socket()
    s.settimeout(5)
    try:
        s.connect(socket.getaddrinfo(HOST, PORT)[0][-1])
        s.write(b"GET /api/v1/repos/%s/%s HTTP/1.0\r\n" % (REPO, path))
        s.write(b"Host: %s\r\n" % HOST)
        s.write(b"User-Agent: MicroPython Client\r\n")
        s.write(b"\r\n")
        status = int(s.readline().split(None, 2)[1])
        while s.readline() not in (b"", b"\r\n"):
            pass
        body = s.read()
    finally:
        s.close()
    if status != 200:
        raise OSError("%s: %d" % (path, status))
    return body


def _remove(path):
    try:
        entries = list(os.ilistdir(path))
    except OSError:
        return
    for entry in entries:
        if entry[1] == 0x4000:
            _remove(path + "/" + entry[0])
        else:
            os.remove(path + "/" + entry[0])
    os.rmdir(path)


def _download(sha, below=""):
    listing = json.loads(_get("contents/src%s?ref=%s&token=%s" % (below, sha, TOKEN)))
    for file in listing:
        path = "next" + below + "/" + file["name"]
        if file["type"] == "dir":
            os.mkdir(path)
            _download(sha, below + "/" + file["name"])
        elif file["type"] == "file":
            with open(path, "w") as f:
                f.write(a2b_base64(file["content"]))


def _update():
    try:
        with open("src/.version") as f:
            local = f.read()
    except OSError:
        local = None
    sha = _get("commits/refs/heads/master?token=" + TOKEN).decode()
    if sha == local:
        return
    _remove("next")
    os.mkdir("next")
    _download(sha)
    with open("next/.version", "w") as f:
        f.write(sha)
    _remove("src")
    os.rename("next", "src")


try:
    _update()
    print("OTA_OK")
except Exception as e:
    print("OTA_error", e)
env = {"wdt": machine.WDT(timeout=5000)}
import src.main

src.main.start(env)
