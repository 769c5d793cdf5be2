"""Manifest: checked line by line as it stands on flash, never whole in memory (docs/release-format.md)."""

import hashlib
from binascii import hexlify

from goldcrest import Refused

_LINE = 1025  # one byte past the limit shows that it is exceeded
_KEYS = ("goldcrest", "package", "version", "counter", "floor", "agent", "boards", "mpy", "created", "expires", "keep", "files")
_OPTIONAL = ("boards", "mpy", "expires", "keep")
_NUMBERS = ("goldcrest", "counter", "floor", "agent", "created", "expires", "files")
_LOWER = "abcdefghijklmnopqrstuvwxyz0123456789"
_PACKAGE = _LOWER + "-_."
_VERSION = _PACKAGE + "ABCDEFGHIJKLMNOPQRSTUVWXYZ+"


def check(f):
    """Check every line of the manifest open as `f`. -> header values, and `digest`; `f` ends at the signatures."""
    h = hashlib.sha256()
    head = _head(f, h)
    total = 0
    seen = []
    for _ in range(head["files"]):
        w = _line(f, h).split(" ", 3)
        if len(w) != 4 or len(w[0]) != 64 or w[2] != "-" or not all(c in "0123456789abcdef" for c in w[0]):
            raise Refused("format", "file line")
        size = number(w[1])
        total += size
        if size > 1 << 24 or total > 1 << 26:
            raise Refused("format", "too large")
        _next(w[3], seen)
    seen = []
    while True:
        at = f.tell()
        line = f.readline(_LINE)
        if line[:4] == b"sig ":
            f.seek(at)
            head["digest"] = hexlify(h.digest()).decode()
            return head
        if line[:2] != b"- ":
            raise Refused("format", "deletion or signature line")
        _next(_text(line, h)[2:], seen)


def _head(f, h):
    head = {"keep": []}
    at = 0
    while at < len(_KEYS):
        key, _, value = _line(f, h).partition(" ")
        if key not in _KEYS:
            if not 8 < at or not value:  # a newer packer's key: only after `created`
                raise Refused("format", "header " + key[:32])
            continue
        i = _KEYS.index(key)
        if i < at or not value or any(k not in _OPTIONAL for k in _KEYS[at:i]):
            raise Refused("format", "header " + key)
        at = i if key == "keep" else i + 1
        if key == "keep":
            keep = head["keep"]
            path(value, True)
            if len(keep) > 63 or keep and value.encode() <= keep[-1].encode():
                raise Refused("format", "keep")
            keep.append(value)
        else:
            head[key] = number(value) if key in _NUMBERS else value
    if head["goldcrest"] != 1 or head["floor"] > head["counter"] or head["files"] > 4096:
        raise Refused("format", "header value")
    for key, chars in (("package", _PACKAGE), ("version", _VERSION)):
        if len(head[key]) > 64 or not all(c in chars for c in head[key]):
            raise Refused("format", key)
    if head["package"][0] not in _LOWER:
        raise Refused("format", "package")
    return head


def _line(f, h):
    return _text(f.readline(_LINE), h)


def _text(line, h):
    if line[-1:] != b"\n" or len(line) == _LINE:
        raise Refused("format", "line too long or cut")
    h.update(line)
    try:
        return line[:-1].decode()
    except ValueError:
        raise Refused("format", "not UTF-8")


def number(text):
    if not text.isdigit() or len(text) > 16 or text[0] == "0" and text != "0" or int(text) >= 1 << 53:
        raise Refused("format", "number " + text[:20])
    return int(text)


def _next(p, seen):
    # `seen` holds the earlier paths that this one begins with: only they can be the same path, or a folder of this one.
    path(p)
    p = p.encode()
    while seen and not p.startswith(seen[-1]):
        if p < seen.pop():
            raise Refused("format", "order: " + p.decode())
    for s in seen:
        if p == s:
            raise Refused("duplicate", p.decode())
        if p[len(s)] == 47:
            raise Refused("path", p.decode() + ": a file is in the way")
    seen.append(p)


def path(p, pattern=False):
    """Refuse a path (or a keep pattern) that a board must not write."""
    parts = p.split("/")
    for s in parts:
        if s in ("", ".", "..") or s[-1] in " .":
            raise Refused("path", p)
        for c in s:
            if c < " " or c == "\x7f" or c in '\\:"?<>|' or c == "*" and not pattern:
                raise Refused("path", p)
        if len(s.encode()) > 63:
            raise Refused("path-long", p)
    if len(p.encode()) > 120:
        raise Refused("path-long", p)
    if pattern:
        return
    if parts[0].lower() == ".ota" or p.lower() in ("boot.py", "boot.mpy", "goldcrest.json"):
        raise Refused("path", p)


def kept(p, patterns):
    """-> True when a pattern makes the path device-owned."""
    for pattern in patterns:
        deep = pattern.endswith("/**")
        want = (pattern[:-3] if deep else pattern).split("/")
        have = p.split("/")
        if (len(have) > len(want) if deep else len(have) == len(want)) and all(_glob(a, b) for a, b in zip(have, want)):
            return True
    return False


def _glob(s, pattern):
    first, *rest = pattern.split("*")
    if not rest:
        return s == first
    if not s.startswith(first):
        return False
    at = len(first)
    last = rest.pop()
    for part in rest:
        at = s.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return len(s) - len(last) >= at and s.endswith(last)
