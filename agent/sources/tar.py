"""Reads packages: a tar archive as people and platforms make it, plain or compressed, or one of ours. Imported for one update.

An archive is read front to back, a block at a time; what is compressed is inflated on the way, with the window that its writer used.
"""

import hashlib
import io
from binascii import hexlify

from goldcrest import Refused, guard, inflate
from goldcrest.sources import tree, web

_NAME = const(1024)  # bytes of a long name's record
_METADATA = "FW_METADATA.json"


def install(source, etag, version, path, metadata=None):
    """Stage the package at `path`: ours is verified as a release, a foreign one must be allowed. Raises Refused.

    `metadata`: what a file FW_METADATA.json in it must say, if there is one.
    """
    if _is_ours(path):
        return _ours(source, etag, path)
    if source.cfg.get("unsigned") is not True:
        raise Refused("signature", "unsigned")
    tree.begin(source.cfg, etag)
    tree.write(source.cfg, _listed(path, metadata))
    tree.space(_good)
    missing = []
    for file, hint, size, p in tree.lines():
        if not _good(hint, tree.R + p) and not _good(hint, file):
            missing.append(int(file[len(tree.D) + 1 :]))
    n = 0
    with open(path, "rb") as f:
        for name, body in members(unpacked(f)):
            if n in missing:
                web.store(body, tree.D + "n%d" % n, body.left, name)
            n += 1
    tree.install(source, etag, version, None, _good)


def _good(hint, file):
    return guard.sha(file) == hint


def _listed(path, metadata):
    # -> name, size and digest of each file
    with open(path, "rb") as f:
        for name, body in members(unpacked(f)):
            size = body.left
            h = hashlib.sha256()
            text = b""
            for b in body.pieces():
                h.update(b)
                if name == _METADATA and len(text) < 512:
                    text += b
            if name == _METADATA and metadata:
                import json

                said = json.loads(text)
                if (said.get("title"), said.get("version")) != metadata:
                    raise Refused("format", _METADATA)
            yield name, size, hexlify(h.digest()).decode()


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
        size, kind = _header(block)
        body = Body(source, size)
        if kind in b"Lx":
            if size > _NAME:
                raise Refused("path-long", "package")
            text = b"".join(bytes(b) for b in body.pieces())
            long_name = _record(text) if kind == 120 else str(text.rstrip(b"\0"), "utf8")
        elif kind != 103:  # g: for all members, nothing that matters here
            name = long_name or _name(block)
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


def _header(block):
    # -> size, kind
    said = _octal(block[148:156])
    if sum(block) - sum(block[148:156]) + 256 != said:
        raise Refused("format", "package")
    return _octal(block[124:136]), block[156]


def _octal(b):
    try:
        return int(str(bytes(b).split(b"\0")[0].strip() or b"0", "ascii"), 8)
    except ValueError:
        raise Refused("format", "package")


def _name(block):
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


def _is_ours(path):
    with open(path, "rb") as f:
        head = f.read(524)
    return head[:9] == b"manifest\0" and head[512:524] == b"goldcrest 1\n"


def _ours(source, etag, path):
    # The native update, signature included, with the archive in place of the server.
    import sys

    with open(path, "rb") as f:
        archive = Archive(source, f)
        size = archive.find("manifest")
        h = hashlib.sha256()
        while f.tell() < 512 + size:
            line = f.readline()
            if line[:4] == b"sig ":
                break
            h.update(line)
        digest = hexlify(h.digest()).decode()
        # This version is that release: so it is known when it runs, or has failed.
        guard.write("source", etag + " " + digest)
        archive.left = archive.find("manifest")
        sys.modules["goldcrest.update"].update(archive, source.cfg, 200, digest, False)


class Archive(Body):
    """Our archive as the agent's connection to a server: objects are its members."""

    headers = {}

    def __init__(self, source, f):
        Body.__init__(self, f, 0)
        self.agent = source
        self.f = f

    def find(self, name):
        """-> size of the member `name`, and the file stands at it; -1 when there is none."""
        f = self.f
        block = bytearray(512)
        for turn in range(2):  # objects are sorted, and mostly asked for in another order
            if turn or name == "manifest":
                f.seek(0)
            else:
                f.seek(f.tell() + self.left + 511 & ~511)
            self.left = 0
            while f.readinto(block) == 512 and block[0]:
                size, _ = _header(block)
                if _name(block) == name:
                    return size
                f.seek(f.tell() + size + 511 & ~511)
        return -1

    def request(self, path, head="", body=b""):
        if body:
            return self.agent.request(path, head, body)
        size = self.find("objects/" + path[14:78])
        self.left = max(0, size)
        return 404 if size < 0 else 200
