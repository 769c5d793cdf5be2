"""Signatures: RSA PKCS#1 v1.5 with SHA-256 (RFC 8017, 8.2.2), and the keyring that names the trusted keys."""

import hashlib
from binascii import a2b_base64, hexlify

from goldcrest import Refused

_LINE = 1025  # one byte past the limit shows that it is exceeded
# DigestInfo of SHA-256 (RFC 8017, 9.2, note 1)
_INFO = b"0\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"


def rsa(modulus, sig, digest):
    """-> True when `sig` over `digest` fits the key. Exponent 65537 as 16 squarings: ESP8266 has no 3-argument pow."""
    k = len(modulus)
    if k not in (256, 384) or len(sig) != k:
        return False
    n = int.from_bytes(modulus, "big")
    s = int.from_bytes(sig, "big")
    if s >= n:
        return False
    m = s
    for _ in range(16):
        m = m * m % n
    return (m * s % n).to_bytes(k, "big") == b"\0\1" + b"\xff" * (k - 54) + b"\0" + _INFO + digest


def signed(f, digest, ring):
    """Accept or refuse what `f`, standing at its first signature line, says about `digest`.

    A signature by any release key of the keyring file that is not revoked will do.
    """
    why = "unknown-key"
    for key, sig in signatures(f):
        kind, modulus = find(ring, key)
        if kind == "release":
            if rsa(modulus, sig, digest):
                return
            why = "bad-signature"
        elif kind == "revoked" and why == "unknown-key":
            why = "revoked-key"
    raise Refused(why, key)


def signatures(f, limit=8):
    """The signature lines -> (key id, signature)."""
    line = f.readline(_LINE)
    while line:
        w = line[:-1].split(b" ")
        limit -= 1
        if len(w) != 3 or w[0] != b"sig" or line[-1:] != b"\n" or limit < 0:
            raise Refused("format", "signature line")
        yield w[1].decode(), _base64(w[2])
        line = f.readline(_LINE)


def find(ring, key):
    """-> ("release", modulus), ("revoked", None) or (None, None)."""
    found = None, None
    with open(ring, "rb") as f:
        for kind, k, modulus in lines(f, {}):
            if k == key and kind != "root":
                found = kind, modulus
    return found  # `revoked` lines come last, so they win


def lines(f, head):
    """Keyring lines -> (kind, key id, modulus or None); `head` gets version, threshold and digest, `f` ends at the signatures."""
    h = hashlib.sha256()
    keys = ("goldcrest-keyring", "version", "threshold")
    last = ("", "")
    n = 0
    while True:
        at = f.tell()
        line = f.readline(_LINE)
        if line[:4] == b"sig " or not line:
            break
        h.update(line)
        w = line[:-1].decode().split(" ")
        try:
            if line[-1:] != b"\n" or n > 400:
                raise ValueError
            if n < 3:
                if w[0] != keys[n] or len(w) != 2 or not w[1].isdigit():
                    raise ValueError
                head[w[0]] = int(w[1])
            else:
                kind, key = w[:2]
                # sorted by kind (root < release < revoked) and key id
                order = (str(("root", "release", "revoked").index(kind)), key)
                if order <= last or len(key) != 16 or len(w) != (2 if kind == "revoked" else 3):
                    raise ValueError
                last = order
                modulus = None
                if kind != "revoked":
                    modulus = _base64(w[2])
                    if key_id(modulus) != key:
                        raise ValueError
                yield kind, key, modulus
        except ValueError:
            raise Refused("format", "keyring line %d" % (n + 1))
        n += 1
    if n < 4 or head[keys[0]] != 1:
        raise Refused("format", "keyring")
    head["digest"] = h.digest()
    f.seek(at)


def successor(new, old):
    """Accept or refuse the keyring file `new` in place of `old`. -> its version."""
    a = _roots(old)
    b = _roots(new)
    if b["version"] <= a["version"]:
        raise Refused("keyring-old", "%d, have %d" % (b["version"], a["version"]))
    good = set()
    with open(new, "rb") as f:
        for _ in lines(f, {}):
            pass
        for key, sig in signatures(f, 32):
            modulus = b["roots"].get(key) or a["roots"].get(key)
            if modulus and rsa(modulus, sig, b["digest"]):
                good.add(key)
    for ring in (a, b):
        n = sum(k in good for k in ring["roots"])
        if n < max(1, ring["threshold"]):
            raise Refused("keyring-threshold", "%d of %d" % (n, ring["threshold"]))
    return b["version"]


def _roots(path):
    head = {"roots": {}}
    with open(path, "rb") as f:
        for kind, key, modulus in lines(f, head):
            if kind == "root":
                head["roots"][key] = modulus
    return head


def key_id(modulus):
    return hexlify(hashlib.sha256(modulus).digest()).decode()[:16]


def _base64(text):
    try:
        return a2b_base64(text)
    except ValueError:
        raise Refused("format", "base64")
