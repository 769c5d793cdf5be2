"""Install: stages what differs from an admitted manifest under /.ota/, and leaves a journal for the guard."""

import gc
import hashlib
import os
from binascii import hexlify

from goldcrest import Refused, guard

D = guard.D
R = guard.R


def update(http, keep, etag, report):
    """Stage the release whose manifest is /.ota/m. The board runs it after the next reset.

    `report(http, stage, digest)` tells the server. Raises Refused, or OSError when the flash fails; then nothing has changed.
    """
    if guard.read("target") != etag:  # staged files of another target
        guard.clean("n")
        guard.write("target", etag)
    guard.clean("op")  # a guard that found an old copy would think the file is saved
    guard.remove("tries")
    guard.remove("trace")
    os.rename(D + "m", D + "next")
    plan(keep)
    space()
    report(http, "downloading", etag)
    buf = memoryview(bytearray(512))
    for op, key, size, digest, p in journal():
        if op != "d" and not guard.kind(D + "n" + key):
            gc.collect()
            fetch(http, digest, int(size), p, buf)
            os.rename(D + "t", D + "n" + key)
    report(http, "verified", etag)
    golden()
    os.rename(D + "j", D + "journal")
    _, run, floor, _ = guard.state()
    guard.set_state("commit", etag, floor, run)
    try:
        report(http, "installing", etag)
    except Refused:
        pass  # the server learns it from the trial


def plan(keep):
    """Compare `next` with the files on the board, and write the journal: what is to be deleted, then what is to be written."""
    with open(D + "j", "w") as j:
        # Deletions first: a folder may become a file. Twice the same is harmless.
        n = 0
        for name, column in (("run", 3), ("next", 1)):
            for p in absent(name, column):
                if guard.kind(R + p) == guard.FILE and not kept(p, keep):
                    j.write("d d%d 0 - %s\n" % (n, p))
                    n += 1
        for n, (digest, size, _, p) in enumerate(lines("next", 3)):
            have = sha(R + p)
            if have != digest and not kept(p, keep):
                if sha(D + "n%d" % n) != digest:
                    guard.remove("n%d" % n)
                j.write("%s %d %s %s %s\n" % ("w" if have else "a", n, size, digest, p))


def lines(name, column):
    """Lines of a manifest in words: file lines, whose path is word 3, or deletion lines, whose path is word 1."""
    if guard.kind(D + name):
        with open(D + name) as f:
            for line in f:
                # only a file line has its first space after 64 digits
                if line[:2] == "- " if column == 1 else line.find(" ") == 64:
                    yield line[:-1].split(" ", column)


def absent(name, column):
    """Paths of such lines that are not among the files of the new manifest: both are sorted."""
    new = lines("next", 3)
    at = ""
    for w in lines(name, column):
        p = w[column]
        while at is not None and at < p:
            at = next(new, (None,) * 4)[3]
        if p != at:
            yield p
    for _ in new:
        pass  # closes the file


def journal():
    with open(D + "j") as f:
        for line in f:
            yield line[:-1].split(" ", 4)


def space():
    """Refuse when the staged files, one saved copy at a time and the folders' own blocks do not fit."""
    s = os.statvfs(R)
    block = s[0]
    need = 4 * block
    largest = 0
    for op, key, size, _, p in journal():
        need += block >> 3
        if op != "a":
            largest = max(largest, os.stat(R + p)[6])
        if op != "d" and not guard.kind(D + "n" + key):
            need += -(-int(size) // block) * block
    need += largest
    if need > block * s[3]:
        raise Refused("space", "needs %d, free %d" % (need, block * s[3]))


def fetch(http, digest, size, p, buf):
    """Fetch one object to /.ota/t, inflate it and check its hash."""
    h = hashlib.sha256()
    done = 0
    http.get("/d/v1/objects/" + digest, p)
    if http.left > size:
        raise Refused("endless", p)
    source = http if http.left == size else inflate(http, p, buf)
    with open(D + "t", "wb") as f:
        while True:
            try:
                n = source.readinto(buf)
            except (OSError, EOFError, ValueError):  # those of the network are Refused
                if http.left > 4:
                    raise Refused("hash", p)
                break
            done += n
            if not n or done > size:
                break
            h.update(buf[:n])
            f.write(buf[:n])
    # A zlib stream ends with 4 bytes that the SHA-256 makes superfluous.
    if done > size or http.left > 4:
        raise Refused("endless", p)
    if hexlify(h.digest()).decode() != digest:
        raise Refused("hash" if done == size else "truncated", p)
    http.finish()


def inflate(http, p, buf):
    """-> stream of the plain bytes. The zlib header is checked here: a window of up to 4 KiB is what a board has the memory for."""
    if http.readinto(buf[:2]) < 2:
        raise Refused("truncated", p)
    bits = (buf[0] >> 4) + 8
    if buf[0] & 15 != 8 or bits > 12 or buf[1] & 32 or (buf[0] << 8 | buf[1]) % 31:
        raise Refused("format", p)
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


def golden():
    """Make the golden guard that of the running agent: it is confirmed, and it is its journal that the guard will read."""
    there = False
    for x in (".py", ".mpy"):  # in the order of import
        src = R + "lib/goldcrest/guard" + x
        dst = D + "golden/goldcrest/guard" + x
        have = sha(src)
        if have and not there:
            there = True
            if have != sha(dst):
                guard.parents(dst)
                guard.copy(src, dst)
        elif guard.kind(dst):  # of a frozen agent there is no file, and no copy
            os.remove(dst)


def kept(p, patterns):
    """-> True when a pattern makes the path device-owned."""
    return any(_match(x, p) for x in patterns)


def _match(pattern, p):
    # `*` stands for any run of characters in a segment, `/**` at the end for everything below
    for i, c in enumerate(pattern):
        if pattern[i:] == "/**":
            return p[i : i + 1] == "/" and i + 1 < len(p)
        if c == "*":
            while not _match(pattern[i + 1 :], p[i:]):
                if p[i : i + 1] in ("", "/"):
                    return False
                p = p[:i] + p[i + 1 :]
            return True
        if p[i : i + 1] != c:
            return False
    return len(p) == len(pattern)
