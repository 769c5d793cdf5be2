"""Install: stages what differs from an admitted manifest under /.ota/, and leaves a journal for the guard."""

import gc
import hashlib
import os
from binascii import hexlify

from goldcrest import Refused, guard

D = guard.D


def update(http, keep, etag, told):
    """Stage the release whose manifest is /.ota/m. The board runs it after the next reset.

    `told(stage)` reports progress. Raises Refused, or OSError when the flash fails; then nothing has changed.
    """
    if guard.read("target") != etag:  # staged files of another target
        guard.clean("n")
        guard.write("target", etag)
    guard.clean("op")  # a guard that found an old copy would think the file is saved
    guard.remove("tries")
    guard.remove("trace")
    os.rename(D + "m", D + "next")
    space(*plan(keep))
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
    _, run, floor, _ = guard.state()
    guard.set_state("commit", etag, floor, run)
    try:
        told("installing")
    except Refused:
        pass  # the server learns it from the trial


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
                        if not kept(p, keep) and guard.kind(guard.R + p) == guard.FILE:
                            entry("d", "d%d" % n, 0, "-", p)
        with open(D + "next") as f:
            for i, (digest, length, p) in enumerate(files(f)):
                if kept(p, keep):
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


def kept(p, patterns):
    """-> True when a pattern makes the path device-owned."""
    for pattern in patterns:
        want = pattern.split("/")
        have = p.split("/")
        if want[-1] == "**" and len(have) >= len(want):
            have = have[: len(want)]
        if len(have) == len(want) and all(_glob(a, b) for a, b in zip(have, want)):
            return True
    return False


def _glob(s, pattern):
    # `*` stands for any run of characters
    parts = pattern.split("*")
    if len(parts) == 1:
        return s == pattern
    last = parts.pop()
    if not s.startswith(parts[0]):
        return False
    at = 0
    for part in parts:
        at = s.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return len(s) - len(last) >= at and s.endswith(last)
