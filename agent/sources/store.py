"""Writes what comes to a file: as long as it may be, while there is room."""

import os

from goldcrest import Refused, guard


def store(source, dst, size, base, hashes=()):
    """Write a body to a file: `size` bytes, or, when that is -1, as many as come and the flash has room for. -> its size."""
    room = free()
    if size > room:
        raise Refused("space", "%s: needs %d, free %d" % (base, size, room))
    try:
        with open(dst, "wb") as f:
            done = _copy(source, f, room if size < 0 else size, base, hashes)
    except Exception:
        os.remove(dst)  # what is no use takes no room
        raise
    if done < size:
        raise Refused("truncated", base)
    return done


def _copy(source, f, limit, base, hashes):
    done = 0
    buf = memoryview(bytearray(512))
    while True:
        n = source.readinto(buf)
        if not n:
            return done
        done += n
        if done > limit:
            source.close()
            raise Refused("endless", base)
        for h in hashes:
            h.update(buf[:n])
        f.write(buf[:n])


def free():
    """-> bytes that a file may have: two blocks are left for its folder."""
    s = os.statvfs(guard.R)
    return max(0, s[0] * (s[3] - 2))
