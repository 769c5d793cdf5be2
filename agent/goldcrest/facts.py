"""Facts: what a board reports about itself at its first contact after a start (docs/protocol.md)."""

import gc
import os
import sys

import goldcrest
from goldcrest import guard


def facts(cfg):
    """What the board is, for the fleet view."""
    s = os.statvfs(guard.R)
    me = sys.implementation
    f = {
        "agent": goldcrest.__version__,
        "micropython": ".".join(str(n) for n in me.version[:3]),
        "mpy": getattr(me, "_mpy", 0),
        "board": cfg.get("board", sys.platform),
        "platform": sys.platform,
        "machine": getattr(me, "_machine", ""),
        "flash_free": s[0] * s[3],
        "flash_size": s[1] * s[2],
        "filesystem": filesystem(s),
        "tries": int(guard.read("tries") or 0),
    }
    if guard.read("failed").split("\n")[1:2] == ["agent"]:
        f["guard"] = "golden"
    try:
        import machine

        f["reset_cause"] = machine.reset_cause()
    except (ImportError, AttributeError):
        pass
    gc.collect()
    f["heap_free"] = gc.mem_free()
    return f


def filesystem(s):
    """-> `fat` (finds a name whatever its case), `littlefs2` (counts no files) or `other`."""
    if guard.kind(guard.R + ".OTA"):
        return "fat"
    return "other" if s[5] else "littlefs2"
