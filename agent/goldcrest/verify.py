"""Signatures: RSA PKCS#1 v1.5 with SHA-256 (RFC 8017, 8.2.2), and who may sign a release."""

from binascii import a2b_base64

from goldcrest import Refused

# DigestInfo of SHA-256 (RFC 8017, 9.2, note 1)
_INFO = b"\0\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"


def signatures(f, limit):
    """The signature lines up to the end -> (key id, signature). ValueError: malformed, none, or more than `limit`."""
    n = 0
    for line in f:
        _, key, sig = line[:-1].split(b" ")
        n += 1
        if line[:4] != b"sig " or line[-1:] != b"\n" or n > limit:
            raise ValueError
        yield str(key, "utf8"), a2b_base64(sig)
    if not n:
        raise ValueError


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


def signed(f, digest, ring):
    """Refuse unless one of the signatures that `f` stands at is by a release key of the keyring file that is not revoked."""
    why = "unknown-key"
    try:
        for key, sig in signatures(f, 8):
            kind = modulus = None
            with open(ring) as g:
                for line in g:  # `revoked` lines come last, so they win
                    w = line.split()
                    if w[1] == key and w[0] in ("release", "revoked"):
                        kind, modulus = w[0], w[-1]
            if kind == "release":
                if rsa(a2b_base64(modulus.encode()), sig, digest):
                    why = ""
                elif why:
                    why = "bad-signature"
            elif kind and why == "unknown-key":
                why = "revoked-key"
    except ValueError:
        raise Refused("format", "signature")
    if why:
        raise Refused(why, key)
