"""The flash of a virtual board: a block device over a host file that tells the supervisor of every operation."""

import os
import sys

import vfs

_stderr = sys.stderr
_EIO = -5


def control(line):
    """Send one control line to the supervisor, in one write."""
    _stderr.write("\x01" + line + "\n")


class Flash:
    """Block device with the extended interface: reads and programs at any offset of a block, erases whole blocks.

    An interrupt (how a timer arrives) that comes in the middle of an operation leaves littlefs with half a
    change in RAM. From then on this object is dead: the files that the program closes on its way out must not
    reach the flash. What runs next mounts it afresh and finds what a power cut would have left.
    """

    # Constants and no allocation: a write must not fail for want of heap. Sent before the operation, so
    # that a power cut never leaves an operation that nobody counted.
    program_mark = "\x01w\n"
    erase_mark = "\x01e\n"

    def __init__(self, file, blocks, block_size, prog_size, read_size):
        self.file = file
        self.blocks = blocks
        self.block_size = block_size
        self.prog_size = prog_size
        self.read_size = read_size
        self.erased = b"\xff" * block_size
        self.dead = False

    def readblocks(self, block, buffer, offset=0):
        if self.dead:
            return _EIO
        try:
            self.file.seek(block * self.block_size + offset)
            self.file.readinto(buffer)
        except KeyboardInterrupt:
            self.dead = True
            raise

    def writeblocks(self, block, buffer, offset=0):
        return self._write(self.program_mark, block * self.block_size + offset, buffer)

    def ioctl(self, operation, argument):
        if operation == 4:
            return self.blocks
        if operation == 5:
            return self.block_size
        if operation == 6:
            return self._write(self.erase_mark, argument * self.block_size, self.erased)
        return 0

    def _write(self, mark, position, buffer):
        if self.dead:
            return _EIO
        try:
            _stderr.write(mark)
            self.file.seek(position)
            self.file.write(buffer)
            return 0
        except KeyboardInterrupt:
            self.dead = True
            raise


_mounted = None


def mount(flash):
    """Put the flash at `/`, in place of what is there."""
    global _mounted
    filesystem = vfs.VfsLfs2(flash, readsize=flash.read_size, progsize=flash.prog_size)
    vfs.umount("/")
    vfs.mount(filesystem, "/")
    os.chdir("/")
    _mounted = flash


def mount_afresh():
    """Mount the same flash anew, because an interrupt may have come in the middle of an operation."""
    old = _mounted
    old.dead = True
    mount(Flash(old.file, old.blocks, old.block_size, old.prog_size, old.read_size))
