"""Installs files that carry no signed manifest: staged, hashed, and handed to the guard with the journal of a release.

A source calls `begin`, lists what it found with `write`, then calls `install`. What is on the board afterwards is a release like any other: with a manifest of
the same lines (unsigned, under the id of the version), a trial, a rollback, and deletions by the next one. Imported for one update.
"""

import os
import sys

from goldcrest import Refused, guard, report

D = guard.D
R = guard.R
_FILES = const(4096)
# What only a signed release needs: 4 KB of heap
_NATIVE = "update boot check _lines admit lookup signed rsa keyring successor plan _gone _paths space fetch load plain patched _varint unpacked"


def write(cfg, items):
    """List (path, size or -1, word for `fetch`) of each file, in a file of /.ota/: lines `key word size path`, sorted by path.

    The key is the item's number. One line at a time is in memory, unless the items are not sorted.
    """
    update = sys.modules["goldcrest.update"]
    keep = cfg.get("keep", ())
    into = cfg.get("into", "").strip("/")
    n = 0
    last = ""
    rising = True
    with open(D + "t0", "w") as f:
        for p, size, hint in items:
            if into:
                p = into + "/" + p
            if p == "boot.py":  # never belongs to a release
                p = "boot_user.py"
            update.path(p)
            for c in p:
                if c < " " or c in ':*?"<>|':
                    raise Refused("path", p)
            if p == last:
                raise Refused("duplicate", p)
            if not update.kept(p, keep):
                rising = rising and p > last
                last = p
                f.write("%d %s %d %s\n" % (n, hint, size, p))
            n += 1
            if n > _FILES:
                raise Refused("format", "files")
    if not n:  # all files of the board would go
        raise Refused("format", "no files")
    if not rising:
        _sort()


def _sort():
    with open(D + "t0") as f:
        lines = [line for line in f]
    lines.sort(key=_path)
    last = None
    with open(D + "t0", "w") as f:
        for line in lines:
            if _path(line) == last:
                raise Refused("duplicate", last[:-1])
            last = _path(line)
            f.write(line)


def _path(line):
    return line.split(" ", 3)[3]


def lines():
    """-> (staged file, hint, size, path) of each line."""
    with open(D + "t0") as f:
        for line in f:
            key, hint, size, p = line[:-1].split(" ", 3)
            yield D + "n" + key, hint, int(size), p


def begin(cfg, etag):
    """Before the listing: what another target has staged goes."""
    target = "%s %d" % (etag, cfg.get("trial_s", 60))
    if guard.read("target") != target:
        guard.clean()
        guard.write("target", target)
    guard.remove("tries")
    guard.remove("trace")
    for name in _NATIVE.split():
        sys.modules["goldcrest.update"].__dict__.pop(name, None)


def install(http, etag, version, fetch, good, record=""):
    """Stage what is listed; the board runs it after the next reset.

    What becomes of other files: the setting `rest`, or else the source's. `delete`: those of the version before go; `keep`: they stay;
    `clear`: all others go. `good(hint, file)` says whether a file of the board, or a staged one, is already what the hint stands for; else `fetch(hint, size, path, file)`
    writes it. `record`: header lines for the source itself. Raises Refused, or OSError when the flash fails; then nothing has changed.
    """
    update = sys.modules["goldcrest.update"]
    _, run, floor, _, _, _, _, _ = guard.state()
    new = guard.manifest(etag)
    n = space(good)
    report(http, "downloading", etag)
    listed = lines()
    before = _entries(guard.manifest(run))
    rest = http.cfg.get("rest", http.rest)
    package = http.package or http.cfg.get("package", "-")
    paths = set()
    try:
        with open(D + new, "w") as m, open(D + "journal", "w") as j:
            m.write("goldcrest 1\npackage %s\nversion %s\ncounter 0\nfloor 0\nagent 1\ncreated 0\n%sfiles %d\n" % (
                package.replace("\n", " "), version.replace("\n", " "), record, n
            ))
            at = update._next(before)
            for file, hint, size, p in listed:
                at = _gone(m, j, http.cfg, rest, before, at, p)
                _take(m, j, fetch, good, file, hint, size, p)
                if rest == "clear":
                    paths.add(p)
            _gone(m, j, http.cfg, rest, before, at, "")
            if rest == "clear":
                _clear(j, http.cfg, paths, "")
    finally:
        listed.close()
        before.close()
    http.settle()
    report(http, "verified", etag)
    guard.set_state("commit", etag, floor, run, floor)
    try:
        report(http, "installing", etag)
    except Refused:
        pass


def _entries(name):
    # File lines of a manifest that was good once: only such a line has its first space after 64 digits
    if guard.kind(D + name):
        with open(D + name) as f:
            for line in f:
                if line.find(" ") == 64:
                    yield line


def _gone(m, j, cfg, rest, before, line, p):
    # What becomes of the files of the manifest before that come before `p`. -> the line of the first one after it
    update = sys.modules["goldcrest.update"]
    while line:
        at = _path(line)[:-1]
        if p and at >= p:
            return update._next(before) if at == p else line
        if rest == "keep":
            m.write(line)
        elif rest == "delete":
            _delete(j, cfg, at)
        line = update._next(before)
    return line


def _delete(j, cfg, p):
    have = guard.sha(R + p)
    if have and p[:14] != "lib/goldcrest/" and not sys.modules["goldcrest.update"].kept(p, cfg.get("keep", ())):
        j.write("-%d 0  %s %s\n" % (j.tell(), have, p))


def _clear(j, cfg, paths, folder):
    # All that is on the board and not in the tree goes, but what is the board's own
    for name in os.listdir((R + folder)[:-1] or "/"):
        p = folder + name
        if p not in paths and p not in (".ota", "boot.py", "goldcrest.json"):
            if guard.kind(R + p) == 0x8000:
                _delete(j, cfg, p)
            elif folder or _is_ours(R + p):
                _clear(j, cfg, paths, p + "/")


def _is_ours(folder):
    # whether it is on the board's flash: other filesystems are mounted as folders of the root
    try:
        return os.statvfs(folder) == os.statvfs(R)
    except AttributeError:  # the packed part of the agent
        return False


def _take(m, j, fetch, good, file, hint, size, p):
    # Stages a file, unless the board has it
    have = guard.sha(R + p)
    digest = ""
    if good(hint, R + p):
        digest = have
    elif not good(hint, file):
        fetch(hint, size, p, file)
    digest = digest or guard.sha(file)
    if digest != have:
        size = os.stat(file)[6]
        j.write("%s %d %s %s %s\n" % (file[len(D) + 1 :], size, digest, have, p))
    else:
        size = os.stat(R + p)[6]
        guard.remove(file[len(D) :])
    m.write("%s %d - %s\n" % (digest, size, p))


def space(good):
    """Refuse when what is to be staged, the largest saved copy and the folders' own blocks do not fit. -> number of files"""
    s = os.statvfs(R)
    block = s[0]
    need = 4
    n = largest = 0
    for file, hint, size, p in lines():
        n += 1
        if good(hint, R + p):
            continue
        need += 0.125
        size = -(-max(size, 1) // block)
        if not guard.kind(file):
            need += size
        if guard.fat():
            need += 2 * size
        else:
            largest = max(largest, os.stat(R + p)[6] if guard.kind(R + p) == 0x8000 else 0)
    need = need * block + largest
    if need > block * s[3]:
        raise Refused("space", "needs %d, free %d" % (need, block * s[3]))
    return n
