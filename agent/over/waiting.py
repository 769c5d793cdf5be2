"""Goldcrest: what a board runs between its old updater and its first release. It becomes a device, then waits for that release."""

import json
import os
import time
from binascii import hexlify

import goldcrest
import machine

D = ".ota/"


def _enrolled():
    with open("goldcrest.json") as f:
        cfg = json.load(f)
    if "enroll" not in cfg:
        return True
    if "token" not in cfg:
        # Made here, and kept before anybody hears it: a request that is sent twice, or arrives late, changes nothing.
        cfg["token"] = "gcd_" + hexlify(os.urandom(32)).decode()
        _save(cfg)
    http = goldcrest.Http(cfg["server"], {"token": "-"})
    try:
        ask = {"key": cfg["enroll"], "hardware_id": hexlify(machine.unique_id()).decode(), "token": cfg["token"]}
        status = http.request("/d/v1/enroll", "", json.dumps(ask).encode())
        if status != 201 or http.left > 1024:
            print("goldcrest: not enrolled:", status)
            return False
        body = bytearray(http.left)
        got = 0
        while got < len(body):
            got += http.readinto(memoryview(body)[got:])
    finally:
        http.close()
    cfg["package"] = json.loads(body)["package"]
    del cfg["enroll"]
    _save(cfg)
    return True


def _save(cfg):
    with open(D + "cfg.new", "w") as f:
        json.dump(cfg, f)
    os.rename(D + "cfg.new", "goldcrest.json")


print("goldcrest: waiting for the first release")
_wait = 0
while True:
    try:
        if _wait <= 0:
            _wait = 0 if _enrolled() else 30
        if _wait <= 0:
            goldcrest.poll()
    except Exception as e:
        print("goldcrest:", repr(e))
        _wait = 30
    _wait -= 1
    time.sleep(1)
