"""Reads tar archives as people and platforms make them, plain or compressed: front to back, a block at a time.

What is compressed is inflated on the way, with the window that its writer used.
"""

import io

from goldcrest import Refused, inflate

_FILE = const(1 << 24)  # bytes of a file, as in a release
_NAME = const(1024)  # bytes of a long name's record


def unpacked(f):
    """-> a stream of what an open file holds: gzip is undone, also microfreezer's, whose header holds a zlib header."""
    head = f.read(10)
    if head[:2] != b"\x1f\x8b" or len(head) < 10:
        f.seek(0)
        return f
    flags, cmf = head[3], head[8]
    if flags & 4:
        f.read(int.from_bytes(f.read(2), "little"))
    for bit in (8, 16):  # name, comment
        while flags & bit and f.read(1) not in (b"\0", b""):
            pass
    if flags & 2:
        f.read(2)
    like_zlib = cmf & 15 == 8 and not (cmf << 8 | head[9]) % 31
    return Inflated(inflate(f, (cmf >> 4) + 8 if like_zlib else 15))


class Inflated:
    """A stream that ends or fails by name."""

    def __init__(self, stream):
        self.stream = stream

    def readinto(self, b):
        try:
            return self.stream.readinto(b)
        except EOFError:
            raise Refused("truncated", "package")
        except (OSError, ValueError) as e:
            raise Refused("hash", repr(e))


class Body(io.IOBase):
    """A member's bytes."""

    def __init__(self, source, size):
        self.source = source
        self.left = size
        self.pad = -size & 511

    def readinto(self, b):
        n = min(len(b), self.left)
        if n:
            n = self.source.readinto(memoryview(b)[:n])
            if not n:
                raise Refused("truncated", "package")
            self.left -= n
        return n

    def pieces(self):
        buf = memoryview(bytearray(512))
        while True:
            n = self.readinto(buf)
            if not n:
                return
            yield buf[:n]

    def close(self):
        pass

    def skip(self):
        """Go to the next member."""
        self.left += self.pad
        self.pad = 0
        for _ in self.pieces():
            pass


def members(source):
    """-> name and Body of each file. Folders are left out; links and devices are refused."""
    block = bytearray(512)
    long_name = None
    while True:
        n = _exact(source, block)
        if n == 0 or n == 512 and not any(block):
            return
        if n < 512:
            raise Refused("truncated", "package")
        size, kind = header(block)
        body = Body(source, size)
        if kind in b"Lx":
            if size > _NAME:
                raise Refused("path-long", "package")
            text = b"".join(bytes(b) for b in body.pieces())
            long_name = _record(text) if kind == 120 else str(text.rstrip(b"\0"), "utf8")
        elif kind != 103:  # g: for all members, nothing that matters here
            name = long_name or name_of(block)
            long_name = None
            while name[:2] == "./":
                name = name[2:]
            if kind in b"\x000" and name[-1:] != "/":
                yield name, body
            elif kind != 53 and name[-1:] != "/":
                raise Refused("format", "%s: link" % name)
        body.skip()


def _exact(source, b):
    n = 0
    while n < len(b):
        got = source.readinto(memoryview(b)[n:])
        if not got:
            break
        n += got
    return n


def header(block):
    # -> size, kind
    said = _octal(block[148:156])
    if sum(block) - sum(block[148:156]) + 256 != said:
        raise Refused("format", "package")
    size = _octal(block[124:136])
    if size > _FILE:
        raise Refused("format", "package")
    return size, block[156]


def _octal(b):
    try:
        return int(str(bytes(b).split(b"\0")[0].strip() or b"0", "ascii"), 8)
    except ValueError:
        raise Refused("format", "package")


def name_of(block):
    name = str(bytes(block[:100]).split(b"\0")[0], "utf8")
    if bytes(block[257:263]) == b"ustar\0":
        before = str(bytes(block[345:500]).split(b"\0")[0], "utf8")
        name = before + "/" + name if before else name
    return name


def _record(text):
    # the path of a PAX header: lines `length key=value`
    while text:
        n = int(text.split(b" ")[0])
        line, text = text[:n], text[max(n, 1) :]
        key, _, value = line[line.find(b" ") + 1 : -1].partition(b"=")
        if key == b"path":
            return str(value, "utf8")
    return None
