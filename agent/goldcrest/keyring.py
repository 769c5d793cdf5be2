"""Keyring: a new one replaces the one in force when enough roots of both have signed it (docs/release-format.md)."""

import hashlib
import os
from binascii import a2b_base64, hexlify

from goldcrest import Refused, guard
from goldcrest.manifest import lines
from goldcrest.verify import rsa, signatures


def fetch(http):
    """Take the server's keyring, or raise Refused."""
    http.get("/d/v1/keyring", missing="keyring")
    if http.left > 1 << 16:
        raise Refused("endless", "keyring")
    buf = memoryview(bytearray(256))
    with open(guard.D + "t", "wb") as f:
        while http.left:
            f.write(buf[: http.readinto(buf)])
    successor(guard.D + "t", guard.D + "keyring")
    os.rename(guard.D + "t", guard.D + "keyring")


def successor(new, old):
    """Refuse the keyring file `new` unless it may replace `old`."""
    version, need, roots, _, _ = _ring(old, ())
    try:
        version2, need2, roots2, good, more = _ring(new, roots)
    except ValueError:
        raise Refused("format", "keyring")
    if version2 <= version:
        raise Refused("keyring-old", "%d, have %d" % (version2, version))
    if more < need or good < need2:
        raise Refused("keyring-threshold", "%d of %d, %d of %d" % (more, need, good, need2))


def _ring(path, old):
    # -> version, threshold, {root key id: modulus}, how many of these roots signed, how many of the roots `old` did
    roots = {}
    h = hashlib.sha256()
    last = ""
    head = []
    with open(path, "rb") as f:
        for line in lines(f, h):
            w = line.split(" ")
            if len(head) < 3:
                key = ("goldcrest-keyring", "version", "threshold")[len(head)]
                if w[0] != key or len(w) != 2 or str(int(w[1])) != w[1] or int(w[1]) < 1:
                    raise ValueError
                head.append(int(w[1]))
                continue
            # sorted: root, release, revoked, each by key id
            order = "%d" % ("root", "release", "revoked").index(w[0]) + w[1]
            if order <= last or len(w[1]) != 16:
                raise ValueError
            last = order
            if w[0] == "revoked":
                w.append("")
            else:
                n = a2b_base64(w[2].encode())
                if hexlify(hashlib.sha256(n).digest()[:8]) != w[1].encode() or len(n) not in (256, 384):
                    raise ValueError
                if w[0] == "root":
                    roots[w[1]] = n
            if len(w) != 3:
                raise ValueError
        if head[0] != 1 or head[2] > len(roots):
            raise ValueError
        digest = h.digest()
        by = set()
        for key, sig in signatures(f, 32):
            n = roots.get(key) or key in old and old[key]
            if n and rsa(n, sig, digest):
                by.add(key)
    return head[1], head[2], roots, sum(k in by for k in roots), sum(k in by for k in old)
