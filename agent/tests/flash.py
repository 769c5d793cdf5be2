"""A NOR flash in RAM for VfsLfs2 that loses power at the k-th program or erase (MicroPython only).

From the cut on every operation fails: an exception would leave littlefs with pointers into a stack that is gone.
Modes of the cut: `clean` before the operation, `torn` after 5/9 of it, `torn1` after one byte, `tornlast` before the last one.
"""

import sys

_FF = memoryview(b"\xff" * 4096)
BLOCKS = 88
# One buffer for every flash of a run, and one for an image of it: the heap has no room for fragments of this size.
_ram = bytearray(BLOCKS * 4096 if sys.implementation.name == "micropython" else 0)
saved = bytearray(len(_ram))


def _blank(blocks):
    for i in range(blocks):
        _ram[i * 4096 : i * 4096 + 4096] = _FF
    return memoryview(_ram)[: blocks * 4096]


class Flash:
    def __init__(self, data=None, blocks=BLOCKS):
        self.data = data if data is not None else _blank(blocks)
        self.blocks = len(self.data) // 4096
        self.ops = self.erases = 0
        self.cut = -1
        self.mode = "clean"
        self.dead = False

    def readblocks(self, block, buf, offset=0):
        if self.dead:
            return -5
        at = block * 4096 + offset
        buf[:] = memoryview(self.data)[at : at + len(buf)]

    def writeblocks(self, block, buf, offset=0):
        if self.dead:
            return -5
        return self._put(block * 4096 + offset, memoryview(buf))

    def ioctl(self, op, arg):
        if op == 4:
            return self.blocks
        if op == 5:
            return 4096
        if op == 6:
            if self.dead:
                return -5
            self.erases += 1
            return self._put(arg * 4096, _FF)
        return 0

    def _put(self, at, buf):
        self.ops += 1
        n = len(buf)
        if self.ops == self.cut:
            self.dead = True
            n = {"clean": 0, "torn": n * 5 // 9, "torn1": 1, "tornlast": n - 1}[self.mode]
        self.data[at : at + n] = buf[:n]
        return -5 if self.dead else 0
