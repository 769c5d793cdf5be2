"""Signs manifests and keyrings for the tests, with the test-only keys of vectors/keys/."""

import hashlib
from binascii import a2b_base64, b2a_base64, hexlify

_INFO = b"0\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"


class Key:
    """An RSA private key from a PKCS#8 PEM file: `n` number, `modulus` bytes, `id` text."""

    def __init__(self, path):
        with open(path) as f:
            text = "".join(line for line in f.read().split("\n") if line[:1] != "-")
        outer = _der(_der(a2b_base64(text.encode()))[0][1])  # version, algorithm, octet string
        numbers = _der(_der(outer[2][1])[0][1])  # version, n, e, d, and what makes signing four times as fast
        self.n = int.from_bytes(numbers[1][1], "big")
        self.fast = [int.from_bytes(number, "big") for _, number in numbers[4:]]
        self.size = (len(numbers[1][1]) - 1) & ~7
        self.modulus = self.n.to_bytes(self.size, "big")
        self.id = hexlify(hashlib.sha256(self.modulus).digest()).decode()[:16]
        self.made = {}  # digest -> signature: tests sign the same things again and again

    def sign(self, digest):
        """-> signature bytes over a SHA-256 digest."""
        if digest not in self.made:
            m = int.from_bytes(b"\0\1" + b"\xff" * (self.size - 54) + b"\0" + _INFO + digest, "big")
            p, q, dp, dq, inverse = self.fast
            s = pow(m % q, dq, q)
            s += (pow(m % p, dp, p) - s) * inverse % p * q
            self.made[digest] = s.to_bytes(self.size, "big")
        return self.made[digest]

    def line(self, body):
        return b"sig %s %s" % (self.id.encode(), b2a_base64(self.sign(hashlib.sha256(body).digest())))


def _der(data):
    """DER -> list of (tag, content) of this level."""
    out = []
    at = 0
    while at < len(data):
        tag, n = data[at], data[at + 1]
        at += 2
        if n > 127:
            k = n & 127
            n = int.from_bytes(data[at : at + k], "big")
            at += k
        out.append((tag, data[at : at + n]))
        at += n
    return out


def keyring(roots, releases, revoked=(), version=1, threshold=1, signers=None):
    """-> keyring bytes, signed by `signers` (by default all roots)."""
    text = "goldcrest-keyring 1\nversion %d\nthreshold %d\n" % (version, threshold)
    for kind, keys in (("root", roots), ("release", releases)):
        for k in sorted(keys, key=lambda k: k.id):
            text += "%s %s %s" % (kind, k.id, b2a_base64(k.modulus).decode())
    for k in sorted(revoked, key=lambda k: k.id):
        text += "revoked %s\n" % k.id
    body = text.encode()
    return body + b"".join(k.line(body) for k in sorted(roots if signers is None else signers, key=lambda k: k.id))


def manifest(files, keys, version="1", counter=10, floor=1, deletions=(), keep=(), package="app", agent=1, extra=""):
    """-> (manifest bytes, release digest). `files`: path -> content. `extra`: header lines, in their place or after `created`."""
    mid = "".join(line + "\n" for line in extra.split("\n") if line[:4] in ("boar", "mpy "))
    end = "".join(line + "\n" for line in extra.split("\n") if line and line[:4] not in ("boar", "mpy "))
    text = "goldcrest 1\npackage %s\nversion %s\ncounter %d\nfloor %d\nagent %d\n" % (package, version, counter, floor, agent)
    text += mid + "created 1700000000\n" + end + "".join("keep %s\n" % k for k in sorted(keep)) + "files %d\n" % len(files)
    for p in sorted(files, key=lambda p: p.encode()):
        text += "%s %d - %s\n" % (sha(files[p]), len(files[p]), p)
    for p in sorted(deletions):
        text += "- %s\n" % p
    return sign(text.encode(), keys)


def sign(body, keys):
    """-> (signed bytes, release digest)."""
    return body + b"".join(k.line(body) for k in keys), sha(body)


def sha(data):
    return hexlify(hashlib.sha256(data).digest()).decode()
