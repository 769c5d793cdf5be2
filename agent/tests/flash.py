"""Flashes in RAM that lose power at the k-th program or erase (MicroPython only): `Nor` for littlefs, `Sectors` and `RawNor` for FAT.

From the cut on every operation fails: an exception would leave the filesystem with pointers into a stack that is gone.
Blocks are copied when they are first written, so that an image of 2 MiB costs no more than what changes in it.
"""

import vfs

BLOCKS = 88
MODES = ("clean", "torn", "torn1", "tornlast", "garbage")  # what is done of the operation at the cut: nothing, 5/9, a byte, all but one, noise

_READS = 100000  # until power-off; a FAT that asks for more goes round in a circle

_FF = memoryview(b"\xff" * 4096)


class Nor:
    """Erase blocks of 4 KiB under littlefs; a program touches only its own bytes."""

    name = "littlefs"
    size = 4096  # bytes of a block

    def __init__(self, blocks=BLOCKS, unit=32, image=None):
        self.cells = list(image) if image else [None] * blocks  # None: erased
        self.own = bytearray(blocks)  # 1: not shared with the image
        self.unit = unit
        self.ops = self.erases = 0
        self.reads = 0
        self.cut = -1
        self.mode = "clean"
        self.seed = 1
        self.dead = False

    def again(self, image=None):
        """-> the same chip after power-on, with `image` in it, or with what it holds. This object's open files are lost."""
        self.dead = True
        return type(self)(len(self.cells), self.unit, image or self.cells)

    def format(self):
        vfs.VfsLfs2.mkfs(self, progsize=self.unit, readsize=self.unit)

    def mount(self):
        vfs.mount(vfs.VfsLfs2(self, progsize=self.unit, readsize=self.unit), "/")

    def readblocks(self, block, buf, offset=0):
        if self.dead:
            return -5
        cell = self.cells[block]
        n = len(buf)
        buf[:] = _FF[:n] if cell is None else cell[offset : offset + n]

    def writeblocks(self, block, buf, offset=0):
        if self.dead:  # also files that the garbage collector closes: no memory may be asked for here
            return -5
        return self.program(block, offset, memoryview(buf))

    def ioctl(self, op, arg):
        if op == 4:
            return len(self.cells)
        if op == 5:
            return self.size
        if op == 6:
            return -5 if self.dead else self.erase(arg)
        return 0

    def program(self, block, offset, buf):
        n = self._count(len(buf))
        cell = self._writable(block)
        cell[offset : offset + n] = buf[:n]
        if self.dead and self.mode == "garbage":
            for i in range(len(buf) // 2, len(buf)):  # some bits are not cleared yet
                cell[offset + i] = buf[i] | self._noise()
        return -5 if self.dead else 0

    def erase(self, block):
        self.erases += 1
        n = self._count(self.size)
        if not self.dead:
            self.cells[block] = None
            self.own[block] = 0
            return 0
        cell = self._writable(block)
        cell[:n] = _FF[:n]
        if self.mode == "garbage":
            for i in range(self.size):  # some bits are set already
                cell[i] |= self._noise()
        return -5

    def _count(self, n):
        # -> how many of the operation's n bytes are done
        self.ops += 1
        if self.ops != self.cut:
            return n
        self.dead = True
        return {"torn": n * 5 // 9, "torn1": 1, "tornlast": n - 1, "garbage": n // 2}.get(self.mode, 0)

    def _writable(self, block):
        cell = self.cells[block]
        if not self.own[block]:
            cell = self.cells[block] = memoryview(bytearray(_FF if cell is None else cell))
            self.own[block] = 1
        return cell

    def _noise(self):
        self.seed = (self.seed * 1103515245 + 12345) & 0x7FFFFFFF
        return self.seed >> 16 & 255


class Sectors(Nor):
    """An SD card, or a flash with a translation layer: sectors of 512 bytes under FAT, of which each is written or not."""

    name = "fat"
    size = 512

    def format(self):
        vfs.VfsFat.mkfs(self)

    def mount(self):
        vfs.mount(vfs.VfsFat(self), "/")

    def readblocks(self, block, buf):
        self.reads += 1
        if self.dead or self.reads > _READS:
            self.dead = True
            return -5
        out = memoryview(buf)
        for i in range(len(buf) // self.size):
            cell = self.cells[block + i]
            out[i * self.size : (i + 1) * self.size] = _FF[: self.size] if cell is None else cell

    def writeblocks(self, block, buf):
        if self.dead:
            return -5
        data = memoryview(buf)
        for i in range(len(buf) // self.size):
            if self.write(block + i, data[i * self.size : (i + 1) * self.size]):
                return -5
        return 0

    def ioctl(self, op, arg):
        return {4: len(self.cells), 5: self.size}.get(op, 0)

    def write(self, block, buf):
        self._count(0)
        if self.dead:
            return -5
        self.cells[block] = bytes(buf)
        return 0


class RawNor(Sectors):
    """FAT on a bare NOR flash, as ports without a translation layer have it: a sector is an erase block, erased and then programmed."""

    name = "fat_raw_nor"
    size = 4096

    def write(self, block, buf):
        return self.erase(block) or self.program(block, 0, buf)
