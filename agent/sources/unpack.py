"""Installs a foreign package: its files end in the same journal as a release. Imported for one update."""

import hashlib
import json
from binascii import hexlify

from goldcrest import Refused, guard
from goldcrest.sources import store, tar, tree

_METADATA = "FW_METADATA.json"


def install(source, etag, version, path, metadata=None):
    """Stage the package at `path`: of files without signatures. Raises Refused.

    `metadata`: what a file FW_METADATA.json in it must say, if there is one.
    """
    tree.begin(source.cfg, etag)
    tree.write(source.cfg, _listed(path, metadata))
    tree.space(_good)
    missing = []
    for file, hint, size, p in tree.lines():
        if not _good(hint, tree.R + p) and not _good(hint, file):
            missing.append(int(file[len(tree.D) + 1 :]))
    n = 0
    with open(path, "rb") as f:
        for name, body in tar.members(tar.unpacked(f)):
            if n in missing:
                store.store(body, tree.D + "n%d" % n, body.left, name)
            n += 1
    tree.install(source, etag, version, None, _good)


def _good(hint, file):
    return guard.sha(file) == hint


def _listed(path, metadata):
    # -> name, size and digest of each file
    with open(path, "rb") as f:
        for name, body in tar.members(tar.unpacked(f)):
            size = body.left
            h = hashlib.sha256()
            text = b""
            for b in body.pieces():
                h.update(b)
                if name == _METADATA and len(text) < 512:
                    text += b
            if name == _METADATA and metadata:
                said = json.loads(text)
                if (said.get("title"), said.get("version")) != metadata:
                    raise Refused("format", _METADATA)
            yield name, size, hexlify(h.digest()).decode()
