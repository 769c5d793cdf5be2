"""The flash of a virtual board: a block device over a host file that tells the supervisor of every operation."""

import os
import sys

import vfs

_stderr = sys.stderr


def control(line):
    """Send one control line to the supervisor, in one write."""
    _stderr.write("\x01" + line + "\n")


class Flash:
    """Block device with the extended interface: reads and programs at any offset of a block, erases whole blocks."""

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
        # While littlefs is at work: between two lines of this class a timer's callback must wait.
        self.busy = False

    def readblocks(self, block, buffer, offset=0):
        self.busy = True
        self.file.seek(block * self.block_size + offset)
        self.file.readinto(buffer)
        self.busy = False

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
        self.busy = True
        _stderr.write(mark)
        self.file.seek(position)
        self.file.write(buffer)
        self.busy = False
        return 0


def mount(flash):
    """Put the flash at `/`."""
    filesystem = vfs.VfsLfs2(flash, readsize=flash.read_size, progsize=flash.prog_size)
    vfs.umount("/")
    vfs.mount(filesystem, "/")
    os.chdir("/")
