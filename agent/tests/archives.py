"""Makes packages for the tests: tar archives in the forms in which people and platforms make them, and our own."""

from binascii import crc32

import board as b
import signing
from pack import deflated


def tar(files, form="ustar", end=2):
    """-> an archive. `form`: ustar, gnu (a root entry and long names as records) or pax."""
    out = header("./", 0, b"5") if form == "gnu" else b""
    if form == "pax":
        out += member("pax_global_header", b"13 comment=x\n", b"g")
    folders = set()
    for path in files:
        at = path.find("/")
        while at > 0 and form != "flat":
            if path[:at] not in folders:
                folders.add(path[:at])
                out += header(path[:at] + "/", 0, b"5")
            at = path.find("/", at + 1)
        name = path
        if form == "pax":
            record = " path=%s\n" % path
            n = len(record.encode()) + 2
            while len(str(n) + record) and len((str(n) + record).encode()) != n:
                n += 1
            out += member("PaxHeader/x", b"20 mtime=1700000000.1"[:19] + b"\n" + (str(n) + record).encode(), b"x")
            name = "short"
        elif form == "gnu" and len(path) > 20:
            out += member("././@LongLink", path.encode() + b"\0", b"L")
            name = path[:20]
        elif form == "gnu":
            name = "./" + path
        out += member(name, files[path])
    return out + bytes(512 * end)


def member(name, data, kind=b"0", link=""):
    return header(name, len(data), kind, link) + data + bytes(-len(data) & 511)


def header(name, size, kind=b"0", link=""):
    before = b""
    name = name.encode()
    if len(name) > 100:
        at = name.rfind(b"/", 0, 154)
        before, name = name[:at], name[at + 1 :]
    block = name + bytes(100 - len(name)) + b"0000644\0" + b"0000000\0" * 2 + b"%011o\0" % size + b"00000000000\0"
    tail = kind + link.encode() + bytes(100 - len(link)) + b"ustar\x0000" + bytes(80) + before + bytes(167 - len(before))
    total = sum(block) + sum(tail) + 8 * 32
    return block + b"%06o\0 " % total + tail


def gz(data, window=b"\0\3"):
    """-> gzip. microfreezer's has a zlib header in place of the last two bytes of its header."""
    return b"\x1f\x8b\x08\x08\0\0\0\0" + window + b"name.tar\0" + deflated(data) + tail(data)


def microfreezer(data):
    return b"\x1f\x8b\x08\0\0\0\0\0" + b"\x28\x15" + deflated(data) + tail(data)


def tail(data):
    return crc32(data).to_bytes(4, "little") + len(data).to_bytes(4, "little")


def ours(files, keys=(b.release_key,), **k):
    """-> (our archive of a release, its digest)."""
    text, digest = signing.manifest(files, keys, **k)
    out = member("manifest", text) + header("objects/", 0, b"5")
    for sha in sorted({signing.sha(data) for data in files.values()}):
        out += member("objects/" + sha, b.wire([d for d in files.values() if signing.sha(d) == sha][0]))
    return out + bytes(1024), digest
