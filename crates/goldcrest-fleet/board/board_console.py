"""The console of a virtual board: stdout, duplicated to the stream that the application gave to `os.dupterm`.

The modules `os`, `sys` and `vfs` are built in and cannot be extended, so stand-ins that pass everything
else on take their places in `sys.modules`.
"""

import builtins
import io
import os
import sys

import vfs

_print = builtins.print
_stdout = sys.stdout
_print_exception = sys.print_exception
_release = ".".join(str(part) for part in sys.implementation[1][:3])
BANNER = 'MicroPython v%s; goldcrest virtual board\nType "help()" for more information.' % _release


class _Console(io.IOBase):
    """What `sys.stdout` is on the board."""

    duplicate = None

    def write(self, text):
        _stdout.write(text)
        if self.duplicate is not None:
            try:
                self.duplicate.write(text.encode() if isinstance(text, str) else text)
            except Exception:
                # As the firmware does: a stream that raises is taken off.
                self.duplicate = None
        return len(text)

    def flush(self):
        pass


_console = _Console()
_own_frame = None


def print(*values, sep=" ", end="\n", file=None):
    """The builtin, with the console as its default stream."""
    _print(*values, sep=sep, end=end, file=_console if file is None else file)


def print_exception(error, file=None):
    """The function of `sys`, with the console as its default stream."""
    _print_exception(error, _console if file is None else file)


def report(error):
    """Print what ended a file, without the emulator's own frame, which no board has."""
    try:
        text = io.StringIO()
        _print_exception(error, text)
        lines = text.getvalue().split("\n")
        _console.write("\n".join([line for line in lines if not line.startswith(_own_frame)]))
    except MemoryError:
        _print_exception(error, _console)


def _dupterm(stream, index=0):
    previous = _console.duplicate
    _console.duplicate = stream
    return previous


class _Module:
    """A built-in module with some names replaced and some hidden."""

    def __init__(self, module, hidden, names):
        self.__module = module
        self.__hidden = hidden
        for name in names:
            setattr(self, name, names[name])

    def __getattr__(self, name):
        if name in self.__hidden:
            raise AttributeError(name)
        return getattr(self.__module, name)


# What only a computer has. The host's files in particular must be out of reach.
_HOST = ("VfsPosix", "system", "getenv", "putenv", "unsetenv", "executable", "atexit")


def install(own_file):
    """Put the board's `os`, `sys`, `vfs` and `print` in place of the host's."""
    global _own_frame
    _own_frame = '  File "' + own_file
    board_os = _Module(os, _HOST, {"dupterm": _dupterm})
    sys.modules["os"] = sys.modules["uos"] = board_os
    sys.modules["vfs"] = _Module(vfs, _HOST, {})
    sys.modules["sys"] = sys.modules["usys"] = _Module(
        sys, _HOST, {"stdout": _console, "stderr": _console, "print_exception": print_exception}
    )
    builtins.print = print
