"""Admit: takes a manifest from the server to flash, and refuses it unless it is well-formed, signed and meant for this board."""

import sys
import time
from binascii import hexlify

import goldcrest
from goldcrest import PROTOCOL, Refused, guard

D = guard.D
_ARCHS = "- x86 x64 armv6 armv6m armv7m armv7em armv7emsp armv7emdp xtensa xtensawin rv32imc rv64imc".split()  # by _mpy >> 10


def take(http, cfg, etag):
    """The release whose manifest is the body that `http` is about to read. -> patterns of the files that are the board's own."""
    head = receive(http, etag)
    now = time.time() + (946684800 if time.gmtime(0)[0] == 2000 else 0)
    admit(head, cfg, int(guard.state()[2]), sys.platform, getattr(sys.implementation, "_mpy", 0), now)
    return head["keep"] + cfg.get("keep", [])


def receive(http, etag):
    """Stream the manifest to /.ota/m, check it and its signature. -> its header."""
    if http.left > 1 << 20:
        raise Refused("endless", "manifest")
    buf = memoryview(bytearray(512))
    with open(D + "m", "wb") as f:
        while http.left:
            f.write(buf[: http.readinto(buf)])
    with open(D + "m", "rb") as f:
        from goldcrest import manifest

        head = manifest.check(f)
        manifest = None
        goldcrest.drop("manifest")  # one part at a time: ESP8266 has 36 KB of heap, with the app in it
        from goldcrest import verify

        verify.signed(f, head["digest"], D + "keyring")
    if hexlify(head["digest"]).decode() != etag:
        raise Refused("hash", "manifest")
    return head


def admit(head, cfg, floor, platform, mpy, now):
    """Refuse a good release that is not for this board. `now` in seconds since 1970."""
    package = cfg.get("package", head["package"])
    boards = head.get("boards", platform).split(" ")
    need, sub, arch = head.get("mpy") or (mpy & 255, None, 0)
    if sub is not None:
        arch = _ARCHS.index(arch) if arch in _ARCHS else 99
    for bad, why, detail in (
        (package != head["package"], "package", head["package"]),
        (platform not in boards and cfg.get("board") not in boards, "board", "made for %s" % boards),
        # Thumb code of a smaller core runs on a larger one (py/persistentcode.c).
        (
            need != mpy & 255 or sub is not None and (sub != mpy >> 8 & 3 or arch != mpy >> 10 and not 4 <= arch < mpy >> 10 < 9),
            "mpy",
            "needs %s" % (head.get("mpy"),),
        ),
        (head["agent"] > PROTOCOL, "agent", "needs %d" % head["agent"]),
        (head["counter"] < floor, "floor", "%d < %d" % (head["counter"], floor)),
        # A clock that is not later than `created` was never set.
        (head["created"] < now and head.get("expires", now) < now, "expired", "now %d" % now),
    ):
        if bad:
            raise Refused(why, detail)
