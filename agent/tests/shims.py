"""What the agent uses of MicroPython and CPython lacks: ticks, print_exception, gc.mem_free, os.ilistdir, deflate."""

import builtins
import gc
import os
import sys
import time

if sys.implementation.name != "micropython":
    import traceback
    import zlib

    sys.dont_write_bytecode = True
    time.ticks_ms = lambda: int(time.monotonic() * 1000) & 0x3FFFFFFF
    time.ticks_add = lambda a, b: (a + b) & 0x3FFFFFFF
    time.ticks_diff = lambda a, b: ((a - b + 0x20000000) & 0x3FFFFFFF) - 0x20000000
    gc.mem_free = lambda: 100000
    gc.collect = lambda *generation: 0  # what the agent asks for at each step would go through all that the tests hold
    _compile = builtins.compile
    _compiled = {}

    def _once(source, filename, mode, *more, **options):
        # Hundreds of boards import the same modules from folders of their own.
        if not isinstance(source, (bytes, str)):
            return _compile(source, filename, mode, *more, **options)
        key = source, str(filename).rsplit("/", 1)[-1], mode
        if key not in _compiled:
            _compiled[key] = _compile(source, filename, mode, *more, **options)
        return _compiled[key]

    builtins.compile = _once
    os.ilistdir = lambda path: iter([(name,) for name in os.listdir(path)])
    builtins.const = lambda value: value
    sys.implementation._mpy = 0
    sys.implementation._machine = "CPython"

    class _Text:
        """A text file over a stream that takes bytes, as MicroPython's print_exception writes."""

        def __init__(self, stream):
            self.write = lambda s: stream.write(s.encode())

    def _print_exception(e, file=None):
        traceback.print_exception(e, file=_Text(file) if file else sys.stdout)

    sys.print_exception = _print_exception

    class _DeflateIO:
        """deflate.DeflateIO for raw streams: reads its source byte by byte, as MicroPython does."""

        def __init__(self, stream, form, bits):
            self.stream = stream
            self.z = zlib.decompressobj(-bits)
            self.one = bytearray(1)

        def read(self, n):
            b = bytearray(n)
            return bytes(b[: self.readinto(b)])

        def readinto(self, b):
            got = b""
            while len(got) < len(b) and not self.z.eof:
                more = self.z.unconsumed_tail
                if not more:
                    if not self.stream.readinto(self.one):
                        raise EOFError
                    more = bytes(self.one)
                try:
                    got += self.z.decompress(more, len(b) - len(got))
                except zlib.error:
                    raise OSError(22)
            b[: len(got)] = got
            return len(got)

    class _Deflate:
        RAW = 1
        DeflateIO = _DeflateIO

    sys.modules["deflate"] = _Deflate
