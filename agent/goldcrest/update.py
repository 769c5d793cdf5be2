"""Update: checks a manifest or a keyring, and stages what differs from the board's files for the guard.

Imported for one update and dropped after it. A manifest is read line by line as it stands on flash, never whole in memory
(docs/release-format.md). What only a broken packer could have signed, such as headers out of order, is left to the packer and
the server; what could harm the board is checked here. Functions that are dropped together stand together, at the end those that go first:
what they leave is one hole, for the large numbers of the signature.
"""

import gc
import hashlib
import os
import sys
import time
from binascii import a2b_base64, b2a_base64, hexlify

from goldcrest import Refused, __version__, guard, inflate, report

D = guard.D
R = guard.R
# DigestInfo of SHA-256 (RFC 8017, 9.2, note 1)
_INFO = b"\0\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20"


def update(http, cfg, status, etag, patch):
    """Stage the release `etag`, whose manifest the response brings unless it is here. The board runs it after the next reset.

    With `patch` files may come as patches. Raises Refused, or OSError when the flash fails; then nothing has changed.
    """
    _, run, floor, _, _, ring, _, _ = guard.state()
    old = guard.manifest(run)
    new = guard.manifest(etag)
    if http.left:
        guard.clean()
        load(http, status, D + new, 1 << 20, status == 200, D + old)
    guard.remove("tries")
    guard.remove("trace")
    head = {"keep": list(cfg.get("keep", ()))}
    h = hashlib.sha256()
    with open(D + new, "rb") as f:
        plan(check(f, h, head), old, head["keep"])
        digest = h.digest()
        _drop("boot check _lines path plan _gone _paths kept _match keyring successor")  # room for the large numbers of the signature
        gc.collect()
        signed(f, digest, D + "keyring" + ring)
    if hexlify(digest).decode() != etag:
        raise Refused("hash", "manifest")
    now = time.time() + (946684800 if time.gmtime(0)[0] == 2000 else 0)
    admit(head, cfg, int(floor), sys.platform, sys.implementation._mpy, now)
    # from here on a manifest that is here is good
    target = "%s %d" % (etag, cfg.get("trial_s", 60))
    if guard.read("target") != target:  # a cut in writing it again would cost what is staged
        guard.write("target", target)
    space()
    _drop("signed rsa lookup admit space")
    report(http, "downloading", etag)
    for p, n, _, digest, have, size in guard.entries():
        if digest and guard.sha(n) != digest:
            gc.collect()
            fetch(http, n, size, digest, have if patch else "", p)
    report(http, "verified", etag)
    guard.set_state("commit", etag, floor, run, max(floor, head["floor"], key=int))
    try:
        report(http, "installing", etag)
    except Refused:
        pass  # the server learns it from the trial


def _next(items):
    for item in items:  # next() takes no default before MicroPython 1.25
        return item
    return ""


def _drop(names):
    # Functions that this update is done with.
    for name in names.split():
        globals().pop(name)


def load(http, status, name, limit, raw, base):
    """Write the body of a response to a file: as it is, inflated, or as the patch of `base` that it is."""
    if status not in (200, 206, 226):
        raise Refused("missing" if status == 404 else "network", "%s: %d" % (base, status))
    if http.left > limit:
        raise Refused("endless", base)
    source = http if raw else unpacked(http, status)
    parts = patched(source, base) if status == 226 else plain(source)
    done = 0
    with open(name, "ab" if status == 206 else "wb") as f:
        while True:
            try:
                b = _next(parts)
            except (OSError, EOFError, ValueError, IndexError):  # those of the network are Refused
                if http.left > 4:
                    raise Refused("hash", base)
                break
            done += len(b)
            if not b or done > limit:
                break
            f.write(b)
            if raw and not done & 0x3FFF:
                f.flush()  # a cut does not lose it
    # A zlib stream ends with 4 bytes that the SHA-256 makes superfluous.
    if done > limit or http.left > 4:
        raise Refused("endless", base)


def plain(source):
    buf = memoryview(bytearray(512))
    while True:
        n = source.readinto(buf)
        yield buf[:n]


def _varint(s):
    n = shift = 0
    while True:
        b = s.read(1)[0]
        n |= (b & 127) << shift
        shift += 7
        if b < 128:
            return n


def fetch(http, name, size, digest, old, p):
    """Fetch one object to its staged file, and check what the flash has of it."""
    have = os.stat(name)[6] if guard.kind(name) else 0
    status = http.request(
        "/d/v1/objects/" + digest + "?from=" + old,
        "Range: bytes=%d-\r\n" % have if size > have >= 16384 else "",
    )
    load(http, status, name, size, status == 206 or status == 200 and http.left == size, p)
    if guard.sha(name) != digest:
        have = os.stat(name)[6]
        os.remove(name)
        raise Refused("hash" if have == size else "truncated", p)


def patched(ops, base):
    """The pieces that a delta makes from a file (docs/release-format.md, "Deltas"). IndexError at its end."""
    made = shift = 0
    with open(base if guard.kind(base) else R + "goldcrest.json", "rb") as old:
        while True:
            n = _varint(ops)
            kind = n & 3
            n >>= 2
            if kind == 3:
                base64 = n & 1
                n >>= 1
            elif kind:
                z = _varint(ops)
                shift += z >> 1 ^ -(z & 1)
                old.seek(made + shift)
            while n:
                d = (old if kind == 1 else ops).read(min(n, 192))
                n -= len(d) or n + 1  # none: the next number is wrong or not there
                if kind == 2:
                    d = bytes((a + b) & 255 for a, b in zip(d, old.read(len(d))))
                elif kind == 3:
                    d = b2a_base64(d)[:-1] if base64 else hexlify(d)
                made += len(d)
                yield d


def unpacked(http, status):
    # The zlib header is checked here: a window of up to 4 KiB is what a board has the memory for. A delta has none, and 1 KiB.
    bits = 10
    if status != 226:
        head = bytearray(2)
        if http.readinto(head) < 2:
            raise Refused("truncated", "object")
        bits = (head[0] >> 4) + 8
        if head[0] & 15 != 8 or bits > 12:
            raise Refused("format", "object")
    return inflate(http, bits)


def admit(head, cfg, floor, platform, mpy, now):
    """Refuse a good release that is not for this board. `now` in seconds since 1970."""
    abi = "%d.%d.%d." % (mpy & 255, mpy >> 8 & 3, mpy >> 10 & 15)
    package = head["package"]
    boards = head.get("boards", platform).split(" ")
    why = (
        "package" if cfg.get("package", package) != package
        else "board" if platform not in boards and cfg.get("board") not in boards
        else "mpy" if not abi.startswith(head.get("mpy", "%d" % (mpy & 255)) + ".")
        else "agent" if head["agent"] != "1"  # the agent protocol of docs/release-format.md
        else "floor" if int(head["counter"]) < floor
        # A clock that is not later than `created` was never set.
        else "expired" if int(head["created"]) < now > int(head.get("expires", now + 1))
        else ""
    )
    if why:
        raise Refused(why, head.get(why, ""))


def lookup(ring, key):
    """-> first word: last word, of the lines of a keyring file that start with `key` or are about the key id `key`."""
    out = {}
    if guard.kind(ring):  # a board without a keyring trusts nobody
        with open(ring, "rb") as f:
            for line in f:
                w = line.split()
                if key in w[:2]:
                    out[w[0]] = w[-1]
    return out


def signed(f, digest, ring, word=b"release", need=1):
    """Refuse unless `need` keys of that kind of the keyring file, not revoked, have made a signature that `f` stands at."""
    good = set()
    why = n = 0
    key = b""
    for line in f:
        n += 1
        sig, key, line = line.split(b" ")
        if sig != b"sig" or line[-1:] != b"\n" or n > 16:
            raise ValueError
        w = lookup(ring, key)
        if b"revoked" in w:
            why = why or 1
        elif word in w:
            why = 2
            pair = [w[word], line]
            w = line = 0
            if rsa(pair, digest):
                good.add(key)
    if len(good) < need:
        raise Refused(
            "keyring-threshold" if word == b"root" else ("unknown-key", "revoked-key", "bad-signature")[why], str(key, "utf8")
        )


def rsa(pair, digest):
    """-> True when of a key and a signature over `digest`, both in base64, one fits the other. They are taken out of the list: room.

    Exponent 65537 as 16 squarings: ESP8266 has no 3-argument pow.
    """
    m = s = int.from_bytes(a2b_base64(pair.pop()), "big")
    n = a2b_base64(pair.pop())
    k = len(n)
    n = int.from_bytes(n, "big")
    if s >= n:
        return False
    for _ in range(16):
        m *= m
        gc.collect()  # the numbers are the largest things here
        m %= n
    return (m * s % n).to_bytes(k, "big") == b"\0\1" + b"\xff" * (k - 54) + _INFO + digest


def space():
    """Refuse when the staged files, the saved copies that are there at one time and the folders' own blocks do not fit."""
    s = os.statvfs(R)
    block = s[0]
    need = 4
    largest = 0
    for p, n, _, _, old, size in guard.entries():
        size = -(-size // block)
        need += 0.125
        if not guard.kind(n):
            need += size
        if guard.fat():  # staged file, saved copy and the new file are there together
            need += 2 * size
        else:
            largest = max(largest, os.stat(p)[6] if old else 0)
    need = need * block + largest
    if need > block * s[3]:
        raise Refused("space", "needs %d, free %d" % (need, block * s[3]))


def successor(new, old):
    """Refuse the keyring file `new` unless it is later than `old` and enough roots of both signed it."""
    if lookup(new, b"goldcrest-keyring") != {b"goldcrest-keyring": b"1"}:
        raise ValueError
    have, version = (int(lookup(ring, b"version")[b"version"]) for ring in (old, new))
    if version <= have:
        raise Refused("keyring-old", str(version))
    h = hashlib.sha256()
    with open(new, "rb") as f:
        for _ in _lines(f, h):
            pass
        digest = h.digest()
        at = f.tell()
        for ring in (old, new):
            f.seek(at)
            signed(f, digest, ring, b"root", max(1, int(lookup(ring, b"threshold")[b"threshold"])))


def check(f, h, head):
    """Check the manifest open as `f`. -> path, digest and size of each file, digest and size empty for a deletion.

    At the end `head` has the header values, `h` the hash, and `f` stands at the signatures. Raises ValueError or LookupError for `format`.
    """
    last = ""
    signed = _lines(f, h)
    while "files" not in head:
        key, value = _next(signed).split(" ", 1)
        if key == "keep":
            head[key].append(value)
        elif key in head:
            raise ValueError
        else:
            head[key] = value
    left = int(head["files"])
    if head["goldcrest"] != "1" or int(head["floor"]) > int(head["counter"]):
        raise ValueError
    for line in signed:
        digest = ""
        size = "0"
        if left:
            digest, size, flags, p = line.split(" ", 3)
            if len(digest) != 64:
                raise ValueError
        else:
            flags, p = line.split(" ", 1)
        if flags != "-" or p < last:
            raise ValueError
        path(p)
        if p == last:
            raise Refused("duplicate", p)
        last = p
        if left:
            left -= 1
            if not left:
                last = ""
        yield p, digest, size
    if left:
        raise ValueError
    yield "", "", ""  # the end of the files, also when there are no deletions


def plan(files, old, keep):
    """Write the journal: how the files on the board differ from what they are to be."""
    n = 0
    with open(D + "journal", "w") as j:
        for p, digest, size in _gone(files, old):
            have = guard.sha(R + p)
            if have != digest and not kept(p, keep):
                j.write("%d %s %s %s %s\n" % (n, size, digest, have, p))
                n += 1


def _paths(name):
    # Of the files of a manifest that was good once: only such a line has its first space after 64 digits.
    if guard.kind(D + name):
        with open(D + name) as f:
            for line in f:
                if line.find(" ") == 64:
                    yield line[:-1].split(" ", 3)[3]


def _gone(files, old):
    # Adds deletions of the files of the manifest before: both are sorted, and with the first deletion every file is known.
    before = _paths(old)
    at = _next(before)
    for file in files:
        while at and (at < file[0] or not file[1]):
            yield at, "", 0
            at = _next(before)
        if at == file[0]:
            at = _next(before)
        yield file


def path(p):
    """Refuse a path that a board must not write."""
    if p.lower().split("/")[0] in (".ota", "boot.py", "boot.mpy", "goldcrest.json") or "\\" in p:
        raise Refused("path", p)
    for s in p.split("/"):
        if not s or s[-1] in " .":  # `.`, `..`, and what FAT would cut off
            raise Refused("path", p)
        if len(s.encode()) > 63 or len(p.encode()) > 120:
            raise Refused("path-long", p)


def _lines(f, h):
    # The signed lines of a binary file, hashed by `h`, as text; then `f` stands at the first signature.
    while True:
        line = f.readline()
        if line[:4] == b"sig ":
            f.seek(-len(line), 1)
            return
        if line[-1:] != b"\n" or len(line) > 1025:
            raise ValueError
        h.update(line)
        yield str(line[:-1], "utf8")


def boot(http, cfg, name):
    """Report what the board is, in the order of docs/protocol.md, "Facts": the server gives it names."""
    import machine

    gc.collect()
    me = sys.implementation
    report(http, "boot", 0, 0, 0, 0, (
        __version__, me.version, me._mpy, me._machine, sys.platform, cfg.get("board"), os.statvfs(R), guard.fat(),
        gc.mem_free(), machine.reset_cause(), len(guard.read("tries")), name,
    ))


def _match(x, p):
    # `*` stands for any run of characters in a segment, `/**` at the end for everything below
    while x:
        if x == "/**":
            return p[:1] == "/" and len(p) > 1
        if x[0] == "*":
            while not _match(x[1:], p):
                if p[:1] in "/":
                    return False
                p = p[1:]
            return True
        if x[0] != p[:1]:
            return False
        x = x[1:]
        p = p[1:]
    return not p


def keyring(http):
    """Take the server's keyring, or raise Refused."""
    s = guard.state()
    old = D + "keyring" + s[5]
    s[5] = "10"[int(s[5])]
    new = D + "keyring" + s[5]
    load(http, http.request("/d/v1/keyring"), new, 1 << 16, True, "")
    successor(new, old)
    guard.set_state(*s[:6])


def kept(p, patterns):
    """-> True when a pattern makes the path device-owned."""
    for x in patterns:
        if _match(x, p):
            return True
