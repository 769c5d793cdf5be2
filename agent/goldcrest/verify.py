"""Verify: takes a manifest to flash, and refuses it unless it is well-formed, signed, and meant for this board; and keyrings.

Read line by line as it stands on flash, never whole in memory (docs/release-format.md). What only a broken packer could have
signed, such as headers out of order, is left to the packer and the server; what could harm the board is checked here.
"""

import hashlib
import sys
import time
from binascii import a2b_base64, hexlify

from goldcrest import Refused, guard

_ARCHS = "- x86 x64 armv6 armv6m armv7m armv7em armv7emsp armv7emdp xtensa xtensawin rv32imc rv64imc - - -"  # by _mpy >> 10
_NUMBERS = ("goldcrest", "counter", "floor", "agent", "created", "expires", "files")
# DigestInfo of SHA-256 (RFC 8017, 9.2, note 1)
_INFO = b"\0\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"


def take(http, cfg, etag):
    """The release whose manifest is the body that `http` is about to read goes to /.ota/m. -> patterns of the board's own files."""
    _save(http, "m", 1 << 20)
    with open(guard.D + "m", "rb") as f:
        head = check(f)
        signed(f, head["digest"], guard.D + "keyring")
    if hexlify(head["digest"]).decode() != etag:
        raise Refused("hash", "manifest")
    now = time.time() + (946684800 if time.gmtime(0)[0] == 2000 else 0)
    admit(head, cfg, int(guard.state()[2]), sys.platform, getattr(sys.implementation, "_mpy", 0), now)
    return head["keep"] + cfg.get("keep", [])


def _save(http, name, limit):
    if http.left > limit:
        raise Refused("endless", "%d bytes" % http.left)
    buf = memoryview(bytearray(256))
    with open(guard.D + name, "wb") as f:
        while http.left:
            f.write(buf[: http.readinto(buf)])


def check(f):
    """Check the manifest open as `f`. -> header values and `digest`; `f` stands at the signatures."""
    h = hashlib.sha256()
    head = {"keep": []}
    n = left = 0
    last = ""
    try:
        for line in _lines(f, h):
            n += 1
            if "files" not in head:
                key, value = line.split(" ", 1)
                if key == "keep":
                    path(value, "")
                    head[key].append(value)
                elif key in head:
                    raise ValueError
                else:
                    head[key] = number(value) if key in _NUMBERS else value
                    left = head.get("files", 0)
                continue
            if left:
                digest, size, flags, p = line.split(" ", 3)
                if len(digest) != 64 or number(size) > 1 << 24 or flags != "-":
                    raise ValueError
            else:
                op, p = line.split(" ", 1)
                if op != "-":
                    raise ValueError
            path(p)
            if p == last:
                raise Refused("duplicate", p)
            if p < last:
                raise ValueError
            last = p
            if left:
                left -= 1
                if not left:
                    last = ""
        for key in ("package", "version", "agent", "created", "files"):
            head[key]
        if left or head["goldcrest"] != 1 or head["floor"] > head["counter"]:
            raise ValueError
    except (ValueError, KeyError):
        raise Refused("format", "line %d" % n)
    head["digest"] = h.digest()
    return head


def _lines(f, h):
    # The signed lines of a binary file, hashed by `h`, as text; then `f` stands at the first signature.
    while True:
        at = f.tell()
        line = f.readline(1026)  # limit, LF, and one to show that it is exceeded
        if line[:4] == b"sig ":
            f.seek(at)
            return
        if line[-1:] != b"\n" or len(line) > 1025:
            raise ValueError
        h.update(line)
        yield str(line[:-1], "utf8")


def number(text):
    n = int(text)
    if str(n) != text or not 0 <= n < 1 << 53:
        raise ValueError
    return n


def path(p, star="*"):
    """Refuse a path that a board must not write; with `star` empty, a keep pattern."""
    low = p.lower()
    why = "path-long" if len(p.encode()) > 120 else ""
    if star and (low.split("/")[0] == ".ota" or low in ("boot.py", "boot.mpy", "goldcrest.json")):
        why = "path"
    for s in p.split("/"):
        if len(s.encode()) > 63 and not why:
            why = "path-long"
        if s in ("", ".", "..") or s[-1] in " ." or any(c < " " or "~" < c < "\xa0" or c in '\\:?"<>|' + star for c in s):
            why = "path"
    if why:
        raise Refused(why, p)


def admit(head, cfg, floor, platform, mpy, now):
    """Refuse a good release that is not for this board. `now` in seconds since 1970."""
    package = head["package"]
    boards = head.get("boards", platform).split(" ")
    need = head.get("mpy", "")
    version, _, arch = need.partition(" ")
    version, _, sub = version.partition(".")
    for bad, why, detail in (
        (cfg.get("package", package) != package, "package", package),
        (platform not in boards and cfg.get("board") not in boards, "board", boards),
        (need and version != str(mpy & 255) or sub and (sub != str(mpy >> 8 & 3) or arch != _ARCHS.split(" ")[mpy >> 10 & 15]), "mpy", need),
        (head["agent"] > 1, "agent", head["agent"]),  # the agent protocol of docs/release-format.md
        (head["counter"] < floor, "floor", floor),
        # A clock that is not later than `created` was never set.
        (head["created"] < now and head.get("expires", now) < now, "expired", now),
    ):
        if bad:
            raise Refused(why, str(detail))


def signed(f, digest, ring):
    """Refuse unless one of the signatures that `f` stands at is by a release key of the keyring file that is not revoked."""
    why = 0
    for key, sig in _signatures(f, 8):
        word = None
        if guard.kind(ring):  # a board without a keyring trusts nobody
            with open(ring) as g:
                for line in g:  # `revoked` lines come last, so they win
                    w = line.split()
                    if w[1] == key and w[0] in ("release", "revoked"):
                        word = w
        if word and word[0] == "release":
            if rsa(a2b_base64(word[2].encode()), sig, digest):
                return
            why = 2
        elif word:
            why = why or 1
    raise Refused(("unknown-key", "revoked-key", "bad-signature")[why], key)


def _signatures(f, limit):
    # The signature lines up to the end, each as (key id, signature).
    out = []
    try:
        for line in f:
            word, key, sig = line[:-1].split(b" ")
            if word != b"sig" or line[-1:] != b"\n" or len(out) == limit:
                raise ValueError
            out.append((str(key, "utf8"), a2b_base64(sig)))
    except ValueError:
        raise Refused("format", "signature")
    return out


def rsa(modulus, sig, digest):
    """-> True when `sig` over `digest` fits the key. Exponent 65537 as 16 squarings: ESP8266 has no 3-argument pow."""
    k = len(modulus)
    n = int.from_bytes(modulus, "big")
    m = s = int.from_bytes(sig, "big")
    if s >= n:
        return False
    for _ in range(16):
        m = m * m % n
    return (m * s % n).to_bytes(k, "big") == b"\0\1" + b"\xff" * (k - 54) + _INFO + digest


def fetch(http):
    """Take the server's keyring, or raise Refused."""
    import os

    http.get("/d/v1/keyring", "keyring")
    _save(http, "t", 1 << 16)
    successor(guard.D + "t", guard.D + "keyring")
    os.rename(guard.D + "t", guard.D + "keyring")


def successor(new, old):
    """Refuse the keyring file `new` unless it is later than `old` and enough roots of both signed it."""
    have = _ring(old)
    ring = _ring(new)
    if ring["version"] <= have["version"]:
        raise Refused("keyring-old", "%d, have %d" % (ring["version"], have["version"]))
    for r in (have, ring):
        good = set(key for key, sig in ring["sigs"] if key in r["roots"] and rsa(r["roots"][key], sig, ring["digest"]))
        if len(good) < r["threshold"]:
            raise Refused("keyring-threshold", "%d of %d" % (len(good), r["threshold"]))


def _ring(name):
    ring = {"roots": {}}
    h = hashlib.sha256()
    last = ""
    try:
        with open(name, "rb") as f:
            for line in _lines(f, h):
                w = line.split(" ")
                if w[0] in ("root", "release", "revoked"):
                    order = "%d" % ("root", "release", "revoked").index(w[0]) + w[1]
                    if order <= last or "threshold" not in ring:
                        raise ValueError  # `signed` relies on the order
                    last = order
                    if w[0] == "root":
                        ring["roots"][w[1]] = a2b_base64(w[2].encode())
                elif len(w) != 2 or last:
                    raise ValueError
                else:
                    ring[w[0]] = number(w[1])
            ring["digest"] = h.digest()
            ring["sigs"] = _signatures(f, 32)
        if ring["goldcrest-keyring"] != 1 or not 0 < ring["threshold"] <= len(ring["roots"]) or ring["version"] < 1:
            raise ValueError
    except (ValueError, KeyError, IndexError):
        raise Refused("format", "keyring")
    return ring
