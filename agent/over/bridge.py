"""Goldcrest's bridge: the last update that an old updater makes. It takes the agent out of the comments below, checks and installs it, and resets.

`goldcrest migrate` puts this file in place of one that the old updater fetches and runs. Text only: old updaters write no binary files.
"""

import os
import sys
import time
from binascii import a2b_base64, hexlify
from hashlib import sha256

D = ".ota/"
_NAMES = ()  # what this file may be called, where __file__ is not known


def _me():
    for name in (globals().get("__file__"),) + _NAMES:
        try:
            with open(name, "rb") as f:
                if b"Goldcrest's bridge" in f.readline():
                    return name
        except (OSError, TypeError):
            pass
    raise OSError("cannot find this file again")


def _unpack(me, write, feed):
    # Once to check all of it, once to write: a file that was cut short installs nothing.
    whole = False
    with open(me, "rb") as f:
        for line in f:
            kind = line[:2]
            if kind == b"#>":
                path, digest = line[2:].decode().split()
                seen = sha256()
                out = open(_folder(path), "wb") if write and not _is_done(path) else None
            elif kind == b"#|":
                data = a2b_base64(line[2:])
                seen.update(data)
                if out:
                    out.write(data)
            elif kind == b"#.":
                feed()
                if out:
                    out.close()
                if hexlify(seen.digest()).decode() != digest:
                    raise ValueError("damaged: " + path)
            elif kind == b"#=":
                whole = True
    if not whole:
        raise ValueError("cut short")


def _folder(path):
    at = path.find("/")
    while at > 0:
        try:
            os.mkdir(path[:at])
        except OSError:
            pass  # it is there, or opening the file will tell
        at = path.find("/", at + 1)
    return path


def _is_done(path):
    # A board that has its token keeps it: this ran before, and was cut.
    try:
        with open(path) as f:
            return path == "goldcrest.json" and '"token"' in f.read()
    except OSError:
        return False


def _install(env=None):
    import machine

    wdt = env.get("wdt") if env else None
    feed = wdt.feed if wdt else lambda: None
    try:
        if (getattr(sys.implementation, "_mpy", 0) & 0xFF) != 6:
            raise ValueError("this firmware takes no bytecode of version 6: MicroPython 1.20 or newer is wanted")
        me = _me()
        _unpack(me, False, feed)
        _unpack(me, True, feed)
        # From here on the board is ours; cut in between, this file runs again, or what is there already goes on.
        os.rename(D + "boot.new", "boot.py")
        os.rename(D + "main.new", "main.py")
        print("goldcrest: the agent is installed")
    except Exception as e:
        # Nothing was replaced: the old updater asks again after the reset, and may find a better file.
        sys.print_exception(e)
        time.sleep(60)
    machine.reset()
