"""Making and reading flash images: `format` and `copy` take files from stdin, `dump` writes them to stdout.

A file travels as one line `<length> <path>` and its bytes.
"""

import os
import sys

import board_flash
import vfs

_CHUNK = 4096


def main(mode, arguments):
    """Do one of `format`, `copy`, `dump` on the image that `arguments` describe."""
    try:
        _work(mode, arguments)
    except Exception as error:
        # MicroPython would print it to stdout, among the files.
        sys.print_exception(error, sys.stderr)
        sys.exit(1)


def _work(mode, arguments):
    flash = board_flash.Flash(open(arguments[0], "r+b"), *[int(word) for word in arguments[1:5]])
    # Counted is only what the board itself does.
    flash.program_mark = flash.erase_mark = ""
    if mode == "format":
        vfs.VfsLfs2.mkfs(flash, readsize=flash.read_size, progsize=flash.prog_size)
    board_flash.mount(flash)
    # The repair for the file that littlefs hides after a cut rename: what a board's guard does first.
    try:
        os.remove("/.ota/-")
    except OSError:
        pass
    if mode == "dump":
        _dump("/")
    else:
        _copy(sys.stdin.buffer)


def _copy(source):
    while True:
        line = source.readline()
        if not line:
            return
        length, path = line.decode().rstrip("\n").split(" ", 1)
        _make_folders(path)
        left = int(length)
        with open("/" + path, "wb") as file:
            while left:
                chunk = source.read(min(left, _CHUNK))
                if not chunk:
                    raise OSError("the file list ended within " + path)
                file.write(chunk)
                left -= len(chunk)


def _make_folders(path):
    at = path.find("/")
    while at > 0:
        try:
            os.mkdir("/" + path[:at])
        except OSError as error:
            if error.errno != 17:  # EEXIST
                raise
        at = path.find("/", at + 1)


def _dump(folder):
    for entry in os.ilistdir(folder):
        path = folder + entry[0]
        if entry[1] == 0x4000:
            _dump(path + "/")
            continue
        sys.stdout.buffer.write(b"%d %s\n" % (os.stat(path)[6], path[1:]))
        with open(path, "rb") as file:
            while True:
                chunk = file.read(_CHUNK)
                if not chunk:
                    break
                sys.stdout.buffer.write(chunk)
