"""Install: takes a manifest from the server, stages what differs under /.ota/, and leaves a journal for the guard."""

import gc
import hashlib
import os
import sys
import time
from binascii import hexlify

from goldcrest import PROTOCOL, Refused, guard, manifest, verify

D = guard.D
_ARCHS = "- x86 x64 armv6 armv6m armv7m armv7em armv7emsp armv7emdp xtensa xtensawin rv32imc rv64imc".split()  # by _mpy >> 10


def update(http, cfg, etag, told):
    """Take the release whose manifest is the body that `http` is about to read. The board runs it after the next reset.

    `told(stage)` reports progress. Raises Refused, or OSError when the flash fails; then nothing has changed.
    """
    _, run, floor, _ = guard.state()
    head = receive(http, etag)
    now = time.time() + (946684800 if time.gmtime(0)[0] == 2000 else 0)
    admit(head, cfg, int(floor), sys.platform, getattr(sys.implementation, "_mpy", 0), now)
    if guard.read("target") != etag:  # staged files of another target
        guard.clean("n")
        guard.write("target", etag)
    guard.clean("op")  # a guard that found an old copy would think the file is saved
    guard.remove("tries")
    guard.remove("trace")
    os.rename(D + "m", D + "next")
    space(*plan(head["keep"] + cfg.get("keep", [])))
    told("downloading")
    buf = memoryview(bytearray(512))
    with open(D + "j") as f:
        for line in f:
            op, key, size, digest, path = line[:-1].split(" ", 4)
            if op != "d" and not guard.kind(D + "n" + key):
                gc.collect()
                fetch(http, digest, int(size), path, buf)
                os.rename(D + "t", D + "n" + key)
    told("verified")
    guard.golden()  # the running agent is confirmed, and it is its journal that the guard will read
    os.rename(D + "j", D + "journal")
    guard.set_state("commit", etag, floor, run)
    told("installing")


def receive(http, etag):
    """Stream the manifest to flash, check it and its signature. -> its header."""
    if http.left > 1 << 20:
        raise Refused("endless", "manifest")
    space(http.left, 0, 0)
    buf = memoryview(bytearray(512))
    with open(D + "m", "wb") as f:
        while http.left:
            f.write(buf[: http.readinto(buf)])
    with open(D + "m", "rb") as f:
        head = manifest.check(f)
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


def plan(keep):
    """Compare `next` with the files on the board, and write the journal. -> bytes to stage, largest old file, changed files."""
    size = os.statvfs(guard.R)[0]
    need = largest = n = 0
    with open(D + "j", "w") as j:

        def entry(op, key, size, digest, p):
            nonlocal largest, n
            n += 1
            j.write("%s %s %d %s %s\n" % (op, key, size, digest, p))
            if op != "a":
                largest = max(largest, os.stat(guard.R + p)[6])

        # Deletions first: a folder may become a file. Twice the same is harmless.
        for source, deletions in (("run", False), ("next", True)):
            if guard.kind(D + source):
                with open(D + source) as f, open(D + "next") as new:
                    for p in absent(f, deletions, files(new)):
                        if not manifest.kept(p, keep) and guard.kind(guard.R + p) == guard.FILE:
                            entry("d", "d%d" % n, 0, "-", p)
        with open(D + "next") as f:
            for i, (digest, length, p) in enumerate(files(f)):
                if manifest.kept(p, keep):
                    continue
                have = sha(guard.R + p)
                if have == digest:
                    continue
                staged = D + "n%d" % i
                if sha(staged) != digest:
                    if guard.kind(staged):
                        os.remove(staged)
                    need += -(-length // size) * size
                entry("w" if have else "a", i, length, digest, p)
    return need, largest, n


def files(f):
    """File lines of a manifest -> (digest, size, path)."""
    for line in f:
        if line[64:65] == " ":
            digest, size, _, p = line[:-1].split(" ", 3)
            yield digest, int(size), p


def absent(f, deletions, new):
    """Paths of the file lines in `f`, or of its deletion lines, that are not among the files `new`: both are sorted."""
    at = ""
    for p in (line[2:-1] for line in f if line[:2] == "- ") if deletions else (e[2] for e in files(f)):
        while at is not None and at.encode() < p.encode():
            at = next(new, (0, 0, None))[2]
        if p != at:
            yield p


def space(need, largest, n):
    """Refuse when the staged files, one saved copy at a time and the folders' own blocks do not fit."""
    s = os.statvfs(guard.R)
    need += largest + (4 + n // 8) * s[0]
    free = s[0] * s[3]
    if need > free:
        raise Refused("space", "needs %d, free %d" % (need, free))


def fetch(http, digest, size, path, buf):
    """Fetch one object to /.ota/t, inflate it and check its hash."""
    h = hashlib.sha256()
    done = 0
    http.get("/d/v1/objects/" + digest, path)
    if http.left > size:
        raise Refused("endless", path)
    source = http if http.left == size else inflate(http, path, buf)
    with open(D + "t", "wb") as f:
        while True:
            try:
                n = source.readinto(buf)
            except (OSError, EOFError, ValueError):  # those of the network are Refused
                if http.left > 4:
                    raise Refused("hash", path)
                break
            done += n
            if not n or done > size:
                break
            h.update(buf[:n])
            f.write(buf[:n])
    if done < size:
        raise Refused("truncated", path)
    if done > size or http.left > 4:  # a zlib stream ends with 4 bytes that the SHA-256 makes superfluous
        raise Refused("endless", path)
    if hexlify(h.digest()).decode() != digest:
        raise Refused("hash", path)
    http.finish()


def inflate(http, path, buf):
    """-> stream of the plain bytes. The zlib header is checked here: a window of up to 4 KiB is what a board has the memory for."""
    if http.left < 2:
        raise Refused("truncated", path)
    http.readinto(buf[:2])
    bits = (buf[0] >> 4) + 8
    if buf[0] & 15 != 8 or bits > 12 or buf[1] & 32 or (buf[0] << 8 | buf[1]) % 31:
        raise Refused("format", path)
    try:
        import deflate

        return deflate.DeflateIO(http, deflate.RAW, bits)
    except ImportError:  # MicroPython < 1.21
        import uzlib

        return uzlib.DecompIO(http, -bits)


def sha(path):
    """-> digest of a file, empty when there is no such file."""
    if guard.kind(path) != guard.FILE:
        return ""
    h = hashlib.sha256()
    buf = memoryview(bytearray(512))
    with open(path, "rb") as f:
        while True:
            n = f.readinto(buf)
            if not n:
                return hexlify(h.digest()).decode()
            h.update(buf[:n])
