"""Goldcrest agent. The interface for the app is in `checkin`; its names are those of this package, too.

On flash the modules stand in agent.z, one behind another in a raw deflate stream: a sixth less than by themselves. Each is a line
`/name.mpy blocks` and its bytecode in as many blocks of 64 bytes. Where there is no agent.z they are files as usual.
"""

import gc
import os

HERE = PACK = __path__  # where modules are; to import one from the pack, put `__path__` there for so long
_Z = "%s/agent.z" % HERE


def inflate(f, bits):
    """-> what a raw deflate stream holds."""
    try:
        import deflate

        return deflate.DeflateIO(f, deflate.RAW, bits)
    except ImportError:  # MicroPython < 1.21
        import uzlib

        return uzlib.DecompIO(f, -bits)


class _Vfs:
    # A filesystem of the modules in agent.z.
    def mount(self, *a):
        pass

    umount = mount

    def stat(self, path):
        if path[-4:] != ".mpy":
            raise OSError
        return (0x8000,) * 10

    def open(self, path, *a):
        z = inflate(open(_Z, "rb"), 12)
        block = bytearray(64)
        while True:
            name, blocks = z.readline().split()
            if name == path.encode():
                return z
            for _ in range(int(blocks)):
                z.readinto(block)


def __getattr__(name):
    return getattr(checkin, name)  # noqa: F821


try:
    os.stat(_Z)
    PACK = "/.z"
    os.mount(_Vfs(), PACK)
except OSError:
    pass  # no pack, or it is mounted already
__path__ = PACK
gc.collect()  # so that modules stand close together, and not between what they were inflated in
import goldcrest.guard

gc.collect()
import goldcrest.checkin

__path__ = HERE
