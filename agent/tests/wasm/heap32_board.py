"""The board's side of heap32.py: modules that WASI lacks, and one check-in of the agent. Answers are read from /net/, one file for each request."""

import gc
import io
import os
import sys


class Socket(io.IOBase):
    at = 0
    f = None

    def settimeout(self, s):
        pass

    def connect(self, address):
        pass

    def write(self, b):
        if self.f:
            self.f.close()
        self.f = open("/net/%d" % Socket.at, "rb")
        Socket.at += 1
        return len(b)

    def readinto(self, b):
        return self.f.readinto(b)

    def close(self):
        if self.f:
            self.f.close()


class Os:
    """`os`, with a flash of 384 blocks."""

    def __getattr__(self, name):
        return getattr(os, name)

    def statvfs(self, path):
        return 4096, 4096, 384, 300, 300, 0, 0, 0, 0, 255


def socket(family):
    return Socket()


def getaddrinfo(host, port):
    return ((2, 1, 0, "", (host, port)),)


def reset_cause():
    return 1


def reset():
    print("staged")
    sys.exit()


def main():
    modules = sys.modules
    modules["socket"] = modules["machine"] = modules.pop("heap32_board")
    modules["os"] = Os()
    gc.collect()
    print("before the agent: %d" % gc.mem_alloc())
    import goldcrest

    gc.collect()
    print("with it, before the check-in: %d" % gc.mem_alloc())
    goldcrest.check()
