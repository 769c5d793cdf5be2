"""Manifest: checked line by line as it stands on flash, never whole in memory (docs/release-format.md)."""

import hashlib
from binascii import hexlify, unhexlify

from goldcrest import Refused

_KEYS = "goldcrest package version counter floor agent boards mpy created expires keep files".split()
_OPTIONAL = "boards mpy expires keep"
_NAME = "abcdefghijklmnopqrstuvwxyz0123456789-_."


def check(f):
    """Check every line of the manifest open as `f`. -> header values and `digest`; `f` stands at the signatures."""
    h = hashlib.sha256()
    head = {"keep": []}
    at = n = size = 0
    last = b""
    try:
        for line in lines(f, h):
            n += 1
            if at < 12:
                at = _header(head, line, at)
                left = head.get("files")
                continue
            if left:
                digest, length, flags, p = line.split(" ", 3)
                size += number(length)
                if hexlify(unhexlify(digest)) != digest.encode() or len(digest) != 64 or flags != "-" or number(length) > 1 << 24:
                    raise ValueError
            else:
                op, p = line.split(" ", 1)
                if op != "-":
                    raise ValueError
            path(p)
            p = p.encode()
            if p == last:
                raise Refused("duplicate", line)
            if p < last:
                raise ValueError
            last = p
            if left:
                left -= 1
                if not left:
                    last = b""
        if at < 12 or left or size > 1 << 26 or head["goldcrest"] != 1 or head["floor"] > head["counter"]:
            raise ValueError
    except ValueError:
        raise Refused("format", "line %d" % n)
    head["digest"] = h.digest()
    return head


def lines(f, h):
    """The signed lines of a binary file, hashed by `h` -> text; then `f` stands at the first signature. ValueError: malformed."""
    while True:
        at = f.tell()
        line = f.readline(1026)  # limit, LF, and one to show that it is exceeded
        if line[:4] == b"sig ":
            f.seek(at)
            return
        if line[-1:] != b"\n" or len(line) > 1025:
            raise ValueError
        h.update(line)
        yield str(line[:-1], "utf8")


def _header(head, line, at):
    # -> place in _KEYS of the next key
    key, value = line.split(" ", 1)
    if key not in _KEYS:
        if at < 9:  # a newer packer's keys come after `created`
            raise ValueError
        return at
    i = _KEYS.index(key)
    if i < at or not value or any(k not in _OPTIONAL for k in _KEYS[at:i]):
        raise ValueError
    if key == "keep":
        path(value, "")
        head["keep"].append(value)
        if len(head["keep"]) > 64:
            raise ValueError
        return i
    if key == "mpy":
        value = abi(value)
    elif key in "package version":
        if len(value) > 64 or any(c not in _NAME for c in (value if key == "package" else value.lower().replace("+", "-"))):
            raise ValueError
    elif key != "boards":
        value = number(value)
        if key == "files" and value > 4096:
            raise ValueError
    head[key] = value
    return i + 1


def number(text):
    n = int(text)
    if str(n) != text or not 0 <= n < 1 << 53:
        raise ValueError
    return n


def abi(text):
    """`6` or `6.3 armv7emsp` -> (version, sub-version or None, architecture)."""
    version, _, arch = text.partition(" ")
    version, dot, sub = version.partition(".")
    if (not dot) != (not arch):
        raise ValueError
    return number(version), number(sub) if dot else None, arch


def path(p, star="*"):
    """Refuse a path that a board must not write; with `star` empty, a keep pattern."""
    n = len(p.encode())
    for s in p.split("/"):
        if s in ("", ".", "..") or s[-1] in " ." or any(c < " " or "~" < c < "\xa0" or c in '\\:?"<>|' + star for c in s):
            n = 0
            break
        if len(s.encode()) > 63:
            n = 121
    if n > 120:
        raise Refused("path-long", p)
    low = p.lower()
    if not n or star and (low.split("/")[0] == ".ota" or low in ("boot.py", "boot.mpy", "goldcrest.json")):
        raise Refused("path", p)
